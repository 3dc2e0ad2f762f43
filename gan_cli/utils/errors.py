"""The errors that a user can cause or can act on: each is one line of text and an exit status.

Anything else that reaches the command line is a defect of this program, and is reported as such.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

MOST_NAMED = 16  # names in one error line; half as many beside a guess


class GanError(Exception):
    """What is wrong and what to do about it, in one line. Exit status 2: nothing was done."""

    status = 2


class Busy(GanError):
    """Another process holds the run: nothing in its directory is ours to touch."""


class Diverged(GanError):
    """A loss or a gradient is not finite; the last good checkpoint stays. Exit status 3."""

    status = 3


class Interrupted(GanError):
    """A signal stopped the run after it had saved its state. Exit status 128 + signal: 130 or 143."""

    def __init__(self, message: str, status: int = 130) -> None:
        super().__init__(message)
        self.status = status


class Terminated(KeyboardInterrupt):
    """What SIGTERM raises in `cli.main`, so that it goes wherever SIGINT does. Exit status 143."""


@contextmanager
def reading(what: str) -> Iterator[None]:
    """A ValueError while `what` is read, such as a broken picture, becomes a GanError."""
    try:
        yield
    except ValueError as error:
        raise GanError(f"{what}: {one_line(error)}") from error


def suggest(word: str, options: Iterable[str]) -> str:
    """The end of an error line: the nearest of `options`, then all of them where they are few."""
    names = sorted(set(options))
    folded = {name.lower(): name for name in names}
    near = difflib.get_close_matches(word.lower(), folded, n=1, cutoff=0.6)
    guess = f"; did you mean '{folded[near[0]]}'?" if near else ""
    if 0 < len(names) <= MOST_NAMED // (2 if near else 1):
        return f"{guess or ';'} there {'is' if len(names) == 1 else 'are'}: {', '.join(names)}"
    return guess


def out_of_memory(error: BaseException) -> bool:
    """Whether it says that memory is short, on a CPU or a GPU."""
    named = type(error).__name__ in ("OutOfMemoryError", "MemoryError")
    return named or any(words in str(error) for words in ("alloc_cpu", "allocate memory"))


def one_line(error: BaseException) -> str:
    """The error's text on one line, or its type where it has none."""
    return " ".join(str(error).split()) or type(error).__name__
