"""What happens between the iterations of a run: logging, sampling, scoring, saving, stopping."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from types import FrameType
from typing import TYPE_CHECKING, Any

import torch
from omegaconf import DictConfig, OmegaConf

from gan_cli.config.schema import TrainerSettings
from gan_cli.data.base import Dataset
from gan_cli.systems.base import test_mode
from gan_cli.training import checkpoint
from gan_cli.training.logger import Logger, Progress
from gan_cli.training.monitor import Monitor
from gan_cli.training.run_dir import RunDir
from gan_cli.training.trainer import Trainer, to_device
from gan_cli.utils import distributed
from gan_cli.utils.errors import Diverged, Interrupted, reading

if TYPE_CHECKING:
    from gan_cli.metrics.validation import Validator

DIVERGED = 1000  # above every signal's number


class Loop:
    """Plays `trainer` to the end of the run that `cfg` describes, and writes into `run` (rank 0).

    scoring: what is evaluated on the way, if anything.
    """

    def __init__(
        self, run: RunDir, cfg: DictConfig, data: Dataset, trainer: Trainer, scoring: Validator | None = None
    ) -> None:
        self.run, self.trainer, self.data, self.scoring = run, trainer, data, scoring
        settings: Any = OmegaConf.to_container(cfg.trainer, resolve=True)
        self.settings, self.seed = TrainerSettings(**settings), cfg.seed
        self.first = distributed.rank() == 0
        self.logger = Logger(run, trainer.iteration) if self.first else None
        self.monitor = Monitor(trainer.system)
        self.progress = Progress(trainer.iteration, self.settings.iterations, self.settings.batch_size)

    def play(self, received: list[int]) -> None:
        """Until the run's last iteration, or until a signal is in `received`. Diverged leaves the last checkpoint."""
        trainer, settings = self.trainer, self.settings
        try:
            if trainer.iteration == 0:
                self.sample()
            while trainer.iteration < settings.iterations:
                scalars = trainer.iterate()
                log = self.due(settings.log_every)
                stopped = self.agree(received, check=log or trainer.device.type == "cpu")
                record = self.log(scalars) if log else {}
                if self.due(settings.sample_every):
                    record |= self.sample()
                if self.logger and record:
                    self.logger.scalars(trainer.iteration, record)
                best = self.due(settings.evaluate_every) and self.evaluate()
                if best or stopped or self.due(settings.checkpoint_every) or self.due(settings.keep_every):
                    self.save(best)
                if stopped and trainer.iteration < settings.iterations:
                    raise self.interrupted(stopped)
        finally:
            if self.logger:
                self.logger.close()
        if self.first:
            if self.scoring and self.scoring.best:
                print("best.pt: {name} {value:.4f} at iteration {iteration}".format(**self.scoring.best))
            print(
                f"done: {self.run.path} holds samples/, checkpoints/ and metrics.jsonl; next: "
                f"`gan sample {self.run.path}`, or `gan resume {self.run.path} trainer.iterations=N` to train longer"
            )

    def due(self, every: int) -> bool:
        """After each `every` iterations (0: none), and after the last."""
        done = self.trainer.iteration
        return done == self.settings.iterations or (bool(every) and done % every == 0)

    def agree(self, received: list[int], check: bool) -> int:
        """The signal by which all processes stop after this iteration, or 0. Diverged if a value is not finite."""
        problem: Diverged | None = None
        if check:
            try:
                self.trainer.check_finite()
            except Diverged as error:
                problem = error
        verdict = distributed.largest(DIVERGED if problem else received[0] if received else 0)
        if verdict == DIVERGED:
            raise self.diverged(problem or Diverged("a value in another process is not finite"))
        return verdict

    def interrupted(self, number: int) -> Interrupted:
        return Interrupted(
            f"stopped by {signal.Signals(number).name} after iteration {self.trainer.iteration}; "
            f"saved: `gan resume {self.run.path}` goes on to the same bits",
            128 + number,
        )

    def diverged(self, problem: Diverged) -> Diverged:
        left = (
            f"checkpoint {self.run.last} of before is kept"
            if self.run.last.exists()
            else "no checkpoint had been written yet"
        )
        return Diverged(f"{problem}; stopped; {left}; a lower optimizer.lr or another loss may help")

    def log(self, scalars: dict[str, torch.Tensor]) -> dict[str, float]:
        """What there is to say about this iteration; the terminal hears of it at once. One sync."""
        if not self.first:
            return {}
        done = self.trainer.iteration
        values = dict(zip(scalars, torch.stack([v.float() for v in scalars.values()]).tolist(), strict=True))
        values |= self.trainer.system.scalars()
        rate = self.progress.rate(done)
        self.progress.show(done, rate, values)
        rates = {
            f"learning_rate/{name}": float(optimizer.param_groups[0]["lr"])
            for name, optimizer in self.trainer.optimizers.items()
        }
        self.warn(self.monitor.saturated(done, values))
        return values | rates | {"images_per_second": rate * self.settings.batch_size}

    def sample(self) -> dict[str, float]:
        """The same noise and the same held-out samples each time, so that the pictures can be compared. Returns how
        diverse they are, once the game has been played."""
        if not self.logger:
            return {}
        system, done = self.trainer.system, self.trainer.iteration
        with reading("dataset"):
            batch = to_device(self.data.test_batch(0, self.settings.sample_count), self.trainer.device)
        with self.averaged(), test_mode(system, self.seed):
            named = system.sample(batch)
            diversity = self.monitor.diversity(batch, named) if done else {}
            scores = system.histograms(batch)
        self.logger.samples(done, named, self.data.value_range)
        self.logger.histograms(done, scores)
        self.warn(self.monitor.alike(done, diversity))
        self.warn(self.monitor.hinge(done, scores, system.scalars()))
        return diversity

    def averaged(self) -> AbstractContextManager[None]:
        """Inside, the system plays with the averaged networks if there are some."""
        return self.trainer.ema.swapped() if self.trainer.ema else nullcontext()

    def evaluate(self) -> bool:
        """Score the system as it would be sampled. True, in all processes, if it is the best so far."""
        if self.scoring is None:
            return False
        best = False
        if self.logger:
            done, start = self.trainer.iteration, time.perf_counter()
            with self.progress.paused(), self.averaged():
                values, problems = self.scoring.score(self.trainer.system, self.data)
            self.warn(problems)
            best = self.scoring.is_best(done, values)
            if values:
                self.logger.scalars(done, {f"metric/{name}": value for name, value in values.items()})
                shown = "  ".join(f"{name} {value:.4f}" for name, value in values.items())
                praise = f", the best {self.scoring.best_by} so far" if best else ""
                self.progress.say(f"scores of iteration {done}: {shown}  ({time.perf_counter() - start:.1f} s{praise})")
        return bool(distributed.largest(int(best)))

    def warn(self, lines: list[str]) -> None:
        for line in lines:
            self.progress.say(line)

    def save(self, best: bool = False) -> None:
        """last.pt; and best.pt after it, so that no kill leaves a best.pt that lies ahead."""
        try:
            self.trainer.check_weights()
        except Diverged as problem:
            raise self.diverged(problem) from None
        state = self.trainer.state_dict()
        if self.first:
            if self.scoring and self.scoring.best:
                state["best"] = self.scoring.best
            done, newest, every = self.trainer.iteration, self.settings.keep_checkpoints, self.settings.keep_every
            if newest or (every and done % every == 0):
                checkpoint.save(self.run.checkpoints / f"{done:06d}.pt", state)
            if newest:
                checkpoint.keep_newest(self.run.checkpoints, newest, every)
            checkpoint.save(self.run.last, state)
            if best:
                checkpoint.save(self.run.best, state)


@contextmanager
def signals() -> Iterator[list[int]]:
    """Collect SIGINT and SIGTERM in a list instead of dying of them; a second one of a kind kills."""
    received: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        received.append(number)
        signal.signal(number, signal.SIG_DFL)

    if threading.current_thread() is not threading.main_thread():
        yield received
        return
    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
