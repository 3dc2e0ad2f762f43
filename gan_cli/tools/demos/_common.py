"""Shared parts of the demos: tables, plots, densities on the real line, a small network and its training."""

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor, nn
from torch.distributions import Categorical, MixtureSameFamily, Normal

from gan_cli.utils.files import replacing, write_text
from gan_cli.utils.tables import aligned

SystemT = TypeVar("SystemT", bound=nn.Module)


def write_table(path: Path, head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Write a CSV with all digits, and return the table as aligned text with four significant digits."""
    file = io.StringIO()
    csv.writer(file, lineterminator="\n").writerows([head, *rows])
    write_text(path, file.getvalue())
    return "\n".join(aligned([head, *rows]))


def panels(rows: int, columns: int, width: float, height: float) -> tuple[Figure, Any]:
    """A figure and its axes, (rows, columns); width and height of a panel in inches."""
    figure = Figure(figsize=(columns * width, rows * height), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, columns, squeeze=False)
    for axis in axes.flat:
        axis.tick_params(labelsize=7)
        axis.grid(alpha=0.3)
    return figure, axes


def label(axis: Axes, title: str, x: str, y: str = "", legend: str | None = "best") -> None:
    """Set the title, the names of the axes, and the place of the legend (None: no legend)."""
    axis.set_title(title, fontsize=9)
    axis.set_xlabel(x, fontsize=8)
    axis.set_ylabel(y, fontsize=8)
    if legend:
        axis.legend(fontsize=7, loc=legend)  # type: ignore[call-overload]


def save(figure: Figure, path: Path) -> None:
    """Write a PNG with 100 dots per inch and 64 colors, which keeps the plots in the documentation small."""
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=100)
    with replacing(path) as temporary:
        Image.open(file).convert("RGB").quantize(64).save(temporary, format="PNG", optimize=True)


def mixture(weights: Sequence[float], means: Sequence[float], sigmas: Sequence[float]) -> MixtureSameFamily:
    """sum_k weights_k N(means_k, sigmas_k^2) in float64."""
    w, mu, sigma = (torch.tensor(values, dtype=torch.float64) for values in (weights, means, sigmas))
    return MixtureSameFamily(Categorical(w), Normal(mu, sigma))


def line(low: float, high: float, n: int) -> tuple[Tensor, float]:
    """n points from low to high (float64) and their distance dx: sum(f(x)) * dx is the integral of an f that is 0 at
    both ends.
    """
    return torch.linspace(low, high, n, dtype=torch.float64), (high - low) / (n - 1)


def network(inputs: int, width: int = 32) -> nn.Module:
    """(N, inputs) -> (N,), two hidden layers of tanh, float64."""
    return nn.Sequential(
        nn.Linear(inputs, width), nn.Tanh(), nn.Linear(width, width), nn.Tanh(), nn.Linear(width, 1), nn.Flatten(0)
    ).double()


def in_float64(system: SystemT) -> SystemT:
    """The model with float64 weights, whose networks take inputs of any type.

    GANs amplify rounding errors: in float32 the numbers after some hundred iterations would depend on the processor.
    """
    for part in system.double().children():
        part.register_forward_pre_hook(lambda _, inputs: tuple(value.double() for value in inputs))
    return system


def minimize(parameters: Iterable[Tensor], loss: Callable[[], Tensor], steps: int, lr: float = 1e-2) -> Iterator[float]:
    """Adam with a learning rate that falls linearly to 0. Yields the loss before each step, after the step."""
    optimizer = torch.optim.Adam(parameters, lr=lr)
    decay = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, steps)
    for _ in range(steps):
        value = loss()
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        decay.step()
        yield value.item()
