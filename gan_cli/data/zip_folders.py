"""Zip archives as folders of images, which are read in place: nothing is unpacked."""

import io
import stat
import zipfile
import zlib
from collections.abc import Generator, Iterator
from functools import lru_cache
from pathlib import Path, PosixPath
from types import SimpleNamespace
from typing import NamedTuple

from gan_cli.data.archives import LIMITS, checked_name

LARGEST = 2**30  # bytes of a file
DEEPEST = 64  # folders, one in another
SPLITS = ("train", "val", "test")


class _Index(NamedTuple):
    """An open archive. Names have / and no / at the end; the archive itself is the folder `.`."""

    archive: zipfile.ZipFile
    files: dict[str, zipfile.ZipInfo]
    folders: dict[str, dict[str, None]]
    """Folder -> the names of what it holds."""


class ZipPath(PosixPath):
    """A path in a zip archive, `photos.zip/trainA/1.jpg`, or the archive itself, which is a folder.

    The methods below work as for files on the disk, and others do not. They raise OSError if a file is damaged, and
    ValueError for an archive that is not safe to read: with links or names that lead out of it, encrypted, or beyond
    archives.LIMITS.
    """

    def _found(self) -> tuple[_Index, str]:
        """The archive and the name in it."""
        for path in (Path(self), *Path(self).parents):
            if path.is_file():
                state = path.stat()
                return _index(str(path), state.st_size, state.st_mtime_ns), Path(self).relative_to(path).as_posix()
        raise FileNotFoundError(f"there is no archive {self}")

    def _info(self) -> tuple[zipfile.ZipFile, zipfile.ZipInfo]:
        index, name = self._found()
        if name not in index.files:
            raise FileNotFoundError(f"there is no file {self}")
        return index.archive, index.files[name]

    def is_dir(self) -> bool:
        index, name = self._found()
        return name in index.folders

    def is_file(self) -> bool:
        index, name = self._found()
        return name in index.files

    def exists(self) -> bool:
        return self.is_dir() or self.is_file()

    def stat(self) -> SimpleNamespace:  # type: ignore[override]
        _, info = self._info()
        # Archives may be made with one date for all files, so the checksum says whether the content changed.
        return SimpleNamespace(st_size=info.file_size, st_mtime_ns=info.CRC)

    def iterdir(self) -> "Generator[ZipPath, None, None]":
        index, name = self._found()
        yield from (self / child for child in index.folders[name])

    def walk(self) -> "Iterator[tuple[ZipPath, list[str], list[str]]]":
        """As os.walk, with this class for the folders."""
        index, name = self._found()
        children = list(index.folders[name])
        inner = [child for child in children if (child if name == "." else f"{name}/{child}") in index.folders]
        yield self, inner, sorted(set(children) - set(inner))
        for child in inner:
            yield from (self / child).walk()

    def open(self, mode: str = "rb") -> io.BytesIO:  # type: ignore[override]
        return io.BytesIO(self.read_bytes())

    def read_bytes(self) -> bytes:
        """The content of a file, of which the checksum is tested."""
        archive, info = self._info()
        try:
            with archive.open(info) as file:
                return file.read()
        except (zipfile.BadZipFile, NotImplementedError, zlib.error, EOFError) as error:
            raise OSError(f"damaged in the archive: {error}") from error


def as_folder(path: Path) -> ZipPath | None:
    """A zip archive as a folder, or the only folder in it, unless that is a split of the data.

    None if `path` is no such archive. ValueError if it is not safe to read.
    """
    if not path.is_file() or not zipfile.is_zipfile(path):
        return None
    root = ZipPath(path)
    inside = [child for child in root.iterdir() if not child.name.startswith((".", "__MACOSX"))]
    is_wrapped = len(inside) == 1 and inside[0].is_dir() and inside[0].name not in SPLITS
    return inside[0] if is_wrapped else root


@lru_cache(maxsize=8)
def _index(archive: str, size: int, time: int) -> _Index:
    """size, time: of the archive, so that another one under its name is read anew."""
    try:
        members = zipfile.ZipFile(archive)
    except (zipfile.BadZipFile, NotImplementedError, OSError) as error:
        raise ValueError(f"{archive} is no zip archive that can be read: {error}") from error
    files = dict[str, zipfile.ZipInfo]()
    folders: dict[str, dict[str, None]] = {".": {}}
    total, most = 0, min(LIMITS.unpacked, max(LIMITS.small, LIMITS.ratio * size))
    for info in members.infolist():
        kind = stat.S_IFMT(info.external_attr >> 16)  # 0 if the archive was made on a system without kinds
        try:
            path = checked_name(info.filename, kind in (0, stat.S_IFREG, stat.S_IFDIR))
        except ValueError as error:
            raise ValueError(f"{archive}: {error}") from error
        if len(path.parts) - (not info.is_dir()) > DEEPEST:
            raise ValueError(f"{archive}: {str(path)[:40]}... is in more than {DEEPEST} folders: unpack it yourself")
        total += info.file_size
        if info.file_size > LARGEST or total > most or len(files) >= LIMITS.members:
            raise ValueError(f"{archive}: {path}, or all files together, would be too large: unpack it yourself")
        if info.flag_bits & 1:
            raise ValueError(f"{archive}: {path} is encrypted: unpack it yourself")
        if str(path) in files:
            raise ValueError(f"{archive} holds {info.filename!r} twice")
        if info.is_dir():
            folders.setdefault(str(path), {})
        else:
            files[str(path)] = info
        for inner, outer in zip((path, *path.parents), path.parents):
            folders.setdefault(str(outer), {})[inner.name] = None
    return _Index(members, files, folders)
