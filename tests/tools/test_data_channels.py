"""gan data check and prepare on TIFF files of many channels, and on many equal files."""

import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from gan_cli.cli import main
from gan_cli.tools.data import check
from gan_cli.tools.data.check import Seen, _print_doubles


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Four images of five channels, which Pillow cannot read."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    for number in range(4):
        save(tmp_path / f"photos/{number}.tif", 5, number)
    return tmp_path / "photos"


def save(file: Path, channels: int, seed: int) -> None:
    values = np.random.default_rng(seed).random((channels, 40, 30), dtype=np.float32)
    values[0] = 1  # red in the sheet
    tifffile.imwrite(file, values, photometric="minisblack", planarconfig="separate")


def test_check_counts_channels(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["data", "check", "photos", "image_size=32"]) == 0
    out = capsys.readouterr().out
    assert "all: 4 images; width x height 30 x 40" in out and "4 5 channels" in out and "broken" not in out
    assert "dataset.image_size=32 dataset.channels=5" in out
    pixels = np.asarray(Image.open("photos_check.png").convert("RGB")).astype(int)
    assert ((pixels[..., 0] == 255) & (pixels[..., 1] < 200) & (pixels[..., 2] < 200)).sum() > 500
    Image.new("RGB", (9, 9)).save(root / "a.png")
    (root / "cut.tif").write_bytes((root / "0.tif").read_bytes()[:300])
    assert main.main(["data", "check", "photos", "image_size=32"]) == 0
    out = capsys.readouterr().out
    assert "dataset.channels=5 reads 4, dataset.channels=3 reads 1" in out and "broken: 1\n" in out
    assert "cut.tif: " in out.split("broken: 1\n")[1].split("\n")[0]


def test_without_tifffile_the_extra_is_named(
    root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tifffile", None)
    assert main.main(["data", "check", "photos"]) == 2
    assert "needs tifffile: pip install 'gan-cli[bands]'" in capsys.readouterr().err
    Image.new("RGB", (9, 9)).save(root / "a.png")
    assert main.main(["data", "check", "photos"]) == 0
    out = capsys.readouterr().out
    assert "4 of them not read: pip install 'gan-cli[bands]'" in out and "broken" not in out


def test_prepare_leaves_out_what_is_not_color(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["data", "prepare", "photos", "out=new", "image_size=16"]) == 2
    error = capsys.readouterr().err
    assert "0.tif: 5 channels, and this writes color: train on the folder itself with dataset.channels" in error
    assert error.count("\n") == 1 and not Path("new").exists()
    save(root / "color.tif", 3, 9)
    assert main.main(["data", "prepare", "photos", "out=new", "image_size=16"]) == 0
    out = capsys.readouterr().out
    assert out.count("5 channels, and this writes color") == 4 and "broken" not in out
    assert [file.name for file in Path("new").iterdir()] == ["color.png"]
    assert Image.open("new/color.png").getpixel((0, 0))[0] == 255


def seen(part: str, name: str, digest: bytes, gray: np.ndarray | None = None) -> Seen:
    gray = np.random.default_rng(0).integers(0, 256, 256, dtype=np.uint8) if gray is None else gray
    return Seen(f"{part}/{name}", part, digest=digest, look=check.Look(gray, 5))


def test_thousands_of_equal_files_are_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    many = [seen("trainA", f"{number}.png", b"1") for number in range(3000)]
    start = time.perf_counter()
    _print_doubles(many)
    assert time.perf_counter() - start < 1
    out = capsys.readouterr().out
    assert "equal files, others: 1\n  trainA/0.png = trainA/1.png and 2,998 more\n" in out and "nearly" not in out
    _print_doubles([*many, seen("testA", "a.png", b"1"), seen("testA", "b.png", b"2")])
    out = capsys.readouterr().out
    assert "and one held out: 1\n  trainA/0.png = testA/a.png and 2,999 more\n" in out
    assert "nearly equal, one for training and one held out: 1\n  trainA/0.png = testA/b.png\n" in out


@pytest.mark.parametrize("parts", [("A/train", "A/test"), ("trainA", "testA"), ("train", "val")])
def test_leaks_of_every_layout_are_found(parts: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    _print_doubles([seen(parts[0], "a.png", b"1"), seen(parts[1], "b.png", b"1"), seen(parts[1], "c.png", b"2")])
    out = capsys.readouterr().out
    for what, name in (("equal files", "b"), ("nearly equal", "c")):
        line = f"{what}, one for training and one held out: 1\n  {parts[0]}/a.png = {parts[1]}/{name}.png\n"
        assert line in out
