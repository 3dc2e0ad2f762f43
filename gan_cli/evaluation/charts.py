"""compare.png: losses and scores over iterations, and each run's last sample grid in a frame of its curve's colour."""

from __future__ import annotations

import math
import os
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from PIL import Image

from gan_cli.training import run_history
from gan_cli.utils.tables import number, shortened

if TYPE_CHECKING:
    from gan_cli.evaluation.score_table import Column, Row

PIXELS = 384  # the longer side of a sample grid, at most
STYLES = ("-", "--", ":", "-.")
ROOM = 0.05  # above and below a panel's values, as a part of their range


@dataclass(frozen=True)
class Cells:
    """Places for axes, in rows from the top of the figure; all in inches. The rest of a cell is for its text."""

    width: float
    height: float
    left: float
    right: float
    top: float
    bottom: float

    def axes(self, figure: Figure, count: int, across: int, above: float) -> list[Any]:
        """`count` axes, `across` in a row, the first row `above` inches below the upper edge."""
        wide, high = figure.get_size_inches()
        found = []
        for index in range(count):
            row, column = divmod(index, across)
            x, y = column * self.width + self.left, high - above - (row + 1) * self.height + self.bottom
            inner = self.width - self.left - self.right, self.height - self.top - self.bottom
            found.append(figure.add_axes((x / wide, y / high, inner[0] / wide, inner[1] / high)))
        return found


CURVES = Cells(4.0, 2.6, left=0.55, right=0.15, top=0.35, bottom=0.45)
PICTURES = Cells(2.4, 3.0, left=0.1, right=0.1, top=0.65, bottom=0.15)


def draw(rows: Sequence[Row], columns: Sequence[Column], path: Path) -> None:
    """Write the picture, whole or not at all. rows: in the order of the table."""
    panels, styles = _panels(rows, columns), _styles(len(rows))
    panels_across = min(4, max(1, len(panels)))
    above = CURVES.height * math.ceil(len(panels) / panels_across)
    across = min(len(rows), max(4, math.ceil(math.sqrt(1.6 * len(rows)))))
    width = max(CURVES.width * panels_across, PICTURES.width * across)
    figure = Figure(figsize=(width, above + PICTURES.height * math.ceil(len(rows) / across)))
    FigureCanvasAgg(figure)
    for axis, name in zip(CURVES.axes(figure, len(panels), panels_across, 0.0), panels):
        _curves(axis, name, rows, styles)
    main = next((c for c in columns if c.better), columns[0] if columns else None)
    for rank, axis in enumerate(PICTURES.axes(figure, len(rows), across, above), 1):
        _samples(axis, rank, rows[rank - 1], main, styles[rank - 1])
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        figure.savefig(temporary, format="png", dpi=100)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


Style = dict[str, Any]


def _styles(count: int) -> list[Style]:
    """A colour and a line style for each run; ten colours, and beyond forty runs a scale of them."""
    if count <= 10 * len(STYLES):
        return [{"color": f"C{index % 10}", "linestyle": STYLES[index // 10]} for index in range(count)]
    scale = matplotlib.colormaps["turbo"]
    return [{"color": scale(index / (count - 1)), "linestyle": STYLES[index % 4]} for index in range(count)]


def _panels(rows: Sequence[Row], columns: Sequence[Column]) -> list[str]:
    """The scores, then the losses, that any run has as a curve; a score evaluated afterwards counts."""
    names = dict.fromkeys(name for row in rows for name in row.run.curves)
    values = dict.fromkeys(column.value for column in columns)
    scores = [f"{run_history.SCORE}{value}" for value in values]
    evaluated = {value for row in rows for record in row.run.records for value in record["values"]}
    scores = [s for s in scores if s in names or s.removeprefix(run_history.SCORE) in evaluated]
    return scores + [name for name in names if not name.startswith((run_history.SCORE, "monitor/"))]


def _points(row: Row, name: str) -> list[tuple[int, float]]:
    """A curve of metrics.jsonl, or the records of evaluation.jsonl."""
    value = name.removeprefix(run_history.SCORE)
    points = row.run.curves.get(name) or sorted(
        {
            record["protocol"]["iteration"]: record["values"][value]
            for record in row.run.records
            if value in record["values"] and "iteration" in record.get("protocol", {})
        }.items()
    )
    return [(at, score) for at, score in points if isinstance(score, (int, float)) and math.isfinite(score)]


def _curves(axis: Any, name: str, rows: Sequence[Row], styles: Sequence[Style]) -> None:
    """One panel; bars in the order of the table where no run has more than a single value."""
    curves = [_points(row, name) for row in rows]
    bars = max(map(len, curves)) <= 1
    for rank, (points, style) in enumerate(zip(curves, styles), 1):
        if bars and points:
            axis.bar(rank, points[0][1], color=style["color"], hatch="" if style["linestyle"] == "-" else "//")
        elif points:
            axis.plot(*zip(*points), linewidth=1, marker="o" if len(points) < 3 else None, markersize=4, **style)
    values = [value for points in curves for _, value in points]
    if len(values) > 20 and not bars:  # a first spike must not flatten the rest
        low, high = np.percentile(values, [0.5, 99.5])
        room = ROOM * (high - low)
        if room:
            axis.set_ylim(low - room, high + room)
    axis.set_title(name.removeprefix(run_history.SCORE), fontsize=9, parse_math=False)
    axis.set_xlabel("rank" if bars else "iteration", fontsize=8)
    axis.xaxis.set_major_locator(MaxNLocator(nbins=7, integer=True))
    axis.tick_params(labelsize=7)
    axis.grid(alpha=0.3)


def _samples(axis: Any, rank: int, row: Row, main: Column | None, style: Style) -> None:
    axis.set_xticks([])
    axis.set_yticks([])
    for spine in axis.spines.values():
        spine.set(linewidth=3, **style)
    score = row.scores.get(main.name) if main else None
    title = textwrap.wrap(f"{rank}: {shortened(row.label, 84)}", 30, break_on_hyphens=False)
    if main and score:
        title.append(f"{main.name} {number(score.value)}")
    axis.set_title("\n".join(title), fontsize=7, color="black", parse_math=False)
    picture, said = _picture(row)
    if picture is None:
        axis.text(0.5, 0.5, textwrap.fill(said, 28, max_lines=8), ha="center", va="center", fontsize=7,
                  transform=axis.transAxes, parse_math=False)  # fmt: skip
    else:
        axis.imshow(picture, aspect="equal")


def _picture(row: Row) -> tuple[Any, str]:
    """The last sample grid as an array, or None and the reason why there is none."""
    if row.run.failure:
        return None, f"failed: {row.run.failure}"
    file = row.run.last_grid()
    if file is None:
        return None, "no samples"
    try:
        with Image.open(file) as image:
            image = image.convert("RGB")
            image.thumbnail((PIXELS, PIXELS))
            return np.asarray(image), ""
    except OSError:
        return None, f"{file.name} cannot be read"
