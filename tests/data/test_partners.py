"""Files of several folders are paired by name and oriented alike; what does not fit is refused by name."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import in_bytes
from PIL import Image

from gan_cli.data import notes
from gan_cli.data.label_maps import LabelMapFolder, LargePairs, read_maps
from gan_cli.data.listing import Files
from gan_cli.data.paired import PairedFolder
from gan_cli.data.partners import matched

RAMP = np.arange(64, dtype=np.uint8)


def save(path: Path, pixels: np.ndarray, orientation: int | None = None) -> None:
    """Write an image. orientation: stored turned, with the EXIF tag that turns it upright again (1, 3, 6 or 8)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image, exif = Image.fromarray(pixels), Image.Exif()
    if orientation:
        image = image.rotate({1: 0, 3: 180, 6: 90, 8: 270}[orientation], expand=True)
        exif[0x0112] = orientation
    image.save(path, quality=100, exif=exif)


def list_of(folder: str, *names: str) -> Files:
    return Files(Path("set") / folder, names, (1,) * len(names), (0,) * len(names))


def pairs_of(*folders: Sequence[str]) -> list[tuple[str, ...]]:
    """The matched names of folders a, b, ..."""
    parts = matched(*(list_of(folder, *names) for folder, names in zip("abcd", folders)))
    return list(zip(*(part.names for part in parts)))


@pytest.mark.parametrize(
    "folders",
    [
        (["1.jpg", "10.jpg", "2.jpg"], ["1.png", "10.png", "2.png"]),
        (["a-b.png", "a.png"], ["a-b.png", "a.bmp"]),
        (
            ["ulm/ulm_0_1_leftImg8bit.png", "ulm/ulm_0_2_leftImg8bit.png"],
            ["ulm/ulm_0_1_gtFine_labelIds.png", "ulm/ulm_0_2_gtFine_labelIds.png"],
            ["ulm/ulm_0_1_gtFine_instanceIds.png", "ulm/ulm_0_2_gtFine_instanceIds.png"],
        ),
        (["ulm_0_leftImg8bit.png"], ["ulm_0_gtFine_labelIds.png"]),
        (["ADE_train_01.jpg", "ADE_train_02.jpg"], ["ADE_train_01_seg.png", "ADE_train_02_seg.png"]),
        (["photo1.jpg", "photo10.jpg", "photo11.jpg"], ["mask1.png", "mask10.png", "mask11.png"]),
        (["cat-image.jpg", "dog-image.jpg"], ["cat-mask.png", "dog-mask.png"]),
        (["\u00e9.jpg", "o.jpg"], ["e\u0301.png", "o.png"]),  # one letter in one character and in two
    ],
)
def test_partners_have_one_name(folders: tuple[list[str], ...]) -> None:
    """In whichever order each folder lists them; the order is that of the first folder."""
    expected = list(zip(*folders))
    assert pairs_of(*folders) == expected
    assert pairs_of(folders[0], *(names[::-1] for names in folders[1:])) == expected
    assert pairs_of(folders[0][::-1], *folders[1:]) == expected[::-1]


@pytest.mark.parametrize(
    "folders, alone",
    [
        ((["1.jpg", "3.jpg", "4.jpg"], ["1.png", "2.png", "3.png"]), ["set/a", "4.jpg", "set/b", "2.png"]),
        ((["img_1.jpg", "img_3.jpg"], ["lab_1.png", "lab_2.png"]), ["img_3.jpg", "lab_2.png"]),
        ((["cat.jpg"], ["dog.png"]), ["cat.jpg", "dog.png"]),
        ((["cat.jpg", "cow.jpg"], ["bat.png", "bow.png"]), ["cat.jpg", "cow.jpg", "bat.png", "bow.png"]),
        ((["a/1.jpg"], ["b/1.jpg"]), ["a/1.jpg", "b/1.jpg"]),
        ((["1.jpg", "2.jpg"], ["1.png", "2.png"], ["1.png"]), ["set/a", "2.jpg", "set/b", "2.png"]),
    ],
)
def test_files_without_partners_are_named(folders: tuple[list[str], ...], alone: list[str]) -> None:
    with pytest.raises(ValueError, match="have no partner in") as caught:
        pairs_of(*folders)
    assert all(word in str(caught.value) for word in alone) and "\n" not in str(caught.value)


