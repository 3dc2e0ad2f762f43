"""Fetch an archive of images once: the folder appears whole or not at all."""

import shutil
import stat
import tarfile
import urllib.request
import uuid
import zipfile
import zlib
from http.client import HTTPException
from pathlib import Path, PurePosixPath
from typing import Any

from gan_cli.data.decoded_cache import DecodeProgress, exclusive, remove

MEGABYTE = 10**6


def fetch(url: str, root: Path) -> None:
    """Make `root` of what the zip or tar archive at `url` holds, less a single folder around all of it.

    Does nothing when another process has made it. Leaves nothing behind when it raises FileNotFoundError (the
    archive cannot be had) or ValueError (it is broken or unsafe).
    """
    advice = f"get the images by hand and set dataset.root=FOLDER (no data at {root})"
    try:
        with urllib.request.urlopen(url, timeout=30) as answer, exclusive(root.parent, _part(root, "*")):
            if not root.exists():
                print(f"downloading {url} to {root}", flush=True)
                _make(root, answer)
    except (zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise ValueError(f"{url} is no sound zip or tar archive ({error}); {advice}") from error
    except (OSError, HTTPException) as error:
        raise FileNotFoundError(f"cannot download {url} ({_reason(error)}); {advice}") from error


def _part(root: Path, unique: str) -> str:
    return f".{root.name}.{unique}.part"


def _make(root: Path, answer: Any) -> None:
    work = root.parent / _part(root, uuid.uuid4().hex)
    work.mkdir()
    try:
        archive, files = work / "archive", work / "files"
        _download(answer, archive)
        (_extract_tar if tarfile.is_tarfile(archive) else _extract_zip)(archive, files)
        inside = list(files.iterdir())
        single = len(inside) == 1 and inside[0].is_dir()
        (inside[0] if single else files).rename(root)
    finally:
        remove(work)


def _download(answer: Any, file: Path) -> None:
    """The body of an open URL to `file`; OSError if it ends early."""
    with open(file, "wb") as out:
        total = int(answer.headers.get("Content-Length") or 0)
        progress = DecodeProgress("downloaded", total // MEGABYTE, "MB")
        while block := answer.read(MEGABYTE):
            out.write(block)
            progress.step()
        if out.tell() < total:
            raise OSError(f"only {out.tell()} of {total} bytes came")


def _extract_zip(archive: Path, folder: Path) -> None:
    """All members, checksums tested; ValueError for a link or a path that leads out of `folder`."""
    with zipfile.ZipFile(archive) as members:
        for member in members.infolist():
            _check(member.filename, not stat.S_ISLNK(member.external_attr >> 16))
        members.extractall(folder)


def _extract_tar(archive: Path, folder: Path) -> None:
    """All files, compressed or not; ValueError for what is neither file nor folder, or leads out of `folder`. Of modes
    and owners nothing is kept.
    """
    folder.mkdir()
    with tarfile.open(archive) as members:
        for member in members:
            _check(member.name, member.isfile() or member.isdir())
            path = folder / member.name
            (path if member.isdir() else path.parent).mkdir(parents=True, exist_ok=True)
            if content := members.extractfile(member):
                with content, open(path, "wb") as out:
                    shutil.copyfileobj(content, out)


def _check(name: str, plain: bool) -> None:
    """ValueError unless the member is a plain file or folder below the place of extraction."""
    path = PurePosixPath(name.replace("\\", "/"))
    if not plain or path.is_absolute() or ".." in path.parts:
        raise ValueError(f"the archive holds an unsafe member, '{name}': not extracted")


def _reason(error: BaseException) -> str:
    reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or str(error)
    return str(reason or type(error).__name__)
