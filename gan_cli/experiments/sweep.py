"""`gan train -m`: run the trials of a sweep that are not done yet, and print a table of all of them at the end."""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from hydra.types import RunMode
from omegaconf import DictConfig

from gan_cli.config import migrations
from gan_cli.config.composer import SWEEPER, Composer, arguments, options, without_hydra
from gan_cli.config.override_text import quoted
from gan_cli.config.schema import check, command_line_modules
from gan_cli.experiments.grid import SweepGrid, SweepSettings, build_grid, sweep_settings
from gan_cli.experiments.sweep_report import SweepProgress, report
from gan_cli.experiments.trial_run import TrialJob, run_trial
from gan_cli.experiments.trials import ExistingTrials, Trial, read_record
from gan_cli.experiments.value_checks import TrialBuilder, ValueChecks
from gan_cli.experiments.workers import WorkerPool
from gan_cli.training.find_runs import contains_run, refuse_links_below
from gan_cli.training.locks import claimed
from gan_cli.utils.errors import GanError, Interrupted
from gan_cli.utils.files import write_text
from gan_cli.utils.signals import signals

RECORD = "sweep.json"
OWN = "gan_cli."  # how the targets of the sweeper and the launcher begin that are not Hydra's or a plugin's
PLUGINS = {
    "slurm": ("hydra_submitit_launcher", "hydra-submitit-launcher"),
    "submitit": ("hydra_submitit_launcher", "hydra-submitit-launcher"),
    "joblib": ("hydra_joblib_launcher", "'gan-cli[sweep]'"),
    "ray_local": ("hydra_ray_launcher", "hydra-ray-launcher"),
}
"""Launcher -> its package, and what pip installs it from."""
ELSEWHERE = ("submitit", "ray_launcher")
"""Parts of the names of launchers that may train on other machines, whose data and GPUs are not those of this one."""
HYDRA = re.compile(r"[+~]*hydra\b")
HYDRA_OF_SWEEP = re.compile(r"\+*hydra[./](sweep|sweeper|launcher|mode|run)\b")
"""Overrides of Hydra's own settings that concern the sweep as a whole."""


def run(args: argparse.Namespace) -> int:
    """Run the sweep that the arguments of `composer.arguments` describe. Returns 1 if a trial has failed, else 0.

    Raises GanError, before anything is written, if a swept value cannot be composed or fails `check`; Interrupted
    after a signal, when the trials have saved their state.
    """
    composer = Composer(args)
    with composer.explaining(args.overrides):
        if int(os.environ.get("WORLD_SIZE", "1")) > 1:
            raise GanError("a sweep starts its trials itself: run `gan train -m` without torchrun")
        if any(override.lstrip("+").startswith("hydra.run.dir=") for override in args.overrides):
            raise GanError("hydra.run.dir is for a single run: the folder of a sweep is hydra.sweep.dir=")
        _need_plugin(args.overrides)
        hydra = composer.compose(_shared_overrides(args.overrides), RunMode.MULTIRUN).hydra
        if hydra.sweeper._target_.startswith(OWN):
            return _run_grid(args, composer, sweep_settings(hydra.sweeper))
        if hydra.launcher._target_.startswith(OWN):
            name = hydra.runtime.choices["hydra/sweeper"]
            raise GanError(f"hydra/sweeper={name} needs a launcher of Hydra's: add hydra/launcher=basic or joblib")
        return _run_by_plugin(args, composer)


