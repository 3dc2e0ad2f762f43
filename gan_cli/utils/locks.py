"""A lock between processes that the operating system releases when its process ends, even by SIGKILL."""

import fcntl
import os
from pathlib import Path
from typing import IO


def hold(file: Path, *, wait: bool = False) -> IO[str]:
    """Lock `file`, which is created if needed, until the returned handle is closed or this process ends.

    wait: wait for another process that has the lock, instead of raising BlockingIOError. Raises another OSError if the
    file cannot be created, or if the file system has no locks. Children that are forked while the lock is held share
    it: it is released when the last of them has ended.
    """
    # The open file is the lock. A link, which may lie in an untrusted folder, would be a file elsewhere.
    lock = open(file, "a", opener=lambda name, flags: os.open(name, flags | os.O_NOFOLLOW, 0o666))  # noqa: SIM115
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError:
        lock.close()
        raise
    return lock
