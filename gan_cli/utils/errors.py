"""Errors that a user can cause or act on: each is one line of text and an exit status.

Any other exception that reaches the command line is a defect of this program and is reported as such.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

MOST_NAMED = 16  # alternatives listed in one error line; half as many beside a suggestion


class GanError(Exception):
    """One line that names the problem and its remedy. Exit status 2: nothing was done."""

    status = 2


class Busy(GanError):
    """Another process is training this run; its directory must not be modified. Exit status 2."""


class Diverged(GanError):
    """A loss, gradient or weight is not finite; the last checkpoint is kept. Exit status 3."""

    status = 3


class Interrupted(GanError):
    """A signal stopped the run after its state was saved. Exit status 128 + signal: 130 or 143."""

    def __init__(self, message: str, status: int = 130) -> None:
        super().__init__(message)
        self.status = status


class Terminated(KeyboardInterrupt):
    """Raised by SIGTERM in `cli.main`, so that it is handled wherever SIGINT is. Exit status 143."""


@contextmanager
def reading(what: str) -> Iterator[None]:
    """Turn a ValueError while `what` is read, such as a broken image, into a GanError."""
    try:
        yield
    except ValueError as error:
        raise GanError(f"{what}: {one_line(error)}") from error


@contextmanager
def writing(folder: Path, key: str) -> Iterator[None]:
    """Turn an OSError while `folder` is made or written into a GanError; `key` is the option that names another one."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or error
        raise GanError(f"cannot make or write {folder}: {reason}; name a writable folder with {key}=...") from error


def suggest(word: str, options: Iterable[str]) -> str:
    """The end of an error line about `word`: the nearest of `options`, then all of them if they are few."""
    names = sorted(set(options))
    folded = {name.lower(): name for name in names}
    # `stylegan` is no misspelled `cyclegan`: less similar words have to begin alike.
    nearest = difflib.get_close_matches(word.lower(), folded, n=1, cutoff=0.76)
    alike = [name for name in folded if name[:2] == word[:2].lower()]
    nearest += difflib.get_close_matches(word.lower(), alike, n=1, cutoff=0.6)
    nearest += [name for name in folded if len(word) > 2 and name.startswith(word.lower())]
    guess = f"; did you mean '{folded[nearest[0]]}'?" if nearest else ""
    if 0 < len(names) <= MOST_NAMED // (2 if nearest else 1):
        return f"{guess or ';'} there {'is' if len(names) == 1 else 'are'}: {', '.join(names)}"
    return guess


def out_of_memory(error: BaseException) -> bool:
    """Whether an error means that memory, of a CPU or a GPU, is exhausted."""
    # By name, so that this module does not import torch; torch raises plain RuntimeErrors for a CPU.
    by_type = type(error).__name__ in ("OutOfMemoryError", "MemoryError")
    return by_type or any(words in str(error) for words in ("alloc_cpu", "allocate memory"))


def one_line(error: BaseException) -> str:
    """The message of an error on one line, or its type if it has none."""
    return " ".join(str(error).split()) or type(error).__name__
