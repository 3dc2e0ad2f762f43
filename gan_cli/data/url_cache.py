"""Files behind http(s) URLs as local files, in a folder of bounded size."""

import errno
import hashlib
import os
import shutil
import time
import urllib.request
import uuid
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError

from gan_cli.data.decoded_cache import exclusive

SCHEMES = ("http://", "https://")
WAITS = (1.0, 5.0, 25.0)  # seconds before another try
FULL = (errno.ENOSPC, errno.EDQUOT)


class Mirror:
    """What URLs hold, in files of `folder` that take at most `limit` bytes; those longest unused go first.

    Beyond the limit come the one file on its way, and what was dropped while it was open. Processes of one machine
    share the folder.
    """

    def __init__(self, folder: Path, limit: int) -> None:
        self.folder, self.limit = folder, limit

    def open(self, url: str) -> int:
        """A descriptor of the file at `url`, fetched if it is not there. ValueError when it cannot be had."""
        path = self.folder / f"{hashlib.blake2b(url.encode(), digest_size=16).hexdigest()}.tar"
        try:
            handle = os.open(path, os.O_RDONLY)
        except FileNotFoundError:
            with exclusive(self.folder, "*.part", quiet=True):
                if not path.exists():
                    self._fetch(url, path)
                handle = os.open(path, os.O_RDONLY)
        now = time.time_ns()
        os.utime(handle, ns=(now, now))
        return handle

    def _fetch(self, url: str, path: Path) -> None:
        part = path.with_name(f"{path.name}.{uuid.uuid4().hex}.part")
        try:
            _download(url, part)
            self._make_room(part.stat().st_size)
            os.replace(part, path)
        finally:
            part.unlink(missing_ok=True)

    def _make_room(self, need: int) -> None:
        files = sorted((file.stat().st_mtime_ns, file.stat().st_size, file) for file in self.folder.glob("*.tar"))
        total = need + sum(size for _, size, _ in files)
        for _, size, file in files:
            if total > self.limit:
                file.unlink()
                total -= size


def _download(url: str, file: Path) -> None:
    """The body of `url` to `file`, tried again where that may help. ValueError when it does not come; OSError when the
    disk is full.
    """
    for wait in (*WAITS, None):
        try:
            with urllib.request.urlopen(url, timeout=60) as answer, file.open("wb") as out:
                shutil.copyfileobj(answer, out, 1 << 20)
                total = int(answer.headers.get("Content-Length") or 0)
                if out.tell() < total:
                    raise OSError(f"only {out.tell()} of {total} bytes came")
            return
        except (OSError, HTTPException) as error:
            if getattr(error, "errno", None) in FULL:
                raise
            if wait is None or not _may_pass(error):
                raise ValueError(f"cannot download {url} ({_reason(error)})") from error
            print(f"note: {url}: {_reason(error)}; another try in {wait:.0f} s", flush=True)
        time.sleep(wait)


def _reason(error: Exception) -> str:
    why = error if isinstance(error, HTTPError) else getattr(error, "reason", error)
    return getattr(why, "strerror", None) or str(why) or type(why).__name__


def _may_pass(error: Exception) -> bool:
    """Whether another try may do better: not when the server has said that there is no such file."""
    return not isinstance(error, HTTPError) or error.code in (408, 429) or error.code >= 500
