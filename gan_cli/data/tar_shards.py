"""Tar archives in the layout of WebDataset, with an index by which any sample can be read directly.

A sample is the consecutive files of an archive whose paths are equal up to the first dot of the file name, such as
`000123.jpg` and `000123.cls`. The index of an archive holds the offsets, the sizes and the labels of its images. It is
made at the first use and stored in $GAN_CACHE/shards (~/.cache/gan/shards), where it may be deleted at any time.
"""

import glob
import hashlib
import json
import os
import re
import tarfile
import threading
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import groupby
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from gan_cli.data import image_files
from gan_cli.data.decoded_cache import exclusive
from gan_cli.data.folders import find_folder
from gan_cli.data.image_files import Window
from gan_cli.data.url_cache import SCHEMES, URLCache
from gan_cli.utils.files import replacing
from gan_cli.utils.progress import Progress

VERSION = 1  # of the index
ROW = 3  # int64 per row: first (bytes of the archive, samples, highest label), then (offset, bytes, label) per sample
BLOCK = 512  # bytes per block of a tar archive; the block before the content of a file is its header, with its name


def expand(pattern: str, key: str) -> list[str]:
    """Return the archives that `pattern` names.

    pattern: a folder of *.tar, a path with * or ?, or paths and http(s) URLs with braces, such as `{000000..000146}` or
    `{a,b}`. key: the setting that held the pattern, for the error message. Raises ValueError or FileNotFoundError if
    there are no such archives.
    """
    sources = [source for word in _braces(pattern) for source in _sources(word, key)]
    if not sources:
        raise ValueError(f"no shards in {pattern}: files that count end in .tar; set dataset.{key}")
    return sources


def _braces(text: str) -> list[str]:
    """Expand the braces of a pattern, the leftmost ones varying slowest."""
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
    """The archives `sources`, of which at most `opened` are open at a time.

    Memory: the indices of the open archives, and about a kilobyte for each archive.

    label: the file of a sample that holds its label, by its suffix (`cls`), or a field of a JSON file (`json:label`);
    None: no labels. counts, sizes: samples and bytes of each archive, int64. highest: the highest label. Raises
    ValueError, which names the broken archives.
    """

    def __init__(self, sources: Sequence[str], label: str | None, opened: int, cache: URLCache) -> None:
        self.sources, self._cache = sources, cache
        self._paths = _index(sources, label, cache)
        heads = torch.from_numpy(np.stack([np.fromfile(path, np.int64, ROW) for path in self._paths]))
        self.sizes, self.counts, self.highest = heads[:, 0], heads[:, 1], int(heads[:, 2].max())
        self.remote = [source.startswith(SCHEMES) for source in sources]
        # Archives that fall out of this cache are closed by Shard.__del__, which bounds open files and memory.
        self.open = lru_cache(opened)(self._open)
        self._ahead: tuple[int, ...] = ()

    def _open(self, number: int) -> "Shard":
        source = self.sources[number]
        rows = np.fromfile(self._paths[number], np.int64).reshape(-1, ROW)
        shard = Shard(source, _descriptor(source, self._cache), rows[1:])
        if os.fstat(shard.handle).st_size != rows[0, 0]:
            raise ValueError(f"{source} has changed since it was indexed: delete {self._paths[number]} and start again")
        return shard

    def fetch_ahead(self, numbers: tuple[int, ...]) -> None:
        """Start to download those of the archives that are behind URLs, unless the last call named the same ones."""
        if numbers == self._ahead:
            return
        self._ahead = numbers
        urls = [self.sources[number] for number in numbers if self.remote[number]]
        if urls:
            threading.Thread(target=_fetch, args=(self._cache, urls), daemon=True).start()


def _fetch(cache: URLCache, urls: Sequence[str]) -> None:
    for url in urls:
        try:
            os.close(cache.open(url))
        except (OSError, ValueError):  # raised again, in the main thread, if it still fails when the archive is needed
            return


class Shard:
    """An open archive, closed with its last reference. rows: offset, bytes and label of each sample, int64 (N, 3)."""

    def __init__(self, source: str, handle: int, rows: np.ndarray) -> None:
        self.source, self.handle, self.rows = source, handle, rows

    def __del__(self) -> None:
        os.close(self.handle)

    def read(self, sample: int, channels: int, window: Window = None) -> Image.Image:
        """Return the image as image_files.read does. ValueError, which names it, if it is broken."""
        offset, size, _ = self.rows[sample].tolist()
        # One read that includes the header, whose first 100 bytes are the name for messages. pread has no file
        # position, so that threads can share the descriptor.
        content = os.pread(self.handle, BLOCK + size, offset - BLOCK)
        name = content[:100].partition(b"\0")[0].decode(errors="replace")
        return image_files.read(f"{self.source}/{name}", channels, content[BLOCK:], window)


def _descriptor(source: str, cache: URLCache) -> int:
    if source.startswith(SCHEMES):
        return cache.open(source)
    try:
        return os.open(source, os.O_RDONLY)
    except OSError as error:
        raise ValueError(f"{source}: {error.strerror}") from error


def cache_folder() -> Path:
    """The folder of the indices and of the downloaded archives."""
    return Path(os.environ.get("GAN_CACHE") or "~/.cache/gan").expanduser() / "shards"


