"""Tar archives in the layout of WebDataset, indexed so that any sample can be read at once.

A sample is the files of an archive that lie side by side and have one path up to the first dot of their names, such as
`000123.jpg` and `000123.cls`. The index of an archive says where its pictures lie and what their labels are. It is made
at the first use and kept in $GAN_CACHE/shards (~/.cache/gan/shards); it may be deleted at any time.
"""

import glob
import hashlib
import json
import os
import re
import tarfile
import threading
import uuid
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import groupby
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from gan_cli.data import image_files
from gan_cli.data.decoded_cache import DecodeProgress, exclusive
from gan_cli.data.folders import find_folder
from gan_cli.data.url_cache import SCHEMES, Mirror

VERSION = 1  # of the index
ROW = 3  # int64 of it: (bytes of the archive, samples, highest label), then (place, bytes, label) of each sample
BLOCK = 512  # bytes of a tar archive's unit; the one before a file's bytes holds its name


def expand(pattern: str, key: str) -> list[str]:
    """The archives that `pattern` names: a folder's *.tar, a path with * or ?, or paths and http(s) URLs with braces,
    `{000000..000146}` or `{a,b}`. ValueError or FileNotFoundError, which name dataset.`key`, when there are none.
    """
    found = [source for word in _braces(pattern) for source in _sources(word, key)]
    if not found:
        raise ValueError(f"no shards in {pattern}: files that count end in .tar; set dataset.{key}")
    return found


def _braces(text: str) -> list[str]:
    match = re.search(r"\{(?:(\d+)\.\.(\d+)|([^{}]*,[^{}]*))\}", text)
    if not match:
        return [text]
    first, last, words = match.groups()
    middle = words.split(",") if words else [f"{n:0{len(first)}d}" for n in range(int(first), int(last) + 1)]
    return [word for part in middle for word in _braces(text[: match.start()] + part + text[match.end() :])]


def _sources(word: str, key: str) -> list[str]:
    if word.startswith(SCHEMES):
        return [word]
    if re.match(r"pipe:|\w+://", word):
        raise ValueError(f"{word}: dataset.{key} names files or http(s) addresses; mount what lies elsewhere")
    path = Path(word).expanduser()
    if path.is_file():
        return [str(path)]
    if glob.has_magic(word):
        return sorted(glob.glob(str(path)))
    if path.suffix == ".tar":
        raise FileNotFoundError(f"there is no shard {path}; set dataset.{key}")
    return sorted(map(str, find_folder(word, key).glob("*.tar")))


class Shards:
    """The archives `sources`, of which `opened` are held open with their indices: that is all the memory it takes, but
    for a kilobyte an archive.

    label: where a sample's label lies, the ending of a file that holds it (`cls`) or a field of one (`json:label`);
    None: nowhere. counts: int64, samples of each archive. sizes: int64, their bytes. highest: the highest label.
    ValueError names what is broken.
    """

    def __init__(self, sources: Sequence[str], label: str | None, opened: int, mirror: Mirror) -> None:
        self.sources, self._mirror = sources, mirror
        self._paths = _index(sources, label, mirror)
        heads = torch.from_numpy(np.stack([np.fromfile(path, np.int64, ROW) for path in self._paths]))
        self.sizes, self.counts, self.highest = heads[:, 0], heads[:, 1], int(heads[:, 2].max())
        self.remote = [source.startswith(SCHEMES) for source in sources]
        self.open = lru_cache(opened)(self._open)
        self._ahead: tuple[int, ...] = ()

    def _open(self, number: int) -> "Shard":
        source = self.sources[number]
        rows = np.fromfile(self._paths[number], np.int64).reshape(-1, ROW)
        shard = Shard(source, _descriptor(source, self._mirror), rows[1:])
        if os.fstat(shard.handle).st_size != rows[0, 0]:
            raise ValueError(f"{source} has changed since it was indexed: delete {self._paths[number]} and start again")
        return shard

    def fetch_ahead(self, numbers: tuple[int, ...]) -> None:
        """Have a thread fetch those of the archives that lie behind URLs, if the last call did not name them too."""
        if numbers == self._ahead:
            return
        self._ahead = numbers
        urls = [self.sources[number] for number in numbers if self.remote[number]]
        if urls:
            threading.Thread(target=_fetch, args=(self._mirror, urls), daemon=True).start()


def _fetch(mirror: Mirror, urls: Sequence[str]) -> None:
    for url in urls:
        try:
            os.close(mirror.open(url))
        except (OSError, ValueError):  # said when the archive is needed, if it still cannot be had
            return


class Shard:
    """An open archive, closed when nobody holds it. rows: int64 (N, 3), place, bytes and label of each sample."""

    def __init__(self, source: str, handle: int, rows: np.ndarray) -> None:
        self.source, self.handle, self.rows = source, handle, rows

    def __del__(self) -> None:
        os.close(self.handle)

    def read(self, sample: int, channels: int) -> Image.Image:
        """A picture as images.read gives it. ValueError names it if it is broken."""
        place, size, _ = self.rows[sample].tolist()
        content = os.pread(self.handle, BLOCK + size, place - BLOCK)
        name = content[:100].partition(b"\0")[0].decode(errors="replace")
        return image_files.read(f"{self.source}/{name}", channels, content[BLOCK:])


def _descriptor(source: str, mirror: Mirror) -> int:
    if source.startswith(SCHEMES):
        return mirror.open(source)
    try:
        return os.open(source, os.O_RDONLY)
    except OSError as error:
        raise ValueError(f"{source}: {error.strerror}") from error


