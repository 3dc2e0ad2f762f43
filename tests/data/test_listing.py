"""What a folder of images holds, what is skipped in it, and what data sets say of themselves."""

import os
import socket
from pathlib import Path

import numpy as np
import pytest
from helpers import unpaired_folder
from PIL import Image

from gan_cli.data import image_files
from gan_cli.data.folders import ImageFolder
from gan_cli.data.image_files import decode, list_images, scan


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """Images and other files, pipes, links and folders that are named like images."""
    root = tmp_path / "mixed"
    for name in ("a.png", "b.JFIF", "c.gif", "d.jpe", "e.pbm", "sub/f.png", "folder.png/g.bmp"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        kind = {"a.png": "PNG", "b.JFIF": "JPEG", "c.gif": "GIF", "d.jpe": "JPEG", "e.pbm": "PPM"}.get(name)
        Image.new("1" if name == "e.pbm" else "RGB", (4, 4)).save(root / name, format=kind)
    for name in ("1.heic", "2.heic", "notes.txt", "README"):
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
    assert skipped == "4 non-image files (.heic, .txt, no suffix), 3 irregular files"
    files, skipped = list_images(mixed, subfolders=False)
    assert files.names == ("a.png", "b.JFIF", "c.gif", "d.jpe", "e.pbm")
    assert skipped == "4 non-image files (.heic, .txt, no suffix), 3 irregular files, 2 subfolders"
    assert list_images(mixed / "sub") == (scan(mixed / "sub"), "")


def test_what_is_skipped_is_printed_once(mixed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for size in (4, 8):
        assert ImageFolder(str(mixed), size).size == 6
    lines = [line for line in capsys.readouterr().out.splitlines() if ": skipped" in line]
    assert lines == [f"note: {mixed}: skipped 4 non-image files (.heic, .txt, no suffix), 3 irregular files"]


def test_a_folder_without_images_says_what_is_in_it(tmp_path: Path) -> None:
    (tmp_path / "a.heic").write_text("text")
    (tmp_path / "b.png").mkdir()
    with pytest.raises(ValueError, match=r"no images in .*skipped: 1 non-image file \(.heic\), 1 subfolder\)$"):
        list_images(tmp_path, subfolders=False)


def test_a_pipe_is_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.png")
    with pytest.raises(ValueError, match=r"a.png: not a regular file"):
        decode(tmp_path / "a.png", 3)


@pytest.mark.parametrize("suffix", [".jfif", ".jpe", ".gif", ".pnm", *image_files.AVIF])
def test_what_pillow_reads_is_read(suffix: str, tmp_path: Path) -> None:
    kind = {".jfif": "JPEG", ".jpe": "JPEG", ".gif": "GIF", ".pnm": "PPM", ".avif": "AVIF"}[suffix]
    Image.new("RGB", (8, 8), (200, 40, 40)).save(tmp_path / f"a{suffix}", format=kind, quality=100)
    assert scan(tmp_path).names == (f"a{suffix}",)
    assert abs(int(decode(tmp_path / f"a{suffix}", 3)[0, 4, 4]) - 200) < 4


def test_of_an_animation_the_first_frame_is_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(image_files, "_SAID", set())
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


def test_a_folder_says_how_many_images_it_has(classes: Path) -> None:
    assert ImageFolder(str(classes), 8).describe() == "18 training samples, 2 held out"


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
