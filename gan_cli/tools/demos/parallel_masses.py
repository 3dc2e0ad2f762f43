"""Distances of two parallel lines (WGAN, example 1; Arjovsky et al. 2017, arXiv 1701.07875).

Real points are (0, y), generated ones (theta, y), y ~ U[0, 1]. W = |theta| has a gradient in theta; JS = log 2 and
KL = inf are constant for all theta other than 0.
"""

import math
from pathlib import Path

import torch
from torch import Tensor, nn

from gan_cli.losses.adversarial import AdversarialLoss, Minimax, Wasserstein
from gan_cli.losses.penalties import GradientPenalty, Penalty, input_gradient
from gan_cli.tools.demos._common import label, minimize, network, panels, save, write_table
from gan_cli.utils import random

TITLE = "Wasserstein distance, JS and KL of two parallel lines at distance theta, by formula and by trained critics"

THETAS = (0.0, 0.25, 0.5, 1.0, 2.0)
STEPS, BATCH, TEST = 300, 128, 2048


def run(folder: Path) -> str:
    """parallel_masses.{csv,png}: for each theta W, JS, KL, and their estimates by a WGAN-GP critic and a discriminator.

    The critic's gap E f(x) - E f(G(z)) is a distance times its slope. With the two-sided penalty of weight lambda the
    slope is 1 + theta / (2 lambda), so W is estimated by the gap divided by the largest slope between the points, which
    is the gap of a 1-Lipschitz critic. JS is estimated by (V + log 4) / 2 of the discriminator's V.
    """
    with random.fork(0):
        rows = [[theta, *formula(theta), *wasserstein(theta), jensen_shannon(theta)] for theta in THETAS]
    head = ["theta", "W = |theta|", "JS", "KL", "critic's gap", "its slope", "W of the critic", "JS of D"]
    plot(folder / "parallel_masses.png", rows)
    table = write_table(folder / "parallel_masses.csv", head, rows)
    return f"{table}\nlog 2 = {math.log(2):.4f}; W of the critic = gap / slope"


def formula(theta: float) -> tuple[float, float, float]:
    """W, JS and KL, in either direction."""
    return (abs(theta), math.log(2), math.inf) if theta else (0.0, 0.0, 0.0)


def masses(theta: float, n: int) -> tuple[Tensor, Tensor]:
    """n real points (0, y) and n generated ones (theta, y'), float64, (n, 2)."""
    y = random.uniform(n, 2).double()
    return torch.stack([torch.zeros(n).double(), y[:, 0]], 1), torch.stack([torch.full((n,), theta), y[:, 1]], 1)


def train(loss: AdversarialLoss, penalty: Penalty | None, theta: float) -> nn.Module:
    """A critic that is trained for STEPS on new samples in each step."""
    critic = network(2)

    def critic_loss() -> Tensor:
        real, fake = masses(theta, BATCH)
        value = loss.d_loss(critic(real), critic(fake))
        return value if penalty is None else value + penalty(critic, real, fake)

    for _ in minimize(critic.parameters(), critic_loss, STEPS):
        pass
    return critic


def wasserstein(theta: float) -> tuple[float, float, float]:
    """A WGAN-GP critic's gap on new points, its largest slope between them, and gap / slope."""
    critic = train(Wasserstein(), GradientPenalty(), theta)
    real, fake = masses(theta, TEST)
    gap = -Wasserstein().d_loss(critic(real), critic(fake)).item()
    between = real + random.uniform(TEST, 1) * (fake - real)
    slope = input_gradient(critic, between).norm(dim=1).max().item()
    return gap, slope, gap / slope


def jensen_shannon(theta: float) -> float:
    """(V + log 4) / 2 of a trained discriminator on new points; in expectation at most JS.

    Goodfellow et al. 2014 (arXiv 1406.2661), theorem 1.
    """
    discriminator = train(Minimax(), None, theta)
    real, fake = masses(theta, TEST)
    return (math.log(4) - Minimax().d_loss(discriminator(real), discriminator(fake)).item()) / 2


def plot(path: Path, rows: list[list[float]]) -> None:
    """The points, and the estimates of W and JS against theta."""
    figure, ((first, left, right),) = panels(1, 3, 3.6, 3.1)
    theta = [row[0] for row in rows]
    y = torch.linspace(0, 1, 2)
    first.plot(torch.zeros(2), y, "C0-", linewidth=3, label="real: (0, y)")
    for value, style in zip(THETAS[1:], ("-", "--", ":", "-.")):
        first.plot(torch.full((2,), value), y, f"C1{style}", label=f"generated: ({value:g}, y)")
    first.set_ylim(0, 1.9)
    label(first, "real and generated points, y ~ U[0, 1]", "x", "y", "upper right")
    left.plot([0, 2], [0, 2], "k--", label="W = |theta|")
    left.plot(theta, [row[6] for row in rows], "C0o", label="WGAN-GP critic: gap / slope")
    left.plot(theta, [row[4] for row in rows], "C0x", label="WGAN-GP critic: gap")
    label(left, "Wasserstein distance: has a gradient", "theta", legend="upper left")
    right.axhline(math.log(2), color="k", linestyle="--", label="JS = log 2 for theta > 0")
    right.plot(0, 0, "ks", markerfacecolor="none", markersize=8, label="JS = 0 at theta = 0")
    right.plot(theta, [row[7] for row in rows], "C1o", label="discriminator: (V + log 4) / 2")
    right.set_ylim(-0.05, 0.8)
    label(right, "Jensen-Shannon: constant, no gradient", "theta", legend="center right")
    save(figure, path)
