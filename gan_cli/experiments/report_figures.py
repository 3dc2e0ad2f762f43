"""Figures of the result pages: every row of paper against ours, and an experiment's scores during training."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from gan_cli.experiments.paper_results import Comparison, comparisons
from gan_cli.training.run_history import base_name
from gan_cli.utils.files import replacing

COLORS = {"met": "tab:green", "missed": "tab:red"}
MARKERS = "os^Dv<>ph*"
PER_ROW = 3  # panels in a row of a figure of curves


def overview(families: Mapping[str, Sequence[Comparison]], path: Path) -> None:
    """Write a figure of all rows with a verdict: the paper's number on x, ours on y, a marker per family.

    families: title -> rows. The axes are logarithmic beyond +-0.01 and linear between.
    """
    figure = Figure(figsize=(7.0, 5.0), layout="constrained")
    FigureCanvasAgg(figure)
    axis = figure.add_subplot()
    axis.axline((0, 0), (1, 1), color="black", linewidth=0.5)
    for index, (title, rows) in enumerate(families.items()):
        marker = MARKERS[index % len(MARKERS)]
        axis.scatter([], [], color="gray", marker=marker, label=title)
        for row in rows:
            if row.verdict in COLORS and row.median is not None and math.isfinite(row.median):
                axis.scatter(row.published.paper, row.median, color=COLORS[row.verdict], marker=marker, s=18, alpha=0.7)
    axis.set_xscale("symlog", linthresh=0.01)
    axis.set_yscale("symlog", linthresh=0.01)
    axis.set_xlabel("paper")
    axis.set_ylabel("ours (green: met, red: missed)")
    figure.legend(fontsize=7, loc="outside right upper", frameon=False)
    _save(figure, path)


def curves(result: Mapping[str, Any], path: Path) -> None:
    """Write a figure of an experiment's scores during training: a panel per score, a color per variant.

    A dashed line is what a paper reports.
    """
    runs = [run for run in result["runs"] if run.get("curves")]
    expected = comparisons(result)
    values = [row.published.value for row in expected]
    names = list(dict.fromkeys(base_name(name) for run in runs for name in run["curves"]))
    names = [name for name in names if name in values] or names[:1]
    kinds = list(dict.fromkeys(run.get("variant", "") for run in runs))
    columns = min(PER_ROW, len(names))
    figure = Figure(figsize=(4.0 * columns, 3.0 * -(-len(names) // columns)), layout="constrained")
    FigureCanvasAgg(figure)
    for index, name in enumerate(names):
        axis = figure.add_subplot(-(-len(names) // columns), columns, index + 1)
        for run in runs:
            points = [point for key, points in run["curves"].items() if base_name(key) == name for point in points]
            finite = [(at, value) for at, value in points if value is not None]
            color = f"C{kinds.index(run.get('variant', '')) % 10}"
            axis.plot([at for at, _ in finite], [value for _, value in finite], color=color, linewidth=1, marker=".")
        for row in expected:
            if row.published.value == name and (row.published.variant or "") in kinds:
                color = f"C{kinds.index(row.published.variant or '') % 10}"
                axis.axhline(row.published.paper, color=color, linestyle="--", linewidth=0.8)
        axis.set_title(name, fontsize=9)
        axis.set_xlabel("iteration", fontsize=8)
        axis.tick_params(labelsize=7)
    for index, kind in enumerate(kinds):
        figure.axes[0].plot([], [], color=f"C{index % 10}", label=kind)
    if any(kinds):
        figure.axes[0].legend(fontsize=6)
    _save(figure, path)


def _save(figure: Figure, path: Path) -> None:
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=100, metadata={"Software": None})
