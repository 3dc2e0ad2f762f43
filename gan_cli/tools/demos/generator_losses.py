"""Three losses of the generator as functions of D(G(z)) (Goodfellow 2016, arXiv 1701.00160, figure 16)."""

from pathlib import Path

import torch
from torch import Tensor
from torch.func import grad_and_value, vmap

from gan_cli.evaluation.charts import STYLES
from gan_cli.losses.adversarial import MaximumLikelihood, Minimax, NonSaturating
from gan_cli.tools.demos._common import label, panels, save, write_table

TITLE = "Generator losses: minimax, non-saturating and maximum likelihood, and their gradients, against D(G(z))"

LOSSES: dict[str, Minimax] = {
    "minimax": Minimax(),
    "non-saturating": NonSaturating(),
    "maximum likelihood": MaximumLikelihood(),
}
ROWS = (0.001, 0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99, 0.999)


def run(folder: Path) -> str:
    """generator_losses.{csv,png}: the loss J of G per sample, and dJ/da by autograd, where D(G(z)) = sigmoid(a)."""
    d = torch.tensor(ROWS, dtype=torch.float64)
    columns = [column for loss in LOSSES.values() for column in loss_and_gradient(loss, d)]
    head = ["D(G(z))", *(f"{part} {name}" for name in LOSSES for part in ("J", "dJ/da"))]
    plot(folder / "generator_losses.png")
    return write_table(folder / "generator_losses.csv", head, [row.tolist() for row in torch.stack([d, *columns], 1)])


def loss_and_gradient(loss: Minimax, d: Tensor) -> tuple[Tensor, Tensor]:
    """(J, dJ/da) of single samples with D(G(z)) = d, (N,) each."""
    gradient, value = vmap(grad_and_value(loss.g_loss))(d.logit())
    return value, gradient


def plot(path: Path) -> None:
    figure, ((left, right),) = panels(1, 2, 4.2, 3.4)
    d = torch.linspace(0.001, 0.999, 999, dtype=torch.float64)
    for (name, loss), style in zip(LOSSES.items(), STYLES):
        value, gradient = loss_and_gradient(loss, d)
        left.plot(d, value, style, label=name)
        right.plot(d, gradient.abs(), style, label=name)
    left.set_ylim(-20, 8)
    label(left, "loss J of the generator", "D(G(z))", "J", "lower left")
    right.set_yscale("log")
    label(right, "magnitude of its gradient", "D(G(z))", "|dJ/da|,  D = sigmoid(a)", "lower center")
    save(figure, path)
