"""The check of every swept value before the first trial starts."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from typing import Any

from omegaconf import OmegaConf

from gan_cli.config.composer import Composer, without_hydra
from gan_cli.config.schema import command_line_modules
from gan_cli.experiments.grid import Choice, SweepGrid
from gan_cli.experiments.trials import ExistingTrials
from gan_cli.training import run
from gan_cli.utils.errors import GanError, one_line
from gan_cli.utils.progress import Progress

TRIES = 8  # further trials in which a value is checked that fails together with the first values of the other axes

Value = tuple[int, Choice]
"""A value of a grid: the number of its axis, and its choice."""


class ValueChecks:
    """Checks each value of `grid` in one trial, the other axes at their first values: few trials, not the product.

    chosen: indices of the trials that will run. check: raises GanError for the overrides of a trial that cannot run.
    """

    def __init__(self, grid: SweepGrid, chosen: Sequence[int], check: Callable[[list[str]], None]) -> None:
        self.grid, self.chosen, self.check = grid, chosen, check
        self.works: set[Value] = set()
        self.errors: dict[tuple[Choice, ...], GanError] = {}  # by the choices of a trial
        self.checked: dict[tuple[Choice, ...], None] = {}

    def run(self) -> list[str]:
        """Check all values. Returns notes about single trials that will fail.

        A value that fails with the first values of the others is checked in TRIES other trials. GanError if a value
        works in none; of several such values, the others are printed to standard error first.
        """
        trials = list(dict.fromkeys(self.grid.each_value_once()))
        progress = Progress(len(trials), "values", label="checking")
        for choices in trials:
            self._attempt(choices)
            progress.advance()
        messages = set(map(str, self.errors.values()))
        values = dict.fromkeys(value for choices in trials for value in enumerate(choices))
        swept = [value for value in values if value[1].label]
        if len(self.errors) == len(trials) and len(messages) == 1 and len(swept) != 1:  # what they share is wrong
            raise GanError(messages.pop())
        lines = [f"{self._error(value, trials)} (sweep: {value[1].label})" for value in swept if not self._works(value)]
        for line in lines[:-1]:
            print(f"gan: {line}", file=sys.stderr)
        if lines:
            raise GanError(lines[-1])
        return [f"note: {self.grid.joined(choices)[0].replace(',', ' ')} will fail: {one_line(error)}"
                for choices, error in self.errors.items()]  # fmt: skip

    def _attempt(self, choices: tuple[Choice, ...]) -> None:
        if choices in self.checked:
            return
        self.checked[choices] = None
        try:
            self.check(self.grid.joined(choices)[1])
        except GanError as error:
            self.errors[choices] = error
        else:
            self.works.update(enumerate(choices))

    def _works(self, value: Value) -> bool:
        """Whether a value works in a trial; of those that are not checked yet, at most TRIES are checked now."""
        axis, choice = value
        others = (choices for choices in map(self.grid.choices, self.chosen) if choices[axis] == choice)
        for _, choices in zip(range(TRIES), (c for c in others if c not in self.checked)):
            if value in self.works:
                break
            self._attempt(choices)
        return value in self.works

    def _error(self, value: Value, trials: Sequence[tuple[Choice, ...]]) -> str:
        """Why the trial fails in which the value is checked with the first values of the others."""
        axis, choice = value
        return one_line(self.errors[next(choices for choices in trials if choices[axis] == choice)])


class TrialBuilder:
    """Builds what a trial trains, as `gan train` does before it makes a run directory, and writes nothing.

    Trials that exist already, and those that differ from a built one in their seed only, are not built. count: of those
    that were.
    """

    def __init__(self, composer: Composer, existing: ExistingTrials) -> None:
        self.composer, self.existing, self.count = composer, existing, 0
        self._built: set[str] = set()

    def __call__(self, overrides: list[str]) -> None:
        """GanError if the trial cannot be trained."""
        cfg = without_hydra(self.composer.compose(overrides))
        settings: Any = OmegaConf.to_container(cfg, resolve=True)
        key = json.dumps({**settings, "seed": None}, sort_keys=True, default=str)
        if key in self._built or self.existing.holds(cfg):
            return
        self.count += 1
        run.prepare(cfg, command_line_modules(overrides))
        self._built.add(key)
