"""Load the next batches in a thread while the current ones are trained on."""

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import torch

from gan_cli.data.base import Batch

MIN_SECONDS = 0.5e-3  # per batch: below this, handing a batch to a thread costs more than it gains


class Prefetcher:
    """Calls load(position) for the positions 0, step, 2 step, ... and loads the next ones ahead of time.

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
        self._next: dict[int, Future[tuple[Batch, float]]] = {}

    def __call__(self, position: int) -> Batch:
        return self.several(position, 1)[0]

    def several(self, position: int, count: int) -> list[Batch]:
        """The `count` batches from `position` on; as many are loaded ahead."""
        ahead, self._next = self._next, {}
        end = position + count * self.step
        loaded = [
            ahead[at].result() if at in ahead else self._timed(at) for at in range(position, end, self.step)
        ]
        # Decided anew each time, because the first batch may include the opening of files or the filling of a cache.
        if loaded and loaded[-1][1] > self.min_seconds:
            pool = self._pool = self._pool or ThreadPoolExecutor(1, "batches")
            following = range(end, end + count * self.step, self.step)
            self._next = {at: pool.submit(self._timed, at) for at in following}
        return [batch for batch, _ in loaded]

    def _timed(self, position: int) -> tuple[Batch, float]:
        start = time.perf_counter()
        batch = self.load(position)
        seconds = time.perf_counter() - start
        return pinned(batch) if self.pin else batch, seconds


def pinned(batch: Batch) -> Batch:
    """The same batch in page-locked memory; parts that are on a GPU already stay there."""
    parts = (p.pin_memory() if isinstance(p, torch.Tensor) and p.device.type == "cpu" else p for p in batch)
    return type(batch)(*parts)  # type: ignore[arg-type]
