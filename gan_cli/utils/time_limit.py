"""A limit on the time that a process may run, such as a batch system's, before which its state has to be saved."""

import math
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager

STARTED = "GAN_STARTED"  # environment variable: when the process of a sweep began, for its trials; of time.monotonic
UNITS = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "": 1.0}
IMPORTED = time.monotonic()


def seconds(duration: float | str) -> float:
    """`2h`, `90m`, `1h30m` or a number of seconds. Raises ValueError for anything else, and unless it is positive."""
    text = str(duration).replace(" ", "")
    parts = re.findall(r"([\d.]+(?:e\d+)?)([dhms]?)", text)
    try:
        found = sum(float(number) * UNITS[unit] for number, unit in parts)
    except ValueError:
        found = math.nan
    if "".join(map("".join, parts)) != text or not 0 < found < math.inf:
        raise ValueError(f"a time is a number of seconds, or such as 2h, 90m or 1h30m, not {duration!r}")
    return found


def started() -> float:
    """When this process, or that of the sweep which has started it, began, on the clock of time.monotonic."""
    if STARTED in os.environ:
        return float(os.environ[STARTED])
    try:
        with open("/proc/self/stat") as file:  # field 22, in ticks since the system's start
            ticks = int(file.read().rpartition(")")[2].split()[19])
        age = time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
        return time.monotonic() - max(age, 0.0)
    except (OSError, AttributeError):  # not Linux: imported early enough
        return IMPORTED


class TimeLimit:
    """Tells when the time that is left is only just enough to save: one more iteration, as the slowest so far, and a
    save, as the slowest so far, would exceed the limit.

    limit: as for `seconds`; None for no limit.
    """

    def __init__(self, limit: float | str | None) -> None:
        self.limit = None if limit is None else started() + seconds(limit)
        self.iteration = self.save = 0.0  # seconds of the slowest
        self.measured = False  # whether a save has been measured
        self.last = time.monotonic()

    def reached(self) -> bool:
        """Whether to save and stop now. To be called once per iteration."""
        now = time.monotonic()
        self.iteration, self.last = max(self.iteration, now - self.last), now
        return self.limit is not None and now + self.iteration + self.save > self.limit

    @contextmanager
    def saving(self) -> Iterator[None]:
        """Measure the block, which saves; its time is not that of an iteration."""
        begin = time.monotonic()
        yield
        duration = time.monotonic() - begin
        self.save, self.last, self.measured = max(self.save, duration), self.last + duration, True
