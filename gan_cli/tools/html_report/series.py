"""The values of metrics.jsonl as curves, thinned while they are read, and sorted into kinds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from gan_cli.config import migrations
from gan_cli.training import run_history
from gan_cli.utils.errors import GanError

Points = list[tuple[int, float]]
LARGEST_FILE = 2**28  # bytes of a file of records
LARGEST = 1e38  # of a value in a figure: about that of float32
NAMES = 400  # curves of a run, at most
POINTS = 20_000  # of a curve while it is read; beyond, every other one is dropped
SCORES, LOSSES, NORMS, OTHERS = "Scores during training", "Losses", "Gradient norms", "Rates and monitoring"


def check_size(folder: Path) -> None:
    """Raise GanError if the records of a run are larger than a report reads."""
    for name in ("metrics.jsonl", run_history.EVALUATIONS):
        file = folder / name
        if file.is_file() and file.stat().st_size > LARGEST_FILE:
            raise GanError(f"{file} is larger than the {LARGEST_FILE / 2**20:.0f} MiB that a report reads: shorten it")


def read(folder: Path) -> dict[str, dict[str, Points]]:
    """Kind -> name -> (iteration, value), all kinds of SCORES ... OTHERS. Values may not be finite."""
    curves: dict[str, Points] = {}
    steps: dict[str, list[int]] = {}  # of each curve: every n-th point is kept, and points so far
    for line in run_history.logged(folder):
        for key, value in line.items():
            name = migrations.value(key)
            if key == "iteration" or (name not in curves and len(curves) >= NAMES):
                continue
            points, step = curves.setdefault(name, []), steps.setdefault(name, [1, 0])
            if step[1] % step[0] == 0:
                points.append((line["iteration"], float(value)))
            step[1] += 1
            if len(points) > POINTS:
                del points[1::2]
                step[0] *= 2
    kinds: dict[str, dict[str, Points]] = {kind: {} for kind in (SCORES, LOSSES, NORMS, OTHERS)}
    for name, points in curves.items():
        kinds[_kind(name)][name.removeprefix(run_history.SCORE)] = points
    return kinds


def _kind(name: str) -> str:
    if name.startswith(run_history.SCORE):
        return SCORES
    if "grad_norm" in name:
        return NORMS
    return OTHERS if "/" not in name or name.startswith(("monitor/", "learning_rate")) else LOSSES


def finite(points: Points) -> Points:
    """The points whose values a figure can show."""
    return [(at, value) for at, value in points if abs(value) < LARGEST]


def smoothed(points: Points, window: float) -> Points:
    """The exponential moving average over about `window` points, corrected for its start."""
    keep, total, weight = 1 - 2 / (window + 1), 0.0, 0.0
    result = []
    for at, value in points:
        total, weight = keep * total + (1 - keep) * value, keep * weight + 1 - keep
        result.append((at, total / weight))
    return result


def mean_curve(curves: Sequence[Points]) -> Points:
    """The mean at the iterations that all of the curves have."""
    tables = [dict(finite(points)) for points in curves]
    shared = sorted(set.intersection(*map(set, tables))) if tables else []
    return [(at, sum(table[at] for table in tables) / len(tables)) for at in shared]
