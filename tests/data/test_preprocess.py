"""Sizes that are not square, and the modes of preprocess: what each makes of files of known sizes."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from gan_cli.data import decoded_cache, image_files, preprocess
from gan_cli.data.folders import ImageFolder, UnpairedFolder
from gan_cli.data.paired import PairedFolder
from gan_cli.data.shapes import Shapes, ShapesEdges, ShapesStripes


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GAN_CACHE", str(tmp_path / "cache"))


def write(path: Path, width: int, height: int, seed: int = 0) -> None:
    """An image whose red is 6 times the column, green 6 times the row, and blue `seed`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows, columns = np.mgrid[:height, :width]
    Image.fromarray(np.stack([6 * columns, 6 * rows, 0 * rows + seed], 2).astype(np.uint8)).save(path)


def domains(root: Path, *sizes: tuple[int, int]) -> str:
    """Both domains with images of these sizes (width, height)."""
    for side in "AB":
        for number, size in enumerate(sizes):
            write(root / f"train{side}" / f"{number}.png", *size, seed=number)
    return str(root)


def corner(image: Tensor) -> list[int]:
    """Column and row of the top left pixel of an image of `write`, from values in [-1, 1]."""
    return ((image[:2, 0, 0] + 1) * 21.25).round().int().tolist()


def test_a_size_that_is_not_square_is_height_and_width(tmp_path: Path) -> None:
    root = domains(tmp_path, (20, 16), (12, 24))
    batch = UnpairedFolder(root, image_size=(8, 12)).train_batch(0, 0, 3)
    assert batch.x.shape == batch.y.shape == (3, 3, 8, 12)
    data = ImageFolder(f"{root}/trainA", image_size=[8, 12], test_fraction=0.0)  # type: ignore[arg-type]
    assert data.image_size == (8, 12) and data.train_batch(0, 0, 2).image.shape == (2, 3, 8, 12)
    assert UnpairedFolder(root, image_size=(8, 8)).image_size == 8
    with pytest.raises(ValueError, match="at least 1"):
        ImageFolder(f"{root}/trainA", image_size=(8, 0))


def test_a_central_part_has_the_proportions_of_the_size() -> None:
    wide = Image.fromarray(np.tile(np.arange(24, dtype=np.uint8) * 10, (8, 1)))
    part = image_files.to_tensor(image_files.resize_crop(wide, (4, 8)))[0]
    assert part.shape == (4, 8) and part[0, 0] < 60 and part[0, -1] > 170  # columns 4 to 19
    whole = image_files.to_tensor(image_files.stretch(wide, (4, 8)))[0]
    assert whole[0, 0] < 20 and whole[0, -1] > 210


def test_bits_of_squares_are_those_of_a_cache_of_before(tmp_path: Path) -> None:
    """The name of a cache file is a hash of the side as two equal numbers, as before sizes could differ."""
    write(tmp_path / "a.png", 20, 16)
    files = ImageFolder(str(tmp_path), image_size=8, test_fraction=0.0).files[0]
    one, two = (decoded_cache.DecodeJob(files, 3, size, image_files.resize_crop) for size in (8, (8, 8)))
    assert one.name == two.name and one.shape == (1, 3, 8, 8)


def test_crops_are_random_in_training_and_central_when_held_out(tmp_path: Path) -> None:
    root = domains(tmp_path, (20, 16), (12, 24))
    data = UnpairedFolder(root, image_size=(8, 10), preprocess="crop", flip=False)
    corners = [corner(image) for start in range(0, 200, 50) for image in data.train_batch(0, start, 50).x]
    blue = [int((image[2, 0, 0] + 1) * 127.5 + 0.5) for image in data.train_batch(0, 0, 2).x]
    assert sorted(blue) == [0, 1]
    assert {column for column, _ in corners} == set(range(11)) and {row for _, row in corners} == set(range(17))
    assert [corner(image) for image in data.test_batch(0, 2).x] == [[5, 4], [1, 8]]
    assert torch.equal(data.train_batch(0, 7, 2).x, data.train_batch(0, 6, 3).x[1:])
    plain = UnpairedFolder(root, image_size=(8, 10), flip=False)
    assert data.fingerprint() == plain.fingerprint() + "-crop"


