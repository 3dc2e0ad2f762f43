"""The errors that a user can cause or can act on: each is one line of text and an exit status.

Anything else that reaches the command line is a defect of this program, and is reported as such.
"""

from __future__ import annotations


class GanError(Exception):
    """What is wrong and what to do about it, in one line. Exit status 2: nothing was done."""

    status = 2


class Diverged(GanError):
    """A loss or a gradient is not finite; the last good checkpoint stays. Exit status 3."""

    status = 3


class Interrupted(GanError):
    """A signal stopped the run after it had saved its state. Exit status 128 + signal: 130 or 143."""

    def __init__(self, message: str, status: int = 130) -> None:
        super().__init__(message)
        self.status = status
