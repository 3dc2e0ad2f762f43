"""Local copies of files behind http(s) URLs, in a folder of bounded size."""

import errno
import hashlib
import os
import time
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError

from gan_cli.data import fetching
from gan_cli.data.decoded_cache import exclusive
from gan_cli.data.fetching import reason
from gan_cli.utils.distributed import print_once
from gan_cli.utils.files import replacing

WEB = ("http://", "https://")
WAITS = (1.0, 5.0, 25.0)  # seconds before each further attempt
DISK_FULL = (errno.ENOSPC, errno.EDQUOT)


class URLCache:
    """Files that were downloaded to `folder`, at most `limit` bytes; the least recently used are deleted first.

    The limit is exceeded by the one file that is being downloaded, and by files that are deleted while they are open:
    their bytes are freed when they are closed. The processes of a machine may share the folder.

    typed, key: the value of the option dataset.`key` from which the addresses come, which must be allowed (see
    utils.downloads).
    """

    def __init__(self, folder: Path, limit: int, typed: str, key: str = "root") -> None:
        self.folder, self.limit, self.typed, self.key = folder, limit, typed, key

    def open(self, url: str) -> int:
        """Return a file descriptor of the file at `url`, downloaded if needed. ValueError if that fails."""
        path = self._path(url)
        try:
            handle = os.open(path, os.O_RDONLY)
        except FileNotFoundError:
            with exclusive(self.folder, "*.part", quiet=True):
                # Another process may have downloaded it while this one waited. It is opened before the lock is
                # released, since a process that makes room for another file might delete it.
                if not path.exists():
                    with replacing(path) as part:
                        self._download(url, part)
                        self._make_room(part.stat().st_size)
                handle = os.open(path, os.O_RDONLY)
        # The time of change serves as the time of last use; file systems often do not record the latter.
        now = time.time_ns()
        os.utime(handle, ns=(now, now))
        return handle

    def forget(self, url: str) -> None:
        """Delete the copy of the file at `url`."""
        self._path(url).unlink(missing_ok=True)

    def _path(self, url: str) -> Path:
        return self.folder / f"{hashlib.blake2b(url.encode(), digest_size=16).hexdigest()}.tar"

    def _make_room(self, need: int) -> None:
        files = sorted((file.stat().st_mtime_ns, file.stat().st_size, file) for file in self.folder.glob("*.tar"))
        total = need + sum(size for _, size, _ in files)
        for _, size, file in files:
            if total > self.limit:
                file.unlink()
                total -= size

    def _download(self, url: str, file: Path) -> None:
        """Download `url` to `file`, with further attempts after errors that may be temporary.

        Raises ValueError if no attempt succeeds or the file is too large, and OSError if the disk is full.
        """
        for wait in (*WAITS, None):
            try:
                with fetching.opened(url, None, self.typed, self.key, timeout=60) as response:
                    fetching.save(response, file, self.limit)
                return
            except (OSError, HTTPException) as error:
                if isinstance(error, OSError) and error.errno in DISK_FULL:
                    raise
                if wait is None or not _is_temporary(error):
                    raise ValueError(f"cannot download {url} ({reason(error)})") from error
                print_once(f"note: {url}: {reason(error)}; another attempt in {wait:.0f} s")
            except ValueError as error:
                raise ValueError(f"cannot download {url} ({error})") from error
            time.sleep(wait)


def _is_temporary(error: Exception) -> bool:
    """Whether another attempt may succeed. It may not if the server answers that there is no such file."""
    return not isinstance(error, HTTPError) or error.code in (408, 429) or error.code >= 500
