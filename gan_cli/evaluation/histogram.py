"""`gan compare ... histogram=VALUE`: the distribution of a score over the runs of sweeps (EBGAN, figures 2 and 3)."""

from __future__ import annotations

import csv
import io
import math
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from gan_cli.evaluation.score_table import Column, Score
from gan_cli.training.run_history import base_name
from gan_cli.utils.errors import GanError, suggest
from gan_cli.utils.files import replacing, write_text
from gan_cli.utils.tables import number

TABLE, FIGURE = "histogram.csv", "histogram.png"
BINS = 20  # over the range of the values, if no width is given


def values(name: str, columns: Sequence[Column], scores: Sequence[Mapping[str, Score]]) -> list[float]:
    """The score `name` of each run: the latest evaluation, else the last one during training.

    Runs without the score and values that are not finite are omitted. GanError for a score that no run has.
    """
    named = [c for c in columns if name == c.name or c.is_called(name)]
    value = next((base_name(c.value) for c in named), None)  # of a metric: its main value
    named = [c for c in named if base_name(c.value) == value]
    if not named:
        names = {base_name(column.value) for column in columns}
        raise GanError(f"histogram={name}: no run has such a score{suggest(name, names)}")
    firsts = (next((of_run[c.name].value for c in named if c.name in of_run), math.nan) for of_run in scores)
    return [score for score in firsts if math.isfinite(score)]


def edges(series: Sequence[Sequence[float]], width: float | None) -> list[float]:
    """Bin edges, multiples of `width`, that contain all values and 0. GanError for more than 10,000 bins."""
    together = [value for one in series for value in one]
    low, high = min(0.0, *together), max(together)
    width = width or (high - low) / BINS or 1.0
    if not math.isfinite(width):
        raise GanError(f"bin_width must be a finite number, not {width}")
    many = not math.isfinite(low / width) or not math.isfinite(high / width)  # a width of 1e-320
    first, last = (0, math.inf) if many else (_bin(low, width), _bin(high, width) + 1)
    if last - first > 10_000:
        raise GanError(f"bin_width={width}: more than 10,000 bins between {number(low)} and {number(high)}")
    return [edge * width for edge in range(first, int(last) + 1)]


def _bin(value: float, width: float) -> int:
    """The k of [k width, (k + 1) width). 0.3 is in bin 3 of 0.1, although 0.3 / 0.1 < 3 in floating point."""
    return math.floor(round(value / width, 9))


def shares(series: Sequence[float], bounds: Sequence[float]) -> list[float]:
    """The fraction of the values in each bin [bounds[i], bounds[i + 1])."""
    width = bounds[1] - bounds[0]
    counts = Counter(_bin(value, width) - _bin(bounds[0], width) for value in series)
    return [counts[index] / len(series) for index in range(len(bounds) - 1)]


def bins(name: str, series: Mapping[str, Sequence[float]], width: float | None) -> list[float]:
    """The edges for all `series`, title -> values. GanError if none has values, and for too many bins."""
    filled = [one for one in series.values() if one]
    if not filled:
        raise GanError(f"histogram={name}: none of these runs has such a score")
    return edges(filled, width)


def write(name: str, series: Mapping[str, Sequence[float]], bounds: Sequence[float], folder: Path) -> list[str]:
    """Write histogram.csv and histogram.png. Returns lines with each series' median and share in the first bin.

    series: title -> values; one without values is mentioned only.
    """
    filled = {title: one for title, one in series.items() if one}
    parts = {title: shares(one, bounds) for title, one in filled.items()}
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["from", "to", *parts])
    writer.writerows([f"{a:.6g}", f"{b:.6g}", *row] for a, b, *row in zip(bounds, bounds[1:], *parts.values()))
    write_text(folder / TABLE, file.getvalue())
    _plot(name, {f"{title} ({len(filled[title])})": part for title, part in parts.items()}, bounds, folder / FIGURE)
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
    return [*lines, f"{folder / TABLE} and {folder / FIGURE}"]


def _plot(name: str, parts: Mapping[str, Sequence[float]], bounds: Sequence[float], path: Path) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 3.2), layout="constrained")
    FigureCanvasAgg(figure)
    axis = figure.add_subplot()
    width = (bounds[1] - bounds[0]) / (len(parts) + 0.5)
    for index, (title, part) in enumerate(parts.items()):
        lefts = [edge + (index + 0.25) * width for edge in bounds[:-1]]
        axis.bar(lefts, [100 * share for share in part], width, align="edge", label=title)
    # Names of runs and values may contain dollar signs and underscores, which matplotlib would read as formulas.
    axis.set_xlabel(name, parse_math=False)
    axis.set_ylabel("% of the runs")
    axis.grid(axis="y", alpha=0.3)
    for text in axis.legend(fontsize=8).get_texts():
        text.set_parse_math(False)
    from gan_cli.evaluation.charts import without_glyph_warnings  # which imports matplotlib

    with replacing(path) as temporary, without_glyph_warnings():
        figure.savefig(temporary, format="png", dpi=120)
