"""A GAN in one dimension over time (Goodfellow et al. 2014, arXiv 1406.2661, figure 1): p, p_g and D.

The model is gan_cli.systems.gan.GAN with the non-saturating loss and the penalty R1 of Mescheder et al. 2018 (arXiv
1801.04406), which damps the oscillation of the two networks around the equilibrium.
"""

import io
from pathlib import Path
from typing import NamedTuple

import torch
from matplotlib.axes import Axes
from PIL import Image
from torch import Tensor, nn

from gan_cli.data.base import Images
from gan_cli.losses.adversarial import NonSaturating
from gan_cli.losses.objective import Objective
from gan_cli.losses.penalties import R1
from gan_cli.systems.gan import GAN
from gan_cli.tools.demos._common import label, mixture, network, panels, save, write_table
from gan_cli.tools.demos.optimal_discriminator import DX, X, jsd, value
from gan_cli.utils import random
from gan_cli.utils.files import replacing
from gan_cli.utils.progress import Progress

TITLE = "A GAN in one dimension over time: p_g becomes p, and D becomes 1/2 (figure and animation)"

P = mixture([0.5, 0.5], [-1.5, 1.0], [0.5, 0.7])
SEED, STEPS, BATCH, GAMMA = 0, 2000, 256, 0.1
SHOWN = (10, 100, 400, 2000)
FRAMES = (*range(0, 100, 10), *range(100, 400, 25), *range(400, 2001, 100))
Z = torch.special.ndtri((torch.arange(50_001, dtype=torch.float64) + 0.5) / 50_001)[:, None]  # equally likely noises


class Moment(NamedTuple):
    """The densities p and p_g, the scores of D and the map G of an instant: p, q, a on X; x = G(Z)."""

    p: Tensor
    q: Tensor
    a: Tensor
    x: Tensor

    @property
    def numbers(self) -> tuple[float, float, float]:
        """JS(p, p_g), the mean of |D - 1/2| under (p + p_g) / 2, and V."""
        away = (self.a.sigmoid() - 0.5).abs() * (self.p + self.q) / 2
        return jsd(self.p, self.q), float(away.sum() * DX), value(self.a, self.p, self.q)


class Generator(nn.Module):
    """G(z) = 2 + z / 2 + network(z), (N, 1) -> (N, 1): it starts as a bump at the right of the data."""

    def __init__(self) -> None:
        super().__init__()
        self.network = network(1)

    def forward(self, z: Tensor) -> Tensor:
        return 2 + z / 2 + self.network(z)[:, None]


class Bumps(nn.Module):
    """The values of 21 Gaussian bumps on the line, (N, 1) -> (N, 21)."""

    def forward(self, x: Tensor) -> Tensor:
        centers = torch.linspace(-4, 4, 21, dtype=x.dtype)
        return (-(x - centers).square() / (2 * 0.4**2)).exp()


def noise(n: int, *shape: int, device: torch.device | str = "cpu") -> Tensor:
    """N(0, 1) in float64."""
    return random.normal(n, *shape, device=device).double()


def run(folder: Path) -> str:
    """gan_over_time.{csv,png,gif}: JS(p, p_g), mean |D - 1/2| and V at some steps; the last with and without R1."""
    moments, plain = train(GAMMA), train(0)
    rows = [[step, *moments[step].numbers, plain[step].numbers[1]] for step in SHOWN]
    plot(folder, moments)
    head = ["step", "JS(p, p_g)", "mean |D - 1/2|", "V", "without R1: mean |D - 1/2|"]
    table = write_table(folder / "gan_over_time.csv", head, rows)
    return f"{table}\nmean |D - 1/2|: weighted by (p + p_g) / 2; the end: JS = 0, D = 1/2, V = -log 4 = -1.386"


