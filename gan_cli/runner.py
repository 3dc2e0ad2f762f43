"""One run: build, train, log, sample, save."""

import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from omegaconf import DictConfig

from gan_cli import build, checkpoint, config, distributed, draw, overrides, precision
from gan_cli.data.base import Dataset
from gan_cli.errors import Diverged, GanError, Interrupted
from gan_cli.logger import Logger, Progress
from gan_cli.rundir import RunDir
from gan_cli.systems.base import System
from gan_cli.trainer import Trainer, to_device


@dataclass(frozen=True)
class Prepared:
    """A checked config with its data set and game; nothing is written yet."""

    cfg: DictConfig
    data: Dataset
    game: System
    device: torch.device


def prepare(cfg: DictConfig, allowed_modules: Sequence[str] = ()) -> Prepared:
    """Check `cfg` and build what it describes, from its seed. GanError if anything is wrong; writes nothing."""
    config.check(cfg, allowed_modules)
    device = build.device(cfg.trainer.device)
    if cfg.trainer.batch_size % distributed.world():
        raise GanError(
            f"trainer.batch_size={cfg.trainer.batch_size} cannot be divided among "
            f"{distributed.world()} processes"
        )
    game = build.system(cfg)
    data = build.dataset(cfg)
    build.match(cfg, game, data)
    return Prepared(cfg, data, game, device)


def train(prepared: Prepared, run_dir: Path | None, changes: Sequence[str] = ()) -> None:
    """Train a new run, made by the overrides `changes`, in `run_dir` (rank 0's counts). GanError when it holds one."""
    distributed.start(prepared.device)
    run = RunDir(Path(distributed.from_first(str(run_dir))))
    if distributed.rank() == 0:
        facts = {"data": prepared.data.fingerprint(), "device": _describe(prepared.device)}
        run.create(prepared.cfg, {"overrides": list(changes), **facts})
    _run(run, prepared, state=None)


def resume(run_dir: Path, changes: list[str], allowed_modules: Sequence[str] = ()) -> None:
    """Go on with the run in `run_dir` from its last checkpoint, on its own config with the overrides `changes`."""
    run = RunDir(run_dir)
    cfg = run.open()
    overrides.override_run(cfg, changes)
    prepared = prepare(cfg, allowed_modules)
    state = checkpoint.load(run.last) if run.last.exists() else None
    if state and state["iteration"] >= cfg.trainer.iterations:
        raise GanError(
            f"{run_dir} has finished its {state['iteration']} iterations; "
            f"`gan resume {run_dir} trainer.iterations=N` with a larger N lengthens it"
        )
    distributed.start(prepared.device)
    if distributed.rank() == 0:
        run.lock()
        data = prepared.data.fingerprint()
        if data != run.facts()["data"]:
            print("note: the data are not those that the run began with: not to the same bits", flush=True)
        run.note(
            "resumes",
            {
                "overrides": changes,
                "iteration": state["iteration"] if state else 0,
                "data": data,
                "device": _describe(prepared.device),
            },
        )
        run.save_config(cfg)
    print(
        f"resuming {run_dir} "
        + (f"after iteration {state['iteration']}" if state else "from the start: it has no checkpoint yet"),
        flush=True,
    )
    _run(run, prepared, state)


def _run(run: RunDir, prepared: Prepared, state: dict[str, Any] | None) -> None:
    settings = prepared.cfg.trainer
    _determinism(settings.deterministic)
    if settings.precision == "bfloat16" and precision.slow_bfloat16(prepared.device):
        print(
            "warning: this CPU has no bfloat16 units and emulates them, up to 270 times slower; "
            "trainer.precision=float32 is the fast one here",
            flush=True,
        )
    prepared.game.to(prepared.device)
    prepared.data.to(prepared.device)
    trainer = build.trainer(prepared.cfg, prepared.game, prepared.data)
    if state is not None:
        _load(trainer, state, run.last)
    if distributed.rank() == 0:
        sizes = {name: sum(p.numel() for p in part.parameters()) for name, part in prepared.game.named_children()}
        parameters = ", ".join(f"{name} {size:,}" for name, size in sizes.items() if size)
        print(f"training in {run.path} on {prepared.device}; parameters: {parameters}", flush=True)
    try:
        with _signals() as received:
            Loop(run, prepared, trainer).play(received)
    except OSError as error:
        raise GanError(
            f"cannot write into {run.path}: {error.strerror or error}; its last checkpoint stays: "
            f"`gan resume {run.path}` goes on once that is mended"
        ) from error
    finally:
        distributed.stop()


class Loop:
    """Iterations with what happens between them: logging, sampling, saving, stopping."""

    def __init__(self, run: RunDir, prepared: Prepared, trainer: Trainer) -> None:
        self.run, self.trainer, self.data = run, trainer, prepared.data
        self.settings, self.seed = prepared.cfg.trainer, prepared.cfg.seed
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
def _signals() -> Iterator[list[int]]:
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


def _load(trainer: Trainer, state: dict[str, Any], path: Path) -> None:
    try:
        trainer.load_state_dict(state)
    except (KeyError, RuntimeError, ValueError) as error:
        raise GanError(
            f"{path} does not fit this run's networks: {' '.join(str(error).split())[:200]}"
        ) from error
    if len(state["processes"]) != distributed.world() and distributed.rank() == 0:
        print(
            f"note: the run was saved by {len(state['processes'])} processes and goes on with "
            f"{distributed.world()}: not to the same bits",
            flush=True,
        )


def _determinism(wanted: bool) -> None:
    torch.backends.cudnn.deterministic = wanted
    torch.backends.cudnn.benchmark = not wanted


def _describe(device: torch.device) -> dict[str, Any]:
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
    return {
        "type": device.type,
        "name": name,
        "threads": torch.get_num_threads(),
        "processes": distributed.world(),
    }
