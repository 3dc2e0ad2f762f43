"""The signals that ask a process to save its state and end."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGXCPU)
"""Ctrl+C, `kill`, a closed terminal, what a batch system sends before its limit, and a limit of CPU time."""
TYPED = (signal.SIGINT, signal.SIGTERM)  # a second one comes from somebody who does not want to wait


def ignored(number: signal.Signals) -> bool:
    """Whether this process is to ignore a signal, as `nohup` asks for SIGHUP."""
    return number not in TYPED and signal.getsignal(number) is signal.SIG_IGN


@contextmanager
def signals() -> Iterator[list[int]]:
    """Record the signals of STOPS in the list that is yielded; a second SIGINT or SIGTERM terminates.

    The others may come twice by themselves: a closed terminal is reported by the shell as well as by the system, and
    SIGXCPU comes every second. Outside the main thread, where Python does not allow handlers, the list stays empty.
    """
    received: list[int] = []

    def record(number: int, frame: FrameType | None) -> None:
        received.append(number)
        if number in TYPED:
            signal.signal(number, signal.SIG_DFL)

    if threading.current_thread() is not threading.main_thread():
        yield received
        return
    before = {number: signal.signal(number, record) for number in STOPS if not ignored(number)}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
