"""What happens between the iterations of a run: logging, sampling, saving, stopping."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from types import FrameType

import torch
from omegaconf import DictConfig

from gan_cli import checkpoint, distributed, draw
from gan_cli.data.base import Dataset
from gan_cli.errors import Diverged, Interrupted
from gan_cli.logger import Logger, Progress
from gan_cli.rundir import RunDir
from gan_cli.systems.base import System
from gan_cli.trainer import Trainer, to_device


class Loop:
    """Plays `trainer` to the end of the run that `cfg` describes, and writes into `run` (rank 0)."""

    def __init__(self, run: RunDir, cfg: DictConfig, data: Dataset, trainer: Trainer) -> None:
        self.run, self.trainer, self.data = run, trainer, data
        self.settings, self.seed = cfg.trainer, cfg.seed
        self.first = distributed.rank() == 0
        self.logger = Logger(run, trainer.iteration) if self.first else None
        self.progress = Progress(trainer.iteration, self.settings.iterations, self.settings.batch_size)

    def play(self, received: list[int]) -> None:
        """Until the run's last iteration, or until a signal is in `received`. Diverged leaves the last checkpoint."""
        trainer, settings = self.trainer, self.settings
        try:
            if trainer.iteration == 0:
                self.sample()
            while trainer.iteration < settings.iterations:
                scalars = trainer.iterate()
                done = trainer.iteration
                last = done == settings.iterations
                log = last or done % settings.log_every == 0
                self.stop_if(received, check=log or trainer.device.type == "cpu")
                if log and self.logger:
                    self.log(scalars)
                if last or done % settings.sample_every == 0:
                    self.sample()
                if last or done % settings.checkpoint_every == 0:
                    self.save()
        finally:
            if self.logger:
                self.logger.close()
        if self.first:
            print(
                f"done: {self.run.path} holds samples/, checkpoints/ and metrics.jsonl; next: "
                f"`gan sample {self.run.path}`, or `gan resume {self.run.path} trainer.iterations=N` to train longer"
            )

    def stop_if(self, received: list[int], check: bool) -> None:
        """All processes agree to stop: 1 a signal came, 2 a value is not finite."""
        problem: Diverged | None = None
        if check:
            try:
                self.trainer.check_finite()
            except Diverged as error:
                problem = error
        verdict = distributed.largest(2 if problem else 1 if received else 0)
        if verdict == 2:
            raise self.diverged(problem or Diverged("a value in another process is not finite"))
        if verdict == 1:
            self.save()
            number = distributed.largest(received[0] if received else 0)
            raise Interrupted(
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

    def log(self, scalars: dict[str, torch.Tensor]) -> None:
        assert self.logger is not None
        done = self.trainer.iteration
        values = dict(zip(scalars, torch.stack([v.float() for v in scalars.values()]).tolist(), strict=True))
        rate = self.progress.rate(done)
        self.progress.show(done, rate, values)
        rates = {
            f"learning_rate/{name}": optimizer.param_groups[0]["lr"]
            for name, optimizer in self.trainer.optimizers.items()
        }
        self.logger.scalars(done, values | rates | {"images_per_second": rate * self.settings.batch_size})

    def sample(self) -> None:
        """The same noise and the same held-out samples each time, so that the pictures can be compared."""
        if self.logger:
            batch = to_device(self.data.test_batch(0, self.settings.sample_count), self.trainer.device)
            averaged = self.trainer.ema.swapped() if self.trainer.ema else nullcontext()
            with averaged, test_mode(self.trainer.system, self.seed):
                named = self.trainer.system.sample(batch)
            self.logger.samples(self.trainer.iteration, named, self.data.value_range)

    def save(self) -> None:
        try:
            self.trainer.check_weights()
        except Diverged as problem:
            raise self.diverged(problem) from None
        state = self.trainer.state_dict()
        if self.first:
            if self.settings.keep_checkpoints:
                checkpoint.save(self.run.checkpoints / f"{self.trainer.iteration:06d}.pt", state)
                checkpoint.keep_newest(self.run.checkpoints, self.settings.keep_checkpoints)
            checkpoint.save(self.run.last, state)


@contextmanager
def test_mode(game: System, seed: int) -> Iterator[None]:
    """No graph, networks in eval mode, random numbers from `seed`; everything as before afterwards."""
    training = game.training
    game.eval()
    try:
        with torch.no_grad(), draw.fork(seed):
            yield
    finally:
        game.train(training)


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