def train(gamma: float) -> dict[int, Moment]:
    """Step -> moment, for the steps that are shown, of a GAN with R1's gamma (0: without penalty)."""
    with random.fork(SEED):
        discriminator = nn.Sequential(Bumps(), nn.Linear(21, 1), nn.Flatten(0)).double()
        objective = Objective(NonSaturating(), R1(gamma) if gamma else None)
        system = GAN(Generator(), discriminator, objective, latent_dim=1, noise=noise)
        rates = {"d": (discriminator, 0.05), "g": (system.generator, 0.003)}
        optimizers = {k: torch.optim.Adam(net.parameters(), lr, (0.0, 0.9)) for k, (net, lr) in rates.items()}
        decays = [torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, STEPS) for optimizer in optimizers.values()]
        progress = Progress(STEPS, "steps", label="with R1" if gamma else "without R1")
        moments = {0: look(system)}
        for step in range(1, STEPS + 1):
            for turn in system.turns():
                loss = torch.stack([*turn.loss(Images(P.sample((BATCH, 1)), None)).values()]).sum()
                optimizers[turn.name].zero_grad()
                loss.backward()
                optimizers[turn.name].step()
            for decay in decays:
                decay.step()
            if step in SHOWN or (gamma and step in FRAMES):
                moments[step] = look(system)
            progress.advance()
    return moments


@torch.no_grad()
def look(system: GAN) -> Moment:
    """The state of the model. p_g: the share of the noises Z that G maps to each bin around X."""
    x = system.generator(Z)
    edges = torch.cat([X - DX / 2, X[-1:] + DX / 2])
    q = torch.histogram(x[:, 0], edges).hist / len(x) / DX
    return Moment(P.log_prob(X).exp(), q, system.discriminator(X[:, None]), x)


def plot(folder: Path, moments: dict[int, Moment]) -> None:
    """Four moments side by side, and all moments as an animation."""
    figure, (axes,) = panels(1, len(SHOWN), 3.1, 3.4)
    for axis, step in zip(axes, SHOWN):
        draw(axis, step, moments[step])
        axis.get_legend().set_visible(axis is axes[0])
    figure.suptitle(
        "A GAN in one dimension: the generator's density p_g becomes the data's, and D becomes 1/2", fontsize=10
    )
    save(figure, folder / "gan_over_time.png")
    frames = [frame(step, moments[step]) for step in sorted({*FRAMES, *SHOWN} & {*moments})]
    palette = frames[-1].quantize(32)
    first, *others = (image.quantize(palette=palette, dither=Image.Dither.NONE) for image in frames)
    with replacing(folder / "gan_over_time.gif") as temporary:
        wait = [150] * len(others) + [3000]  # milliseconds per frame
        first.save(temporary, format="GIF", save_all=True, append_images=others, duration=wait, loop=0)


def frame(step: int, moment: Moment) -> Image.Image:
    """A moment as an image of the animation."""
    figure, ((axis,),) = panels(1, 1, 4.6, 3.6)
    draw(axis, step, moment)
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=100)
    return Image.open(file).convert("RGB")


def draw(axis: Axes, step: int, moment: Moment) -> None:
    """Densities and D above the axis x; below it arrows from equally likely noises z to G(z), as in the paper."""
    axis.fill_between(X, moment.p, color="0.8", label="p: density of the data")
    axis.plot(X, moment.q, "C2-", label="p_g: density of the generator")
    axis.plot(X, moment.a.sigmoid(), "C0--", label="D(x): probability that x is data")
    axis.axhline(0.5, color="C0", linewidth=0.6, alpha=0.6)
    axis.axhline(0, color="k", linewidth=0.8)
    axis.axhline(-0.35, color="k", linewidth=0.8)
    every = len(Z) // 18
    for z, x in zip(Z[every // 2 :: every, 0].tolist(), moment.x[every // 2 :: every, 0].tolist()):
        axis.annotate("", (x, 0), (z, -0.35), arrowprops={"arrowstyle": "->", "color": "0.45", "linewidth": 0.7})
    axis.text(3.9, -0.33, "noise z", fontsize=7, ha="right", va="bottom")
    axis.text(3.9, -0.02, "x = G(z)", fontsize=7, ha="right", va="top")
    axis.set_xlim(-4, 4)
    axis.set_ylim(-0.4, 1.3)
    axis.set_yticks([0, 0.25, 0.5, 0.75, 1])
    js, away, _ = moment.numbers
    label(axis, f"step {step}: JS {js:.3f}, mean |D - 1/2| {away:.3f}", "x", legend="upper left")
