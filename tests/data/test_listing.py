"""What a folder of images holds, what is skipped in it, and what data sets say of themselves."""

import os
import socket
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from helpers import fill_shards, pack, save_plain, unpaired_folder
from PIL import Image

from gan_cli.data import discogan_domains, image_files, listing, notes
from gan_cli.data.base import Dataset
from gan_cli.data.derived_pairs import Inpainting
from gan_cli.data.discogan_domains import AttributeFolder, HalvesFolder
from gan_cli.data.folders import ImageFolder
from gan_cli.data.image_files import decode
from gan_cli.data.label_maps import LabelMapFolder, LargePairs
from gan_cli.data.listing import list_images, scan
from gan_cli.data.paired import PairedFolder
from gan_cli.data.webdataset import WebDataset


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """Images and other files, pipes, links and folders that are named like images."""
    root = tmp_path / "mixed"
    for name in ("a.png", "b.JFIF", "c.gif", "d.jpe", "e.pbm", "sub/f.png", "folder.png/g.bmp"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        kind = {"a.png": "PNG", "b.JFIF": "JPEG", "c.gif": "GIF", "d.jpe": "JPEG", "e.pbm": "PPM"}.get(name)
        Image.new("1" if name == "e.pbm" else "RGB", (4, 4)).save(root / name, format=kind)
    for name in ("1.psd", "2.psd", "notes.txt", "README"):
        (root / name).write_text("text")
    for name in (".hidden.png", "._a.png"):
        (root / name).write_text("a file that a system hides")
    os.mkfifo(root / "pipe.png")
    (root / "nowhere.jpg").symlink_to(root / "missing")
    listener = socket.socket(socket.AF_UNIX)
    here = Path.cwd()
    os.chdir(root)  # the path of a socket is short
    listener.bind("socket.bmp")
    os.chdir(here)
    listener.close()
    return root


def test_images_are_listed_with_what_was_skipped(mixed: Path) -> None:
    """A pipe, which would block for ever when it is opened, a socket and a link to nothing count as irregular."""
    files, skipped = list_images(mixed)
    assert files.names == ("a.png", "b.JFIF", "c.gif", "d.jpe", "e.pbm", "folder.png/g.bmp", "sub/f.png")
    assert skipped == "4 non-image files (.psd, .txt, no suffix), 3 irregular files"
    files, skipped = list_images(mixed, subfolders=False)
    assert files.names == ("a.png", "b.JFIF", "c.gif", "d.jpe", "e.pbm")
    assert skipped == "4 non-image files (.psd, .txt, no suffix), 3 irregular files, 2 subfolders"
    assert list_images(mixed / "sub") == (scan(mixed / "sub"), "")


def test_what_is_skipped_is_printed_once(mixed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for size in (4, 8):
        assert ImageFolder(str(mixed), size).size == 6
    lines = [line for line in capsys.readouterr().out.splitlines() if ": skipped" in line]
    assert lines == [f"note: {mixed}: skipped 4 non-image files (.psd, .txt, no suffix), 3 irregular files"]


def test_a_folder_without_images_says_what_is_in_it(tmp_path: Path) -> None:
    (tmp_path / "a.psd").write_text("text")
    (tmp_path / "b.png").mkdir()
    with pytest.raises(ValueError, match=r"no images in .*skipped: 1 non-image file \(.psd\), 1 subfolder\)$"):
        list_images(tmp_path, subfolders=False)


def test_a_pipe_is_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.png")
    with pytest.raises(ValueError, match=r"a.png: not a regular file"):
        decode(tmp_path / "a.png", 3)


@pytest.mark.parametrize("suffix", [".jfif", ".jpe", ".gif", ".pnm", *listing.AVIF])
def test_what_pillow_reads_is_read(suffix: str, tmp_path: Path) -> None:
    kind = {".jfif": "JPEG", ".jpe": "JPEG", ".gif": "GIF", ".pnm": "PPM", ".avif": "AVIF"}[suffix]
    Image.new("RGB", (8, 8), (200, 40, 40)).save(tmp_path / f"a{suffix}", format=kind, quality=100)
    assert scan(tmp_path).names == (f"a{suffix}",)
    assert abs(int(decode(tmp_path / f"a{suffix}", 3)[0, 4, 4]) - 200) < 4


def test_of_an_animation_the_first_frame_is_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notes, "_SAID", set())
    frames = [Image.new("RGB", (4, 4), (value, 0, 0)) for value in (250, 10, 20)]
    for suffix in ("gif", "png", "webp", "tif"):
        lossless = {"lossless": True} if suffix == "webp" else {}
        frames[0].save(tmp_path / f"a.{suffix}", save_all=True, append_images=frames[1:], **lossless)
        assert decode(tmp_path / f"a.{suffix}", 3)[0, 0, 0] == 250
    assert capsys.readouterr().out.splitlines() == [
        "note: of images with several frames, such as animations, the first frame is used"
    ]


# -- what data sets say


def test_domains_say_how_many_images_they_have(domains: Path) -> None:
    counts = "images: 7 in trainA and 11 in trainB; held out: 2 in testA and 3 in testB"
    assert unpaired_folder(domains).describe() == counts


def test_halves_say_how_many_images_they_have(tmp_path: Path) -> None:
    for name in ("train/1.png", "train/2.png", "train/3.png", "val/4.png"):
        save_plain(tmp_path / name, (99, 9, 9), (8, 4))
    assert HalvesFolder(str(tmp_path), image_size=4).describe() == "images: 1 of x and 2 of y; held out: 1 and 1"


def test_a_folder_says_how_many_images_it_has(classes: Path) -> None:
    assert ImageFolder(str(classes), 8).describe() == "18 training samples, 2 held out"


def test_a_set_without_held_out_images_says_so(classes: Path, tmp_path: Path) -> None:
    assert ImageFolder(str(classes), 8, test_fraction=0).describe() == (
        "20 training samples, held out: none, the training images are used"
    )
    for name in ("trainA/1.png", "trainB/1.png", "testB/1.png"):
        save_plain(tmp_path / "u" / name, (99, 9, 9))
    assert unpaired_folder(tmp_path / "u").describe() == (
        "images: 1 in trainA and 1 in trainB; held out: none, the training images are used and 1 in testB"
    )
    for n in range(2):
        save_plain(tmp_path / f"h/train/{n}.png", (99, 9, 9), (8, 4))
        for part in ("A", "B"):
            save_plain(tmp_path / f"l/train_{part}/{n}.png", (99, 9, 9))
    pack(tmp_path / "a.tar", {"1.png": (tmp_path / "h/train/0.png").read_bytes()})
    for data in (
        HalvesFolder(str(tmp_path / "h"), image_size=4),
        PairedFolder(str(tmp_path / "h"), image_size=4),
        LargePairs(str(tmp_path / "l"), image_size=4),
        Inpainting(str(classes), image_size=4, test_fraction=0),
        WebDataset(str(tmp_path / "a.tar"), image_size=4),
    ):
        assert data.describe().endswith("held out: none, the training images are used")


def test_partners_of_different_sizes_are_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for n, size in enumerate(((64, 64), (32, 32))):
        save_plain(tmp_path / f"p/trainA/{n}.png", (99, 9, 9), (64, 64))
        save_plain(tmp_path / f"p/trainB/{n}.png", (99, 9, 9), size)
    PairedFolder(str(tmp_path / "p"), image_size=8)
    (note,) = [line for line in capsys.readouterr().out.splitlines() if "sizes" in line]
    assert f"{tmp_path}/p/trainA/1.png of 64 x 64 pixels and {tmp_path}/p/trainB/1.png of 32 x 32 pixels" in note


def dark(folder: Path, most: int) -> str:
    folder.mkdir()
    pixels = np.full((8, 8), most, np.uint16)
    pixels[0, 0] = 0
    Image.fromarray(pixels).save(folder / "a.png")
    return str(folder)


def test_12_bits_in_16_are_not_black_without_a_word(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    twelve = dark(tmp_path / "twelve", 4095)
    assert ImageFolder(twelve, 8, value_range=(0, 1)).train_batch(0, 0, 1).image.max() < 0.07
    note = f"note: {twelve}: no pixel is brighter than 16 of 255; dataset.window=[LOW,HIGH] names black and white of"
    assert capsys.readouterr().out.count(note) == 1
    whole = ImageFolder(twelve, 8, value_range=(0, 1), window=[0, 4095])
    assert whole.train_batch(0, 0, 1).image.max() == 1
    assert whole.fingerprint() != ImageFolder(twelve, 8).fingerprint()
    ImageFolder(dark(tmp_path / "sixteen", 60000), 8)
    assert note not in capsys.readouterr().out


def test_deep_images_that_become_dark_are_counted_among_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = dark(tmp_path / "mixed", 4095)
    save_plain(tmp_path / "mixed/b.png", (200, 200, 200), (8, 8))
    save_plain(tmp_path / "mixed/c.png", (0, 0, 0), (8, 8))  # may be black on purpose
    ImageFolder(folder, 8)
    note = f"note: {folder}: 1 of 3 images looked at have no pixel brighter than 16 of 255; dataset.window=[LOW,HIGH] "
    assert capsys.readouterr().out.count(note) == 1


def faces(root: Path, table: str, count: int = 4) -> str:
    """Photographs of faces 0.png ..., and the table of their attributes."""
    for number in range(count):
        save_plain(root / f"img_align_celeba/{number}.png", (60 * number,) * 3)
    (root / "list_attr_celeba.txt").write_text(table)
    return str(root)


def test_faces_that_are_only_listed_or_only_there_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(discogan_domains, "HELD_OUT", 0)
    root = faces(tmp_path, "9\nMale\n" + "".join(f"{n}.png {1 - 2 * (n % 2)}\n" for n in (0, 1, 2, 7, 8)))
    data = AttributeFolder.__new__(AttributeFolder)
    monkeypatch.setattr(discogan_domains.UnpairedImages, "__init__", lambda self, jobs, *_: setattr(self, "jobs", jobs))
    data.__init__(root, image_size=4)  # type: ignore[misc]
    assert [job.files.names for job in data.jobs[:2]] == [("0.png", "2.png"), ("1.png",)]  # type: ignore[attr-defined]
    note = f"note: {tmp_path}: skipped 3 faces of list_attr_celeba.txt or img_align_celeba alone\n"
    assert capsys.readouterr().out == note


@pytest.mark.parametrize("table", ["", "1", "1\nMale\n0.png yes\n", "1\nMale Young\n0.png 1\n", "1\nMale\n0.png 1 1\n"])
def test_a_table_of_another_form_is_refused(table: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"list_attr_celeba.txt: it is no table") as caught:
        AttributeFolder(faces(tmp_path, table))
    assert "\n" not in str(caught.value)


# -- files that break after the start


def label_maps(root: Path) -> Dataset:
    for part in ("img", "label"):
        save_plain(root / f"train_{part}/photo.png", (1, 1, 1), (64, 64))
    Image.new("L", (64, 64)).save(root / "train_label/photo.png")
    return LabelMapFolder(str(root), 64)


def large_pairs(root: Path) -> Dataset:
    for part in "AB":
        save_plain(root / f"train_{part}/photo.png", (99, 1, 1), (64, 64))
    return LargePairs(str(root), 64)


def shards(root: Path) -> Dataset:
    return WebDataset(str(fill_shards(root, (1,))), 8)


@pytest.mark.parametrize(
    "make, file, name",
    [
        (label_maps, "train_img/photo.png", "train_img/photo.png"),
        (label_maps, "train_label/photo.png", "train_label/photo.png"),
        (large_pairs, "train_B/photo.png", "train_B/photo.png"),
        (shards, "s-000.tar", "s-000.tar/000000.png"),
    ],
)
@pytest.mark.parametrize("harm", ["broken", "missing"])
def test_a_file_that_breaks_amid_a_run_is_named(
    make: Callable[[Path], Dataset], file: str, name: str, harm: str, tmp_path: Path
) -> None:
    data = make(tmp_path / "set")
    path = tmp_path / "set" / file
    if harm == "broken":
        content = path.read_bytes()
        path.write_bytes(content[:540] + bytes(len(content) - 540) if path.suffix == ".tar" else b"text")
    elif path.suffix == ".tar":
        path.unlink()
        name = "s-000.tar: No such file"
    else:
        path.unlink()
    with pytest.raises(ValueError, match=name) as caught:
        data.train_batch(0, 0, 1)
    assert "\n" not in str(caught.value)


def test_photographs_of_phones_are_counted_with_what_reads_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without pillow-heif."""
    monkeypatch.setattr(listing, "SUFFIXES", (".png",))
    for name in ("a.png", "b.HEIC", "c.heif", "d.txt"):
        (tmp_path / name).touch()
    kinds, _, remedy = list_images(tmp_path).skipped.partition("; ")
    assert kinds == "3 non-image files (.heic, .heif, .txt)"
    assert remedy == "pip install 'gan-cli[heic]' reads the 2 of .heic and .heif"


def test_photographs_of_phones_are_read_upright(tmp_path: Path) -> None:
    """What pillow-heif has turned is not turned again."""
    pytest.importorskip("pillow_heif")
    stored = Image.new("RGB", (64, 32), "red")
    stored.paste("blue", (0, 0, 32, 32))
    exif = stored.getexif()
    exif[image_files.ORIENTATION] = 6  # to be turned by 90 degrees clockwise
    stored.save(tmp_path / "a.heic", exif=exif.tobytes(), quality=95)
    (file,) = (scan(tmp_path).root / name for name in scan(tmp_path).names)
    pixels = decode(file, 3).float()
    assert pixels.shape == (3, 64, 32) and image_files.upright_size(file)[0] == (32, 64)
    assert pixels[2, :28].mean() > 200 and pixels[0, 36:].mean() > 200  # blue above red
    (tmp_path / "b.heic").write_bytes(file.read_bytes()[:500])
    with pytest.raises(ValueError, match=r"b\.heic"):
        decode(tmp_path / "b.heic", 3)
