"""The variational bound of f-GAN (Nowozin et al. 2016, arXiv 1606.00709, eq. 4 and 6).

F(T) = E_p T - E_q f*(T) is at most D_f(p||q), and rises to it while T is trained.
"""

from pathlib import Path

from torch import Tensor

from gan_cli.losses.divergences import (
    KL,
    GANDivergence,
    JensenShannon,
    PearsonChi2,
    ReverseKL,
    SquaredHellinger,
)
from gan_cli.losses.fgan import Divergence
from gan_cli.tools.demos._common import label, line, minimize, mixture, network, panels, save, write_table
from gan_cli.utils import random

TITLE = "The variational bound of f-GAN rises to the f-divergence during training and never exceeds it"

P, Q = mixture([0.5, 0.5], [-1.5, 1.0], [0.6, 0.8]), mixture([1.0], [0.0], [1.5])
X, DX = line(-8.0, 8.0, 161)
DIVERGENCES: dict[str, Divergence] = {
    "KL": KL(),
    "reverse KL": ReverseKL(),
    "Pearson chi2": PearsonChi2(),
    "squared Hellinger": SquaredHellinger(),
    "Jensen-Shannon": JensenShannon(),
    "GAN": GANDivergence(),
}
STEPS, SHOWN = 600, (0, 10, 100, 600)


def run(folder: Path) -> str:
    """variational_bound.{csv,png}: D_f, F after some steps, and the least difference of the two.

    Both are sums over the same points with the same weights, for two discrete distributions, so that F <= D_f holds
    exactly, without Monte Carlo error.
    """
    p, q = (density.log_prob(X).exp() * DX for density in (P, Q))
    p, q = p / p.sum(), q / q.sum()
    curves = {name: train(divergence, p, q) for name, divergence in DIVERGENCES.items()}
    truth = {name: float((q * divergence.f(p / q)).sum()) for name, divergence in DIVERGENCES.items()}
    rows = [
        [name, truth[name], *(curve[step] for step in SHOWN), truth[name] - max(curve)]
        for name, curve in curves.items()
    ]
    plot(folder / "variational_bound.png", curves, truth)
    head = ["divergence", "D_f", *(f"F, step {step}" for step in SHOWN), "least D_f - F"]
    return write_table(folder / "variational_bound.csv", head, rows)


def bound(divergence: Divergence, v: Tensor, p: Tensor, q: Tensor) -> Tensor:
    """F of T = g_f(v): scores v and probabilities p, q on the same points."""
    return (p * divergence.activation(v)).sum() - (q * divergence.conjugate_at(v)).sum()


def train(divergence: Divergence, p: Tensor, q: Tensor) -> list[float]:
    """F before each step and after the last; V is trained on full sums instead of samples."""
    with random.fork(0):
        v = network(1)

    def loss() -> Tensor:
        return -bound(divergence, v(X[:, None]), p, q)

    return [-value for value in minimize(v.parameters(), loss, STEPS)] + [-loss().item()]


def plot(path: Path, curves: dict[str, list[float]], truth: dict[str, float]) -> None:
    """F against the number of steps, with D_f as its limit, for each divergence."""
    figure, axes = panels(2, 3, 3.4, 2.5)
    for axis, (name, curve) in zip(axes.flat, curves.items()):
        axis.axhline(truth[name], color="k", linestyle="--", label="D_f(p||q)")
        axis.plot(range(1, len(curve) + 1), curve, label="F(T) during training")
        axis.set_xscale("log")
        low = curve[0]
        axis.set_ylim(low, truth[name] + 0.15 * (truth[name] - low))
        label(axis, name, "step + 1, from initial weights", legend="lower right")
    save(figure, path)
