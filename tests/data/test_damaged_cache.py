"""Files of the cache that have the right size and wrong content are made again, and a line says so."""

import multiprocessing
import os
import signal
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import fill_shards, pack, png

from gan_cli.data import checksums, decoded_cache
from gan_cli.data.checksums import checksum, read_sealed, seal
from gan_cli.data.folders import ImageFolder
from gan_cli.data.shard_index import BLOCK, HEAD, ROW, load
from gan_cli.data.webdataset import WebDataset


def small(root: object, **options: object) -> WebDataset:
    return WebDataset(str(root), 8, **options)  # type: ignore[arg-type]


def zeroed(content: bytes) -> bytes:
    return bytes(len(content))


def one_bit(content: bytes) -> bytes:
    return content[:5] + bytes([content[5] ^ 1]) + content[6:]


def shifted(content: bytes) -> bytes:
    return content[1:] + content[:1]


def longer(content: bytes) -> bytes:
    return content + content[-1:]


def empty(content: bytes) -> bytes:
    return b""


HARM = [zeroed, one_bit, shifted, longer, empty]


@pytest.mark.parametrize("harm", HARM)
@pytest.mark.parametrize("mapped", [False, True])
def test_damaged_images_are_decoded_again(
    harm: Callable[[bytes], bytes], mapped: bool, classes: Path, cache_folder: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """Also those of a set that is not read into memory, and those of another set under this one's name."""
    if mapped:
        monkeypatch.setattr(decoded_cache, "IN_MEMORY", 100)
    first = ImageFolder(str(classes), 8).test_batch(0, 2).image.clone()
    (file,) = cache_folder.iterdir()
    whole = file.read_bytes()
    file.write_bytes(harm(whole))
    capsys.readouterr()
    assert torch.equal(ImageFolder(str(classes), 8).test_batch(0, 2).image, first)
    assert capsys.readouterr().out.splitlines()[0] == f"note: {file} is damaged; the images are decoded again"
    assert file.read_bytes() == whole
    ImageFolder(str(classes), 8)
    assert not capsys.readouterr().out


def test_another_sets_images_under_this_name_are_not_believed(classes: Path, cache_folder: Path) -> None:
    first = ImageFolder(str(classes), 8).test_batch(0, 2).image.clone()
    (file,) = cache_folder.iterdir()
    ImageFolder(str(classes), 8, window=[0, 1])
    (other,) = set(cache_folder.iterdir()) - {file}
    np.memmap(other, np.uint8, mode="r+")[:-8] = 7
    content = np.fromfile(other, np.uint8)[:-8]
    file.write_bytes(content.tobytes() + checksum(content, other.name))
    assert torch.equal(ImageFolder(str(classes), 8).test_batch(0, 2).image, first)


def test_of_a_large_file_a_sample_is_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Changes of the first and last bytes, and of any stretch as long as the distance of two blocks, are found."""
    monkeypatch.setattr(checksums, "WHOLE", 1000)
    monkeypatch.setattr(checksums, "BLOCK", 16)
    monkeypatch.setattr(checksums, "BLOCKS", 10)
    content = np.random.default_rng(0).integers(0, 256, 2000, dtype=np.uint8)
    content.tofile(tmp_path / "a")
    seal(tmp_path / "a", "a")
    assert np.array_equal(read_sealed(tmp_path / "a"), content)
    digest, missed = checksum(content, "a"), 0
    for start in [0, 1999, *range(0, 1780, 7)]:
        changed = content.copy()
        changed[start : start + 1] ^= 1
        missed += checksum(changed, "a") == digest
        if start < 1780:
            changed[start : start + 220] = 0
            assert checksum(changed, "a") != digest
        else:
            assert checksum(changed, "a") != digest
    assert missed > 100  # which is what a sample means


@pytest.mark.parametrize("call", ["seal", "replace", "fsync"])
@pytest.mark.parametrize("late", [False, True])
def test_a_kill_at_any_write_leaves_nothing_that_is_believed(
    call: str, late: bool, classes: Path, cache_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SIGKILL before or after the checksum is written, the file is flushed or takes its name."""
    module = decoded_cache if call == "seal" else os
    function = getattr(module, call)

    def deadly(*words: object) -> None:
        if late:
            function(*words)
        os.kill(os.getpid(), signal.SIGKILL)

    with monkeypatch.context() as patch:
        patch.setattr(module, call, deadly)
        process = multiprocessing.get_context("fork").Process(target=ImageFolder, args=(str(classes), 8))
        process.start()
        process.join()
    assert process.exitcode == -signal.SIGKILL
    batch = ImageFolder(str(classes), 8).test_batch(0, 2).image
    assert [file.suffix for file in cache_folder.iterdir()] == [".u8"]
    next(cache_folder.iterdir()).unlink()
    assert torch.equal(ImageFolder(str(classes), 8).test_batch(0, 2).image, batch)


# -- indices of archives


def index_of(cache_folder: Path) -> Path:
    (file,) = (cache_folder / "shards").glob("*.rows")
    return file


@pytest.mark.parametrize("harm", HARM)
def test_a_damaged_index_is_made_again(
    harm: Callable[[bytes], bytes], tmp_path: Path, cache_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = small(fill_shards(tmp_path / "set", (5,))).test_batch(0, 5).image
    file = index_of(cache_folder)
    whole = file.read_bytes()
    file.write_bytes(harm(whole))
    capsys.readouterr()
    assert torch.equal(small(tmp_path / "set").test_batch(0, 5).image, first)
    assert capsys.readouterr().out.splitlines()[0] == f"note: {file} is damaged; the index is made again"
    assert file.read_bytes() == whole


@pytest.mark.parametrize(
    "row, column, value",
    [
        (0, 1, 10**15),
        (0, 1, -1),
        (HEAD, 0, -(10**6)),
        (HEAD, 0, 10**15),
        (HEAD, 0, BLOCK - 1),
        (HEAD + 1, 1, 10**15),
        (HEAD + 1, 1, -1),
        (HEAD + 4, 1, 2**63 - 1),
    ],
)
def test_impossible_numbers_in_an_index_are_not_believed(
    row: int, column: int, value: int, tmp_path: Path, cache_folder: Path
) -> None:
    """Not even under a right checksum: huge sizes would take all memory, negative offsets fail as a full disk does."""
    first = small(fill_shards(tmp_path / "set", (5,))).test_batch(0, 5).image
    file = index_of(cache_folder)
    rows = np.frombuffer(file.read_bytes()[:-8], np.int64).reshape(-1, ROW).copy()
    rows[row, column] = value
    rows.tofile(file)
    seal(file, file.name)
    assert load(file) is None
    assert torch.equal(small(tmp_path / "set").test_batch(0, 5).image, first)


def test_an_index_that_is_damaged_while_it_is_used_is_named(tmp_path: Path, cache_folder: Path) -> None:
    data = small(fill_shards(tmp_path / "set", (5,)))
    index_of(cache_folder).write_bytes(b"text")
    with pytest.raises(ValueError, match=r"rows was damaged or deleted since the start: start again"):
        data.test_batch(0, 5)


def test_a_damaged_copy_of_an_archive_is_downloaded_again(
    server: str, tmp_path: Path, cache_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fill_shards(tmp_path / "far", (5,))
    url = f"{server}/far/s-000.tar"
    first = small(url).test_batch(0, 5).image
    (copy,) = (cache_folder / "shards/files").iterdir()
    whole = copy.read_bytes()
    with tarfile.open(copy) as tar:
        offset = tar.next().offset_data  # type: ignore[union-attr]
    copy.write_bytes(whole[:offset] + bytes(1000) + whole[offset + 1000 :])
    capsys.readouterr()
    assert torch.equal(small(url).test_batch(0, 5).image, first)
    assert capsys.readouterr().out == f"note: the copy of {url} in {copy.parent} is damaged; it is downloaded again\n"
    os.utime(copy, ns=(0, 0))
    assert copy.read_bytes() == whole


@pytest.mark.parametrize("label", [b"9" * 30, b"9" * 5000, b"-1", b"[" * 100_000])
def test_labels_that_are_no_numbers_are_refused(label: bytes, tmp_path: Path) -> None:
    pack(tmp_path / "set/a.tar", {"1.png": png(1), "1.cls": label, "1.json": label})
    for kind in ("cls", "json:label"):
        with pytest.raises(ValueError, match=r"broken shards, 1 in all: .*1\.(cls|json)") as caught:
            small(tmp_path / "set", num_classes=2, label=kind)
        assert len(str(caught.value)) < 500
