"""The scores that runs hold, as the columns of a table: of evaluation.jsonl and of the training's own log."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

from omegaconf import OmegaConf

from gan_cli.config import targets
from gan_cli.config.paths import conf_dir
from gan_cli.training import run_history
from gan_cli.training.run_history import Run, base_name
from gan_cli.utils.errors import GanError, suggest

Way = Literal["higher", "lower"] | None


class Score(NamedTuple):
    value: float
    iteration: int


@dataclass(frozen=True)
class Column:
    """A value of a metric. name: such as `FID`, `FID last`, `FID of best.pt`. better: which way is good."""

    name: str
    metric: str | None
    value: str
    better: Way


def scored(runs: list[Run], wanted: list[str] | None) -> tuple[list[Column], list[dict[str, Score]]]:
    """The columns that `wanted` asks for, in the order in which they were measured, and each run's scores."""
    known = directions(runs)
    columns: dict[str, Column] = {}
    scores: list[dict[str, Score]] = []
    for run in runs:
        scores.append({})
        for name, value, score in (*_evaluated(run), *_logged(run, known)):
            metric, better = known.get(base_name(value), (None, None))
            columns.setdefault(name, Column(name, metric, value, better))
            scores[-1][name] = score
    place = {base: at for at, base in enumerate(known)}
    ordered = sorted(columns.values(), key=lambda column: place.get(base_name(column.value), len(place)))
    if wanted is None:
        return ordered, scores
    chosen = [c for name in wanted for c in ordered if name in (c.metric, c.value, base_name(c.value))]
    for name in wanted:
        if not any(name in (c.metric, c.value, base_name(c.value)) for c in ordered):
            there = {c.metric or c.value for c in ordered}
            raise GanError(f"metric={name}: no run has been scored by it{suggest(name, there)}")
    return list(dict.fromkeys(chosen)), scores


def directions(runs: Iterable[Run]) -> dict[str, tuple[str, Way]]:
    """The name of a value without `[extractor]` -> its metric and which way is good; a metric's main value first."""
    found: dict[str, tuple[str, Way]] = {}
    for run in runs:
        for record in run.records:
            ways = record.get("better") or of_file(conf_dir() / "metric" / f"{record['metric']}.yaml")
            for name in (*ways, *map(base_name, record["values"])):
                if found.get(name, ("", None))[1] is None:
                    found[name] = (record["metric"], ways.get(name))
        for key, path in run.settings.items():
            if key.startswith("metric.") and key.endswith("._target_"):
                for name, way in _of_class(path).items():
                    found.setdefault(name, (key.split(".")[1], way))
    return found


def of_file(path: Path) -> dict[str, Way]:
    """Of a metric of conf/metric, for records that do not say it."""
    return _of_class(str(OmegaConf.select(OmegaConf.load(path), "_target_"))) if path.is_file() else {}


def _of_class(path: str) -> dict[str, Way]:
    try:
        return dict(targets.target(path).better)  # type: ignore[attr-defined]
    except (GanError, AttributeError):  # a metric of another version, or of the user's own module
        return {}


def _evaluated(run: Run) -> Iterable[tuple[str, str, Score]]:
    """(column, value, score) of the latest record for each metric and checkpoint."""
    latest = {(r["metric"], str(r.get("protocol", {}).get("checkpoint", "last"))): r for r in run.records}
    for (_, checkpoint), record in latest.items():
        at = record.get("protocol", {}).get("iteration", run.done)
        for value, score in record["values"].items():
            if isinstance(score, (int, float)):
                of = "" if checkpoint == "last" else f" of {Path(checkpoint).stem}.pt"
                yield value + of, value, Score(float(score), at)


def _logged(run: Run, known: dict[str, tuple[str, Way]]) -> Iterable[tuple[str, str, Score]]:
    """(column, value, score): the last of each score taken during training, and the best where it has a good way."""
    for name, points in run.curves.items():
        if not name.startswith(run_history.SCORE):
            continue
        value = name.removeprefix(run_history.SCORE)
        yield f"{value} last", value, Score(points[-1][1], points[-1][0])
        finite = [point for point in points if math.isfinite(point[1])]
        better = known.get(base_name(value), ("", None))[1]
        if better and finite:
            iteration, best = (min if better == "lower" else max)(finite, key=lambda point: point[1])
            first = next(at for at, score in finite if score == best)
            yield f"{value} best", value, Score(best, min(first, iteration))


@dataclass(frozen=True)
class Row:
    """label: the run's name without what all have in common. settings: those in which the runs differ, by full name."""

    run: Run
    label: str
    settings: dict[str, Any]
    scores: dict[str, Score]

    def outcome(self) -> str:
        total = self.run.iterations
        return f"{self.run.done}" + (f"/{total}" if total and total != self.run.done else "")