def _index(sources: Sequence[str], label: str | None, cache: URLCache) -> list[Path]:
    """Return the file of each archive's index; missing ones are made. ValueError names up to three broken archives."""
    folder = cache_folder()
    paths = [folder / _name(source, label) for source in sources]
    try:
        if not all(map(_is_complete, paths)):
            with exclusive(folder, "*.part"):
                missing = {path: source for path, source in zip(paths, sources) if not _is_complete(path)}
                _write(missing, label, cache)
    except OSError as error:
        reason = error.strerror or error
        raise ValueError(f"{folder}: {reason}; the index of the shards is stored there, see GAN_CACHE") from error
    return paths


def _name(source: str, label: str | None) -> str:
    """Name of the file of an archive's index. What a URL refers to is assumed never to change."""
    facts: tuple[object, ...] = (VERSION, label, source)
    if not source.startswith(SCHEMES):
        stat = os.stat(source)
        facts = (VERSION, label, str(Path(source).resolve()), stat.st_size, stat.st_mtime_ns)
    return hashlib.blake2b(repr(facts).encode(), digest_size=16).hexdigest() + ".rows"


def _is_complete(path: Path) -> bool:
    if not path.is_file():
        return False
    head = np.fromfile(path, np.int64, ROW)
    return len(head) == ROW and path.stat().st_size == head.itemsize * ROW * (1 + int(head[1]))


def _write(sources: dict[Path, str], label: str | None, cache: URLCache) -> None:
    progress = Progress(len(sources), "shards", label="indexing")
    broken: list[str] = []
    for path, source in sources.items():
        handle = _descriptor(source, cache)
        try:
            rows = np.array(_rows(handle, source, label), np.int64)
        except ValueError as error:
            broken.append(str(error))
            continue
        with replacing(path) as part:
            rows.tofile(part)
        progress.advance()
    if broken:
        more = "; ..." if len(broken) > 3 else ""
        raise ValueError(f"broken shards, {len(broken)} in all: {'; '.join(broken[:3])}{more}")


def _rows(handle: int, source: str, label: str | None) -> list[tuple[int, int, int]]:
    """Index an open archive, and close it. ValueError if it is broken or holds no images."""
    try:
        with os.fdopen(handle, "rb") as file, tarfile.open(fileobj=file, mode="r:") as tar:
            rows = [row for row in _samples(tar, source, label) if row]
            file.seek(tar.offset)
            # tarfile stops at a broken header as at the end; only the end is a block of zeros.
            if file.read(BLOCK) != bytes(BLOCK):
                raise tarfile.ReadError(f"it breaks off at byte {tar.offset}")
            if not rows:
                raise ValueError(f"no images in {source}: files that count end in {', '.join(image_files.SUFFIXES)}")
            return [(os.fstat(handle).st_size, len(rows), max(row[2] for row in rows)), *rows]
    except tarfile.TarError as error:
        raise ValueError(f"{source}: not a complete, uncompressed tar archive ({error})") from error
    except OSError as error:
        raise ValueError(f"{source}: {error.strerror or error}") from error


def _samples(tar: tarfile.TarFile, source: str, label: str | None) -> Iterator[tuple[int, int, int] | None]:
    """Yield the row of each sample in order; None for a sample without an image."""
    files = ((*_split(member.name), member) for member in tar if member.isfile())
    for key, group in groupby(files, key=lambda file: file[0]):
        yield _sample(tar, f"{source}/{key}", {suffix: member for _, suffix, member in group}, label)


def _split(name: str) -> tuple[str, str]:
    """Split a path into the sample's key and the suffix: `a/b.seg.PNG` -> `a/b`, `seg.png`."""
    folder, slash, file = name.rpartition("/")
    stem, _, suffix = file.partition(".")
    return folder + slash + stem, suffix.lower()


def _sample(
    tar: tarfile.TarFile, name: str, files: dict[str, tarfile.TarInfo], label: str | None
) -> tuple[int, int, int] | None:
    """Return (offset, bytes, label) of a sample's image; None if it has no image. files: suffix -> member."""
    suffixes = [suffix for suffix in files if f".{suffix}" in image_files.SUFFIXES]
    if not suffixes or name.endswith("/"):  # an empty key: macOS stores attributes of FILE as ._FILE
        return None
    if len(suffixes) > 1:
        raise ValueError(f"{name} has several images: {', '.join(suffixes)}")
    member = files[suffixes[0]]
    try:
        Image.open(tar.extractfile(member)).close()  # type: ignore[arg-type]
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise ValueError(f"{name}.{suffixes[0]}: {'not an image' if member.size else 'empty file'}") from error
    return member.offset_data, member.size, -1 if label is None else _label(tar, name, files, label)


def _label(tar: tarfile.TarFile, name: str, files: dict[str, tarfile.TarInfo], label: str) -> int:
    suffix, _, field = label.partition(":")
    file = tar.extractfile(files[suffix]) if suffix in files else None
    if file is None:
        listed = ", ".join(sorted(files))
        raise ValueError(f"{name} has no label .{suffix} beside it, only {listed}; or set dataset.num_classes=null")
    text = file.read()
    try:
        value = json.loads(text)[field] if field else int(text)
    except (ValueError, LookupError, TypeError) as error:
        raise ValueError(f"{name}.{suffix} holds no label: {text[:40]!r} (dataset.label={label})") from error
    if type(value) is not int or value < 0:  # bool is a subclass of int
        raise ValueError(f"{name}.{suffix}: a label is a whole number from 0, not {value!r}")
    return value
