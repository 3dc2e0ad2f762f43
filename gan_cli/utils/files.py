"""Files that are written completely or not at all, files of JSON, and folders that can be written."""

import errno
import fcntl
import functools
import json
import os
import re
import stat
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from gan_cli.utils.errors import GanError
from gan_cli.utils.locks import hold

PART = ".part"  # in the name of a file that is being written; a killed process leaves it behind
TEMPORARY = re.compile(rf"\..+\.[0-9a-f]+{re.escape(PART)}(\.\w+)?")  # the name that `replacing` gives it
TEXT = 2**24  # bytes of a text file that is read whole
LINE = 2**22  # bytes of a line of JSON
NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


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
def replacing(path: Path, *, sync: bool = False) -> Iterator[Path]:
    """Write a file atomically: yield a new, empty temporary file that takes the place of `path` when the block ends.

    If the block raises, `path` stays as it was and the temporary file is deleted. Several processes may replace the
    same path at once; the last one wins. A process that is killed leaves its temporary file behind, which the next
    process that writes into the folder deletes. Raises OSError, which names `path`, if it cannot be written.

    sync: flush the file and its name to the disk, so that a power cut leaves the old or the new file, not an empty one.
    """
    _remove_leftovers_once(path.parent.absolute())
    with _named(path):
        temporary, lock = _create_locked(path)
        try:
            yield temporary
            if sync:
                _flush_to_disk(temporary)
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
            os.close(lock)
    if sync:
        _flush_to_disk(path.parent)  # the new name is an entry of the folder, which is flushed on its own


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Let an OSError name `path` that names the temporary file, or, as one of a full disk does, no file."""
    try:
        yield
    except OSError as error:
        no_name = error.filename is None and error.errno in NO_SPACE  # others may come from a network
        if no_name or TEMPORARY.fullmatch(os.path.basename(os.fsdecode(error.filename or ""))):
            error.filename = str(path)
        raise


def _create_locked(path: Path) -> tuple[Path, int]:
    """A new temporary file for `path`, and its open file, which is locked until it is closed or this process ends."""
    while True:
        # Only the beginning of the name, which may be as long as the file system allows.
        temporary = path.with_name(f".{path.name[:20]}.{uuid.uuid4().hex}{PART}")
        # O_EXCL neither follows a link nor opens an existing file. mkstemp would ignore the umask: always mode 0600.
        handle = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
        with suppress(OSError):  # a file system without locks, on which `remove_leftovers` deletes nothing
            fcntl.flock(handle, fcntl.LOCK_EX)
        if temporary.exists():  # else another process took it for a leftover before it was locked
            return temporary, handle
        os.close(handle)


def remove_leftovers(folder: Path) -> None:
    """Delete the temporary files of `replacing` in `folder` that no process is writing, since none has locked them."""
    for path in folder.glob(f".*{PART}*"):
        if TEMPORARY.fullmatch(path.name) and path.is_file():  # opening a FIFO might never return
            with suppress(OSError), hold(path):
                path.unlink()


# Once per process and folder: a folder may be long, and be filled file by file.
_remove_leftovers_once = functools.cache(remove_leftovers)


def write_text(path: Path, text: str, *, sync: bool = False) -> None:
    """Replace `path` by `text` atomically. OSError if the folder cannot be written. sync: as of `replacing`."""
    with replacing(path, sync=sync) as temporary:
        temporary.write_text(text, encoding="utf-8")


def read_text(path: Path, limit: int = TEXT, errors: str = "strict") -> str:
    """The text of a regular file. OSError if it cannot be read; ValueError if it is larger than `limit` bytes, no
    regular file (a FIFO would be waited for), or not UTF-8 and `errors`, as of bytes.decode, is strict.
    """
    with open(path, "rb", opener=open_regular) as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise ValueError(f"it is larger than {limit:,} bytes")
    return data.decode(errors=errors)


def open_regular(path: str, flags: int) -> int:
    """An opener for `open` that refuses anything but a regular file, with a ValueError."""
    handle = os.open(path, flags | os.O_NONBLOCK)  # without it, opening a FIFO waits for a writer
    if stat.S_ISREG(os.fstat(handle).st_mode):
        return handle
    os.close(handle)
    raise ValueError("it is no regular file")


def read_json(path: Path, limit: int = TEXT) -> Any:
    """The value in a JSON file. OSError if it cannot be read, ValueError if it is not JSON or as for `read_text`."""
    try:
        return json.loads(read_text(path, limit))
    except RecursionError:
        raise ValueError("it is nested too deep") from None


def append_json(path: Path, *records: Mapping[str, Any]) -> None:
    """Append each record as a line of JSON, in one write, on a fresh line if a killed process left half a line.

    Raises OSError if the file cannot be written, or if it is a link: a run directory may be untrusted.
    """
    text = "".join(json.dumps(record, default=str) + "\n" for record in records)
    with _named(path), open(path, "ab+", opener=_open_no_link) as file:
        if file.seek(0, os.SEEK_END):
            file.seek(-1, os.SEEK_END)
            text = text if file.read(1) == b"\n" else "\n" + text
        file.write(text.encode())


def _open_no_link(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW, 0o666)


def json_lines(path: Path, fits: Callable[[dict[str, Any]], bool] = bool) -> Iterator[dict[str, Any]]:
    """The objects of a file with one on each line; none if there is no such file. OSError, ValueError as `read_text`.

    Lines that are no JSON objects, such as one that a killed process left half-written, and objects that `fits` does
    not accept are skipped; a note says so.
    """
    if not path.exists():
        return
    skipped = 0
    with open(path, "rb", opener=open_regular) as file:
        for line in iter(lambda: file.readline(LINE), b""):
            try:
                entry = json.loads(line)
            except (ValueError, RecursionError):
                entry = None
            if isinstance(entry, dict) and fits(entry):
                yield entry
            else:
                skipped += 1
    if skipped:
        _note_once(f"note: {path}: {skipped} line{'s that are' if skipped > 1 else ' that is'} no record skipped")


@functools.cache
def _note_once(text: str) -> None:
    """Print a line on standard error, unless this process has printed it before."""
    print(text, file=sys.stderr, flush=True)


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
