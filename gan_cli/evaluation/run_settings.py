"""The settings of several runs: those that distinguish them, and conditions that select runs."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from gan_cli.training.run_history import Run
from gan_cli.utils.errors import GanError
from gan_cli.utils.tables import number

NOT_SETTINGS = ("expect", "evaluate", "modules", "metric", "extractor", "logger")  # sections that change no weight
MONITORING = ("trainer.max_time", "trainer.log_every", "trainer.sample_every", "trainer.sample_count",
              "trainer.checkpoint_every", "trainer.keep_checkpoints", "trainer.keep_every", "trainer.evaluate_every",
              "trainer.evaluate_count", "trainer.best_metric")  # fmt: skip
"""Keys that change how a run is monitored, and no weight."""
COLUMNS = ("run", "iterations", "failure")  # names of other columns of the table
GROUPS_FIRST = ("model", "loss", "dataset", "network", "optimizer")
CONDITION = re.compile(r"([\w.]+?)(<=|>=|=)(.+)")
COMPARE: dict[str, Callable[[float, float], bool]] = {"<=": lambda a, b: a <= b, ">=": lambda a, b: a >= b}


def differing_settings(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """For each run, the config groups and values in which the runs differ; None if a run lacks one.

    A run that failed before its config was written has only the overrides that were typed.
    """
    of_run = []
    for run in runs:
        typed = dict(o.lstrip("+").split("=", 1) for o in run.overrides if "=" in o and not run.settings)
        choices = {key: value for key, value in run.choices.items() if key not in NOT_SETTINGS}
        of_run.append(choices | (run.settings or typed))
    names = [name for name in dict.fromkeys(name for settings in of_run for name in settings)
             if name.partition(".")[0] not in NOT_SETTINGS and name not in MONITORING]  # fmt: skip
    differing = [name for name in names if len({str(settings.get(name)) for settings in of_run}) > 1]
    return [{name: settings.get(name) for name in differing} for settings in of_run]


def distinguishing_settings(runs: Sequence[Run], differing: Sequence[dict[str, Any]]) -> list[str]:
    """The names of settings that suffice to distinguish the runs.

    Those that were typed, then of the others each one that distinguishes runs that the ones before do not.
    """
    names = list(differing[0])
    typed = dict.fromkeys(o.lstrip("+").partition("=")[0] for run in runs for o in run.overrides)
    chosen = [name for name in typed if name in names]
    for name in (*GROUPS_FIRST, "seed", *names):
        if name in names and name not in chosen:
            before = {tuple(str(settings[key]) for key in chosen) for settings in differing}
            after = {tuple(str(settings[key]) for key in (*chosen, name)) for settings in differing}
            if len(after) > len(before):
                chosen.append(name)
    return chosen


def short_names(names: Sequence[str]) -> list[str]:
    """`optimizer.lr` -> `lr`, or as many of its last parts as distinguish it from the other names and columns."""
    short = []
    for name in names:
        parts = name.split(".")
        ends = (".".join(parts[-k:]) for k in range(1, len(parts) + 1))
        others = [*(other for other in names if other != name), *COLUMNS]
        short.append(next(e for e in ends if e == name or not any(f".{o}".endswith(f".{e}") for o in others)))
    return short


def satisfies(run: Run, conditions: Sequence[str]) -> bool:
    """Whether a run fulfils all conditions: NAME<=NUMBER, NAME>=NUMBER or NAME=VALUE.

    NAME is the end of settings' full names, and the condition holds for all of these: `layers<=4` looks at
    model.generator.layers and at model.discriminator.layers. GanError for a condition of another form.
    """
    for condition in conditions:
        match = CONDITION.fullmatch(condition)
        if not match:
            raise GanError(f"filter={condition}: write NAME<=NUMBER, NAME>=NUMBER or NAME=VALUE")
        name, sign, wanted = match.groups()
        values = [value for key, value in (run.settings | run.choices).items() if f".{key}".endswith(f".{name}")]
        if not values or not all(_holds(value, sign, wanted) for value in values):
            return False
    return True


def _holds(value: object, sign: str, wanted: str) -> bool:
    if sign == "=":
        return str(value).lower() == wanted.lower() or number(value) == wanted
    try:
        return isinstance(value, (int, float)) and COMPARE[sign](value, float(wanted))
    except ValueError:
        raise GanError(f"{sign}{wanted}: only numbers can be compared so; write NAME=VALUE") from None
