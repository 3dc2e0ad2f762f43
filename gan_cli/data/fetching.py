"""Downloads: the only module through which data sets read from addresses."""

import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPMessage, HTTPResponse
from pathlib import Path
from typing import IO
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit

from gan_cli.utils import downloads
from gan_cli.utils.errors import GanError
from gan_cli.utils.progress import Progress

MEGABYTE = 10**6
SCHEMES = ("http", "https")
TYPED_SCHEMES = (*SCHEMES, "file")  # of addresses on the command line


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects to web addresses only; a server must not name files of this machine."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> urllib.request.Request | None:
        if urlsplit(newurl).scheme.lower() not in SCHEMES:
            raise HTTPError(req.full_url, code, f"redirected to {newurl}, which is no web address", headers, fp)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def check(source: str | None, root: Path | None, key: str) -> None:
    """ValueError unless this process may download `source`, the value of dataset.`key`, into the folder `root`.

    See utils.downloads.check.
    """
    try:
        downloads.check(source, root, f"dataset.{key}")
    except GanError as error:  # a constructor of a data set raises ValueError
        raise ValueError(str(error)) from error


@contextmanager
def opened(url: str, root: Path | None, typed: str, key: str, timeout: float) -> Iterator[HTTPResponse]:
    """Open `url` for the block. ValueError if this process may not download it into `root` (see utils.downloads).

    typed: the value of the option `key` from which `url` comes. Raises OSError and HTTPException.
    """
    if urlsplit(url).scheme.lower() not in TYPED_SCHEMES:
        raise ValueError(f"{url}: dataset.{key} names http(s) addresses, and none of other kinds")
    check(typed, root, key)
    with urllib.request.build_opener(_Redirects).open(url, timeout=timeout) as response:
        yield response


def save(response: HTTPResponse, file: Path, limit: int, progress: Progress | None = None) -> None:
    """Write the body of a response to `file`.

    limit: its largest size in bytes. progress: advanced by each megabyte. Raises ValueError for a larger body, and
    OSError if it ends early.
    """
    total = length(response)
    with open(file, "wb") as out:
        while block := response.read(MEGABYTE):
            if max(total, out.tell() + len(block)) > limit:
                raise ValueError(f"it is larger than {limit / 1e9:.3g} GB")
            out.write(block)
            if progress:
                progress.advance()
        if out.tell() < total:
            raise OSError(f"only {out.tell()} of {total} bytes came")


def length(response: HTTPResponse) -> int:
    """Bytes of the body as the server announces them; 0 if it does not."""
    text = response.headers.get("Content-Length") or ""
    return int(text) if text.isdecimal() and len(text) < 20 else 0


def reason(error: Exception) -> str:
    """Return why a download failed, in a few words."""
    cause = error.reason if isinstance(error, URLError) and not isinstance(error, HTTPError) else error
    return (isinstance(cause, OSError) and cause.strerror) or str(cause) or type(cause).__name__
