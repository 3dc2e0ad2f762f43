"""Time that training takes on this machine, from a few of its iterations."""

from __future__ import annotations

import time
from dataclasses import dataclass

from omegaconf import DictConfig

from gan_cli.config.schema import TrainerSettings
from gan_cli.data.base import Dataset
from gan_cli.systems.base import System, test_mode
from gan_cli.training import build
from gan_cli.training.trainer import Trainer
from gan_cli.utils.progress import Progress

WARM_UP = 2  # iterations that are not timed: the first ones choose kernels and allocate
LEAST, MOST = 3, 60  # timed iterations
SECONDS = 8.0  # after which no further iteration is timed


@dataclass(frozen=True)
class Times:
    """Seconds: per iteration, of this process and of the processor; per grid of samples; of the whole run."""

    iteration: float
    processor: float
    grid: float
    iterations: int
    grids: int
    timed: int

    @property
    def total(self) -> float:
        """Seconds of all iterations and grids. Evaluation and checkpoints are not in it."""
        return self.iteration * self.iterations + self.grid * self.grids


def measure(cfg: DictConfig, system: System, data: Dataset) -> Times:
    """Train `system` for a few iterations in memory, and time them. Its weights change; nothing is written."""
    settings = cfg.trainer
    device = build.device(settings.device)
    trainer = build.trainer(cfg, system.to(device), data)
    progress = Progress(0, "iterations", label="timing")
    start = trainer.iteration = settings.iterations // 2  # past the first phases of models that have several
    for _ in range(WARM_UP):
        _iterate(trainer)
    before, used = time.perf_counter(), time.process_time()
    while _continues(trainer.iteration - start - WARM_UP, time.perf_counter() - before):
        _iterate(trainer)
        progress.advance()
    count = trainer.iteration - start - WARM_UP
    seconds, busy = time.perf_counter() - before, time.process_time() - used
    grid = _grid(trainer, settings)
    grids = 1 + -(-settings.iterations // settings.sample_every)
    return Times(seconds / count, busy / count, grid, settings.iterations, grids, count)


def _continues(count: int, seconds: float) -> bool:
    return count < LEAST or (count < MOST and seconds < SECONDS)


def _iterate(trainer: Trainer) -> None:
    trainer.iterate()
    trainer.check_finite()  # waits for a GPU, as the loop does from time to time


def _grid(trainer: Trainer, settings: TrainerSettings) -> float:
    """Seconds of one grid of samples."""
    before = time.perf_counter()
    with test_mode(trainer.system, 0):
        batch = trainer.dataset.test_batch(0, settings.sample_count)
        parts = (None if part is None else part.to(trainer.device) for part in batch)
        named = trainer.system.sample(type(batch)(*parts))  # type: ignore[arg-type]
        for images in named.values():
            images.float().mean().item()  # waits for a GPU
    return time.perf_counter() - before
