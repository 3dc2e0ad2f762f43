"""Zip archives as data: the same as the folder that they hold, and nothing unsafe."""

import stat
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from gan_cli.data import archives, checksums
from gan_cli.data.folders import ImageFolder, UnpairedFolder
from gan_cli.data.paired import PairedFolder
from gan_cli.data.zip_folders import ZipPath, as_folder


def noise(path: Path, seed: int, size: tuple[int, int] = (12, 9)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (*size[::-1], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


def zipped(folder: Path, wrapped: bool = False) -> Path:
    archive = folder.with_suffix(".zip")
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as out:
        out.writestr("__MACOSX/._a.png", b"no image")
        for file in sorted(folder.rglob("*"), reverse=True):
            name = file.relative_to(folder.parent if wrapped else folder)
            out.write(file, name)
    return archive


def same(one: object, other: object) -> None:
    for read in ("train_batch", "test_batch"):
        words = (3, 0, 7) if read == "train_batch" else (0, 7)
        for a, b in zip(getattr(one, read)(*words), getattr(other, read)(*words)):
            assert torch.equal(a, b)
    assert one.fingerprint() == other.fingerprint()
    assert checksums.content(one.files) == checksums.content(other.files) is not None


@pytest.mark.parametrize("wrapped", [False, True])
def test_classes(tmp_path: Path, wrapped: bool) -> None:
    for number in range(12):
        noise(tmp_path / "photos" / "cd"[number % 2] / f"{number}.png", number)
    archive = zipped(tmp_path / "photos", wrapped)
    sets = [ImageFolder(str(path), 8, num_classes=2) for path in (tmp_path / "photos", archive)]
    same(*sets)
    assert sets[1].class_names == ("c", "d") and isinstance(sets[1].files[0].root, ZipPath)


@pytest.mark.parametrize("wrapped", [False, True])
@pytest.mark.parametrize("preprocess", ["resize_and_crop", "crop"])
def test_domains(tmp_path: Path, wrapped: bool, preprocess: str) -> None:
    for number in range(12):
        folder = ("trainA", "trainB", "testA")[number % 3]
        noise(tmp_path / "photos" / folder / f"{number}.jpg", number, (12 + number, 10))
    sets = [
        UnpairedFolder(str(path), 8, preprocess=preprocess)
        for path in (tmp_path / "photos", zipped(tmp_path / "photos", wrapped))
    ]
    same(*sets)


def test_pairs(tmp_path: Path) -> None:
    for number in range(4):
        noise(tmp_path / "photos/train" / f"{number}.png", number, (24, 12))
    same(*(PairedFolder(str(path), 8) for path in (tmp_path / "photos", zipped(tmp_path / "photos"))))


def archive_with(path: Path, *members: tuple[str, bytes, int]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as out:
        for name, content, mode in members:
            info = zipfile.ZipInfo(name)
            info.external_attr, info.compress_type = mode << 16, zipfile.ZIP_DEFLATED
            out.writestr(info, content)
    return path


@pytest.mark.parametrize("name", ["../a.png", "/a.png", "x/../../a.png", "..\\a.png", "a\n.png"])
def test_unsafe_names_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="unsafe member"):
        as_folder(archive_with(tmp_path / "a.zip", (name, b"1", stat.S_IFREG)))


def test_links_bombs_and_repetition_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="unsafe member"):
        as_folder(archive_with(tmp_path / "a.zip", ("a.png", b"/etc/passwd", stat.S_IFLNK)))
    with pytest.warns(UserWarning), pytest.raises(ValueError, match="twice"):
        as_folder(archive_with(tmp_path / "b.zip", ("a.png", b"1", 0), ("a.png", b"2", 0)))
    bomb = archive_with(tmp_path / "c.zip", ("a.png", bytes(10**6), 0))
    assert as_folder(bomb) is not None
    monkeypatch.setattr("gan_cli.data.zip_folders.LIMITS", archives.Limits(small=10**5))
    with pytest.raises(ValueError, match="too large"):
        as_folder(archive_with(tmp_path / "d.zip", ("a.png", bytes(10**6), 0)))


def test_damage_is_named(tmp_path: Path) -> None:
    for number in range(3):
        noise(tmp_path / "photos" / f"{number}.png", number)
    archive = zipped(tmp_path / "photos")
    content = bytearray(archive.read_bytes())
    at = content.index(b"2.png") + 40
    content[at : at + 8] = bytes(8)
    archive.write_bytes(content)
    with pytest.raises(ValueError, match=r"photos\.zip/2\.png"):
        ImageFolder(str(archive), 8)


def test_other_files_are_no_folders(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(b"PK\3\4 and no archive")
    with pytest.raises(ValueError, match=r"is no valid zip archive; dataset\.root is a folder"):
        ImageFolder(str(tmp_path / "a.zip"), 8)


def test_a_rewritten_archive_has_new_pixels(tmp_path: Path) -> None:
    """Names, sizes and dates are those of before, as when one program writes uncompressed images twice."""

    def write(seed: int) -> Path:
        with zipfile.ZipFile(tmp_path / "a.zip", "w") as out:
            for number in range(4):
                noise(tmp_path / "image.ppm", seed + number)
                out.writestr(zipfile.ZipInfo(f"{number}.ppm"), (tmp_path / "image.ppm").read_bytes())
        return tmp_path / "a.zip"

    old = ImageFolder(str(write(0)), 8, test_fraction=0)
    new = ImageFolder(str(write(10)), 8, test_fraction=0)
    again = ImageFolder(str(write(0)), 8, test_fraction=0)
    batches = [data.test_batch(0, 4).image for data in (old, new, again)]
    assert not torch.equal(batches[0], batches[1]) and torch.equal(batches[0], batches[2])
    assert old.fingerprint() == new.fingerprint()


def test_files_per_channel_in_a_rewritten_archive(tmp_path: Path) -> None:
    """Each of the files counts, also the order of two with the same contents."""
    found = []
    for values in ((10, 20), (20, 10), (10, 30)):
        with zipfile.ZipFile(tmp_path / "a.zip", "w") as out:
            for number, value in enumerate(values, 1):
                Image.new("L", (8, 8), value).save(tmp_path / "image.pgm")
                out.writestr(zipfile.ZipInfo(f"a_b{number}.pgm"), (tmp_path / "image.pgm").read_bytes())
        data = ImageFolder(str(tmp_path / "a.zip"), 8, channels=2, value_range=(0, 1), test_fraction=0)
        found.append(tuple((255 * data.test_batch(0, 1).image[0, :, 0, 0]).round().tolist()))
    assert found == [(10, 20), (20, 10), (10, 30)]


def test_deep_folders_are_refused(tmp_path: Path) -> None:
    assert as_folder(archive_with(tmp_path / "a.zip", ("a/" * 64 + "1.png", b"1", 0), ("b.png", b"1", 0)))
    for name in ("a/" * 65 + "1.png", "a/" * 65, "a/" * 5000 + "1.png"):
        with pytest.raises(ValueError, match=r"\.zip: a/a/.* more than 64 folders") as caught:
            as_folder(archive_with(tmp_path / f"{len(name)}.zip", (name, b"1", 0), ("b.png", b"1", 0)))
        assert len(str(caught.value)) < 300
