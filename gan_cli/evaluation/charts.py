"""compare.png: losses and scores over iterations, and each run's last sample grid in a frame of its curve's color."""

from __future__ import annotations

import math
import textwrap
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from gan_cli.data.image_files import opened
from gan_cli.training import run_history
from gan_cli.utils.files import replacing
from gan_cli.utils.tables import number, shortened

if TYPE_CHECKING:
    from gan_cli.evaluation.score_table import Column, Row

PIXELS = 384  # the longer side of a sample grid, at most
STYLES = ("-", "--", ":", "-.")
PANELS = 60  # at most; a file of a stranger may name thousands of losses
LARGEST = 1e38  # of a value in a curve: about that of float32; an axis with larger ones would overflow
MARGIN = 0.05  # above and below a panel's values, as a fraction of their range


@dataclass(frozen=True)
class Tiles:
    """Tiles for axes, in rows from the top of a figure.

    Everything is in inches. left, right, top, bottom: the margins of a tile, which its text needs.
    """

    width: float
    height: float
    left: float
    right: float
    top: float
    bottom: float

    def axes(self, figure: Figure, count: int, columns: int, above: float) -> list[Axes]:
        """Axes in `count` tiles, `columns` per row, the first row `above` inches below the upper edge."""
        figure_width, figure_height = figure.get_size_inches()
        axes = []
        for index in range(count):
            row, column = divmod(index, columns)
            x, y = column * self.width + self.left, figure_height - above - (row + 1) * self.height + self.bottom
            width, height = self.width - self.left - self.right, self.height - self.top - self.bottom
            box = x / figure_width, y / figure_height, width / figure_width, height / figure_height
            axes.append(figure.add_axes(box))
        return axes


CURVES = Tiles(4.0, 2.6, left=0.55, right=0.15, top=0.35, bottom=0.45)
GRIDS = Tiles(2.4, 3.0, left=0.1, right=0.1, top=0.65, bottom=0.15)
Style = dict[str, Any]
"""Color and line style, as keyword arguments of matplotlib."""


def plot(rows: Sequence[Row], columns: Sequence[Column], path: Path) -> None:
    """Write the figure of the runs `rows`, in the order of the table, to `path`. Raises OSError."""
    panels, styles = _panels(rows, columns), _styles(len(rows))
    if len(panels) > PANELS:
        print(f"note: {path.name} has the first {PANELS} of {len(panels)} curves")
        panels = panels[:PANELS]
    panel_columns = min(4, max(1, len(panels)))
    grid_columns = min(len(rows), max(4, math.ceil(math.sqrt(1.6 * len(rows)))))
    above = CURVES.height * math.ceil(len(panels) / panel_columns)
    width = max(CURVES.width * panel_columns, GRIDS.width * grid_columns)
    figure = Figure(figsize=(width, above + GRIDS.height * math.ceil(len(rows) / grid_columns)))
    FigureCanvasAgg(figure)
    for axis, name in zip(CURVES.axes(figure, len(panels), panel_columns, 0.0), panels):
        _plot_curves(axis, name, rows, styles)
    main = next((c for c in columns if c.better), columns[0] if columns else None)
    for index, axis in enumerate(GRIDS.axes(figure, len(rows), grid_columns, above)):
        _show_samples(axis, index + 1, rows[index], main, styles[index])
    with replacing(path) as temporary, without_glyph_warnings():
        figure.savefig(temporary, format="png", dpi=100)


