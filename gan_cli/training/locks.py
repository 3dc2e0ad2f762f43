"""A folder that only one sweep or search uses at a time."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gan_cli.training.find_runs import contains_run, refuse_inside_run
from gan_cli.utils.errors import GanError, writing
from gan_cli.utils.locks import hold

LOCK = ".lock"  # the file in a folder that is locked


@contextmanager
def claimed(folder: Path, what: str, key: str) -> Iterator[None]:
    """Inside the block `folder`, which is made if needed, belongs to this process.

    what: sweep or search, for messages. key: the option that names another folder. Raises GanError if the folder holds
    a run, is among the files of one, or cannot be made, or if another process has claimed it.
    """
    refuse_inside_run(folder, key)
    if contains_run(folder):
        raise GanError(f"{folder} holds a run: name another folder by {key}=")
    with writing(folder, key):
        folder.mkdir(parents=True, exist_ok=True)
        try:
            lock = hold(folder / LOCK)
        except BlockingIOError:
            raise GanError(f"another process runs the {what} {folder} right now; wait for it or stop it") from None
    with lock:
        yield
