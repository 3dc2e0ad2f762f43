"""Goodfellow 2016 (arXiv 1701.00160), figure 16: what G minimises, against what D says of its sample."""

from pathlib import Path

import torch
from torch import Tensor
from torch.func import grad_and_value, vmap

from gan_cli.evaluation.charts import STYLES
from gan_cli.losses.adversarial import MaximumLikelihood, Minimax, NonSaturating
from gan_cli.tools.demos._parts import label, panels, save, write_table

TITLE = "minimax, non-saturating, maximum likelihood: G's loss and its gradient against D(G(z))"

GAMES: dict[str, Minimax] = {
    "minimax": Minimax(),
    "non-saturating": NonSaturating(),
    "maximum likelihood": MaximumLikelihood(),
}
ROWS = (0.001, 0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99, 0.999)


def run(folder: Path) -> str:
    """generator_losses.{csv,png}: J_G per sample, and dJ_G/da by autograd, a = logit of D(G(z))."""
    d = torch.tensor(ROWS, dtype=torch.float64)
    found = [column for loss in GAMES.values() for column in losses(loss, d)]
    head = ["D(G(z))", *(f"{part} {system}" for system in GAMES for part in ("J", "dJ/da"))]
    picture(folder / "generator_losses.png")
    return write_table(folder / "generator_losses.csv", head, [row.tolist() for row in torch.stack([d, *found], 1)])


def losses(loss: Minimax, d: Tensor) -> tuple[Tensor, Tensor]:
    """(J_G, dJ_G/da) of single samples with D(G(z)) = d, each of d's shape (N,)."""
    gradient, value = vmap(grad_and_value(loss.g_loss))(d.logit())
    return value, gradient


def picture(path: Path) -> None:
    figure, ((left, right),) = panels(1, 2, 4.2, 3.4)
    d = torch.linspace(0.001, 0.999, 999, dtype=torch.float64)
    for (system, loss), style in zip(GAMES.items(), STYLES):
        value, gradient = losses(loss, d)
        left.plot(d, value, style, label=system)
        right.plot(d, gradient.abs(), style, label=system)
    left.set_ylim(-20, 8)
    label(left, "loss of the generator", "D(G(z))", "J", "lower left")
    right.set_yscale("log")
    label(right, "size of its gradient: the push on G", "D(G(z))", "|dJ/da|,  D = sigmoid(a)", "lower center")
    save(figure, path)
