"""Download of an archive of images, whose folder appears complete or not at all."""

import glob
import tarfile
import uuid
import zipfile
import zlib
from http.client import HTTPException, HTTPResponse
from pathlib import Path

from gan_cli.data import fetching
from gan_cli.data.archives import LIMITS, extract
from gan_cli.data.decoded_cache import exclusive, remove
from gan_cli.utils.distributed import print_once
from gan_cli.utils.errors import one_line
from gan_cli.utils.progress import Progress


def fetch(url: str, root: Path, key: str = "url") -> None:
    """Create the folder `root` with the content of the zip or tar archive at `url`, which the setting `key` names.

    If the archive holds a single folder, `root` has the content of that folder. Does nothing if another process has
    created `root`. Raises FileNotFoundError if the download fails, and ValueError if it is not allowed or the archive
    is broken or unsafe; nothing is left on the disk then.
    """
    stale = f".{glob.escape(root.name)}.*.part"  # the name may have signs of a pattern
    advice = f"get the images by hand and set dataset.root=FOLDER (no data at {root})"
    try:
        with fetching.opened(url, root, url, key, timeout=30) as response, exclusive(root.parent, stale):
            if not root.exists():
                print_once(f"downloading {url} to {root}")
                _create(root, response)
    except (zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise ValueError(f"{url} is not a complete zip or tar archive ({one_line(error)}); {advice}") from error
    except (OSError, HTTPException) as error:
        raise FileNotFoundError(f"cannot download {url} ({fetching.reason(error)}); {advice}") from error


def _create(root: Path, response: HTTPResponse) -> None:
    # Everything happens in a folder beside `root`, on the same file system, where the last step is one rename.
    work = root.parent / f".{root.name}.{uuid.uuid4().hex}.part"
    work.mkdir()
    try:
        archive, files = work / "archive", work / "files"
        progress = Progress(fetching.length(response) // fetching.MEGABYTE, "MB", label="downloading")
        fetching.save(response, archive, LIMITS.packed, progress)
        extract(archive, files)
        content = list(files.iterdir())
        single = len(content) == 1 and content[0].is_dir()
        (content[0] if single else files).rename(root)
    finally:
        remove(work)
