"""One trial of a sweep or a search: started or resumed, its failure recorded in failure.json."""

from __future__ import annotations

import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from gan_cli.config.composer import task_overrides
from gan_cli.config.override_text import quoted
from gan_cli.config.schema import command_line_modules
from gan_cli.experiments import hparams
from gan_cli.experiments.experiment import is_monitoring_key, key_of
from gan_cli.experiments.trials import iterations
from gan_cli.training import launch, run
from gan_cli.training.find_runs import is_resumable
from gan_cli.training.run_dir import RunDir
from gan_cli.training.run_history import FAILURE, failure, write_failure
from gan_cli.utils.errors import GanError, Interrupted, one_line

GRACE = 60.0  # seconds that the process of a killed sweep may need to write its checkpoint


@dataclass(frozen=True)
class TrialJob:
    """A trial to be trained in `folder` by `gan train *options *overrides`, or resumed if the folder holds it."""

    folder: Path
    overrides: tuple[str, ...]
    options: tuple[str, ...] = ()


def train_or_resume(job: TrialJob) -> int:
    """Train a trial to its end. Returns the exit status; errors are recorded in failure.json."""
    try:
        with record_failure(job.folder, job.overrides):
            if not is_resumable(job.folder):
                run_dir = f"hydra.run.dir={quoted(str(job.folder))}"
                launch.train_words([*job.options, *job.overrides, run_dir])
            elif not resume_or_skip(job.folder, job.overrides):
                return 0
            hparams.record(job.folder, job.overrides)
    except (Interrupted, KeyboardInterrupt) as error:
        return error.status if isinstance(error, Interrupted) else 130
    return int(failure(job.folder).get("status", 0))


def run_trial(cfg: DictConfig) -> None:
    """The task that Hydra's launchers run: one trial, whose failure is recorded and does not end the others."""
    hydra = HydraConfig.get()
    folder, overrides = Path(hydra.runtime.output_dir), task_overrides(hydra)
    try:
        with record_failure(folder, overrides):
            if not is_resumable(folder):
                prepared = run.prepare(cfg, command_line_modules(overrides))
                run.train(prepared, folder, overrides, hydra.runtime.choices)
            elif not resume_or_skip(folder, overrides):
                return
            hparams.record(folder, overrides)
    except Interrupted as error:
        raise SystemExit(error.status) from error  # ends the sweep: Hydra catches every Exception


def resume_or_skip(folder: Path, overrides: Sequence[str]) -> bool:
    """Resume a trial if it has iterations left. Returns whether it had.

    Of its overrides, those count that change where it is computed and how it is monitored; the settings that determine
    what it learns are those in its folder.
    """
    _wait_for_lock(folder)
    done, total = iterations(folder)
    if done >= total:
        return False
    keys = [(key_of(override), override) for override in overrides]
    monitoring = [override for key, override in keys if is_monitoring_key(key) and key not in ("seed", "modules")]
    run.resume(folder, monitoring, command_line_modules(overrides))
    return True


def _wait_for_lock(folder: Path) -> None:
    """Wait until the process of a killed sweep has saved its state, for GRACE at most."""
    until = time.monotonic() + GRACE
    while time.monotonic() < until:
        try:
            RunDir(folder).lock()  # the lock is dropped at once, and `run.resume` takes it
            return
        except GanError:
            time.sleep(0.2)


@contextmanager
def record_failure(folder: Path, overrides: Sequence[str]) -> Iterator[None]:
    """Write an error of the block to failure.json and suppress it, so that it does not end the other trials.

    An earlier failure.json is removed. Interrupted is raised again.
    """
    (folder / FAILURE).unlink(missing_ok=True)
    try:
        yield
    except Interrupted:
        raise
    except GanError as error:
        write_failure(folder, error.status, one_line(error), overrides)
        print(f"{folder.name} failed: {one_line(error)}", flush=True)
    except Exception as error:  # a defect of the program or of a module of the user's
        text = f"{type(error).__name__}: {one_line(error)}"
        write_failure(folder, 1, text, overrides, traceback.format_exc())
        print(f"{folder.name} failed: {one_line(error)}", flush=True)