def _run_grid(args: argparse.Namespace, composer: Composer, settings: SweepSettings) -> int:
    grid = build_grid(args.overrides, settings, composer)
    chosen = grid.subsample(settings.sample, settings.seed)

    def composes(overrides: list[str]) -> None:
        check(without_hydra(composer.compose(overrides)), command_line_modules(overrides))

    ValueChecks(grid, chosen, composes).run()
    # Composed with a trial's overrides: keys of a swept group or of `settings.base` exist only with these, and Hydra
    # refuses an override of a key that does not exist.
    master = composer.compose([*grid.trial(0)[1], *_shared_overrides(args.overrides)], RunMode.MULTIRUN)
    folder = _fix_folder(args, master)
    refuse_links_below(folder, "sweep")
    notes = [*grid.notes]
    if not any(name in master.hydra.launcher._target_ for name in ELSEWHERE):
        built = TrialBuilder(composer, ExistingTrials(folder, grid.swept_keys()))
        notes += ValueChecks(grid, chosen, built).run()
        if built.count:
            notes.append(f"checked before the start: every swept value (trials built: {built.count})")
    for note in notes:
        print(note, flush=True)
    with claimed(folder, "sweep", "hydra.sweep.dir"):
        record(folder, args)
        sweep = Sweep(folder, grid, chosen, settings, composer, args)
        try:
            if master.hydra.launcher._target_.startswith(OWN):
                sweep.run_in_pool()
            else:
                sweep.launch(master)
        except KeyboardInterrupt:
            raise _stopped(folder, 130) from None
        except SystemExit as stop:  # raised by `run_trial` in this process
            raise _stopped(folder, int(stop.code or 0)) from None
        finally:
            failures = report(folder)
    return 1 if failures else 0


def _run_by_plugin(args: argparse.Namespace, composer: Composer) -> int:
    """Run a sweep whose sweeper is a plugin, which chooses the trials itself."""
    folder = _fix_folder(args, composer.compose(args.overrides, RunMode.MULTIRUN))
    if contains_run(folder):
        raise GanError(f"{folder} holds a run: name another folder by hydra.sweep.dir=")
    try:
        composer.run(args, run_trial)
    finally:
        failures = report(folder)
    return 1 if failures else 0


def resume(folder: Path, changes: Sequence[str]) -> int:
    """`gan resume SWEEP`: run a sweep again with its recorded overrides, and `changes` after them."""
    file = folder / RECORD
    facts = read_record(file, ["overrides", "options"])
    overrides = migrations.overrides(facts["overrides"], migrations.version_of(facts, file))
    # A folder may be untrusted. These options name other folders with configs, so only the user may give them; and what
    # `record` leaves out, or an interpolation that reads the environment, was written by somebody else.
    for text in overrides:
        if "${" in text or not _is_recorded(text):
            raise GanError(
                f"{file}: {text} is not taken from a file, because it can run code or read secrets: if you trust it, "
                "start the sweep by `gan train -m` with it"
            )
    if facts["options"]:
        line = shlex.join([*facts["options"], *overrides])
        raise GanError(f"{folder} was made with options: resume it with `gan train -m {line} hydra.sweep.dir={folder}`")
    return run(arguments(["-m", *overrides, *changes, f"hydra.sweep.dir={quoted(str(folder))}"]))


def record(folder: Path, args: argparse.Namespace) -> None:
    """Write what `resume` needs to sweep.json, without paths, modules, loggers and Hydra's own settings.

    These could make `resume` of an untrusted folder run anything, or contact a service.
    """
    typed = [re.sub(f"^{re.escape(SWEEPER)}(?=sample|seed|workers)", "sweep.", text) for text in args.overrides]
    overrides = [text for text in typed if _is_recorded(text)]
    facts = {migrations.KEY: migrations.VERSION, "overrides": overrides, "options": options(args)}
    write_text(folder / RECORD, json.dumps(facts, indent=1) + "\n")


def _is_recorded(override: str) -> bool:
    key, _, package = override.partition("=")[0].strip("+~ '\"").partition("@")
    return not any(re.match(r"(hydra|modules|logger)\b", name) for name in (key, *package.split(":")))


