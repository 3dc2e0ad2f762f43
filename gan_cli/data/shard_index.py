"""The index of a tar archive in the layout of WebDataset: where its images are.

A sample is the consecutive files of an archive whose paths are equal up to the first dot of the file name, such as
`000123.jpg` and `000123.cls`. The index of an archive holds the offsets, the sizes and the labels of its images. It is
made at the first use and stored in $GAN_CACHE/shards (~/.cache/gan/shards), where it may be deleted at any time.
"""

import hashlib
import json
import mmap
import os
import tarfile
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path

import numpy as np

from gan_cli.data import image_files, listing
from gan_cli.data.archives import BoundedTarInfo, UnsafeArchive
from gan_cli.data.checksums import checksum, read_sealed, seal
from gan_cli.data.decoded_cache import exclusive
from gan_cli.data.url_cache import WEB, URLCache
from gan_cli.utils.distributed import print_once
from gan_cli.utils.files import replacing
from gan_cli.utils.progress import Progress

Index = np.ndarray
"""int64 (HEAD + N, ROW): bytes, samples and highest label; the checksum of an archive behind a URL; then for each
sample offset, bytes and label."""

VERSION = 2  # of the index
HEAD, ROW = 2, 3
BLOCK = 512  # bytes per block of a tar archive; the block before the content of a file is its header, with its name
LARGEST = 2**30  # bytes of an image, or of the file that holds its label


def descriptor(source: str, cache: URLCache) -> int:
    """Open an archive for reading, downloaded if needed. ValueError if that fails."""
    if source.startswith(WEB):
        return cache.open(source)
    try:
        return os.open(source, os.O_RDONLY)
    except OSError as error:
        raise ValueError(f"{source}: {error.strerror}") from error


def cache_folder() -> Path:
    """The folder of the indices and of the downloaded archives."""
    return Path(os.environ.get("GAN_CACHE") or "~/.cache/gan").expanduser() / "shards"


def load_all(sources: Sequence[str], label: str | None, cache: URLCache) -> tuple[list[Path], np.ndarray]:
    """Return the file of each archive's index, and (bytes, samples, highest label) of each; missing ones are made.

    ValueError names up to three broken archives.
    """
    folder = cache_folder()
    paths = [folder / _name(source, label) for source in sources]
    try:
        heads = [_head(path) for path in paths]
        if any(head is None for head in heads):
            with exclusive(folder, "*.part"):
                # Another process may have made them while this one waited for the folder.
                heads = [_head(path, report=True) if head is None else head for path, head in zip(paths, heads)]
                _write({p: s for p, s, head in zip(paths, sources, heads) if head is None}, label, cache)
                heads = [_head(path) if head is None else head for path, head in zip(paths, heads)]
    except OSError as error:
        reason = error.strerror or error
        raise ValueError(f"{folder}: {reason}; the index of the shards is stored there, see GAN_CACHE") from error
    found = [head for head in heads if head is not None]
    if len(found) < len(paths):
        raise ValueError(f"{folder}: what is written there cannot be read back; it holds the index, see GAN_CACHE")
    return paths, np.stack(found)


def load(path: Path) -> Index | None:
    """The index in a file; None if there is none, or if it is damaged."""
    try:
        content = read_sealed(path)
    except FileNotFoundError:
        return None
    if content is None or len(content) % (ROW * 8) or len(content) <= HEAD * ROW * 8:
        return None
    index = np.array(content.view(np.int64)).reshape(-1, ROW)
    (size, samples, _), offsets, sizes = index[0], index[HEAD:, 0], index[HEAD:, 1]
    inside = (offsets >= BLOCK) & (sizes >= 0) & (sizes <= LARGEST) & (offsets <= size - sizes)
    return index if samples == len(offsets) and inside.all() else None


def _head(path: Path, report: bool = False) -> np.ndarray | None:
    """The first row of an index, int64 (ROW,); None if it is missing or damaged. report: print that it is damaged."""
    index = load(path)
    if index is None and report and path.exists():
        print_once(f"note: {path} is damaged; the index is made again")
    return None if index is None else index[0]


def content_checksum(handle: int) -> int:
    """The checksum of an open archive (see checksums)."""
    if not os.fstat(handle).st_size:
        return 0
    with mmap.mmap(handle, 0, access=mmap.ACCESS_READ) as content:  # which leaves the position in the file as it is
        return int.from_bytes(checksum(np.frombuffer(content, np.uint8), ""), "big")


