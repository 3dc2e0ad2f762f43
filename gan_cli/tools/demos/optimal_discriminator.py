"""The optimal discriminator D* = p / (p + q), and V(D*) = -log 4 + 2 JSD(p||q) (Goodfellow et al. 2014, proposition 1).
"""

import math
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid

from gan_cli.evaluation.charts import STYLES
from gan_cli.losses.adversarial import Minimax
from gan_cli.tools.demos._common import label, line, minimize, mixture, network, panels, save, write_table
from gan_cli.utils import random

TITLE = "The optimal discriminator: D trained on samples of two known densities approaches p / (p + q)"

P, Q = mixture([0.5, 0.5], [-2.0, 1.5], [0.6, 0.8]), mixture([1.0], [0.0], [1.5])
X, DX = line(-12.0, 12.0, 2401)
STEPS, SHOWN, BATCH = 2000, (0, 20, 200, 2000), 256


def run(folder: Path) -> str:
    """optimal_discriminator.{csv,png}: V of the trained D by quadrature, and the difference of D and D*."""
    p, q = (density.log_prob(X).exp() for density in (P, Q))
    best = p / (p + q)
    bound = -math.log(4) + 2 * jsd(p, q)
    with random.fork(0):
        scores = train()
    rows = []
    for step in SHOWN:
        error = (scores[step].sigmoid() - best).abs()
        supported = p + q > 0.01
        mean = float((error * (p + q) / 2).sum() * DX)
        rows.append([step, value(scores[step], p, q), bound, mean, error[supported].max().item()])
    plot(folder / "optimal_discriminator.png", p, q, scores, bound)
    head = ["step", "V", "-log 4 + 2 JSD", "mean |D - D*|", "max |D - D*|"]
    table = write_table(folder / "optimal_discriminator.csv", head, rows)
    return f"{table}\nmean |D - D*|: weighted by (p + q) / 2; max |D - D*|: where p + q > 0.01"


def jsd(p: Tensor, q: Tensor) -> float:
    """Jensen-Shannon divergence of two densities on X, in nats."""
    m = (p + q) / 2
    return 0.5 * float((torch.special.xlogy(p, p / m) + torch.special.xlogy(q, q / m)).sum() * DX)


def value(a: Tensor, p: Tensor, q: Tensor) -> float:
    """V = E_p log D + E_q log(1 - D) of D = sigmoid(a); all on X."""
    return float((p * logsigmoid(a) + q * logsigmoid(-a)).sum() * DX)


def train() -> dict[int, Tensor]:
    """Step -> scores of D on X. D is trained with the Minimax loss on new samples in each step."""
    discriminator = network(1)

    def loss() -> Tensor:
        real, fake = (density.sample((BATCH, 1)) for density in (P, Q))
        return Minimax().d_loss(discriminator(real), discriminator(fake))

    scores = {0: on_line(discriminator)}
    for step, _ in enumerate(minimize(discriminator.parameters(), loss, STEPS), start=1):
        scores[step] = on_line(discriminator) if step in SHOWN or step % 10 == 0 else scores[step - 1]
    return scores


@torch.no_grad()
def on_line(discriminator: nn.Module) -> Tensor:
    """Scores on X, (N,)."""
    return discriminator(X[:, None])


def plot(path: Path, p: Tensor, q: Tensor, scores: dict[int, Tensor], bound: float) -> None:
    figure, ((above, middle, below),) = panels(1, 3, 3.9, 3.2)
    above.plot(X, p, "-", label="p: data")
    above.plot(X, q, "--", label="q: generator")
    above.set_ylim(0, 0.45)
    label(above, "two densities", "x", legend="upper right")
    middle.plot(X, p / (p + q), "k-", linewidth=4, alpha=0.25, label="D* = p / (p + q)")
    for step, style in zip(SHOWN[1:], STYLES[::-1][1:]):
        middle.plot(X, scores[step].sigmoid(), style, label=f"D after {step} steps")
    middle.set_ylim(0, 1.25)
    label(middle, "the discriminator", "x", legend="upper center")
    for axis in (above, middle):
        axis.set_xlim(-5, 5)
    steps = sorted(step for step in scores if step % 10 == 0)
    below.plot(steps, [value(scores[step], p, q) for step in steps], label="V of the trained D")
    below.axhline(bound, color="k", linestyle="--", label="V of D* = -log 4 + 2 JSD")
    below.axhline(-math.log(4), color="k", linestyle=":", label="-log 4, its value for p = q")
    label(below, "value V of the minimax game", "step", legend="center right")
    save(figure, path)