def test_images_of_one_size_are_cropped_alike_from_the_cache_and_from_their_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = domains(tmp_path, (20, 16), (20, 16))
    stored = UnpairedFolder(root, image_size=8, preprocess="crop")
    assert isinstance(stored._stores[0], Tensor)
    monkeypatch.setattr(preprocess, "IN_MEMORY", 100)
    lazy = UnpairedFolder(root, image_size=8, preprocess="crop")
    assert isinstance(lazy._stores[0], preprocess.LazyStore)
    for one, other in zip(stored.train_batch(3, 5, 9), lazy.train_batch(3, 5, 9)):
        assert torch.equal(one, other)
    for one, other in zip(stored.test_batch(0, 2), lazy.test_batch(0, 2)):
        assert torch.equal(one, other)


def test_files_that_are_decoded_late_are_read_one_by_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing but the headers is read before a batch needs an image, and then only that image."""
    root = domains(tmp_path, (20, 16), (12, 24), (30, 10))
    read: list[str] = []
    pixels = decoded_cache.pixels
    monkeypatch.setattr(decoded_cache, "pixels", lambda job, row: read.append(job.files.names[row]) or pixels(job, row))
    data = UnpairedFolder(root, image_size=8, preprocess="crop")
    assert not read
    data.test_batch(1, 1)
    assert read == ["1.png", "1.png"]  # of x and of y
    (tmp_path / "trainA" / "2.png").write_bytes((tmp_path / "trainA" / "2.png").read_bytes()[:60])
    with pytest.raises(ValueError, match=r"trainA/2.png"):
        data.test_batch(2, 1)


def test_scale_width(tmp_path: Path) -> None:
    root = domains(tmp_path, (20, 10), (40, 20))
    data = UnpairedFolder(root, image_size=(6, 12), preprocess="scale_width", flip=False)
    assert torch.equal(data.train_batch(0, 0, 2).x.sort(0).values, data.test_batch(0, 2).x.sort(0).values)
    with pytest.raises(ValueError, match=r"0.png and all others become 12 pixels wide and 6 high.*size=\[6,12\]"):
        UnpairedFolder(root, image_size=12, preprocess="scale_width")
    with pytest.raises(ValueError, match=r"load_size 16 has no effect with preprocess=scale_width"):
        UnpairedFolder(root, image_size=(6, 12), preprocess="scale_width", load_size=16)
    domains(tmp_path, (20, 10), (20, 20))
    with pytest.raises(ValueError, match=r"0.png becomes 12.*1.png 12 pixels wide and 12 high; .*scale_width_and_crop"):
        UnpairedFolder(root, image_size=(6, 12), preprocess="scale_width")


def test_scale_width_and_crop(tmp_path: Path) -> None:
    root = domains(tmp_path, (40, 20), (40, 40))
    data = UnpairedFolder(root, image_size=8, load_size=20, preprocess="scale_width_and_crop", flip=False)
    batch = data.train_batch(0, 0, 100).x
    assert batch.shape == (100, 3, 8, 8)
    # Halved: columns 0 to 12 and rows 0 to 2 or 0 to 12 can be the first, which are twice that in the file.
    assert {corner(image)[0] // 2 for image in batch} == set(range(13))
    with pytest.raises(ValueError, match=r"0.png: 10 pixels wide and 5 high to crop from, .*a larger load_size"):
        UnpairedFolder(root, image_size=8, load_size=10, preprocess="scale_width_and_crop")


def test_no_resizing(tmp_path: Path) -> None:
    root = domains(tmp_path, (20, 16))
    data = UnpairedFolder(root, image_size=(16, 20), preprocess="none", flip=False)
    with Image.open(tmp_path / "trainA" / "0.png") as image:
        pixels = image_files.to_tensor(image)
    assert torch.equal(((data.train_batch(0, 0, 1).x[0] + 1) * 127.5).round().byte(), pixels)
    domains(tmp_path, (21, 14))
    assert UnpairedFolder(root, image_size=(16, 20), preprocess="none").train_batch(0, 0, 1).x.shape[2:] == (16, 20)
    with pytest.raises(ValueError, match=r"become 20 pixels wide and 16 high"):
        UnpairedFolder(root, image_size=(8, 20), preprocess="none")
    domains(tmp_path, (21, 14), (40, 14))
    with pytest.raises(ValueError, match=r"preprocess=none keeps whole images, and these differ.*preprocess=crop"):
        UnpairedFolder(root, image_size=(16, 20), preprocess="none")


def test_a_file_smaller_than_the_crop_is_named(tmp_path: Path) -> None:
    root = domains(tmp_path, (20, 16), (20, 7))
    with pytest.raises(ValueError, match=r"1.png: 20 pixels wide and 7 high.*resize_and_crop") as error:
        UnpairedFolder(root, image_size=8, preprocess="crop")
    assert "\n" not in str(error.value)
    with pytest.raises(ValueError, match="has no effect with preprocess=crop"):
        UnpairedFolder(root, image_size=6, load_size=8, preprocess="crop")


@pytest.mark.parametrize("layout", ["folders", "halves"])
def test_partners_are_cropped_at_one_position(layout: str, tmp_path: Path) -> None:
    for number, (width, height) in enumerate([(20, 16), (12, 24)]):
        if layout == "folders":
            for side in "AB":
                write(tmp_path / f"train{side}" / f"{number}.png", width, height)
            continue
        write(tmp_path / "half.png", width, height)
        with Image.open(tmp_path / "half.png") as half:
            both = Image.new("RGB", (2 * width, height))
            both.paste(half, (0, 0))
            both.paste(half, (width, 0))
        (tmp_path / "train").mkdir(exist_ok=True)
        both.save(tmp_path / "train" / f"{number}.png")
    data = PairedFolder(str(tmp_path), image_size=(8, 10), preprocess="crop")
    batch = data.train_batch(0, 0, 20)
    assert torch.equal(batch.source, batch.target) and len({tuple(corner(image)) for image in batch.source}) > 10
    assert [corner(image) for image in data.test_batch(0, 2).source] == [[5, 4], [1, 8]]
    assert data.fingerprint().endswith("-AtoB-crop")


def test_partners_of_different_sizes_cannot_be_cropped_alike(tmp_path: Path) -> None:
    write(tmp_path / "trainA" / "0.png", 20, 16)
    write(tmp_path / "trainB" / "0.png", 20, 18)
    assert PairedFolder(str(tmp_path), image_size=8).train_batch(0, 0, 1).source.shape == (1, 3, 8, 8)
    with pytest.raises(ValueError, match=r"trainA/0.png and .*trainB/0.png are partners of different sizes"):
        PairedFolder(str(tmp_path), image_size=8, preprocess="crop")


def test_single_images_take_the_modes_too(tmp_path: Path) -> None:
    for number, size in enumerate([(20, 16), (12, 24), (30, 10)]):
        write(tmp_path / f"{number}.png", *size)
    data = ImageFolder(str(tmp_path), image_size=8, preprocess="crop", test_fraction=0.3)
    assert len({tuple(corner(image)) for image in data.train_batch(0, 0, 20).image}) > 10
    assert data.test_batch(0, 1).image.shape == (1, 3, 8, 8) and data.fingerprint().endswith("-crop")
    with pytest.raises(ValueError, match="stretch=true"):
        ImageFolder(str(tmp_path), image_size=8, preprocess="crop", stretch=True)


@pytest.mark.parametrize("size", [(16, 24), (24, 16)])
def test_rendered_shapes_keep_their_form(size: tuple[int, int]) -> None:
    """The central square of an image that is not square is the square image."""
    top, left = (size[0] - 16) // 2, (size[1] - 16) // 2
    for cls in (Shapes, ShapesEdges, ShapesStripes):
        square, other = cls(16).test_batch(0, 20), cls(size).test_batch(0, 20)
        for a, b in zip(square, other):
            if a.ndim == 4:
                assert b.shape == (20, 3, *size)
                torch.testing.assert_close(b[..., top : top + 16, left : left + 16], a, atol=1e-4, rtol=0)
