"""The earth mover's distance: a transport plan of least cost, and the critic of the same value.

    W(P, Q)  =  min over plans  E |x - y|  =  max over slopes |f'| <= 1  E_P f - E_Q f

(Arjovsky et al. 2017, arXiv 1701.07875, eq. 1 and 2: Kantorovich-Rubinstein duality).
On the line both are known exactly.
"""

from pathlib import Path

import matplotlib
import torch
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from torch import Tensor

from gan_cli.losses.adversarial import Wasserstein
from gan_cli.tools.demos._common import label, panels, save, write_table

TITLE = "The earth mover's distance of two histograms: the optimal transport plan, and the critic of the same value"

P = torch.tensor([0, 1, 1, 4, 2, 1, 1, 0], dtype=torch.float64) / 10  # at x = 0, 1, 2, ...
Q = torch.tensor([3, 1, 0, 1, 0, 0, 2, 3], dtype=torch.float64) / 10
COLORS = matplotlib.colormaps["turbo"]
X = torch.arange(len(P), dtype=torch.float64)


def run(folder: Path) -> str:
    """earth_mover.{csv,png}: P, Q, the differences of their distribution functions and the critic f;
    earth_mover_plan.csv: the plan.
    """
    moved, f = plan(P, Q), critic(P, Q)
    columns = [X, P, Q, difference(P, Q), f]
    table = write_table(folder / "earth_mover.csv", ["x", "P", "Q", "F_P - F_Q", "f"], torch.stack(columns, 1).tolist())
    arrows = [[i, j, moved[i, j].item()] for i, j in moved.nonzero().tolist()]
    write_table(folder / "earth_mover_plan.csv", ["from", "to", "mass"], arrows)
    plot(folder / "earth_mover.png", moved, f)
    integral = float(difference(P, Q).abs().sum())
    return (
        f"{table}\nW by the plan: {cost(moved):.4f}; by the integral of |F_P - F_Q|: {integral:.4f}; "
        f"by the critic, E_P f - E_Q f: {gap(f):.4f}\nanother plan, P and Q independent: {cost(P[:, None] * Q):.4f}"
    )


def plan(p: Tensor, q: Tensor) -> Tensor:
    """The mass that moves from i to j, (n, n): both are cut at the same quantiles, so that no two paths cross."""
    high = torch.minimum(p.cumsum(0)[:, None], q.cumsum(0))
    low = torch.maximum((p.cumsum(0) - p)[:, None], q.cumsum(0) - q)
    moved = (high - low).clamp(min=0)
    return torch.where(moved > 1e-9, moved, 0.0)


def cost(moved: Tensor) -> float:
    """sum of mass times distance."""
    return float((moved * (X[:, None] - X).abs()).sum())


def difference(p: Tensor, q: Tensor) -> Tensor:
    """F_P - F_Q at X, rounded, so that an exact 0 has no sign."""
    return (p - q).cumsum(0).round(decimals=12)


def critic(p: Tensor, q: Tensor) -> Tensor:
    """f on X, with f(0) = 0: it falls by 1 where P has more mass to the left of the step than Q, and rises by 1
    where it has less.
    """
    return torch.cat([X.new_zeros(1), -difference(p, q)[:-1].sign().cumsum(0)])


def gap(f: Tensor) -> float:
    """E_P f - E_Q f: minus WGAN's loss of the critic, on ten samples with the histograms P and Q."""
    real, fake = (f.repeat_interleave((10 * h).round().long()) for h in (P, Q))
    return -Wasserstein().d_loss(real, fake).item()


def plot(path: Path, moved: Tensor, f: Tensor) -> None:
    """P and Q with the earth colored by where it comes from, the plan as a matrix, and the critic."""
    figure, ((before, after, matrix, dual),) = panels(1, 4, 3.2, 3.3)
    piles(before, torch.diag(P))
    label(before, "P: a color per place x", "x", "mass", None)
    piles(after, moved)
    label(after, "Q: the same earth, moved", "y", "mass (color: its place in P)", None)
    blocks(matrix, moved)
    dual.plot(X, f, "k.-", label="critic f, |slope| <= 1")
    dual.bar(X - 0.15, 5 * P, 0.3, bottom=f.min() - 2, color="C0", label="P")
    dual.bar(X + 0.15, 5 * Q, 0.3, bottom=f.min() - 2, color="C1", label="Q")
    dual.set_ylim(float(f.min()) - 2, float(f.max()) + 2)
    label(dual, f"critic: E_P f - E_Q f = {gap(f):g} = W", "x", "f(x)", "upper right")
    figure.suptitle(
        f"Earth mover's distance W = {cost(moved):g}: the least mass x distance that turns P into Q", fontsize=10
    )
    save(figure, path)


def piles(axis: Axes, moved: Tensor) -> None:
    """The mass at each y as a pile of blocks, colored by the place x that they come from."""
    bottom = torch.zeros_like(X)
    for i, row in enumerate(moved):
        axis.bar(X, row, 0.9, bottom=bottom, color=COLORS(i / 7), edgecolor="w", linewidth=0.5)
        bottom += row
    axis.set_ylim(0, 0.45)
    axis.set_xticks(X.tolist())


def blocks(axis: Axes, moved: Tensor) -> None:
    """The plan: a block per x and y with its mass, and the histograms P and Q as bars on the sides."""
    for i, j in moved.nonzero().tolist():
        axis.add_patch(Rectangle((j - 0.5, i - 0.5), 1, 1, facecolor=COLORS(i / 7), edgecolor="w"))
        axis.text(j, i, f"{moved[i, j]:.1f}", fontsize=7, ha="center", va="center")
    axis.barh(X, -6 * P, 0.9, left=-0.7, color=[COLORS(i / 7) for i in range(len(P))])
    axis.bar(X, -6 * Q, 0.9, bottom=-0.7, color="0.6")
    axis.plot([-0.6, 7.5], [-0.6, 7.5], "k:", linewidth=0.8)
    axis.text(-1.6, 0, "P", ha="center", va="center")
    axis.text(2, -1.6, "Q", ha="center", va="center")
    axis.set_xlim(-2.7, 7.6)
    axis.set_ylim(7.6, -2.7)
    axis.set_aspect("equal")
    axis.set_xticks(X.tolist())
    axis.set_yticks(X.tolist())
    label(axis, "optimal plan (dots: x = y)", "to y", "mass from x", None)
