"""`gan train -m`: each member on its own, and one table at the end that says which failed and why."""

from __future__ import annotations

import argparse
import json
import os
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.types import RunMode
from omegaconf import DictConfig

from gan_cli import hydra_app
from gan_cli.compose import Composer
from gan_cli.config import check, command_line_modules
from gan_cli.errors import GanError, Interrupted, one_line

FAILURE = "failure.json"


def run(args: argparse.Namespace, composer: Composer) -> int:
    """Check every swept value, launch the jobs, report. Returns 1 if a job failed, else 0.

    Raises GanError, before anything is made, when a value cannot be composed or fails `check`.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise GanError("a sweep runs its members itself: start `gan train -m` without torchrun")
    master = composer.compose(args.overrides, RunMode.MULTIRUN)
    folder = Path(master.hydra.sweep.dir)
    if (folder / "multirun.yaml").exists():
        raise GanError(f"{folder} already holds a sweep: choose another hydra.sweep.dir")
    fixed, swept = _split(args.overrides, master, composer)
    for member in _one_at_a_time(fixed, swept):
        try:
            cfg = composer.compose(member)
            check(hydra_app.without_hydra(cfg), command_line_modules(member))
        except GanError as error:
            raise GanError(f"{error} (sweep: {' '.join(member[len(fixed) :])})") from error
    names = [o.partition("=")[0].lstrip("+~") for o in fixed if not o.lstrip("+~").startswith("hydra")]
    args.overrides = [
        *args.overrides,
        f"hydra.sweep.dir={hydra_app.quoted(str(folder))}",  # as resolved here, for the report
        f"hydra.job.config.override_dirname.exclude_keys=[{','.join(names)}]",
    ]
    try:
        hydra_app.hydra_main(args, composer, member_task)
    finally:
        failures = report(folder)
    return 1 if failures else 0


def member_task(cfg: DictConfig) -> None:
    """One job: its failure is written to failure.json and does not reach the other jobs."""
    hydra = HydraConfig.get()
    folder, overrides = Path(hydra.runtime.output_dir), hydra_app.task_overrides(hydra)
    try:
        from gan_cli import runner

        runner.train(runner.prepare(cfg, command_line_modules(overrides)), folder, overrides)
    except Interrupted as error:
        _note(folder, error, overrides)
        raise SystemExit(error.status) from error  # ends the sweep
    except Exception as error:
        _note(folder, error, overrides)
        print(f"{folder.name} failed: {one_line(error)}", flush=True)


def report(folder: Path) -> int:
    """Print each job of a sweep with its outcome; returns how many failed."""
    jobs = sorted((p.parent for p in folder.glob("*/.hydra")), key=_number)
    notes = {job: json.loads((job / FAILURE).read_text()) for job in jobs if (job / FAILURE).exists()}
    if not jobs:
        return 0
    print(f"\n{folder}: {len(jobs) - len(notes)} of {len(jobs)} ok")
    width = max(len(job.name) for job in jobs)
    for job in jobs:
        outcome = f"failed ({notes[job]['status']}): {notes[job]['error']}" if job in notes else "ok"
        print(f"  {job.name:<{width}}  {outcome}")
    return len(notes)


def _number(job: Path) -> tuple[int, str]:
    number = job.name.partition("-")[0]
    return (int(number) if number.isdigit() else 0, job.name)


def _note(folder: Path, error: Exception, overrides: list[str]) -> None:
    known = isinstance(error, GanError)
    note: dict[str, Any] = {
        "status": error.status if isinstance(error, GanError) else 1,
        "error": one_line(error) if known else f"{type(error).__name__}: {one_line(error)}",
        "overrides": overrides,
        "traceback": None if known else traceback.format_exc(),
    }
    (folder / FAILURE).write_text(json.dumps(note, indent=1))


def _split(overrides: list[str], master: DictConfig, composer: Composer) -> tuple[list[str], list[list[str]]]:
    """Overrides that all members share, and for each swept key the list of its `key=value`."""
    params = master.hydra.sweeper.get("params") or {}
    texts = [*(f"{key}={value}" for key, value in params.items()), *overrides]
    parsed = OverridesParser.create(config_loader=composer.loader).parse_overrides(texts)
    latest = {override.get_key_element(): override for override in parsed}
    fixed = [str(o.input_line) for o in latest.values() if not o.is_sweep_override()]
    swept = []
    for override in latest.values():
        if override.is_discrete_sweep():  # an interval has no values to try
            values = [job[0] for job in BasicSweeper.split_arguments([override], max_batch_size=None)[0]]
            if not values:
                raise GanError(f"'{override.input_line}' matches nothing")
            swept.append(values)
    return fixed, swept


def _one_at_a_time(fixed: list[str], swept: list[list[str]]) -> Iterator[list[str]]:
    """Each value of each key once, the other keys at their first value: a sum of jobs, not their product."""
    first = [values[0] for values in swept]
    yield fixed + first
    for index, values in enumerate(swept):
        for value in values[1:]:
            yield [*fixed, *first[:index], value, *first[index + 1 :]]