def cache_folder() -> Path:
    return Path(os.environ.get("GAN_CACHE") or "~/.cache/gan").expanduser() / "shards"


def _index(sources: Sequence[str], label: str | None, mirror: Mirror) -> list[Path]:
    """The index of each archive, made where there is none. ValueError names up to three that are broken."""
    folder = cache_folder()
    paths = [folder / _name(source, label) for source in sources]
    try:
        if not all(map(_whole, paths)):
            with exclusive(folder, "*.part"):
                _write({path: source for path, source in zip(paths, sources) if not _whole(path)}, label, mirror)
    except OSError as error:
        reason = error.strerror or error
        raise ValueError(f"{folder}: {reason}; the shards' index lies there, GAN_CACHE=FOLDER moves it") from error
    return paths


def _name(source: str, label: str | None) -> str:
    """Of an archive's index. A URL stands for the same bytes for ever."""
    what: tuple[object, ...] = (VERSION, label, source)
    if not source.startswith(SCHEMES):
        stat = os.stat(source)
        what = (VERSION, label, str(Path(source).resolve()), stat.st_size, stat.st_mtime_ns)
    return hashlib.blake2b(repr(what).encode(), digest_size=16).hexdigest() + ".rows"


def _whole(path: Path) -> bool:
    if not path.is_file():
        return False
    head = np.fromfile(path, np.int64, ROW)
    return len(head) == ROW and path.stat().st_size == head.itemsize * ROW * (1 + int(head[1]))


def _write(sources: dict[Path, str], label: str | None, mirror: Mirror) -> None:
    progress = DecodeProgress("indexed", len(sources), "shards")
    broken: list[str] = []
    for path, source in sources.items():
        handle = _descriptor(source, mirror)
        try:
            rows = np.array(_rows(handle, source, label), np.int64)
        except ValueError as error:
            broken.append(str(error))
            continue
        part = path.with_name(f"{path.name}.{uuid.uuid4().hex}.part")
        try:
            rows.tofile(part)
            os.replace(part, path)
        finally:
            part.unlink(missing_ok=True)
        progress.step()
    if broken:
        more = "; ..." if len(broken) > 3 else ""
        raise ValueError(f"broken shards, {len(broken)} in all: {'; '.join(broken[:3])}{more}")


def _rows(handle: int, source: str, label: str | None) -> list[tuple[int, int, int]]:
    """The index of the archive, which is closed then. ValueError says what is wrong with it."""
    try:
        with os.fdopen(handle, "rb") as file, tarfile.open(fileobj=file, mode="r:") as tar:
            rows = [row for row in _samples(tar, source, label) if row]
            file.seek(tar.offset)
            if file.read(BLOCK) != bytes(BLOCK):  # tarfile takes a broken header for the end
                raise tarfile.ReadError(f"it breaks off at byte {tar.offset}")
            if not rows:
                raise ValueError(f"no images in {source}: files that count end in {', '.join(image_files.SUFFIXES)}")
            return [(os.fstat(handle).st_size, len(rows), max(row[2] for row in rows)), *rows]
    except tarfile.TarError as error:
        raise ValueError(f"{source}: no whole, uncompressed tar archive ({error})") from error
    except OSError as error:
        raise ValueError(f"{source}: {error.strerror or error}") from error


def _samples(tar: tarfile.TarFile, source: str, label: str | None) -> Iterator[tuple[int, int, int] | None]:
    files = ((*_split(member.name), member) for member in tar if member.isfile())
    for key, group in groupby(files, key=lambda file: file[0]):
        yield _sample(tar, f"{source}/{key}", {ending: member for _, ending, member in group}, label)


def _split(name: str) -> tuple[str, str]:
    """`a/b.seg.PNG` -> `a/b`, `seg.png`."""
    folder, slash, file = name.rpartition("/")
    stem, _, ending = file.partition(".")
    return folder + slash + stem, ending.lower()


def _sample(
    tar: tarfile.TarFile, where: str, files: dict[str, tarfile.TarInfo], label: str | None
) -> tuple[int, int, int] | None:
    """(place, bytes, label) of a sample's picture; None if it has none."""
    endings = [ending for ending in files if f".{ending}" in image_files.SUFFIXES]
    if not endings or where.endswith("/"):  # no name before the dot: what one system leaves beside each file
        return None
    if len(endings) > 1:
        raise ValueError(f"{where} has several pictures: {', '.join(endings)}")
    member = files[endings[0]]
    try:
        Image.open(tar.extractfile(member)).close()  # type: ignore[arg-type]
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise ValueError(f"{where}.{endings[0]}: {'not an image' if member.size else 'empty file'}") from error
    return member.offset_data, member.size, -1 if label is None else _label(tar, where, files, label)


def _label(tar: tarfile.TarFile, where: str, files: dict[str, tarfile.TarInfo], label: str) -> int:
    ending, _, field = label.partition(":")
    file = tar.extractfile(files[ending]) if ending in files else None
    if file is None:
        there = ", ".join(sorted(files))
        raise ValueError(f"{where} has no label .{ending} beside it, only {there}; or set dataset.num_classes=null")
    text = file.read()
    try:
        value = json.loads(text)[field] if field else int(text)
    except (ValueError, LookupError, TypeError) as error:
        raise ValueError(f"{where}.{ending} holds no label: {text[:40]!r} (dataset.label={label})") from error
    if type(value) is not int or value < 0:
        raise ValueError(f"{where}.{ending}: a label is a whole number from 0, not {value!r}")
    return value
