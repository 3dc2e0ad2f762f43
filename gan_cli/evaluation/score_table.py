"""The scores of runs as columns of a table: from evaluation.jsonl, and from the evaluations during training."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeAlias

from omegaconf import OmegaConf

from gan_cli.config.paths import conf_dir
from gan_cli.config.targets import target
from gan_cli.metrics.base import Metric
from gan_cli.training import run_history
from gan_cli.training.run_history import Run, base_name
from gan_cli.utils.errors import GanError, suggest

Direction: TypeAlias = Literal["higher", "lower"] | None
"""The better direction of a value, None if it has none."""


class Score(NamedTuple):
    value: float
    iteration: int


@dataclass(frozen=True)
class Column:
    """A value of a metric. name: such as `FID`, `FID last`, `FID of best.pt`. better: the better direction, if any."""

    name: str
    metric: str | None
    value: str
    better: Direction

    def has_value(self, name: str) -> bool:
        """Whether `name` is that of the value, with or without `[extractor]`."""
        return name in (self.value, base_name(self.value))

    def is_called(self, name: str) -> bool:
        """Whether `name` is that of the metric or of the value."""
        return name == self.metric or self.has_value(name)


@dataclass(frozen=True)
class Row:
    """A run in a table.

    label: its path without what all runs have in common. settings: those in which the runs differ, by full name.
    """

    run: Run
    label: str
    settings: dict[str, Any]
    scores: dict[str, Score]

    def outcome(self) -> str:
        """Iterations done, and of how many if the run is not finished."""
        total = self.run.iterations
        return f"{self.run.done}" + (f"/{total}" if total and total != self.run.done else "")


def score_columns(
    runs: Sequence[Run], wanted: Sequence[str] | None
) -> tuple[list[Column], list[dict[str, Score]]]:
    """The columns of the metrics or values `wanted`, all if None, and for each run column -> score.

    In the order in which they were evaluated. GanError if no run has one that is wanted.
    """
    known = directions(runs)
    columns: dict[str, Column] = {}
    scores: list[dict[str, Score]] = []
    for run in runs:
        scores.append({})
        for name, value, score in (*_evaluated(run), *_logged(run, known)):
            metric, better = known.get(base_name(value), (None, None))
            columns.setdefault(name, Column(name, metric, value, better))
            scores[-1][name] = score
    order = {base: index for index, base in enumerate(known)}
    ordered = sorted(columns.values(), key=lambda column: order.get(base_name(column.value), len(order)))
    if wanted is None:
        return ordered, scores
    chosen = {column: None for name in wanted for column in ordered if column.is_called(name)}
    for name in wanted:
        if not any(column.is_called(name) for column in ordered):
            names = {column.metric or column.value for column in ordered}
            raise GanError(f"metric={name}: no run has such a score{suggest(name, names)}")
    return list(chosen), scores


def directions(runs: Iterable[Run]) -> dict[str, tuple[str, Direction]]:
    """Name of a value without `[extractor]` -> its metric and the better direction; a metric's main value first."""
    known: dict[str, tuple[str, Direction]] = {}
    for run in runs:
        for record in run.records:
            metric = record["metric"]
            better = record.get("better") or directions_of_file(conf_dir() / "metric" / f"{metric}.yaml")
            for name in (*better, *map(base_name, record["values"])):
                if known.get(name, ("", None))[1] is None:
                    known[name] = (metric, better.get(name))
        for key, path in run.settings.items():
            if key.startswith("metric.") and key.endswith("._target_"):
                for name, direction in _directions_of_class(path).items():
                    known.setdefault(name, (key.split(".")[1], direction))
    return known


def directions_of_file(path: Path) -> dict[str, Direction]:
    """Value -> the better direction, of a file of conf/metric; empty if there is no such file."""
    if not re.fullmatch(r"\w{1,64}", path.stem) or path.parent != conf_dir() / "metric" or not path.is_file():
        return {}  # the name of a metric in a stranger's records leads to no other file
    return _directions_of_class(str(OmegaConf.select(OmegaConf.load(path), "_target_")))


def _directions_of_class(path: str) -> dict[str, Direction]:
    try:
        metric = target(path)
    except GanError:  # a metric of another version, or of a module of the user's own
        return {}
    return dict(metric.better) if isinstance(metric, type) and issubclass(metric, Metric) else {}


def _evaluated(run: Run) -> Iterable[tuple[str, str, Score]]:
    """(column, value, score) of the latest record for each metric and checkpoint."""
    latest = {(r["metric"], str(r.get("protocol", {}).get("checkpoint", "last"))): r for r in run.records}
    for (_, checkpoint), record in latest.items():
        iteration = record.get("protocol", {}).get("iteration", run.done)
        for value, score in record["values"].items():
            if isinstance(score, (int, float)):
                suffix = "" if checkpoint == "last" else f" of {Path(checkpoint).stem}.pt"
                yield value + suffix, value, Score(float(score), iteration)


def _logged(run: Run, known: dict[str, tuple[str, Direction]]) -> Iterable[tuple[str, str, Score]]:
    """(column, value, score): the last of each score during training, and the best if it has a better direction."""
    for name, points in run.curves.items():
        if not name.startswith(run_history.SCORE):
            continue
        value = name.removeprefix(run_history.SCORE)
        yield f"{value} last", value, Score(points[-1][1], points[-1][0])
        finite = [point for point in points if math.isfinite(point[1])]
        better = known.get(base_name(value), ("", None))[1]
        if better and finite:
            iteration, best = (min if better == "lower" else max)(finite, key=lambda point: point[1])
            yield f"{value} best", value, Score(best, iteration)
