"""`gan compare ... histogram=VALUE`: how the runs of several sweeps spread over a score (EBGAN's figures 2 and 3)."""

from __future__ import annotations

import csv
import io
import math
import os
import re
import statistics
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from gan_cli.evaluation.score_table import Column, Score
from gan_cli.training.run_history import Run, base_name
from gan_cli.utils.errors import GanError, suggest
from gan_cli.utils.files import write_text
from gan_cli.utils.tables import number

TABLE, PICTURE = "histogram.csv", "histogram.png"
BINS = 20  # over the range, where no width is given
CONDITION = re.compile(r"([\w.]+?)(<=|>=|=)(.+)")
HOLDS: dict[str, Callable[[float, float], bool]] = {"<=": lambda a, b: a <= b, ">=": lambda a, b: a >= b}


def satisfying(run: Run, conditions: Sequence[str]) -> bool:
    """Whether all settings of the run whose names end as a condition's does fulfil it: `layers<=4` looks at
    model.generator.layers and at model.discriminator.layers. GanError for a condition that cannot be read."""
    for condition in conditions:
        match = CONDITION.fullmatch(condition)
        if not match:
            raise GanError(f"filter={condition}: write NAME<=NUMBER, NAME>=NUMBER or NAME=VALUE")
        name, sign, wanted = match.groups()
        found = [value for key, value in (run.settings | run.choices).items() if f".{key}".endswith(f".{name}")]
        if not found or not all(_holds(value, sign, wanted) for value in found):
            return False
    return True


def _holds(value: object, sign: str, wanted: str) -> bool:
    if sign == "=":
        return str(value).lower() == wanted.lower() or number(value) == wanted
    try:
        return isinstance(value, (int, float)) and HOLDS[sign](value, float(wanted))
    except ValueError:
        raise GanError(f"{sign}{wanted}: compares with numbers only; write NAME=VALUE") from None


def values(name: str, columns: Sequence[Column], scores: Sequence[Mapping[str, Score]]) -> list[float]:
    """The score `name` of each run: the latest evaluated one, else the last of its training. Runs without are left
    out, and values that are not finite. GanError for a score that no run has."""
    named = [c for c in columns if name in (c.name, c.value, base_name(c.value), c.metric)]
    main = next((base_name(c.value) for c in named), None)
    named = [c for c in named if base_name(c.value) == main and (c.name == name or not c.name.endswith(" best"))]
    if not named:
        there = {base_name(column.value) for column in columns}
        raise GanError(f"histogram={name}: no run has such a score{suggest(name, there)}")
    firsts = (next((found[c.name].value for c in named if c.name in found), math.nan) for found in scores)
    return [value for value in firsts if math.isfinite(value)]


def edges(series: Sequence[Sequence[float]], width: float | None) -> list[float]:
    """Bin edges that hold all values: multiples of `width`, from 0 on where none is negative."""
    everything = [value for one in series for value in one]
    low, high = min(0.0, *everything), max(everything)
    width = width or (high - low) / BINS or 1.0
    first, last = _bin(low, width), _bin(high, width) + 1
    if last - first > 10_000:
        raise GanError(f"bin_width={width}: more than 10,000 bins between {number(low)} and {number(high)}")
    return [edge * width for edge in range(first, last + 1)]


def _bin(value: float, width: float) -> int:
    """The k of [k width, (k + 1) width); 0.3 lies in the third bin of 0.1, whatever 0.3 / 0.1 is rounded to."""
    return math.floor(round(value / width, 9))


def shares(one: Sequence[float], bounds: Sequence[float]) -> list[float]:
    """The part of the values in each bin [bounds[i], bounds[i + 1])."""
    width = bounds[1] - bounds[0]
    counts = Counter(_bin(value, width) - _bin(bounds[0], width) for value in one)
    return [counts[place] / len(one) for place in range(len(bounds) - 1)]


def draw(name: str, series: Mapping[str, Sequence[float]], width: float | None, folder: Path) -> list[str]:
    """Write histogram.csv and histogram.png; returns lines with each sweep's median and share in the first bin. series:
    title -> values; one without values is told and left out."""
    drawn = {title: one for title, one in series.items() if one}
    if not drawn:
        raise GanError(f"histogram={name}: none of these runs has such a score")
    bounds = edges(list(drawn.values()), width)
    parts = {title: shares(one, bounds) for title, one in drawn.items()}
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["from", "to", *parts])
    writer.writerows([f"{a:.6g}", f"{b:.6g}", *row] for a, b, *row in zip(bounds, bounds[1:], *parts.values()))
    write_text(folder / TABLE, file.getvalue())
    _picture(name, {f"{title} ({len(drawn[title])})": part for title, part in parts.items()}, bounds, folder / PICTURE)
    lines = []
    for title, one in series.items():
        if not one:
            lines.append(f"{title}: no run has {name}")
            continue
        lines.append(
            f"{title}: {len(one)} runs, median {name} {number(statistics.median(one))}, "
            f"{100 * parts[title][0]:.1f} % below {number(bounds[1])}, "
            f"all from {number(min(one))} to {number(max(one))}"
        )
    return [*lines, f"{folder / TABLE} and {folder / PICTURE}"]


def _picture(name: str, parts: Mapping[str, Sequence[float]], bounds: Sequence[float], path: Path) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 3.2), layout="constrained")
    FigureCanvasAgg(figure)
    axis = figure.add_subplot()
    width = (bounds[1] - bounds[0]) / (len(parts) + 0.5)
    for index, (title, part) in enumerate(parts.items()):
        lefts = [edge + (index + 0.25) * width for edge in bounds[:-1]]
        axis.bar(lefts, [100 * share for share in part], width, align="edge", label=title)
    axis.set_xlabel(name, parse_math=False)
    axis.set_ylabel("% of the runs")
    axis.grid(axis="y", alpha=0.3)
    for text in axis.legend(fontsize=8).get_texts():
        text.set_parse_math(False)
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        figure.savefig(temporary, format="png", dpi=120)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
