"""`gan train -m`: the cells of a sweep that are not done yet, and at the end a table of what became of all."""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import re
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from gan_cli.config import composer as compose
from gan_cli.config import migrations
from gan_cli.config.composer import SWEEPER, Composer, quoted, task_overrides, without_hydra
from gan_cli.config.schema import check, command_line_modules
from gan_cli.experiments import grid as cells
from gan_cli.experiments.grid import ExistingTrials, SweepGrid, SweepSettings, Trial
from gan_cli.experiments.sweep_report import SweepProgress, report
from gan_cli.experiments.workers import TrialJob, WorkerPool, record_failure, resume_or_skip
from gan_cli.training.find_runs import contains_run, is_resumable
from gan_cli.training.locks import claimed
from gan_cli.utils.errors import GanError, Interrupted

RECORD = "sweep.json"
OURS = "gan_cli."  # where the sweeper and the launcher lie that are no plugins of Hydra
PLUGINS = {  # launcher: package, how to get it
    "slurm": ("hydra_submitit_launcher", "hydra-submitit-launcher"),
    "submitit": ("hydra_submitit_launcher", "hydra-submitit-launcher"),
    "joblib": ("hydra_joblib_launcher", "'gan-cli[sweep]'"),
    "ray_local": ("hydra_ray_launcher", "hydra-ray-launcher"),
}
NOT_OF_CELLS = re.compile(r"\+*hydra[./](sweep|sweeper|launcher|mode|run)\b")


def run(args: argparse.Namespace) -> int:
    """Run the sweep that the arguments of `composer.arguments` describe; returns 1 if a trial has failed, else 0."""
    composer = Composer(args)
    with composer.explaining(args.overrides):
        return _run(args, composer)


def _run(args: argparse.Namespace, composer: Composer) -> int:
    """Check every swept value, run the cells that are not done, report. Returns 1 if a cell has failed, else 0.

    Raises GanError, before anything is made, when a value cannot be composed or fails `check`.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise GanError("a sweep runs its members itself: start `gan train -m` without torchrun")
    if any(override.lstrip("+").startswith("hydra.run.dir=") for override in args.overrides):
        raise GanError("hydra.run.dir is of a single run: a sweep's folder is hydra.sweep.dir=")
    _need_plugin(args.overrides)
    sweeper = composer.compose(_of_sweep(args), RunMode.MULTIRUN).hydra.sweeper
    if not sweeper._target_.startswith(OURS):
        return _by_sweeper(args, composer)
    asked = cells.settings(sweeper)
    grid = cells.grid(args.overrides, asked, composer)
    drawn = grid.subsample(asked.sample, asked.seed)
    for label, member in grid.each_value_once():
        try:
            cfg = composer.compose(member)
            check(without_hydra(cfg), command_line_modules(member))
        except GanError as error:
            raise GanError(f"{error} (sweep: {label.replace(',', ' ')})") from error
    # Hydra would leave swept groups and `asked.base` out of what all cells share: overrides may set keys of theirs.
    master = composer.compose([*grid.cell(0)[1], *_of_sweep(args)], RunMode.MULTIRUN)
    folder = Path(master.hydra.sweep.dir)
    args.overrides = [*args.overrides, f"hydra.sweep.dir={quoted(str(folder))}"]  # as resolved here
    with claimed(folder, "sweep", "hydra.sweep.dir"):
        record(folder, args)
        plan = planned(folder, grid, drawn, asked, composer, _hydras(args.overrides))
        try:
            if master.hydra.launcher._target_.startswith(OURS):
                in_slots(folder, plan, len(drawn), asked, args)
            else:
                by_plugin(plan, master, composer)
        except KeyboardInterrupt:
            raise _stopped(folder, 130) from None
        except SystemExit as stop:  # of `member_task` in this process
            raise _stopped(folder, int(stop.code or 0)) from None
        finally:
            failures = report(folder)
    return 1 if failures else 0


def _by_sweeper(args: argparse.Namespace, composer: Composer) -> int:
    """By a sweeper that is a plugin, which draws cells of its own."""
    folder = Path(composer.compose(args.overrides, RunMode.MULTIRUN).hydra.sweep.dir)
    if contains_run(folder):
        raise GanError(f"{folder} holds a run: name another folder by hydra.sweep.dir=")
    args.overrides = [*args.overrides, f"hydra.sweep.dir={quoted(str(folder))}"]
    try:
        composer.run(args, member_task)
    finally:
        failures = report(folder)
    return 1 if failures else 0


def resume(folder: Path, changes: Sequence[str]) -> int:
    """`gan resume SWEEP`: the sweep's own overrides again, and `changes` after them."""
    try:
        said = json.loads((folder / RECORD).read_text())
        overrides = migrations.overrides(map(str, said["overrides"]), migrations.version_of(said, folder / RECORD))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise GanError(f"{folder / RECORD} cannot be read: {error}") from error
    if said.get("options"):  # a folder of a stranger's may name any other
        line = shlex.join([*said["options"], *overrides])
        raise GanError(f"{folder} was made with options: go on by `gan train -m {line} hydra.sweep.dir={folder}`")
    return run(compose.arguments(["-m", *overrides, *changes, f"hydra.sweep.dir={quoted(str(folder))}"]))


