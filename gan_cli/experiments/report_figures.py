"""Figures of the result pages: every row of paper against ours, and an experiment's scores during training."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from gan_cli.experiments.paper_results import Comparison, comparisons
from gan_cli.training.run_history import base_name
from gan_cli.utils.files import replacing

STYLES: dict[str, dict[str, Any]] = {
    "met": {"c": "tab:green"},
    "missed": {"edgecolors": "tab:red", "facecolors": "none"},
}
MARKERS = "os^Dv<>ph*"
PER_ROW = 3  # panels in a row of a figure of curves


def overview(families: Mapping[str, Sequence[Comparison]], path: Path) -> None:
    """Write a figure of all rows with a verdict: the paper's number on x, ours on y, a marker per family.

    families: title -> rows; those without a verdict are omitted. The axes are logarithmic beyond +-0.01 and linear
    between.
    """
    figure = Figure(figsize=(7.0, 5.0), layout="constrained")
    FigureCanvasAgg(figure)
    axis = figure.add_subplot()
    axis.axline((0, 0), (1, 1), color="black", linewidth=0.5)
    shown = 0
    for marker, (title, rows) in zip(itertools.cycle(MARKERS), families.items()):
        judged = [(row, row.median) for row in rows if row.verdict in STYLES and row.median is not None]
        judged = [(row, median) for row, median in judged if math.isfinite(median)]
        shown += len(judged)
        if judged:
            axis.scatter([], [], color="gray", marker=marker, label=title)
        for row, median in judged:
            axis.scatter(row.published.paper, median, marker=marker, s=22, alpha=0.7, **STYLES[row.verdict])
    axis.set_xscale("symlog", linthresh=0.01)
    axis.set_yscale("symlog", linthresh=0.01)
    axis.set_xlabel("the paper's number")
    axis.set_ylabel("our number")
    axis.set_title(
        f"{shown} of {sum(map(len, families.values()))} rows: filled green met, open red missed.\n"
        "Scores of all kinds; for some a high value is good, for others a low one",
        fontsize=8,
    )
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
    figure.axes[0].plot([], [], color="gray", linestyle="--", linewidth=0.8, label="the paper's number")
    if any(kinds):
        figure.axes[0].legend(fontsize=6)
    _save(figure, path)


def _save(figure: Figure, path: Path) -> None:
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=100, metadata={"Software": None})