def _name(source: str, label: str | None) -> str:
    """Name of the file of an archive's index. What a URL refers to is assumed never to change."""
    facts: tuple[object, ...] = (VERSION, label, source)
    if not source.startswith(WEB):
        stat = os.stat(source)
        facts = (VERSION, label, str(Path(source).resolve()), stat.st_size, stat.st_mtime_ns)
    return hashlib.blake2b(repr(facts).encode(), digest_size=16).hexdigest() + ".rows"


def _write(sources: dict[Path, str], label: str | None, cache: URLCache) -> None:
    progress = Progress(len(sources), "shards", label="indexing")
    broken: list[str] = []
    for path, source in sources.items():
        handle = descriptor(source, cache)
        try:
            digest = content_checksum(handle) if source.startswith(WEB) else 0
            (size, samples, highest), *rows = _rows(handle, source, label)
            index = np.array([(size, samples, highest), (digest, 0, 0), *rows], np.int64)
        except ValueError as error:
            broken.append(str(error))
            continue
        with replacing(path) as part:
            index.tofile(part)
            seal(part, path.name)
        progress.advance()
    if broken:
        more = "; ..." if len(broken) > 3 else ""
        raise ValueError(f"broken shards, {len(broken)} in all: {'; '.join(broken[:3])}{more}")


def _rows(handle: int, source: str, label: str | None) -> list[tuple[int, int, int]]:
    """Index an open archive, and close it. ValueError if it is broken or holds no images."""
    try:
        with os.fdopen(handle, "rb") as file, tarfile.open(fileobj=file, mode="r:", tarinfo=BoundedTarInfo) as tar:
            rows = [row for row in _samples(tar, source, label) if row]
            file.seek(tar.offset)
            # tarfile stops at a broken header as at the end; only the end is a block of zeros.
            if file.read(BLOCK) != bytes(BLOCK):
                raise tarfile.ReadError(f"it breaks off at byte {tar.offset}")
            if not rows:
                raise ValueError(f"no images in {source}: files that count end in {', '.join(listing.SUFFIXES)}")
            return [(os.fstat(handle).st_size, len(rows), max(row[2] for row in rows)), *rows]
    except (tarfile.TarError, UnsafeArchive, UnicodeError, OverflowError) as error:
        raise ValueError(f"{source}: not a complete, uncompressed tar archive ({error})") from error
    except OSError as error:
        raise ValueError(f"{source}: {error.strerror or error}") from error


def _samples(tar: tarfile.TarFile, source: str, label: str | None) -> Iterator[tuple[int, int, int] | None]:
    """Yield the row of each sample in order; None for a sample without an image."""
    files = ((*_split(member.name), member) for member in tar if member.isfile() and not member.issparse())
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
    suffixes = [suffix for suffix in files if f".{suffix}" in listing.SUFFIXES]
    if not suffixes or name.endswith("/"):  # an empty key: macOS stores attributes of FILE as ._FILE
        return None
    if len(suffixes) > 1:
        raise ValueError(f"{name} has several images: {', '.join(suffixes)}")
    member = files[suffixes[0]]
    if member.size > LARGEST:
        raise ValueError(f"{name}.{suffixes[0]}: {member.size:,} bytes; an image has at most {LARGEST:,}")
    with image_files.opened(f"{name}.{suffixes[0]}", tar.extractfile(member)):
        pass  # its header can be read
    return member.offset_data, member.size, -1 if label is None else _label(tar, name, files, label)


def _label(tar: tarfile.TarFile, name: str, files: dict[str, tarfile.TarInfo], label: str) -> int:
    suffix, _, field = label.partition(":")
    file = tar.extractfile(files[suffix]) if suffix in files and files[suffix].size <= LARGEST else None
    if file is None:
        listed = ", ".join(sorted(files))
        raise ValueError(f"{name} has no label .{suffix} beside it, only {listed}; or set dataset.num_classes=null")
    text = file.read()
    try:
        value = json.loads(text)[field] if field else int(text)
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        raise ValueError(f"{name}.{suffix} holds no label: {text[:40]!r} (dataset.label={label})") from error
    if type(value) is not int or not 0 <= value < 2**31:  # bool is a subclass of int
        raise ValueError(f"{name}.{suffix}: a label is a whole number from 0, not {str(value)[:40]}")
    return value
