"""`gan train`: compose, check, prepare, and only then let Hydra make the run directory and run the job."""

from __future__ import annotations

import argparse
import copy
import os
import shutil
from pathlib import Path
from typing import Any

from hydra._internal.utils import _run_hydra, get_args_parser
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import TaskFunction
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from gan_cli import compose
from gan_cli.config import command_line_modules
from gan_cli.errors import Busy, GanError
from gan_cli.runs import holds_run


def train(argv: list[str]) -> int:
    """Run the verb with Hydra's arguments; returns the exit status, raises GanError."""
    os.environ["HYDRA_FULL_ERROR"] = "1"  # exceptions reach us whole, instead of Hydra's report and exit
    args = compose.arguments(argv)
    composer = compose.Composer(args)
    try:
        return _train(args, composer)
    except (HydraException, OmegaConfBaseException) as error:
        raise GanError(composer.explain(error, args.overrides)) from error


def _train(args: argparse.Namespace, composer: compose.Composer) -> int:
    if args.cfg or args.info or args.hydra_help or args.shell_completion:
        if args.cfg:
            composer.compose(args.overrides)
            args.resolve = args.resolve or args.cfg == "job"  # what the run gets, without ${...}
        hydra_main(args, composer, _nothing)
        return 0
    if args.multirun or any(o.replace(" ", "").lower() == "hydra.mode=multirun" for o in args.overrides):
        from gan_cli import sweep

        return sweep.run(args, composer)
    swept = [o for o in args.overrides if o.startswith((compose.SWEEPER, "+sweep="))]
    if swept:
        raise GanError(f"{swept[0].lstrip('+').replace(compose.SWEEPER, 'sweep.')} is of a sweep: add -m")
    cfg = composer.compose(args.overrides)
    if os.environ.get("RANK", "0") == "0":
        run_dir = Path(cfg.hydra.run.dir)
        refuse_second_run(run_dir)
        prepared = prepare(cfg)
        args.overrides = [*args.overrides, f"hydra.run.dir={quoted(str(run_dir))}"]  # as resolved here
        _run_in_directory(args, composer, prepared, run_dir)
    else:  # one of torchrun's other processes: rank 0 makes the directory
        prepared = prepare(cfg)
        _runner().train(prepared, None)
    return 0


def prepare(cfg: DictConfig) -> Any:
    """Check a configuration and build what it names, for runner.train. Writes nothing; raises GanError."""
    return _runner().prepare(without_hydra(cfg), command_line_modules(task_overrides(cfg.hydra)))


def task_overrides(hydra: Any) -> list[str]:
    """The overrides as typed; `${...}` in one is not an interpolation here."""
    texts = OmegaConf.to_container(hydra.overrides.task, resolve=False)
    assert isinstance(texts, list)
    return [str(text) for text in texts]


def without_hydra(cfg: DictConfig) -> DictConfig:
    """A copy of a composed configuration that holds only what is the program's own."""
    HydraConfig.instance().set_config(cfg)  # for ${hydra:...} in the user's own files
    task = copy.deepcopy(cfg)
    with open_dict(task):
        del task["hydra"]
    return task


def refuse_second_run(run_dir: Path) -> None:
    """Raise GanError when the directory already holds a run."""
    if holds_run(run_dir):
        raise GanError(
            f"{run_dir} already holds a run: `gan resume {run_dir}` continues it, "
            "another hydra.run.dir starts a new one"
        )


def hydra_main(args: argparse.Namespace, composer: compose.Composer, task: TaskFunction) -> None:
    """What hydra.main does once it has read sys.argv; ours holds a verb and is read already."""
    args.config_path = composer.config_path
    _run_hydra(args, get_args_parser(), task, composer.config_path, composer.config_name)


def quoted(text: str) -> str:
    """A text as one value of an override."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _run_in_directory(
    args: argparse.Namespace, composer: compose.Composer, prepared: Any, run_dir: Path
) -> None:
    """Train in `run_dir`; where that cannot be made, GanError, and nothing of it stays but what another process has."""
    failed: list[Exception] = []
    fresh = not run_dir.exists()

    def task(cfg: DictConfig) -> None:
        try:
            hydra = HydraConfig.get()
            _runner().train(prepared, Path(hydra.runtime.output_dir), task_overrides(hydra))
        except Exception as error:  # Hydra would print its own report of it
            failed.append(error)

    try:
        hydra_main(args, composer, task)
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


def _runner() -> Any:
    """The module that trains; importing it imports torch, which takes seconds."""
    from gan_cli import runner

    return runner


def _nothing(cfg: DictConfig) -> None:
    """The task of a command that only shows something."""