def record(folder: Path, args: argparse.Namespace) -> None:
    """What `resume` needs: no path, no module and nothing of Hydra's own, which could run anything."""
    own = [re.sub(f"^{re.escape(SWEEPER)}(?=sample|seed|workers)", "sweep.", text) for text in args.overrides]
    kept = [o for o in own if not re.match(r"\+*(hydra\b|modules=)", o)]
    from gan_cli.utils.files import write_text

    said = {migrations.KEY: migrations.VERSION, "overrides": kept, "options": compose.options(args)}
    write_text(folder / RECORD, json.dumps(said, indent=1) + "\n")


def planned(
    folder: Path, grid: SweepGrid, drawn: Sequence[int], asked: SweepSettings, composer: Composer, extra: Sequence[str]
) -> Iterator[Trial]:
    """The cells in the order of the draw, each composed when it is asked for; a doubled one once."""
    members = ExistingTrials(folder, sorted(grid.swept()))
    seen = set()
    for number, index in enumerate(drawn):
        label, overrides = grid.cell(index)
        try:
            cfg = without_hydra(composer.compose([*overrides, *extra, f"hydra.job.num={number}"]))
        except GanError:  # it will fail by itself, and be recorded
            cfg = None
        cell = members.place(number, label, overrides, cfg, asked.retry)
        if cell.folder not in seen:
            seen.add(cell.folder)
            yield cell


# -- launchers


def in_slots(folder: Path, plan: Iterator[Trial], total: int, asked: SweepSettings, args: argparse.Namespace) -> None:
    """Run each trial in its own process, `asked.workers` in parallel. Interrupted after a signal has stopped them."""
    from gan_cli.training.loop import signals

    options, extra = compose.options(args), _hydras(args.overrides)
    with signals() as received, WorkerPool(asked.workers) as slots:
        say = SweepProgress(total, slots)

        def look() -> None:
            ended = slots.ended(0.5)
            received.extend(one.signal for one in ended if one.signal)
            say.ended(ended)

        for cell in plan:
            while not slots.free and not received:
                look()
            if received:
                break
            if cell.state in ("done", "failed"):
                say.passed(cell)
                continue
            where = (*options, *extra, f"hydra.job.num={cell.number}")
            slots.start(TrialJob(cell.folder, tuple(cell.overrides), where))
        while slots.running and not received:
            look()
        if received:
            print("stopping: the cells save their state", flush=True)
    if received:
        raise _stopped(folder, 128 + received[0])


def by_plugin(plan: Iterator[Trial], master: DictConfig, composer: Composer) -> None:
    """By a launcher of Hydra's or a plugin's: basic, joblib, submitit_local, submitit_slurm, ray."""
    without_hydra(master)  # for ${hydra:...}
    base = Path(master.hydra.sweep.dir)
    jobs = [
        [*cell.overrides, f"hydra.sweep.subdir={quoted(str(cell.folder.relative_to(base)))}"]
        for cell in plan if cell.state in ("new", "half")
    ]  # fmt: skip
    composer.launch(master, jobs, member_task)


def member_task(cfg: DictConfig) -> None:
    """One cell by a launcher of Hydra's: its failure is written to failure.json and does not reach the others."""
    hydra = HydraConfig.get()
    folder, overrides = Path(hydra.runtime.output_dir), task_overrides(hydra)
    try:
        with record_failure(folder, overrides):
            if is_resumable(folder):
                resume_or_skip(folder, overrides)
            else:
                from gan_cli.training import run

                run.train(run.prepare(cfg, command_line_modules(overrides)), folder, overrides)
    except Interrupted as error:
        raise SystemExit(error.status) from error  # ends the sweep: Hydra catches no more than Exception


def _stopped(folder: Path, status: int) -> Interrupted:
    return Interrupted(f"sweep stopped; `gan resume {folder}` goes on with it", status)


def _need_plugin(overrides: Sequence[str]) -> None:
    """GanError for a launcher whose plugin is not installed."""
    name = next((o.partition("=")[2] for o in reversed(overrides) if o.startswith("hydra/launcher=")), "")
    package, source = PLUGINS.get(name, ("", ""))
    if package and importlib.util.find_spec(f"hydra_plugins.{package}") is None:
        raise GanError(f"hydra/launcher={name} needs: pip install {source}")


def _of_sweep(args: argparse.Namespace) -> list[str]:
    """The overrides that concern no cell: Hydra's own settings, and the grid's."""
    return [override for override in args.overrides if re.match(r"[+~]*(hydra\b|sweep=)", override)]


def _hydras(overrides: Sequence[str]) -> list[str]:
    """The overrides of Hydra's own settings that reach each cell."""
    return [o for o in overrides if re.match(r"[+~]*hydra\b", o) and not NOT_OF_CELLS.match(o)]
