"""Progress of long work: how many units are done, the rate, and the time left."""

from __future__ import annotations

import shutil
import sys
import time

from gan_cli.utils.terminal import write_control

CLEAR = "\r\033[K"  # to the start of the terminal's line, which is erased


def clock(seconds: float) -> str:
    """Seconds as h:mm:ss, or m:ss below an hour."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


class Progress:
    """Counts units of work and prints how far it is: one line that is rewritten on a terminal, plain lines elsewhere.

    total: number of units; 0 if unknown. unit: their name in the plural, such as "images". label: the work, before the
    count. done: units that an earlier process has done, which do not count for the rate. interval: seconds between two
    plain lines; work that is done sooner prints nothing.
    """

    def __init__(self, total: int, unit: str, *, label: str = "", done: int = 0, interval: float = 5.0) -> None:
        self.total, self.unit, self.label = total, unit, label
        self.done = self.skipped = done
        self.terminal, self.rewriting = sys.stdout.isatty(), False
        self.interval = 0.1 if self.terminal else interval  # nobody reads faster
        self.start = self.printed = time.perf_counter()

    def skip(self, count: int = 1) -> None:
        """Count units that need no work."""
        self.done += count
        self.skipped += count

    def advance(self, count: int = 1) -> None:
        """Count units as done, and print the state if the last line is old enough."""
        self.done += count
        if self.is_due():
            self.rewrite(f"{self.label} {self.status()}".lstrip())

    def is_due(self) -> bool:
        """Whether the state is to be printed: from time to time, and at the end if there is a line to be ended."""
        return time.perf_counter() - self.printed > self.interval or (self.rewriting and self.done == self.total)

    def average(self) -> float:
        """Units per second since the start; 0 before the first one."""
        return (self.done - self.skipped) / max(time.perf_counter() - self.start, 1e-9)

    def left(self) -> str:
        """The time left at the average rate."""
        return clock(max(self.total - self.done, 0) / max(self.average(), 1e-9))

    def status(self) -> str:
        """Such as `3/12 trials  2.5 trials/min  left 3:36`."""
        count = f"{self.done:,}/{self.total:,} {self.unit}" if self.total else f"{self.done:,} {self.unit}"
        rate = self.average()
        if not rate:
            return count
        seconds, name = (1, "s") if rate >= 1 else (60, "min") if rate >= 1 / 60 else (3600, "h")
        return f"{count}  {rate * seconds:.3g} {self.unit}/{name}" + (f"  left {self.left()}" if self.total else "")

    def rewrite(self, text: str) -> None:
        """Print the state of the work; on a terminal, in place of the state before."""
        self.printed = time.perf_counter()
        if self.terminal:
            self.rewriting = self.done != self.total
            text = text[: shutil.get_terminal_size().columns - 1]
        self._write(text + ("" if self.rewriting else "\n"))

    def say(self, text: str) -> None:
        """Print a line that stays."""
        self._write(text + "\n")

    def _write(self, text: str) -> None:
        write_control(CLEAR if self.terminal else "", text)
