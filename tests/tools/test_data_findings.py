"""What gan data says of two sets with equal names, of dark images, of what it does not read, and of its sheet."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gan_cli.cli import main


def save(path: Path, seed: int, size: tuple[int, int] = (20, 20)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (5, 5, 3), dtype=np.uint8)
    Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC).save(path)


@pytest.fixture
def cameras(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two unpaired sets in which the names of the cameras coincide, and one broken image."""
    monkeypatch.chdir(tmp_path)
    for number in range(3):
        for row, side in enumerate("AB"):
            save(tmp_path / f"photos/train{side}/IMG_{number}.jpg", 2 * number + row)
    (tmp_path / "photos/trainB/IMG_1.jpg").write_bytes(b"text")
    return tmp_path / "photos"


def run(*words: str) -> int:
    return main.main(["data", *words])


def test_equal_names_of_cameras_are_no_pairs(cameras: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("prepare", "photos", "out=new", "image_size=16") == 0
    out = capsys.readouterr().out
    assert "the partner trainA/IMG_1.jpg of a broken image is kept; pairs=true leaves it out" in out.splitlines()
    assert "photos/trainB/IMG_1.jpg: not an image" in out and "3 in trainA, 2 in trainB; 1 skipped" in out
    assert Path("new/trainA/IMG_1.png").is_file()
    assert "model=cyclegan" in out and "model=pix2pix" not in out  # which would miss a partner


def test_pairs_says_what_equal_names_are(cameras: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("prepare", "photos", "out=new", "image_size=16", "pairs=true") == 0
    out = capsys.readouterr().out
    assert "skipped: trainA/IMG_1.jpg: its partner is broken" in out and "2 in trainA, 2 in trainB; 2 skipped" in out
    assert not Path("new/trainA/IMG_1.png").exists()
    assert "model=pix2pix" in out and "model=cyclegan" not in out
    assert run("prepare", "photos", "out=other", "image_size=16", "pairs=false") == 0
    out = capsys.readouterr().out
    assert "3 in trainA, 2 in trainB; 1 skipped" in out and "partner" not in out and "model=pix2pix" not in out
    assert run("prepare", "photos/trainA", "out=third", "image_size=16", "pairs=true") == 2
    assert "pairs=true: allowed only for trainA and trainB with equal names" in capsys.readouterr().err


def test_check_names_both_meanings_of_equal_names(cameras: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("check", "photos", "image_size=16") == 0
    out = capsys.readouterr().out
    assert "coincide by chance" in out
    assert "train, as two unpaired domains: `gan train model=cyclegan" in out
    assert "train, if equal names mean partners: `gan train model=pix2pix" in out


def test_dark_images_of_more_than_8_bits_are_noted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for number in range(60):
        save(tmp_path / f"scans/{number:02d}.png", number)
    ramp = np.linspace(16, 4080, 400).round().astype(np.uint16).reshape(20, 20)
    Image.fromarray(ramp).save("scans/01.png")
    assert run("check", "scans", "image_size=16") == 0
    out = capsys.readouterr().out
    assert (
        "note: 1 of 1 images of integers are of more than 8 bits and all but black, which "
        "dataset.window=[16,4080] can change" in out
    )
    tiles = np.asarray(Image.open("scans_check.png").convert("L"))
    assert (tiles[30:] == 0).any()  # the ramp is black without a window, and 60 images are more than the sheet shows
    assert run("prepare", "scans", "out=new", "image_size=16") == 0
    assert "and all but black, which window=[16,4080] can change" in capsys.readouterr().out
    assert run("prepare", "scans", "out=other", "image_size=16", "window=[16,4080]") == 0
    assert "all but black" not in capsys.readouterr().out
    Image.fromarray(ramp * np.uint16(16)).save("scans/01.png")
    assert run("check", "scans", "image_size=16") == 0
    assert "all but black" not in capsys.readouterr().out


def test_what_is_not_read_is_said(cameras: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (cameras / "trainA/notes.txt").touch()
    (cameras / "trainC").mkdir()
    for words in (["check", "photos"], ["prepare", "photos", "out=new"]):
        assert run(*words, "image_size=16") == 0
        out = capsys.readouterr().out
        assert "not read in trainA: 1 non-image file (.txt)" in out
        assert "not read beside trainA, trainB: trainC/" in out


def test_sheets_of_two_sources_are_two_files(cameras: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.make_archive("photos", "zip", ".", "photos")
    for source, sheet in (("photos", "photos_check.png"), ("photos.zip", "photos_zip_check.png")):
        assert run("check", source, "image_size=16") == 0
        assert f"is in {sheet}\n" in capsys.readouterr().out and Path(sheet).is_file()
    assert run("check", "photos", "image_size=16") == 0
    assert "is in photos_check.png, in the place of an earlier file" in capsys.readouterr().out


@pytest.mark.parametrize("size, said", [((20, 20), None), ((40, 20), "50% or more of the area")])
def test_cropping_is_mentioned_where_there_is_some(
    size: tuple[int, int], said: str | None, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    save(tmp_path / "photos/a.png", 1, size)
    assert run("check", "photos", "image_size=16") == 0
    out = capsys.readouterr().out
    assert (said in out) if said else "cropped off" not in out


def test_zip_archives_that_are_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("photos.zip").write_text("text")
    assert run("check", "photos.zip") == 2
    assert "photos.zip is no valid zip archive" in capsys.readouterr().err
    assert run("check", "photo.zip") == 2
    assert "there is no file photo.zip; did you mean photos.zip?" in capsys.readouterr().err
    assert run("check", "nothere.zip") == 2
    err = capsys.readouterr().err
    assert "there is no file nothere.zip" in err and "dataset" not in err
