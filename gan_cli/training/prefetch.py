"""Load the next batch in a thread while the current one is trained on."""

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import torch

from gan_cli.data.base import Batch

MIN_SECONDS = 0.5e-3  # per batch: below this, handing a batch to a thread costs more than it gains


class Prefetcher:
    """Calls load(position) for the positions 0, step, 2 step, ... and loads the next one ahead of time.

    A batch is a pure function of its position, so the batches are the same with and without the thread, and any
    position may be asked for. Batches that take less than `min_seconds` are loaded when they are asked for. pin: return
    them in page-locked memory, from which a copy to a GPU does not block. An error that `load` raises is raised when
    its batch is asked for.
    """

    def __init__(
        self, load: Callable[[int], Batch], step: int, pin: bool = False, min_seconds: float = MIN_SECONDS
    ) -> None:
        self.load, self.step, self.pin, self.min_seconds = load, step, pin, min_seconds
        self._pool: ThreadPoolExecutor | None = None
        self._next: tuple[int, Future[tuple[Batch, float]]] | None = None

    def __call__(self, position: int) -> Batch:
        expected, future = self._next or (None, None)
        self._next = None
        if future is not None and expected == position:
            batch, seconds = future.result()
        else:
            batch, seconds = self._timed(position)
        # Decided anew for each batch, because the first one may include the opening of files or the filling of a cache.
        if seconds > self.min_seconds:
            self._pool = self._pool or ThreadPoolExecutor(1, "batches")
            following = position + self.step
            self._next = following, self._pool.submit(self._timed, following)
        return batch

    def _timed(self, position: int) -> tuple[Batch, float]:
        start = time.perf_counter()
        batch = self.load(position)
        seconds = time.perf_counter() - start
        return pinned(batch) if self.pin else batch, seconds


def pinned(batch: Batch) -> Batch:
    """The same batch in page-locked memory; parts that are on a GPU already stay there."""
    parts = (p.pin_memory() if isinstance(p, torch.Tensor) and p.device.type == "cpu" else p for p in batch)
    return type(batch)(*parts)  # type: ignore[arg-type]
