"""f-GAN's one-dimensional example (Nowozin et al. 2016, arXiv 1606.00709, section 2.4).

Trains each variant of experiment=fgan_gaussian and compares it with the best Gaussian, found by direct minimization,
and with the paper's numbers (docs/UNVERIFIED.md).
"""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from gan_cli.config.composer import Composer, arguments
from gan_cli.data.base import HasLogDensity
from gan_cli.losses.fgan import Divergence
from gan_cli.metrics.gaussian_fit import DIVERGENCES, Line
from gan_cli.networks.fgan import GaussianGenerator
from gan_cli.systems.gan import GAN
from gan_cli.tools.demos._common import label, panels, save, write_table
from gan_cli.training import build
from gan_cli.utils.progress import Progress

TITLE = "f-GAN in one dimension: a Gaussian trained with five divergences, beside the paper's numbers (a minute)"

NAMES = {"kl": "KL", "reverse_kl": "reverse KL", "js": "Jensen-Shannon", "jeffrey": "Jeffrey", "pearson": "Pearson"}
PAPER = {  # table 2: best D_f, learned bound F, best and learned mu, best and learned sigma
    "kl": (0.2831, 0.2801, 1.0100, 1.0335, 1.8308, 1.8236),
    "reverse_kl": (0.2480, 0.2415, 1.5782, 1.5624, 1.6319, 1.6403),
    "js": (0.1280, 0.1226, 1.3070, 1.2854, 1.7542, 1.7659),
    "jeffrey": (0.5705, 0.5151, 1.3218, 1.2295, 1.7034, 1.8087),
    "pearson": (0.6457, 0.6379, 0.5737, 0.6157, 1.9274, 1.9031),
}


@dataclass
class GaussianFit:
    """Result of a training: mu, sigma and the bound F.

    best: D_f, mu and sigma of the best Gaussian. T: the trained discriminator's output, T_star: its optimum f'(p/q), on
    line.x.
    """

    line: Line
    mu: float
    sigma: float
    bound: float
    best: tuple[float, float, float]
    T: Tensor
    T_star: Tensor


def run(folder: Path) -> str:
    """gaussian.{csv,png}: each fit beside the paper's; gaussian_cross.csv: every divergence of every fit."""
    print(f"training with {len(NAMES)} divergences, about 15 seconds each", flush=True)
    fits = {name: train(name) for name in NAMES}
    head = ["trained by"]
    for value in ("best D_f", "F", "best mu", "mu", "best sigma", "sigma"):
        head += [value, "paper"]
    rows: list[list[object]] = []
    for name, fit in fits.items():
        values = (fit.best[0], fit.bound, fit.best[1], fit.mu, fit.best[2], fit.sigma)
        rows.append([NAMES[name], *(value for pair in zip(values, PAPER[name], strict=True) for value in pair)])
    table = write_table(folder / "gaussian.csv", head, rows)
    matrix = [[float(fit.line.divergence(DIVERGENCES[name])) for name in NAMES] for fit in fits.values()]
    named: list[list[object]] = [[name, *row] for name, row in zip(NAMES.values(), matrix, strict=True)]
    cross = write_table(folder / "gaussian_cross.csv", ["trained by \\ D_f", *NAMES.values()], named)
    plot(folder / "gaussian.png", fits, matrix)
    exceptions = off_diagonal(matrix) or ["in each column the fit that was trained by this divergence has the least"]
    return f"{table}\n\n{cross}\n\n" + "\n".join(exceptions)


