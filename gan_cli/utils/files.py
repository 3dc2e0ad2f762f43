"""Files that are written completely or not at all, and folders that can be written."""

import os
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from gan_cli.utils.errors import GanError

PART = ".part"  # suffix of a file that is being written; a killed process leaves it behind


def writable(folder: Path, what: str) -> None:
    """Raise GanError unless files can be written into `folder`, which need not exist. Leaves nothing behind.

    what: the option as the user typed it, such as out=DIR; it begins the message.
    """
    created: list[Path] = []
    try:
        created = [path for path in (folder, *folder.parents) if not path.exists()]
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except (FileExistsError, NotADirectoryError) as error:
        raise GanError(f"{what}: {error.filename} is a file; name a folder") from error
    except OSError as error:
        raise GanError(f"{what}: {error.strerror}; name a folder that can be written") from error
    finally:
        for path in created:
            with suppress(OSError):
                path.rmdir()


@contextmanager
def replacing(path: Path, *, sync: bool = False, suffix: str = PART) -> Iterator[Path]:
    """Write a file atomically: yield a new, empty temporary file that takes the place of `path` when the block ends.

    If the block raises, `path` stays as it was and the temporary file is deleted. Several processes may replace the
    same path at once; the last one wins. Raises OSError if the folder cannot be written.

    sync: flush the file and its name to the disk, so that a power cut leaves the old or the new file, not an empty one.
    suffix: the end of the temporary name, for writers that choose their format by it.
    """
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}{suffix}")
    # O_EXCL neither follows a link nor opens an existing file. mkstemp would ignore the umask: always mode 0600.
    os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    try:
        yield temporary
        if sync:
            _flush_to_disk(temporary)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    if sync:
        _flush_to_disk(path.parent)  # the new name is an entry of the folder, which is flushed on its own


def write_text(path: Path, text: str) -> None:
    """Replace `path` by `text` atomically. OSError if the folder cannot be written."""
    with replacing(path) as temporary:
        temporary.write_text(text)


def _flush_to_disk(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def make_folder(path: Path) -> Path:
    """Create the folder `path` if it does not exist, and return it. GanError if it cannot be created."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise GanError(f"cannot make folder {path}: {error.strerror}; name another") from error
    return path