@contextmanager
def without_glyph_warnings() -> Iterator[None]:
    """Suppress matplotlib's warning about each character of a name that its font lacks."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _styles(count: int) -> list[Style]:
    """A color and a line style for each run: ten colors in each line style, for more than forty runs a color scale."""
    if count <= 10 * len(STYLES):
        return [{"color": f"C{index % 10}", "linestyle": STYLES[index // 10]} for index in range(count)]
    scale = matplotlib.colormaps["turbo"]
    return [{"color": scale(index / (count - 1)), "linestyle": STYLES[index % 4]} for index in range(count)]


def _panels(rows: Sequence[Row], columns: Sequence[Column]) -> list[str]:
    """The scores, then the losses, of which any run has a value; scores of finished evaluations count."""
    names = dict.fromkeys(name for row in rows for name in row.run.curves)
    evaluated = {value for row in rows for record in row.run.records for value in record["values"]}
    values = dict.fromkeys(column.value for column in columns)
    scores = [run_history.SCORE + value for value in values if run_history.SCORE + value in names or value in evaluated]
    return scores + [name for name in names if not name.startswith((run_history.SCORE, "monitor/"))]


def _points(row: Row, name: str) -> list[tuple[int, float]]:
    """(iteration, value) of a curve in metrics.jsonl, or of the records in evaluation.jsonl."""
    value = name.removeprefix(run_history.SCORE)
    points = row.run.curves.get(name) or sorted(
        {
            record["protocol"]["iteration"]: record["values"][value]
            for record in row.run.records
            if value in record["values"] and "iteration" in record.get("protocol", {})
        }.items()
    )
    return [(at, score) for at, score in points if isinstance(score, (int, float)) and abs(score) < LARGEST]


def _plot_curves(axis: Axes, name: str, rows: Sequence[Row], styles: Sequence[Style]) -> None:
    """Fill one panel: curves, or bars in the order of the table if no run has more than a single value."""
    curves = [_points(row, name) for row in rows]
    bars = max(map(len, curves)) <= 1
    for rank, (points, style) in enumerate(zip(curves, styles), 1):
        if bars and points:
            axis.bar(rank, points[0][1], color=style["color"], hatch="" if style["linestyle"] == "-" else "//")
        elif points:
            axis.plot(*zip(*points), linewidth=1, marker="o" if len(points) < 3 else None, markersize=4, **style)
    values = [value for points in curves for _, value in points]
    if len(values) > 20 and not bars:  # a spike at the beginning would flatten the rest
        low, high = np.percentile(values, [0.5, 99.5])
        margin = MARGIN * (high - low)
        if margin:
            axis.set_ylim(low - margin, high + margin)
    axis.set_title(name.removeprefix(run_history.SCORE), fontsize=9, parse_math=False)
    axis.set_xlabel("rank" if bars else "iteration", fontsize=8)
    axis.xaxis.set_major_locator(MaxNLocator(nbins=7, integer=True))
    axis.tick_params(labelsize=7)
    axis.grid(alpha=0.3)


def _show_samples(axis: Axes, rank: int, row: Row, main: Column | None, style: Style) -> None:
    """Fill one tile: the last sample grid of a run, with its rank, label and main score."""
    axis.set_xticks([])
    axis.set_yticks([])
    for spine in axis.spines.values():
        spine.set(linewidth=3, **style)
    score = row.scores.get(main.name) if main else None
    title = textwrap.wrap(f"{rank}: {shortened(row.label, 84)}", 30, break_on_hyphens=False)
    if main and score:
        title.append(f"{main.name} {number(score.value)}")
    axis.set_title("\n".join(title), fontsize=7, color="black", parse_math=False)
    grid = _last_grid(row)
    if isinstance(grid, str):
        axis.text(0.5, 0.5, textwrap.fill(grid, 28, max_lines=8), ha="center", va="center", fontsize=7,
                  transform=axis.transAxes, parse_math=False)  # fmt: skip
    else:
        axis.imshow(grid, aspect="equal")


def _last_grid(row: Row) -> np.ndarray | str:
    """The last sample grid as uint8 (H, W, 3), or why there is none."""
    if row.run.failure:
        return f"failed: {row.run.failure}"
    file = row.run.last_grid()
    if file is None:
        return "no samples"
    try:
        with opened(file) as image:
            image = image.convert("RGB")
            image.thumbnail((PIXELS, PIXELS))
            return np.asarray(image)
    except ValueError:
        return f"{file.name} cannot be read"
