"""Critics of real and generated points that do not overlap: what slope the generator receives.

Arjovsky et al. 2017 (WGAN, arXiv 1701.07875), figure 2; Gulrajani et al. 2017 (WGAN-GP, arXiv 1704.00028), figure 1;
Miyato et al. 2018 (arXiv 1802.05957) for spectral normalization.
"""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.func import grad, vmap

from gan_cli.losses.adversarial import AdversarialLoss, Hinge, Minimax, NonSaturating, Wasserstein
from gan_cli.losses.objective import Constraint, Objective, WeightClip
from gan_cli.losses.penalties import GradientPenalty, Penalty, input_gradient
from gan_cli.networks.norm import normalize_weights_
from gan_cli.tools.demos._common import label, line, minimize, network, panels, save, write_table
from gan_cli.utils import random
from gan_cli.utils.progress import Progress

TITLE = "Critics of points that do not overlap: a sigmoid's slope vanishes, a Lipschitz critic's does not"

STEPS, SEED = 800, 0
QUANTILES = torch.special.ndtri((torch.arange(64, dtype=torch.float64) + 0.5) / 64)[:, None]
REAL, FAKE = -2 + 0.4 * QUANTILES, 2 + 0.4 * QUANTILES
X, DX = line(-4.0, 4.0, 401)


@dataclass(frozen=True)
class Method:
    """A critic: its loss, and what bounds its slope."""

    loss: AdversarialLoss
    penalty: Penalty | None = None
    constraint: Constraint | None = None
    spectral: bool = False
    output: type[nn.Module] = nn.Identity  # what is shown: D = sigmoid(score), or the score itself


METHODS = {
    "sigmoid D (GAN)": Method(Minimax(), output=nn.Sigmoid),
    "weights clipped to 0.01 (WGAN)": Method(Wasserstein(), constraint=WeightClip(0.01)),
    "weights clipped to 0.5 (WGAN)": Method(Wasserstein(), constraint=WeightClip(0.5)),
    "gradient penalty (WGAN-GP)": Method(Wasserstein(), penalty=GradientPenalty()),
    "spectral norm, hinge (SNGAN)": Method(Hinge(), spectral=True),
}


def run(folder: Path) -> str:
    """critics.{csv,png}: outputs of each critic, its slope at the generated points, and the gradient of G's loss."""
    progress = Progress(len(METHODS) * STEPS, "steps")
    with random.fork(SEED):
        critics = {name: train(method, progress) for name, method in METHODS.items()}
    rows: list[list[object]] = []
    for name, f in critics.items():
        slopes = [input_gradient(f, x).abs() for x in (FAKE, X[150:251, None])]  # the second: between the two groups
        values = [f(REAL).mean(), f(FAKE).mean(), *(extreme(s) for s in slopes for extreme in (torch.min, torch.max))]
        rows.append([name, *(value.item() for value in values), push(METHODS[name].loss, f[0])])
    rows.append(["sigmoid D, loss -log D", *rows[0][1:-1], push(NonSaturating(), critics["sigmoid D (GAN)"][0])])
    plot(folder / "critics.png", critics)
    head = ["critic", "f(x)", "f(G(z))", "least slope at G(z)", "largest", "least between", "largest between"]
    head.append("|dL_G/dx|")
    return write_table(folder / "critics.csv", head, rows)


def train(method: Method, progress: Progress, sign: int = 1) -> nn.Sequential:
    """A critic and its output layer; trained on all points in each step, until the learning rate is 0.

    sign: 1 for a critic that is larger for real points before training, -1 for the opposite. In one dimension a critic
    with a gradient penalty keeps its sign, because its slope would have to pass through 0.
    """
    critic = network(1)
    with torch.no_grad():
        if sign * (critic(REAL).mean() - critic(FAKE).mean()) < 0:
            critic[-2].weight.neg_()  # type: ignore[index]
    if method.spectral:
        normalize_weights_(critic, "spectral")
    objective = Objective(method.loss, method.penalty, method.constraint)

    def loss() -> Tensor:
        objective.constrain(critic)
        return torch.stack([*objective.d_loss(critic, REAL, FAKE).values()]).sum()

    for _ in minimize(critic.parameters(), loss, STEPS):
        progress.advance()
    objective.constrain(critic)
    return nn.Sequential(critic, method.output()).eval()


def push(loss: AdversarialLoss, critic: nn.Module) -> float:
    """Mean magnitude of the gradient of the generator's loss by its samples."""

    def of_sample(x: Tensor) -> Tensor:
        return loss.g_loss(critic(x[None]), None)  # type: ignore[arg-type]

    return vmap(grad(of_sample))(FAKE).abs().mean().item()


def plot(path: Path, critics: dict[str, nn.Sequential]) -> None:
    """The output of each critic, and below it its slope, with the generated points marked."""
    figure, (outputs, slopes) = panels(2, len(critics), 2.7, 2.2)
    for above, below, (name, f) in zip(outputs, slopes, critics.items()):
        method = METHODS[name]
        above.plot(X, f(X[:, None]).detach(), "k-")
        above.plot(REAL, f(REAL).detach(), "o", color="C0", markersize=3, label="real points")
        above.plot(FAKE, f(FAKE).detach(), "o", color="C1", markersize=3, label="generated points")
        letter = "D" if method.output is nn.Sigmoid else "f"
        label(above, name, "x", f"{letter}(x)", "upper right" if method.spectral else None)
        below.plot(X, input_gradient(f, X[:, None]).abs().detach(), "k-")
        below.plot(FAKE, input_gradient(f, FAKE).abs().detach(), "o", color="C1", markersize=3)
        below.set_yscale("log")
        below.set_ylim(1e-8, 1e3)
        label(below, "its slope", "x", f"|{letter}'(x)|", None)
    figure.suptitle(
        "Critics of real and generated points that do not overlap: what slope the generator receives", fontsize=10
    )
    save(figure, path)
