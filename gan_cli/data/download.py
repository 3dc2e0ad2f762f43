"""Download and extraction of an archive of images, whose folder appears complete or not at all."""

import shutil
import stat
import tarfile
import urllib.request
import uuid
import zipfile
import zlib
from http.client import HTTPException, HTTPResponse
from pathlib import Path, PurePosixPath

from gan_cli.data.decoded_cache import exclusive, remove
from gan_cli.data.url_cache import reason
from gan_cli.utils.progress import Progress

MEGABYTE = 10**6


def fetch(url: str, root: Path) -> None:
    """Create the folder `root` with the content of the zip or tar archive at `url`.

    If the archive holds a single folder, `root` has the content of that folder. Does nothing if another process has
    created `root`. Raises FileNotFoundError if the download fails, and ValueError if the archive is broken or unsafe;
    nothing is left on the disk then.
    """
    advice = f"get the images by hand and set dataset.root=FOLDER (no data at {root})"
    try:
        with urllib.request.urlopen(url, timeout=30) as response, exclusive(root.parent, _part(root, "*")):
            if not root.exists():
                print(f"downloading {url} to {root}", flush=True)
                _create(root, response)
    except (zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise ValueError(f"{url} is not a complete zip or tar archive ({error}); {advice}") from error
    except (OSError, HTTPException) as error:
        raise FileNotFoundError(f"cannot download {url} ({reason(error)}); {advice}") from error


def _part(root: Path, unique: str) -> str:
    return f".{root.name}.{unique}.part"


def _create(root: Path, response: HTTPResponse) -> None:
    # Everything happens in a folder beside `root`, on the same file system, where the last step is one rename.
    work = root.parent / _part(root, uuid.uuid4().hex)
    work.mkdir()
    try:
        archive, files = work / "archive", work / "files"
        _download(response, archive)
        (_extract_tar if tarfile.is_tarfile(archive) else _extract_zip)(archive, files)
        content = list(files.iterdir())
        single = len(content) == 1 and content[0].is_dir()
        (content[0] if single else files).rename(root)
    finally:
        remove(work)


def _download(response: HTTPResponse, file: Path) -> None:
    """Write the body of a response to `file`. OSError if it ends early."""
    with open(file, "wb") as out:
        total = int(response.headers.get("Content-Length") or 0)
        progress = Progress(total // MEGABYTE, "MB", label="downloading")
        while block := response.read(MEGABYTE):
            out.write(block)
            progress.advance()
        if out.tell() < total:
            raise OSError(f"only {out.tell()} of {total} bytes came")


# The archives come from the internet, so a member is refused if it is a link or would be written outside the folder.


def _extract_zip(archive: Path, folder: Path) -> None:
    """Extract all members, whose checksums are tested. ValueError for a link or a path that leads out of `folder`."""
    with zipfile.ZipFile(archive) as members:
        for member in members.infolist():
            _check(member.filename, not stat.S_ISLNK(member.external_attr >> 16))
        members.extractall(folder)


def _extract_tar(archive: Path, folder: Path) -> None:
    """Extract all files, without their modes and owners.

    ValueError for a member that is neither a file nor a folder, or whose path leads out of `folder`.
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
    """ValueError unless the member is a plain file or folder below the folder of extraction."""
    path = PurePosixPath(name.replace("\\", "/"))
    if not plain or path.is_absolute() or ".." in path.parts:
        raise ValueError(f"the archive holds an unsafe member, '{name}': not extracted")
