"""What the demos share: tables, pictures, densities on the line, a small network."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor, nn
from torch.distributions import Categorical, MixtureSameFamily, Normal

from gan_cli.utils.files import write_text
from gan_cli.utils.tables import number

Cell = str | int | float


def write_table(path: Path, head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Write a CSV with all digits; returns the table as aligned text with four."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerows([head, *rows])
    write_text(path, file.getvalue())
    table = [list(head), *([number(cell) for cell in row] for row in rows)]
    widths = [max(map(len, cells)) for cells in zip(*table)]
    return "\n".join(
        "  ".join([first.ljust(widths[0]), *map(str.rjust, rest, widths[1:])]).rstrip() for first, *rest in table
    )


def panels(rows: int, columns: int, width: float, height: float) -> tuple[Figure, Any]:
    """A figure and its axes, (rows, columns); width and height of a panel in inches."""
    figure = Figure(figsize=(columns * width, rows * height), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, columns, squeeze=False)
    for axis in axes.flat:
        axis.tick_params(labelsize=7)
        axis.grid(alpha=0.3)
    return figure, axes


def label(axis: Any, title: str, x: str, y: str = "", legend: str | None = "best") -> None:
    """Title, names of the axes, and a legend at a place of matplotlib's."""
    axis.set_title(title, fontsize=9)
    axis.set_xlabel(x, fontsize=8)
    axis.set_ylabel(y, fontsize=8)
    if legend:
        axis.legend(fontsize=7, loc=legend)


def save(figure: Figure, path: Path) -> None:
    """As PNG, 100 dots per inch, 64 colours."""
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=100)
    Image.open(file).convert("RGB").quantize(64).save(path, format="PNG", optimize=True)


def mixture(weights: Sequence[float], means: Sequence[float], sigmas: Sequence[float]) -> MixtureSameFamily:
    """sum_k weights_k N(means_k, sigmas_k^2) in float64."""
    w, mu, sigma = (torch.tensor(values, dtype=torch.float64) for values in (weights, means, sigmas))
    return MixtureSameFamily(Categorical(w), Normal(mu, sigma))


def line(low: float, high: float, n: int) -> tuple[Tensor, float]:
    """n points from low to high (float64), and their distance: sum(f(x)) * dx is the integral of an f that is 0 at
    both ends."""
    return torch.linspace(low, high, n, dtype=torch.float64), (high - low) / (n - 1)


def network(inputs: int, width: int = 32) -> nn.Module:
    """(N, inputs) -> (N,), two hidden layers of tanh, float64."""
    return nn.Sequential(
        nn.Linear(inputs, width), nn.Tanh(), nn.Linear(width, width), nn.Tanh(), nn.Linear(width, 1), nn.Flatten(0)
    ).double()
