"""Progress of long work as plain lines: how many of how many, the rate and the time left."""

from __future__ import annotations

import time


def clock(seconds: float) -> str:
    """Seconds as h:mm:ss, or m:ss below an hour."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


class Progress:
    """Prints a line every `interval` seconds; nothing for work that is done sooner.

    total: number of units of work. unit: their name in the plural, such as "images".
    """

    def __init__(self, total: int, unit: str, *, interval: float = 5.0) -> None:
        self.total, self.unit, self.interval, self.done = total, unit, interval, 0
        self.start = self.printed = time.perf_counter()

    def advance(self, count: int = 1) -> None:
        """Count `count` more units as done."""
        self.done += count
        now = time.perf_counter()
        if now - self.printed > self.interval:
            self.printed = now
            rate = self.done / (now - self.start)
            left = clock((self.total - self.done) / rate)
            print(f"{self.done:,}/{self.total:,} {self.unit}  {rate:.3g} {self.unit}/s  left {left}", flush=True)