def test_names_that_are_equal_in_another_form_of_unicode_are_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(notes, "_SAID", set())
    pairs_of(["\u00e9.jpg", "e\u0301.jpg"], ["e\u0301.png", "\u00e9.png"])  # equal as they are
    assert not capsys.readouterr().out
    pairs_of(["\u00e9.jpg"], ["e\u0301.png"])
    assert capsys.readouterr().out == "note: set: letters with accents are matched in both forms that Unicode has\n"


def test_a_guessed_rule_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    pairs_of(["x_1.jpg", "x_2.jpg"], ["1_seg.png", "2_seg.png"])
    assert capsys.readouterr().out == "note: set: partners are a/x_* and b/*_seg, with the same text for *\n"
    pairs_of(["1.jpg", "2.jpg"], ["1.png", "2.png"])
    assert not capsys.readouterr().out


def numbered(root: Path, parts: dict[str, list[int]], suffix: str = ".png") -> None:
    """Gray images whose value is their number."""
    for part, numbers in parts.items():
        for n in numbers:
            save(root / part / f"{n}{suffix}", np.full((64, 64), n, np.uint8))


def test_label_maps_with_other_names_than_their_images_are_refused(tmp_path: Path) -> None:
    """By position, image 3 would have the map of 2."""
    numbered(tmp_path, {"train_img": [1, 3, 4], "train_label": [1, 2, 3]})
    with pytest.raises(ValueError, match=r"train_img have no partner in .*train_label: 4.png; .*train_img: 2.png"):
        LabelMapFolder(str(tmp_path), 64)
    numbered(tmp_path, {"train_inst": [1, 3, 5], "train_label": [4]})
    (tmp_path / "train_label/2.png").unlink()
    with pytest.raises(ValueError, match=r"train_inst: 4.png; .*: 5.png"):
        LabelMapFolder(str(tmp_path), 64)
    numbered(tmp_path, {"train_inst": [4]})
    (tmp_path / "train_inst/5.png").unlink()
    batch = LabelMapFolder(str(tmp_path), 64, flip=False).train_batch(0, 0, 3)
    assert in_bytes((batch.image[:, 0, 0, 0] + 1) / 2).tolist() == batch.maps[:, 0, 0, 0].tolist()


def test_large_pairs_with_other_names_are_refused(tmp_path: Path) -> None:
    numbered(tmp_path, {"train_A": [1, 3, 4], "train_B": [1, 2, 3]})
    with pytest.raises(ValueError, match=r"4.png; .*2.png"):
        LargePairs(str(tmp_path), 64)


def test_pairs_in_two_folders_may_share_an_ending(tmp_path: Path) -> None:
    for n in (1, 3):
        save(tmp_path / f"trainA/{n}_A.png", np.full((64, 64), n, np.uint8))
        save(tmp_path / f"trainB/{n}_B.png", np.full((64, 64), n, np.uint8))
    source, target = PairedFolder(str(tmp_path), 64, load_size=64).test_batch(0, 2)
    assert torch.equal(source, target) and len(source.unique()) == 2


# -- orientation


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
@pytest.mark.parametrize("turned", ["photo", "both", "map"])
def test_photographs_and_their_maps_are_upright(tmp_path: Path, orientation: int, turned: str) -> None:
    """A photo that its EXIF tag turns fits its map as it is shown: left of column 40 is class 1."""
    halves = (np.arange(128) < 40).astype(np.uint8)[None].repeat(64, 0)
    photo = np.stack([255 * halves] * 3, 2)
    save(tmp_path / "train_img/1.jpg", photo, orientation if turned != "map" else None)
    save(tmp_path / "train_label/1.png", halves, orientation if turned != "photo" else None)
    save(tmp_path / "train_inst/1.tif", halves.astype(np.uint16) * 1000)
    data = LabelMapFolder(str(tmp_path), 128, label_nc=2, flip=False)
    assert data.height == 64
    batch = data.train_batch(0, 0, 1)
    agreement = ((batch.image[0, 0] > 0).long() == batch.maps[0, 0]).float().mean()
    assert agreement > 0.98 and 0.3 < batch.maps[0, 0].float().mean() < 0.33
    assert torch.equal(batch.maps[0, 1], 1000 * batch.maps[0, 0])


