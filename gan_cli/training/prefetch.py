"""The next batch, made while the current one is played."""

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import torch

from gan_cli.data.base import Batch

PAYS = 0.5e-3  # seconds that a batch takes to make, from which a thread of its own gains more than it costs


class Ahead:
    """make(position) for the positions 0, step, 2 step, ...: a thread makes the next one in the meantime.

    A batch is a pure function of its position, so the batches are the same with and without the thread, and any
    position may be asked for. Batches that are quick to make are made when they are asked for. pin: in page-locked
    memory, so that the copy to a GPU need not be waited for. What `make` raises is raised when its batch is asked for.
    """

    def __init__(self, make: Callable[[int], Batch], step: int, pin: bool = False, pays: float = PAYS) -> None:
        self.make, self.step, self.pin, self.pays = make, step, pin, pays
        self._pool: ThreadPoolExecutor | None = None
        self._next: tuple[int, Future[tuple[Batch, float]]] | None = None

    def __call__(self, position: int) -> Batch:
        expected, future = self._next or (None, None)
        self._next = None
        if future is not None and expected == position:
            batch, seconds = future.result()
        else:
            batch, seconds = self._timed(position)
        if seconds > self.pays:
            self._pool = self._pool or ThreadPoolExecutor(1, "batches")
            following = position + self.step
            self._next = following, self._pool.submit(self._timed, following)
        return batch

    def _timed(self, position: int) -> tuple[Batch, float]:
        start = time.perf_counter()
        batch = self.make(position)
        seconds = time.perf_counter() - start
        return pinned(batch) if self.pin else batch, seconds


def pinned(batch: Batch) -> Batch:
    """The same batch in page-locked memory; what lies on a GPU already stays there."""
    parts = (p.pin_memory() if isinstance(p, torch.Tensor) and p.device.type == "cpu" else p for p in batch)
    return type(batch)(*parts)  # type: ignore[arg-type]
