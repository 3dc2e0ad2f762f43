"""Conjugates of f-GAN's divergences (Nowozin et al. 2016, section 2.2).

A convex f is the supremum of its tangents, f(u) = sup_t t u - f*(t).
"""

from pathlib import Path

import torch
from matplotlib.axes import Axes

from gan_cli.losses.divergences import (
    KL,
    Alpha,
    GANDivergence,
    Jeffrey,
    JensenShannon,
    NeymanChi2,
    PearsonChi2,
    ReverseKL,
    SquaredHellinger,
    TotalVariation,
)
from gan_cli.losses.fgan import Divergence
from gan_cli.tools.demos._common import panels, save, write_table

TITLE = "Ten f-divergences of f-GAN: the convex function f, its conjugate f* and a tangent"

ALL: dict[str, Divergence] = {
    "KL": KL(),
    "reverse KL": ReverseKL(),
    "Pearson chi2": PearsonChi2(),
    "Neyman chi2": NeymanChi2(),
    "squared Hellinger": SquaredHellinger(),
    "Jeffrey": Jeffrey(),
    "Jensen-Shannon": JensenShannon(),
    "GAN": GANDivergence(),
    "total variation": TotalVariation(),
    "alpha = 1/2": Alpha(0.5),
}
POINT = 2.0
U = torch.arange(5, 401, dtype=torch.float64) / 100


def run(folder: Path) -> str:
    """divergences.{csv,png}: the slope t = f'(u*) at u* = 2, f*(t), and the tangent t u - f*(t) at u*.

    f*(t) is computed in closed form and as the maximum of t u - f(u) on a grid; the tangent touches f at u*.
    """
    rows = []
    for name, divergence in ALL.items():
        t, conjugate = slope(divergence), divergence.conjugate(slope(divergence))
        largest = (t * U - divergence.f(U)).max()
        cells = [t, conjugate, largest, POINT * t - conjugate, divergence.f(U.new_tensor(POINT))]
        rows.append([name, divergence.threshold, *(cell.item() for cell in cells)])
    plot(folder / "divergences.png")
    head = ["divergence", "f'(1)", "t = f'(2)", "f*(t)", "max_u t u - f(u)", "2 t - f*(t)", "f(2)"]
    return write_table(folder / "divergences.csv", head, rows)


def slope(divergence: Divergence) -> torch.Tensor:
    """The slope t = f'(u*), float64."""
    return divergence.f_prime(U.new_tensor(POINT))


def plot(path: Path) -> None:
    """f with a tangent, and below it f* with its tangent: the slope of one is the point of contact of the other."""
    figure, axes = panels(4, 5, 2.4, 2.0)
    for index, (name, divergence) in enumerate(ALL.items()):
        row, column = divmod(index, 5)
        primal(axes[2 * row][column], divergence)
        dual(axes[2 * row + 1][column], divergence)
        axes[2 * row][column].set_title(name, fontsize=9)
    figure.suptitle(
        "above: f(u) (solid) and its tangent t u - f*(t) (dashed), which is f(2) at u = 2 (dot) and -f*(t) at u = 0 "
        "(square)\nbelow: f*(t) (solid) and its tangent 2 t - f(2) (dashed), which is f*(t) at t = f'(2) (dot); "
        "gray: f* is infinite",
        fontsize=9,
    )
    save(figure, path)


def primal(axis: Axes, divergence: Divergence) -> None:
    """Plot f and its tangent at u* = 2."""
    t = slope(divergence)
    u = torch.linspace(0, 4, 2, dtype=torch.float64)
    values = divergence.f(U)
    axis.plot(U, values, "C0-")
    axis.plot(u, t * u - divergence.conjugate(t), "C1--")
    axis.plot(POINT, divergence.f(U.new_tensor(POINT)), "ko", markersize=4)
    axis.plot(0, -divergence.conjugate(t), "ks", markersize=4, markerfacecolor="none")
    low = min(values.min().item(), -divergence.conjugate(t).item())
    high = min(values.max().item(), 3 * divergence.f(U.new_tensor(4.0)).abs().item() + 0.5)
    axis.set_ylim(low - 0.1 * (high - low), high)
    axis.set_xlabel("u", fontsize=8, labelpad=1)
    axis.set_ylabel("f", fontsize=8, labelpad=1)


def dual(axis: Axes, divergence: Divergence) -> None:
    """Plot f* and its tangent at t = f'(2)."""
    t0, f0 = slope(divergence), divergence.f(U.new_tensor(POINT))
    t = t0 + torch.linspace(-2.5, 1.2, 600, dtype=torch.float64)
    values = divergence.conjugate(t)
    inside = values.isfinite()
    axis.plot(t[inside], values[inside], "C0-")
    axis.plot(t, POINT * t - f0, "C1--")
    axis.plot(t0, divergence.conjugate(t0), "ko", markersize=4)
    if not inside.all():
        axis.axvspan(t[inside].max().item(), t.max().item(), color="0.85")
    low = (POINT * t - f0).min().item()
    high = max(POINT * t.max().item() - f0.item(), values[inside].median().item())
    axis.set_xlim(t.min().item(), t.max().item())
    axis.set_ylim(low, high + 0.5)
    axis.set_xlabel("t", fontsize=8, labelpad=1)
    axis.set_ylabel("f*", fontsize=8, labelpad=1)