@dataclass
class Sweep:
    """A sweep in `folder` over the trials of `grid` with the indices `chosen`. args: its command line."""

    folder: Path
    grid: SweepGrid
    chosen: Sequence[int]
    settings: SweepSettings
    composer: Composer
    args: argparse.Namespace

    def trials(self) -> Iterator[Trial]:
        """The trials in order, each composed when it is needed; one that occurs twice is yielded once, and a note."""
        existing = ExistingTrials(self.folder, sorted(self.grid.swept_keys()))
        yielded: set[Path] = set()
        for number, index in enumerate(self.chosen):
            label, overrides = self.grid.trial(index)
            try:
                cfg = without_hydra(self.composer.compose([*overrides, *self.hydra_overrides(number)]))
            except GanError:  # it will fail in its own process, which records why
                cfg = None
            trial = existing.place(number, label, overrides, cfg, self.settings.retry)
            if trial.folder not in yielded:
                yielded.add(trial.folder)
                yield trial
        if len(yielded) < len(self.chosen):
            print(f"note: {len(self.chosen)} trials have {len(yielded)} different settings; each is trained once")

    def hydra_overrides(self, number: int) -> list[str]:
        """The overrides of Hydra's own settings for trial `number`."""
        typed = [o for o in self.args.overrides if HYDRA.match(o) and not HYDRA_OF_SWEEP.match(o)]
        return [*typed, f"hydra.job.num={number}"]

    def run_in_pool(self) -> None:
        """Run each trial in its own process, `settings.workers` in parallel.

        Raises Interrupted after a signal to this process or to a trial, when all trials have saved their state.
        """
        with signals() as received, WorkerPool(self.settings.workers) as pool:
            progress = SweepProgress(len(self.chosen), pool)

            def collect() -> None:
                finished = pool.finished(0.5)
                received.extend(one.signal for one in finished if one.signal)
                progress.finished(finished)

            for trial in self.trials():
                while not pool.idle and not received:
                    collect()
                if received:
                    break
                if trial.state in ("done", "failed"):
                    progress.skipped_trial(trial)
                    continue
                given = (*options(self.args), *self.hydra_overrides(trial.number))
                pool.start(TrialJob(trial.folder, tuple(trial.overrides), given))
            while pool.running and not received:
                collect()
            if received:
                print("stopping: the trials save their state", flush=True)
        if received:
            raise _stopped(self.folder, 128 + received[0])

    def launch(self, master: DictConfig) -> None:
        """Run the trials by a launcher of Hydra's or of a plugin: basic, joblib, submitit, Slurm, Ray."""
        without_hydra(master)  # makes ${hydra:...} known, which the launcher's settings may use
        base = Path(master.hydra.sweep.dir)
        jobs = [
            [*trial.overrides, f"hydra.sweep.subdir={quoted(str(trial.folder.relative_to(base)))}"]
            for trial in self.trials()
            if trial.state in ("new", "unfinished")
        ]
        self.composer.launch(master, jobs, run_trial)


def _fix_folder(args: argparse.Namespace, master: DictConfig) -> Path:
    """The folder of the sweep, which becomes an override: its default is a time, and resolves differently later."""
    folder = Path(master.hydra.sweep.dir)
    args.overrides = [*args.overrides, f"hydra.sweep.dir={quoted(str(folder))}"]
    return folder


def _stopped(folder: Path, status: int) -> Interrupted:
    return Interrupted(f"sweep stopped; `gan resume {shlex.quote(str(folder))}` continues it", status)


def _need_plugin(overrides: Sequence[str]) -> None:
    """Raise GanError for a launcher whose plugin is not installed."""
    name = next((o.partition("=")[2] for o in reversed(overrides) if o.startswith("hydra/launcher=")), "")
    package, source = PLUGINS.get(name, ("", ""))
    if package and importlib.util.find_spec(f"hydra_plugins.{package}") is None:
        raise GanError(f"hydra/launcher={name} needs: pip install {source}")


def _shared_overrides(overrides: Sequence[str]) -> list[str]:
    """The overrides that concern no single trial: Hydra's own settings, and the choice of a grid."""
    return [override for override in overrides if re.match(r"[+~]*(hydra\b|sweep=)", override)]
