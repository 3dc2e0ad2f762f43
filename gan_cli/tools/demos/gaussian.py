"""f-GAN's one-dimensional example (Nowozin et al. 2016, arXiv 1606.00709, section 2.4): experiment=fgan_gaussian in
each of its variants, beside the best Gaussian found directly and the paper's numbers (docs/UNVERIFIED.md).
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gan_cli.config.composer import Composer, arguments
from gan_cli.losses.divergences import Divergence
from gan_cli.metrics.gaussian_fit import DIVERGENCES, Line
from gan_cli.tools.demos._parts import Cell, label, panels, save, write_table
from gan_cli.training import build

TITLE = "f-GAN in one dimension: a Gaussian learned by five divergences, its bound, and what it costs by the others"

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
    """mu, sigma, bound: learned; best: D_f, mu and sigma by quadrature; T: learned, T_star: f'(p/q), on line.x."""

    line: Line
    mu: float
    sigma: float
    bound: float
    best: tuple[float, float, float]
    T: Tensor
    T_star: Tensor


def run(folder: Path) -> str:
    """gaussian.{csv,png}: each fit beside the paper's; gaussian_cross.csv: every fit by every divergence."""
    fits = {name: learn(name) for name in NAMES}
    head = ["trained by"]
    for value in ("best D_f", "F", "best mu", "mu", "best sigma", "sigma"):
        head += [value, "paper"]
    rows: list[list[Cell]] = []
    for name, fit in fits.items():
        ours = (fit.best[0], fit.bound, fit.best[1], fit.mu, fit.best[2], fit.sigma)
        rows.append([NAMES[name], *(value for pair in zip(ours, PAPER[name], strict=True) for value in pair)])
    table = write_table(folder / "gaussian.csv", head, rows)
    matrix = [[float(fit.line.divergence(DIVERGENCES[name])) for name in NAMES] for fit in fits.values()]
    named: list[list[Cell]] = [[name, *row] for name, row in zip(NAMES.values(), matrix, strict=True)]
    cross = write_table(folder / "gaussian_cross.csv", ["trained by \\ D_f", *NAMES.values()], named)
    picture(folder / "gaussian.png", fits, matrix)
    worse = off_diagonal(matrix)
    return f"{table}\n\n{cross}\n\n" + (
        "\n".join(worse) if worse else "each column is smallest on the diagonal: by D_f the fit trained by D_f is best"
    )


def learn(name: str) -> GaussianFit:
    """Train experiment=fgan_gaussian with loss=fgan_NAME to its end, on the CPU."""
    overrides = ["experiment=fgan_gaussian", f"loss=fgan_{name}", "trainer.device=cpu"]
    cfg = Composer(arguments(overrides)).compose(overrides)
    data, system = build.dataset(cfg), build.system(cfg)
    trainer, divergence = build.trainer(cfg, system, data), DIVERGENCES[name]
    for _ in range(cfg.trainer.iterations):
        trainer.iterate()
    player: Any = system
    with torch.no_grad():
        mu, sigma = player.generator.mu.double(), player.generator.sigma.double().abs()
        line = Line(data, mu, sigma)
        scores = player.discriminator(line.x.float()[:, None, None, None]).double()
        return GaussianFit(
            line, float(mu), float(sigma), float(line.bound(divergence, scores)), best(data, divergence),
            divergence.activation(scores), divergence.f_prime(line.p / line.q),
        )  # fmt: skip


@torch.enable_grad()
def best(data: Any, divergence: Divergence) -> tuple[float, float, float]:
    """(D_f, mu, sigma) of the Gaussian of least D_f(P || N(mu, sigma^2)): L-BFGS in mu and log sigma."""
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
    """A line for each fit that is better, by another fit's divergence, than that one."""
    names = list(NAMES.values())
    return [
        f"by {names[j]} the fit trained by {names[i]} ({matrix[i][j]:.4f}) is better than its own ({matrix[j][j]:.4f})"
        for j in range(len(names))
        for i in range(len(names))
        if matrix[i][j] < matrix[j][j]
    ]


def picture(path: Path, fits: dict[str, GaussianFit], matrix: list[list[float]]) -> None:
    figure, ((density, ratio, cross),) = panels(1, 3, 4.6, 3.6)
    line = fits["kl"].line
    density.fill_between(line.x, line.p, color="0.8", label="P, two Gaussians")
    for name, fit in fits.items():
        density.plot(fit.line.x, fit.line.q, label=f"{NAMES[name]}: {fit.mu:.2f}, {fit.sigma:.2f}")
    density.set_xlim(-5, 8)
    label(density, "what each divergence learns (mu, sigma)", "x", "density", "upper right")
    for name, fit in list(fits.items())[:3]:
        ratio.plot(fit.line.x, fit.T, label=f"{NAMES[name]}: T")
        ratio.plot(fit.line.x, fit.T_star, "k:", label="T* = f'(p/q)" if name == "js" else None)
    ratio.set_xlim(-3, 6)
    ratio.set_ylim(-6, 3.5)
    label(ratio, "what the discriminator learns", "x", "T(x)", "lower right")
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
    label(cross, "D_f of each fit; dark: far above the diagonal", "evaluated by", "trained by", None)
    save(figure, path)