def train(name: str) -> GaussianFit:
    """Train experiment=fgan_gaussian with loss=fgan_NAME on the CPU."""
    overrides = ["experiment=fgan_gaussian", f"loss=fgan_{name}", "trainer.device=cpu"]
    cfg = Composer(arguments(overrides)).compose(overrides)
    data, system = build.dataset(cfg), build.system(cfg)
    trainer, divergence = build.trainer(cfg, system, data), DIVERGENCES[name]
    progress = Progress(cfg.trainer.iterations, "iterations", label=NAMES[name])
    for _ in range(cfg.trainer.iterations):
        trainer.iterate()
        progress.advance()
    assert isinstance(system, GAN) and isinstance(system.generator, GaussianGenerator)
    assert isinstance(data, HasLogDensity)
    with torch.no_grad():
        mu, sigma = system.generator.mu.double(), system.generator.sigma.double().abs()
        line = Line(data, mu, sigma)
        scores = system.discriminator(line.x.float()[:, None, None, None]).double()
        return GaussianFit(
            line, float(mu), float(sigma), float(line.bound(divergence, scores)), best_gaussian(data, divergence),
            divergence.activation(scores), divergence.f_prime(line.p / line.q),
        )  # fmt: skip


@torch.enable_grad()
def best_gaussian(data: HasLogDensity, divergence: Divergence) -> tuple[float, float, float]:
    """(D_f, mu, sigma) of the Gaussian with the least D_f(P || N(mu, sigma^2)), by L-BFGS in mu and log sigma."""
    theta = torch.tensor([1.0, 0.5], dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS(
        [theta], max_iter=100, tolerance_grad=1e-9, tolerance_change=1e-14, line_search_fn="strong_wolfe"
    )

    def loss() -> Tensor:
        optimizer.zero_grad()
        value = Line(data, theta[0], theta[1].exp()).divergence(divergence)
        value.backward()
        return value

    optimizer.step(loss)
    return loss().item(), theta[0].item(), theta[1].exp().item()


def off_diagonal(matrix: list[list[float]]) -> list[str]:
    """A line for each fit that has a lower divergence D_f than the fit that was trained by D_f."""
    names = list(NAMES.values())
    return [
        f"by {names[j]} the fit trained by {names[i]} ({matrix[i][j]:.4f}) is better than its own ({matrix[j][j]:.4f})"
        for j in range(len(names))
        for i in range(len(names))
        if matrix[i][j] < matrix[j][j]
    ]


def plot(path: Path, fits: dict[str, GaussianFit], matrix: list[list[float]]) -> None:
    figure, ((density, ratio, cross),) = panels(1, 3, 4.6, 3.6)
    line = fits["kl"].line
    density.fill_between(line.x, line.p, color="0.8", label="data: two Gaussians")
    for name, fit in fits.items():
        density.plot(fit.line.x, fit.line.q, label=f"{NAMES[name]}: {fit.mu:.2f}, {fit.sigma:.2f}")
    density.set_xlim(-5, 8)
    label(density, "trained generator by divergence: mu, sigma", "x", "density", "upper right")
    for name, fit in list(fits.items())[:3]:
        ratio.plot(fit.line.x, fit.T, label=f"{NAMES[name]}: trained T")
        ratio.plot(fit.line.x, fit.T_star, "k:", label="optimal T = f'(p/q)" if name == "js" else None)
    ratio.set_xlim(-3, 6)
    ratio.set_ylim(-6, 3.5)
    label(ratio, "trained discriminator", "x", "T(x)", "lower right")
    names = list(NAMES.values())
    excess = [[row[j] / matrix[j][j] - 1 for j in range(len(names))] for row in matrix]
    cross.imshow(excess, cmap="Blues", vmin=0, vmax=0.6, aspect="auto")
    cross.grid(False)
    for i, row in enumerate(matrix):
        for j, value in enumerate(row):
            style = {"color": "w" if excess[i][j] > 0.35 else "k", "weight": "bold" if i == j else "normal"}
            cross.text(j, i, f"{value:.3f}", ha="center", va="center", fontsize=7, **style)
    cross.set_xticks(range(len(names)), names, rotation=20)
    cross.set_yticks(range(len(names)), names, rotation=40)
    label(cross, "divergences of each fit; dark: far above the best", "evaluated by", "trained by", None)
    save(figure, path)
