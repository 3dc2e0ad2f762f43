"""Decoded images on disk: made once, whole or not at all, or kept in memory."""

import multiprocessing
import os
import shutil
import signal
import time
from pathlib import Path

import pytest
import torch
from helpers import save_plain
from PIL import Image

from gan_cli.data import decoded_cache, image_files
from gan_cli.data.folders import ImageFolder, UnpairedFolder


def test_second_time_nothing_is_decoded(classes: Path, monkeypatch: pytest.MonkeyPatch, cache_folder: Path) -> None:
    first = ImageFolder(str(classes), image_size=8)
    calls: list[Path] = []
    read = image_files.read
    monkeypatch.setattr(image_files, "read", lambda file, channels, **_: calls.append(file) or read(file, channels))
    again = ImageFolder(str(classes), image_size=8)
    assert not calls and torch.equal(first.test_batch(0, 2).image, again.test_batch(0, 2).image)
    for change in ({"image_size": 9}, {"image_size": 8, "channels": 1}):
        calls.clear()
        ImageFolder(str(classes), **change)
        assert len(calls) == 20
    save_plain(classes / "cat" / "0.png", (99, 99, 99), (12, 30))
    calls.clear()
    ImageFolder(str(classes), image_size=8)
    assert len(calls) == 20
    assert len(list(cache_folder.iterdir())) == 4


def test_a_truncated_cache_file_is_made_anew(classes: Path, cache_folder: Path) -> None:
    first = ImageFolder(str(classes), image_size=8)
    (file,) = cache_folder.iterdir()
    file.write_bytes(file.read_bytes()[:-1])
    assert torch.equal(
        ImageFolder(str(classes), image_size=8).test_batch(0, 2).image, first.test_batch(0, 2).image
    )


def test_large_sets_are_mapped(classes: Path, monkeypatch: pytest.MonkeyPatch, cache_folder: Path) -> None:
    small = ImageFolder(str(classes), image_size=8)
    monkeypatch.setattr(decoded_cache, "IN_MEMORY", 100)
    large = ImageFolder(str(classes), image_size=8)
    assert torch.equal(large.train_batch(0, 0, 18).image, small.train_batch(0, 0, 18).image)
    with open(next(cache_folder.iterdir()), "r+b") as file:
        file.write(b"\x07" * large._stores[0].numel())
    assert large._stores[0].unique().tolist() == [7] and len(small._stores[0].unique()) > 7


def slow(file: Path, channels: int, window: None, depth: int) -> Image.Image:
    time.sleep(0.02)
    return READ(file, channels)


READ = image_files.read


def test_two_processes_build_once(classes: Path, monkeypatch: pytest.MonkeyPatch, cache_folder: Path, capfd) -> None:
    monkeypatch.setattr(image_files, "read", slow)
    fork = multiprocessing.get_context("fork")
    others = [fork.Process(target=ImageFolder, args=(str(classes), 8)) for _ in range(2)]
    for process in others:
        process.start()
    mine = ImageFolder(str(classes), image_size=8)
    for process in others:
        process.join()
    assert [process.exitcode for process in others] == [0, 0]
    assert len(list(cache_folder.iterdir())) == 1
    assert capfd.readouterr().out.count("are cached in") == 1
    assert len(set(mine.train_batch(0, 0, 18).image[:, 0, 0, 0].tolist())) == 18


def die(file: Path, channels: int, window: None, depth: int) -> Image.Image:
    if file.name == "5.png":
        os.kill(os.getpid(), signal.SIGKILL)
    return READ(file, channels)


def test_a_killed_process_leaves_a_temporary_file(
    classes: Path, monkeypatch: pytest.MonkeyPatch, cache_folder: Path
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(image_files, "read", die)
        process = multiprocessing.get_context("fork").Process(target=ImageFolder, args=(str(classes), 8))
        process.start()
        process.join()
    assert process.exitcode == -signal.SIGKILL
    assert [file.suffix for file in cache_folder.iterdir()] == [".part"]
    ImageFolder(str(classes), image_size=8)
    assert [file.suffix for file in cache_folder.iterdir()] == [".u8"]


@pytest.mark.parametrize("why", ["full", "fills up", "unwritable"])
def test_no_room_in_the_cache(
    why: str, classes: Path, monkeypatch: pytest.MonkeyPatch, cache_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    expected = ImageFolder(str(classes), image_size=8).train_batch(0, 0, 5).image
    shutil.rmtree(cache_folder)
    if why == "full":
        monkeypatch.setattr(shutil, "disk_usage", lambda folder: shutil._ntuple_diskusage(10, 10, 0))
    elif why == "fills up":
        monkeypatch.setattr(
            os, "fsync", lambda handle: (_ for _ in ()).throw(OSError(28, "No space left on device"))
        )
    else:
        cache_folder.write_text("a file where the folder should be")
    capsys.readouterr()
    assert torch.equal(ImageFolder(str(classes), image_size=8).train_batch(0, 0, 5).image, expected)
    out = capsys.readouterr().out.splitlines()
    assert (
        len(out) == 1
        and out[0].startswith("note: ")
        and out[0].endswith("decoded images stay in memory only")
    )
    assert not cache_folder.is_dir() or not list(cache_folder.iterdir())


def test_small_files_are_noted_and_files_counted_once(tmp_path: Path, capsys: pytest.CaptureFixture[str],
                                                      monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    """Without testA, the files of trainA are decoded in two sizes; a margin for crops enlarges no file by a fifth."""
    units: list[str] = []
    progress = decoded_cache.Progress
    monkeypatch.setattr(
        decoded_cache, "Progress", lambda total, unit, **options: units.append(unit) or progress(total, unit, **options)
    )
    for number in range(3):
        for side in "AB":
            save_plain(tmp_path / f"train{side}/{number}.png", (number, 0, 0), (32, 32) if number else (20, 20))
    UnpairedFolder(str(tmp_path), image_size=32)
    assert units == ["images of 6 files"]
    note = f"note: 2 of 6 files that were decoded, such as {tmp_path}/trainA/0.png, are smaller"
    assert capsys.readouterr().out.count(note) == 1
    ImageFolder(str(tmp_path), image_size=20)
    assert units[1:] == ["images"] and "smaller" not in capsys.readouterr().out
