"""A folder that one process works in at a time."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from gan_cli.training.find_runs import contains_run
from gan_cli.utils.errors import GanError


def hold(folder: Path) -> IO[str]:
    """The folder's lock, held until the file is closed or the process ends. BlockingIOError if another process has it,
    another OSError if it cannot be made.
    """
    lock = open(folder / ".lock", "a")  # noqa: SIM115 (open is held)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.close()
        raise
    return lock


@contextmanager
def claimed(folder: Path, what: str, key: str) -> Iterator[None]:
    """The folder, for this process alone. GanError if it is a run's or cannot be made, or if another process has it.

    what: sweep or search. key: by which another folder is named.
    """
    if contains_run(folder):
        raise GanError(f"{folder} holds a run: name another folder by {key}=")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = hold(folder)
    except BlockingIOError:
        raise GanError(f"another process runs the {what} {folder} right now; wait for it or stop it") from None
    except OSError as error:
        raise GanError(f"cannot make {folder}: {error.strerror}; name a writable one by {key}=") from error
    with lock:
        yield
