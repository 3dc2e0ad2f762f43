"""Extraction of zip and tar archives from the internet: only plain files, below one folder, and not too many."""

import shutil
import stat
import tarfile
import unicodedata
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, NamedTuple


class Limits(NamedTuple):
    """The largest archive: bytes packed and unpacked, members, and bytes unpacked for each packed one.

    The ratio counts above `small` unpacked bytes. Whoever has a larger archive unpacks it and sets dataset.root.
    """

    packed: int = 200 * 10**9
    unpacked: int = 500 * 10**9
    members: int = 5_000_000
    ratio: int = 100
    small: int = 10**9
    header: int = 10**6  # bytes of one member's name and attributes


LIMITS = Limits()


class Member(NamedTuple):
    """A member of an archive. plain: whether it is a file or a folder, and no link, device or pipe."""

    name: str
    folder: bool
    plain: bool
    size: int
    open: Callable[[], IO[bytes] | None]


def extract(archive: Path, folder: Path) -> None:
    """Extract all members into the new `folder`, without their modes and owners; checksums are tested.

    Raises ValueError for an archive beyond LIMITS, and for a member that is no plain file or folder, leads out of
    `folder`, exists already or has control characters in its name.
    """
    total, members = 0, _members(archive)
    most = min(LIMITS.unpacked, max(LIMITS.small, LIMITS.ratio * archive.stat().st_size))
    folder.mkdir()
    for count, member in enumerate(members, 1):
        path = folder / checked_name(member.name, member.plain)
        total += member.size
        if count > LIMITS.members or total > most:
            size = f"{LIMITS.members:,} files or {most / 1e9:.3g} GB"
            raise ValueError(f"the archive unpacks to more than {size}: unpack it yourself and set dataset.root=FOLDER")
        try:
            (path if member.folder else path.parent).mkdir(parents=True, exist_ok=True)
            if not member.folder and (content := member.open()):
                with content, open(path, "xb") as out:
                    shutil.copyfileobj(content, out)
        except (FileExistsError, NotADirectoryError) as error:
            raise ValueError(f"the archive holds {member.name!r} twice: not extracted") from error


def _members(archive: Path) -> Iterator[Member]:
    try:
        return _tar(tarfile.open(archive, tarinfo=BoundedTarInfo))
    except tarfile.ReadError:
        return _zip(archive)


def _zip(archive: Path) -> Iterator[Member]:
    with zipfile.ZipFile(archive) as members:
        for info in members.infolist():
            kind = stat.S_IFMT(info.external_attr >> 16)  # 0 if the archive was made on a system without kinds
            plain = kind in (0, stat.S_IFREG, stat.S_IFDIR)
            yield Member(info.filename, info.is_dir(), plain, info.file_size, partial(members.open, info))


def _tar(archive: tarfile.TarFile) -> Iterator[Member]:
    with archive as members:
        for info in members:
            plain = (info.isfile() and not info.issparse()) or info.isdir()
            yield Member(info.name, info.isdir(), plain, info.size, partial(members.extractfile, info))
            members.members.clear()  # type: ignore[attr-defined]  # they would stay in memory


class UnsafeArchive(ValueError):
    """An archive that would take all memory."""


class BoundedTarInfo(tarfile.TarInfo):
    """A header of a tar archive, which refuses a name or attributes that would not fit into memory."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> "BoundedTarInfo":
        info = super().frombuf(buf, encoding, errors)
        if info.type in EXTENSIONS and not 0 <= info.size <= LIMITS.header:
            raise UnsafeArchive(f"a member has a name or attributes of {info.size:,} bytes")
        return info


EXTENSIONS = (
    tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE,
)  # fmt: skip


def checked_name(name: str, plain: bool) -> PurePosixPath:
    """The path of a member below the folder of extraction. plain: see Member. ValueError if it is unsafe."""
    path = PurePosixPath(name.replace("\\", "/"))
    controls = any(unicodedata.category(character) == "Cc" for character in name)
    if not plain or path.is_absolute() or ".." in path.parts or controls:
        raise ValueError(f"the archive holds an unsafe member, {name!r}: not extracted")
    return path