def test_large_pairs_are_upright(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ramp = RAMP[None].repeat(32, 0)
    save(tmp_path / "train_A/1.jpg", ramp, 6)
    save(tmp_path / "train_B/1.png", ramp)
    data = LargePairs(str(tmp_path), 64, flip=False)
    assert "EXIF orientation turns a train image but not its partner, 1 times" in capsys.readouterr().out
    source, target = data.train_batch(0, 0, 1)
    assert source.shape == (1, 3, 32, 64) and (source - target).abs().max() < 3 / 127.5


def test_a_map_for_the_stored_pixels_is_refused(tmp_path: Path) -> None:
    """A map that fits the photo as it is stored, not as it is shown, is seen by its size."""
    save(tmp_path / "train_img/1.jpg", np.zeros((32, 64, 3), np.uint8), 6)
    save(tmp_path / "train_label/1.png", np.zeros((64, 32), np.uint8))
    with pytest.raises(ValueError, match=r"partners must have one size, and 1.jpg and 1.png do not"):
        LabelMapFolder(str(tmp_path), 64)


# -- values


def label_map(path: Path, *values: int, dtype: type = np.uint8) -> Path:
    save(path, np.array([values], dtype))
    return path


def test_masks_of_0_and_255_are_refused(tmp_path: Path) -> None:
    mask = label_map(tmp_path / "mask.png", 0, 255)
    with pytest.raises(ValueError) as caught:
        read_maps(mask, None, 2)
    message = str(caught.value)
    assert message.startswith(f"{mask}: class 255, and dataset.label_nc=2 has 0 to 1; ") and "\n" not in message
    assert "0 and 1" in message and "dataset.void=CLASS" in message
    assert read_maps(mask, None, 2, void=1)[0].tolist() == [[0, 1]]
    assert read_maps(mask, None, 256)[0].tolist() == [[0, 255]]


@pytest.mark.parametrize("values, dtype", [((0, 255), np.uint8), ((0, -1), np.int32)])
def test_pixels_without_a_class_in_cityscapes(
    values: tuple[int, ...], dtype: type, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labels = label_map(tmp_path / "a.tif", *values, dtype=dtype)
    for _ in range(2):
        assert read_maps(labels, None, 35)[0].tolist() == [[0, 0]]
    assert capsys.readouterr().out.splitlines() == [
        f"note: {tmp_path}: ids 255 and -1 count as class 0: 1 of 2 pixels in a.tif"
    ]
    with pytest.raises(ValueError, match=rf"a.tif: class {values[1]}, .*dataset.void"):
        read_maps(labels, None, 34)


@pytest.mark.parametrize("value", [-2, 3, 254, 70000])
def test_other_values_are_refused(value: int, tmp_path: Path) -> None:
    labels = label_map(tmp_path / "a.tif", 0, value, dtype=np.int32)
    with pytest.raises(ValueError, match=rf"a.tif: class {value}, and dataset.label_nc=3 has 0 to 2"):
        read_maps(labels, None, 3, void=0)


def test_void_must_be_a_class(tmp_path: Path) -> None:
    numbered(tmp_path, {"train_img": [1], "train_label": [1]})
    with pytest.raises(ValueError, match="void 2: it is a class from 0 to 1"):
        LabelMapFolder(str(tmp_path), 64, label_nc=2, void=2)


def test_maps_of_two_sizes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="one size"):
        read_maps(label_map(tmp_path / "a.png", 0, 1), label_map(tmp_path / "b.png", 0), 2)
