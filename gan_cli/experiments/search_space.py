"""The space of `gan search`: keys of the configuration and the values that they may take."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gan_cli.utils.errors import GanError

if TYPE_CHECKING:
    from optuna.trial import Trial

RANGE = re.compile(r"(log|uniform|int)\(([^,()]+),([^,()]+)\)")


@dataclass(frozen=True)
class Dimension:
    """A key and its values: `log(1e-5,1e-2)`, `uniform(0,0.9)`, `int(2,5)`, or choices `[adam,rmsprop]`.

    recorded: the dimension in the words with which its search began, if a key or a choice has another name today; it is
    what Optuna's study knows.
    """

    key: str
    kind: str
    low: float = 0.0
    high: float = 0.0
    choices: tuple[str, ...] = ()
    recorded: Dimension | None = None

    @property
    def name(self) -> str:
        """How the study calls it."""
        return self.recorded.key if self.recorded else self.key

    def current(self, value: object) -> object:
        """A value of the study in today's words."""
        recorded = self.recorded or self
        return self.choices[recorded.choices.index(str(value))] if self.choices else value

    def override(self, trial: Trial) -> str:
        """`key=value` with the value that Optuna suggests for this trial."""
        name = self.name
        if self.choices:
            return f"{self.key}={self.current(trial.suggest_categorical(name, (self.recorded or self).choices))}"
        whole = self.kind == "int"
        value: object = (
            trial.suggest_int(name, int(self.low), int(self.high)) if whole
            else trial.suggest_float(name, self.low, self.high, log=self.kind == "log")
        )  # fmt: skip
        # The values of an unfinished trial are those in the folder's file, which may be anybody's.
        if type(value) is not (int if whole else float) or not self.low <= value <= self.high:
            raise GanError(f"the study has {value!r} for {name}, which is not in {self.kind}: name another out=")
        return f"{self.key}={value!r}"

    def ends(self) -> list[str]:
        """The overrides for its lowest and highest value, or for all its choices."""
        whole = self.kind == "int"
        values = self.choices or [str(int(end)) if whole else repr(end) for end in (self.low, self.high)]
        return [f"{self.key}={value}" for value in values]


def parse_dimension(text: str) -> Dimension:
    """The dimension that `KEY=log(a,b)` or another form describes. GanError for any other text."""
    key, _, values = text.partition("=")
    values = values.replace(" ", "")
    listed = re.fullmatch(r"\[([^\[\]]+)\]", values)
    if listed:
        return Dimension(key, "choice", choices=tuple(listed[1].split(",")))
    match = RANGE.fullmatch(values)
    try:
        if not match:
            raise ValueError
        kind, low, high = match[1], float(match[2]), float(match[3])
        if not (low < high < math.inf and low > (0 if kind == "log" else -math.inf)):
            raise ValueError
        if kind == "int" and (low % 1 or high % 1 or max(-low, high) >= 2**53):  # floats beyond lose whole numbers
            raise ValueError
    except ValueError:
        raise GanError(
            f"space.{text}: write log(a,b) with 0 < a < b, uniform(a,b), int(a,b) or [one,two,...]"
        ) from None
    return Dimension(key, kind, low, high)
