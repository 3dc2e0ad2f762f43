"""Files that are written whole or not at all, and folders that can be written."""

import os
import tempfile
from contextlib import suppress
from pathlib import Path

from gan_cli.utils.errors import GanError


def writable(folder: Path, what: str) -> None:
    """GanError unless files can be written into `folder`, which need not be there; what was made to try it goes again.

    what: how the user named it, such as out=DIR.
    """
    made: list[Path] = []
    try:
        made = [path for path in (folder, *folder.parents) if not path.exists()]
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except (FileExistsError, NotADirectoryError) as error:
        raise GanError(f"{what}: {error.filename} is a file; name a folder") from error
    except OSError as error:
        raise GanError(f"{what}: {error.strerror}; name a folder that can be written") from error
    finally:
        for path in made:
            with suppress(OSError):
                path.rmdir()


def write_text(path: Path, text: str) -> None:
    """Replace `path` by `text`, whole or not at all."""
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        temporary.write_text(text)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
