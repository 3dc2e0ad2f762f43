"""`gan train`: compose, check, prepare, and only then let Hydra make the run directory and run the job."""

from __future__ import annotations

import argparse
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from gan_cli.config.composer import SWEEPER, Composer, arguments, quoted, task_overrides, without_hydra
from gan_cli.config.schema import command_line_modules
from gan_cli.training.find_runs import contains_run
from gan_cli.utils.errors import Busy, GanError

if TYPE_CHECKING:
    from gan_cli.training.run import Prepared


def train(args: argparse.Namespace) -> None:
    """Train one new run with the arguments that `composer.arguments` returns. GanError if they name a sweep's keys."""
    composer = Composer(args)
    with composer.explaining(args.overrides):
        if args.cfg or args.info or args.hydra_help or args.shell_completion:
            if args.cfg:
                composer.compose(args.overrides)
                args.resolve = args.resolve or args.cfg == "job"  # what the run gets, without ${...}
            composer.run(args, _nothing)
            return
        swept = [o for o in args.overrides if o.startswith((SWEEPER, "+sweep="))]
        if swept:
            raise GanError(f"{swept[0].lstrip('+').replace(SWEEPER, 'sweep.')} is of a sweep: add -m")
        _train(args, composer)


def train_words(words: list[str]) -> None:
    """Train one new run with the words that follow `gan train`."""
    train(arguments(words))


def _train(args: argparse.Namespace, composer: Composer) -> None:
    cfg = composer.compose(args.overrides)
    if os.environ.get("RANK", "0") != "0":  # one of torchrun's other processes: rank 0 makes the directory
        from gan_cli.training import run

        run.train(prepare(cfg), None)
        return
    run_dir = Path(cfg.hydra.run.dir)
    refuse_second_run(run_dir)
    prepared = prepare(cfg)
    args.overrides = [*args.overrides, f"hydra.run.dir={quoted(str(run_dir))}"]  # as resolved here
    _run_in_directory(args, composer, prepared, run_dir)


def prepare(cfg: DictConfig) -> Prepared:
    """Check a configuration and build what it names, for `run.train`. Writes nothing; raises GanError."""
    from gan_cli.training import run  # imports torch, which takes seconds

    return run.prepare(without_hydra(cfg), command_line_modules(task_overrides(cfg.hydra)))


def refuse_second_run(run_dir: Path) -> None:
    """Raise GanError when the directory already holds a run."""
    if contains_run(run_dir):
        raise GanError(
            f"{run_dir} already holds a run: `gan resume {run_dir}` continues it, "
            "another hydra.run.dir starts a new one"
        )


def _run_in_directory(
    args: argparse.Namespace, composer: Composer, prepared: Prepared, run_dir: Path
) -> None:
    """Train in `run_dir`; where that cannot be made, GanError, and nothing of it stays but what another process has."""
    from gan_cli.training import run

    failed: list[Exception] = []
    fresh = not run_dir.exists()

    def task(cfg: DictConfig) -> None:
        try:
            hydra = HydraConfig.get()
            run.train(prepared, Path(hydra.runtime.output_dir), task_overrides(hydra))
        except Exception as error:  # Hydra would print its own report of it
            failed.append(error)

    try:
        composer.run(args, task)
    except OSError as error:
        raise GanError(
            f"cannot make run directory {run_dir}: {error.strerror}; name a writable one with hydra.run.dir=..."
        ) from error
    finally:
        busy = any(isinstance(error, Busy) for error in failed)
        if fresh and not busy and not (run_dir / "provenance.json").exists():
            shutil.rmtree(run_dir, ignore_errors=True)
    if failed:
        raise failed[0]


def _nothing(cfg: DictConfig) -> None:
    """The task of a command that only shows something."""
