"""The training loop around the trainer: logging, sampling, evaluating, saving, stopping."""

from __future__ import annotations

import signal
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext, suppress
from typing import TYPE_CHECKING, Any

import torch
from omegaconf import DictConfig, OmegaConf

from gan_cli.config.schema import TrainerSettings
from gan_cli.data.base import Dataset
from gan_cli.systems.base import test_mode
from gan_cli.training import checkpoint, run_facts
from gan_cli.training.logger import Logger, TrainingProgress
from gan_cli.training.loggers import LogService
from gan_cli.training.monitor import Monitor
from gan_cli.training.run_dir import RunDir
from gan_cli.training.sample_images import sample_image
from gan_cli.training.trainer import Trainer, to_device
from gan_cli.utils import distributed
from gan_cli.utils.commands import command
from gan_cli.utils.distributed import print_once
from gan_cli.utils.errors import Diverged, Interrupted, reading
from gan_cli.utils.time_limit import TimeLimit

if TYPE_CHECKING:
    from gan_cli.metrics.validation import Validator

TIME_IS_UP = 500  # among the numbers of signals: trainer.max_time
DIVERGED = 1000  # larger than any signal's number, so that it wins when the processes agree on the largest


class Loop:
    """Trains with `trainer` to the end of the run that `cfg` describes. Rank 0 writes into `run`.

    validator: evaluates the system every `trainer.evaluate_every` iterations. reported: whether the trainer's iteration
    has been logged and evaluated. loggers: by name, beside metrics.jsonl and samples/.
    """

    def __init__(
        self, run: RunDir, cfg: DictConfig, data: Dataset, trainer: Trainer, validator: Validator | None = None,
        reported: bool = True, loggers: Mapping[str, LogService] | None = None,
    ) -> None:  # fmt: skip
        self.run, self.trainer, self.data, self.validator = run, trainer, data, validator
        settings: Any = OmegaConf.to_container(cfg.trainer, resolve=True)
        self.settings, self.seed = TrainerSettings(**settings), cfg.seed
        self.logger = Logger(run, trainer.iteration, loggers or {}, cfg) if distributed.rank() == 0 else None
        facts = run_facts.read(run.path) if self.logger else {}
        self.model = run_facts.model_name(facts, type(trainer.system).__name__)
        self.monitor = Monitor(trainer.system)
        self.progress = TrainingProgress(trainer.iteration, self.settings.iterations, self.settings.batch_size)
        if self.logger:
            self.logger.say = self.progress.say
        self.limit = TimeLimit(self.settings.max_time)
        self.reported = reported

    def train(self, received: list[int]) -> None:
        """Train until the last iteration, or until `received` holds the number of a signal.

        Raises Interrupted after a signal, and shortly before trainer.max_time, when the state is saved; Diverged for
        values that are not finite. After any other error, the state of the last iteration is saved if it is whole.
        """
        trainer, settings = self.trainer, self.settings
        try:
            if trainer.iteration == 0:
                self.sample()
                if settings.init_from is not None:
                    self.save(numbered=False)  # a resumed run does not open the source again
            elif not self.reported:
                self.report({}, received)
            while trainer.iteration < settings.iterations:
                scalars = trainer.iterate()
                self.reported = False
                self.report(scalars, received)
        except (Diverged, Interrupted, checkpoint.NotWritten):
            raise
        except BaseException:
            self.rescue()
            raise
        finally:
            if self.logger:
                self.logger.close()
        self.announce_end()

    def report(self, scalars: dict[str, torch.Tensor], received: list[int]) -> None:
        """What follows the training of an iteration: log, sample, evaluate, save, stop, each if it is due."""
        trainer, settings = self.trainer, self.settings
        # Reading values waits for the device. On a CPU that costs nothing; a GPU is only asked when it is waited for
        # anyway, for the log. All processes take the same decisions, or they would wait forever.
        log = self.due(settings.log_every)
        stopped = self.agree(received, check=log or trainer.device.type == "cpu")

        # One line of metrics.jsonl per iteration, so the losses and the diversity of samples share a record.
        record = self.log(scalars) if log and scalars else {}
        if self.due(settings.sample_every):
            record |= self.sample()
        if self.logger and record:
            self.logger.scalars(trainer.iteration, record)

        # Evaluated before it is saved, so that last.pt knows the best score so far.
        best = self.due(settings.evaluate_every) and self.evaluate()
        self.reported = True
        if best or stopped or self.due(settings.checkpoint_every) or self.due(settings.keep_every):
            self.save(best)
        elif settings.max_time is not None and not self.limit.measured:
            self.save(numbered=False)  # to know how long before the limit the last save has to begin
        if stopped and trainer.iteration < settings.iterations:
            raise self.interrupted(stopped)

    def rescue(self) -> None:
        """Save the state of the last complete iteration after an error, unless that is not possible.

        It is not if an iteration was in progress and has changed weights, and not if other processes, whose states are
        part of the run's, wait for this one.
        """
        if self.trainer.whole and self.trainer.iteration and distributed.world() == 1:
            with suppress(Exception):  # the first error is the one to be reported
                self.save(numbered=False)

    def announce_end(self) -> None:
        """Print where the results are and what can be done with them."""
        if self.validator and self.validator.best:
            print_once("best.pt: {name} {value:.4f} at iteration {iteration}".format(**self.validator.best))
        longer = command("resume", self.run.path, "trainer.iterations=N")
        use = command("sample", self.run.path)
        if self.trainer.system.directions and self.data.value_range is not None:
            use = command("translate", self.run.path, "input=DIR", "output=DIR")
        print_once(
            f"done: {self.run.path} holds samples/, checkpoints/ and metrics.jsonl; next: {use}, or {longer} to train "
            "longer"
        )

    def due(self, every: int) -> bool:
        """Whether something is due that happens after every `every` iterations (0: never) and after the last one."""
        done = self.trainer.iteration
        return done == self.settings.iterations or (bool(every) and done % every == 0)

    def agree(self, received: list[int], check: bool) -> int:
        """The signal by which all processes stop after this iteration, TIME_IS_UP, or 0.

        check: look for values that are not finite. Raises Diverged, in all processes, if one of them has found one.
        """
        problem: Diverged | None = None
        if check:
            try:
                self.trainer.check_finite()
            except Diverged as error:
                problem = error
        late = TIME_IS_UP if self.limit.reached() else 0
        verdict = distributed.largest(DIVERGED if problem else received[0] if received else late)
        if verdict == DIVERGED:
            raise self.diverged(problem or Diverged("a value in another process is not finite"))
        return verdict

    def interrupted(self, number: int) -> Interrupted:
        late = number == TIME_IS_UP
        reason = f"before trainer.max_time={self.settings.max_time}" if late else f"by {signal.Signals(number).name}"
        return Interrupted(
            f"stopped {reason} after iteration {self.trainer.iteration}; "
            f"saved: {command('resume', self.run.path)} continues as if it had not been interrupted",
            128 + (signal.SIGTERM if late else number),
        )

    def diverged(self, problem: Diverged) -> Diverged:
        saved = f"checkpoint {self.run.last} is kept" if self.run.last.exists() else "no checkpoint exists yet"
        return Diverged(f"{problem}; stopped; {saved}; a lower optimizer.lr or another loss may help")

    def log(self, scalars: dict[str, torch.Tensor]) -> dict[str, float]:
        """Read the iteration's scalars, which waits for the device once, and print them. Returns what is logged."""
        if not self.logger:
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
        """Write a grid of samples. Returns their diversity, except before the first iteration."""
        if not self.logger:
            return {}
        system, done = self.trainer.system, self.trainer.iteration
        with reading("dataset"):
            batch = to_device(self.data.test_batch(0, self.settings.sample_count), self.trainer.device)
        # The same noise and held-out images each time, so that the grids of a run can be compared.
        with self.averaged(), test_mode(system, self.seed):
            named = system.sample(batch)
            diversity = self.monitor.diversity(batch, named) if done else {}
            histograms = system.histograms(batch)
        title = f"{self.model}, iteration {done}"
        self.logger.samples(done, ",".join(named), sample_image(system, self.data, batch, named, title))
        self.logger.histograms(done, histograms)
        self.warn(self.monitor.alike(done, diversity))
        self.warn(self.monitor.hinge(done, histograms, system.scalars()))
        return diversity

    def averaged(self) -> AbstractContextManager[None]:
        """Inside, the system uses the averaged networks, if the trainer keeps an average."""
        return self.trainer.ema.swapped() if self.trainer.ema else nullcontext()

    def evaluate(self) -> bool:
        """Evaluate the system with its averaged networks. Returns, in all processes, whether it is the best so far."""
        if self.validator is None:
            return False
        best = False
        if self.logger:
            done, start = self.trainer.iteration, time.perf_counter()
            with self.progress.paused(), self.averaged():
                values, problems = self.validator.score(self.trainer.system, self.data)
            self.warn(problems)
            best = self.validator.is_best(done, values)
            if values:
                self.logger.scalars(done, {f"metric/{name}": value for name, value in values.items()})
                shown = "  ".join(f"{name} {value:.4f}" for name, value in values.items())
                note = f", the best {self.validator.best_metric} so far" if best else ""
                self.progress.say(f"scores of iteration {done}: {shown}  ({time.perf_counter() - start:.1f} s{note})")
        return bool(distributed.largest(int(best)))

    def warn(self, lines: list[str]) -> None:
        for line in lines:
            self.progress.say(line)

    def save(self, best: bool = False, numbered: bool = True) -> None:
        """Write last.pt, the numbered checkpoint that is due, and best.pt if the state is the best so far."""
        try:
            self.trainer.check_weights()
        except Diverged as problem:
            raise self.diverged(problem) from None
        with self.limit.saving():
            state = self.trainer.state_dict()  # by all processes, which send theirs to rank 0
            if self.logger:
                self._write(state, best, numbered)

    def _write(self, state: dict[str, Any], best: bool, numbered: bool) -> None:
        if self.validator and self.validator.best:
            state["best"] = self.validator.best
        if not self.reported:
            state["reported"] = False
        done, newest, every = self.trainer.iteration, self.settings.keep_checkpoints, self.settings.keep_every
        if numbered and (newest or (every and done % every == 0)):
            checkpoint.save(self.run.checkpoints / f"{done:06d}.pt", state)
            if newest:
                checkpoint.keep_newest(self.run.checkpoints, newest, every)
        checkpoint.save(self.run.last, state)
        # After last.pt: if the process is killed in between, `resume` writes it. A best.pt that is ahead of last.pt
        # would be of an iteration that the resumed run has yet to reach.
        if best:
            checkpoint.save(self.run.best, state)
