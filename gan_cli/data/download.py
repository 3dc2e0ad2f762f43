"""Fetch an archive of images once: the folder appears whole or not at all."""

import stat
import urllib.request
import uuid
import zipfile
from http.client import HTTPException
from pathlib import Path, PurePosixPath
from typing import Any

from gan_cli.data.cache import Progress, exclusive, remove

MEGABYTE = 10**6


def fetch(url: str, root: Path) -> None:
    """Make `root` of what the zip archive at `url` holds, less a single folder around all of it.

    Does nothing when another process has made it. Leaves nothing behind when it raises FileNotFoundError (the
    archive cannot be had) or ValueError (it is broken or unsafe).
    """
    advice = f"get the images by hand and set dataset.root=FOLDER (no data at {root})"
    try:
        with urllib.request.urlopen(url, timeout=30) as answer, exclusive(root.parent, _part(root, "*")):
            if not root.exists():
                print(f"downloading {url} to {root}", flush=True)
                _make(root, answer)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        raise ValueError(f"{url} is no sound zip archive ({error}); {advice}") from error
    except (OSError, HTTPException) as error:
        raise FileNotFoundError(f"cannot download {url} ({_reason(error)}); {advice}") from error


def _part(root: Path, unique: str) -> str:
    return f".{root.name}.{unique}.part"


def _make(root: Path, answer: Any) -> None:
    work = root.parent / _part(root, uuid.uuid4().hex)
    work.mkdir()
    try:
        archive, files = work / "archive.zip", work / "files"
        _download(answer, archive)
        _extract(archive, files)
        inside = list(files.iterdir())
        single = len(inside) == 1 and inside[0].is_dir()
        (inside[0] if single else files).rename(root)
    finally:
        remove(work)


def _download(answer: Any, file: Path) -> None:
    """The body of an open URL to `file`; OSError if it ends early."""
    with open(file, "wb") as out:
        total = int(answer.headers.get("Content-Length") or 0)
        progress = Progress("downloaded", total // MEGABYTE, "MB")
        while block := answer.read(MEGABYTE):
            out.write(block)
            progress.step()
        if out.tell() < total:
            raise OSError(f"only {out.tell()} of {total} bytes came")


def _extract(archive: Path, folder: Path) -> None:
    """All members, checksums tested; ValueError for a link or a path that leads out of `folder`."""
    with zipfile.ZipFile(archive) as members:
        for member in members.infolist():
            path = PurePosixPath(member.filename.replace("\\", "/"))
            link = stat.S_ISLNK(member.external_attr >> 16)
            if link or path.is_absolute() or ".." in path.parts:
                raise ValueError(f"the archive holds an unsafe member, '{member.filename}': not extracted")
        members.extractall(folder)


def _reason(error: BaseException) -> str:
    reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or str(error)
    return str(reason or type(error).__name__)
