"""`gan train` of one run: compose, check and build everything before Hydra makes the run directory."""

from __future__ import annotations

import argparse
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from gan_cli.config.composer import SWEEPER, Composer, arguments, task_overrides, without_hydra
from gan_cli.config.override_text import quoted
from gan_cli.config.schema import command_line_modules
from gan_cli.training.find_runs import refuse_second_run
from gan_cli.utils.errors import Busy, GanError, writing

if TYPE_CHECKING:
    from gan_cli.training.run import Prepared

RUN_DIR = "hydra.run.dir"


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
            raise GanError(f"{swept[0].lstrip('+').replace(SWEEPER, 'sweep.')} is for sweeps: add -m")
        _train(args, composer)


def train_words(words: list[str]) -> None:
    """Train one new run with the words that follow `gan train`."""
    train(arguments(words))


def _train(args: argparse.Namespace, composer: Composer) -> None:
    cfg = composer.compose(args.overrides)
    if os.environ.get("RANK", "0") != "0":  # another process of torchrun: rank 0 makes the directory
        from gan_cli.training import run

        run.train(prepare(cfg), None)
        return
    run_dir = Path(cfg.hydra.run.dir)
    refuse_second_run(run_dir)
    prepared = prepare(cfg)
    # Hydra composes once more, and would resolve the time in the name of the directory anew.
    args.overrides = [*args.overrides, f"{RUN_DIR}={quoted(str(run_dir))}"]
    _run_in_directory(args, composer, prepared, run_dir)


def prepare(cfg: DictConfig) -> Prepared:
    """Check a configuration and build what it describes, for `run.train`. Writes nothing; raises GanError."""
    from gan_cli.training import run  # imports torch, which takes seconds

    return run.prepare(without_hydra(cfg), command_line_modules(task_overrides(cfg.hydra)))


def _run_in_directory(args: argparse.Namespace, composer: Composer, prepared: Prepared, run_dir: Path) -> None:
    """Let Hydra make `run_dir` and train in it."""
    from gan_cli.training import run

    failures: list[Exception] = []

    def task(cfg: DictConfig) -> None:
        hydra = HydraConfig.get()
        try:
            run.train(prepared, Path(hydra.runtime.output_dir), task_overrides(hydra), hydra.runtime.choices)
        except Exception as error:  # Hydra would print a report of its own
            failures.append(error)

    with _discarded_if_unused(run_dir):
        with writing(run_dir, RUN_DIR):
            composer.run(args, task)
        if failures:
            raise failures[0]


@contextmanager
def _discarded_if_unused(run_dir: Path) -> Iterator[None]:
    """Delete a directory that the block has made if it fails before a run begins in it."""
    existed = run_dir.exists()
    try:
        yield
    except Busy:  # another process has begun a run in the directory meanwhile
        raise
    except BaseException:
        if not existed and not (run_dir / "provenance.json").exists():
            shutil.rmtree(run_dir, ignore_errors=True)
        raise


def _nothing(cfg: DictConfig) -> None:
    """The task of a command that only shows something."""
