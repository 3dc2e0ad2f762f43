"""The discriminator of EBGAN as an energy (Zhao, Mathieu, LeCun 2017, arXiv 1609.03126).

The reconstruction error of an autoencoder that is trained against a generator stays near or below the margin on the
data and on samples, and rises above it elsewhere. V / m is 1 at an equilibrium.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from gan_cli.config.composer import Composer, arguments
from gan_cli.data.base import Dataset, Images
from gan_cli.data.gaussians import Mixture
from gan_cli.evaluation.charts import STYLES
from gan_cli.metrics.modes import distances
from gan_cli.systems.base import test_mode
from gan_cli.systems.ebgan import EBGAN
from gan_cli.tools.demos._common import in_float64, label, panels, save, write_table
from gan_cli.training import build
from gan_cli.utils import random
from gan_cli.utils.progress import Progress

TITLE = "EBGAN: the energy rises away from the data, far above the margin, for points and for images"

SETTINGS = {  # name -> margin, overrides
    "ring": (
        1.0,
        [
            "dataset=ring",
            "dataset.std=0.05",
            "network=mlp_points_autoencoder",
            "optimizer=adam_mlp",
            "model.lambda_pt=0",
            "trainer.batch_size=128",
        ],
    ),
    "shapes": (
        3.0,
        ["dataset=shapes", "dataset.image_size=16", "dataset.channels=1", "network=ebgan_mlp", "optimizer.lr=1e-3"]
        + [f"model.{network}.{key}" for network in ("generator", "discriminator") for key in ("layers=4", "size=128")]
        + ["trainer.batch_size=64"],
    ),
}
STEPS = {"ring": 600, "shapes": 600}
SEED = 0
SHOWN = 500  # samples
DISTANCES = (0.1, 0.25, 0.5, 1.0)  # from a real sample, in units of R
EXTENT = 1.6  # of the plot of the plane
WINDOW = 50  # iterations, over which V is averaged


class Landscape(NamedTuple):
    """Energies of samples, D(x).

    real, generated: of real and generated samples, (n,). off: of x + r u, (49, n), for real x and random directions u
    of length 1, at the distances r, (49,). R: mean distance of two real samples.
    """

    margin: float
    real: Tensor
    generated: Tensor
    r: Tensor
    off: Tensor
    R: float


def run(folder: Path) -> str:
    """energy.{csv,png}: mean energies of real samples, of generated ones, and at distances from real ones."""
    rows, systems, landscapes, V = [], {}, {}, {}
    for name, (margin, settings) in SETTINGS.items():
        with random.fork(SEED):
            systems[name], data, V[name] = train(margin, settings, STEPS[name], name)
        with test_mode(systems[name], SEED):
            real: Images = data.test_batch(0, SHOWN)  # type: ignore[assignment]
            energies = landscapes[name] = survey(systems[name], real.image.double(), margin)
            if isinstance(data, Mixture):
                note, modes = f"{name}: {wells(systems[name], data)}", data.modes
        nearest = [int((energies.r / energies.R - distance).abs().argmin()) for distance in DISTANCES]
        means = [energies.real.mean(), energies.generated.mean(), *(energies.off[i].mean() for i in nearest)]
        rows.append([name, margin, sum(V[name][-WINDOW:]) / len(V[name][-WINDOW:]), *map(float, means)])
    with test_mode(systems["ring"], SEED):
        plot(folder / "energy.png", systems["ring"], modes, landscapes, V)
    head = ["data", "margin m", "V / m", "D(x)", "D(G(z))", *(f"D(x + {distance:g} R u)" for distance in DISTANCES)]
    table = write_table(folder / "energy.csv", head, rows)
    legend = f"D: energy; V / m: mean of the last {WINDOW} iterations; u: a random direction of length 1"
    return f"{table}\n{legend}; R: the mean distance of two real samples\n{note}"


def train(margin: float, settings: Sequence[str], steps: int, name: str) -> tuple[EBGAN, Dataset, list[float]]:
    """Train model=ebgan_pt with these settings on the CPU; returns the model, its data set, and V / m of each step."""
    overrides = ["model=ebgan_pt", *settings, f"loss.adversarial.margin={margin}", f"trainer.iterations={steps}"]
    overrides += ["trainer.device=cpu", "trainer.ema_decay=0", "trainer/schedule=linear", f"seed={SEED}"]
    cfg = Composer(arguments(overrides)).compose(overrides)
    data, system = build.dataset(cfg), in_float64(build.system(cfg))
    assert isinstance(system, EBGAN)
    trainer, V = build.trainer(cfg, system, data), []
    progress = Progress(steps, "iterations", label=name)
    for _ in range(steps):
        trainer.iterate()
        V.append(system.scalars()["energy/V_over_margin"])
        progress.advance()
    return system, data, V


def survey(system: EBGAN, x: Tensor, margin: float) -> Landscape:
    """Energies of real samples x, of as many generated ones, and at growing distances from x."""

    def energy(x: Tensor) -> Tensor:
        return -system.discriminator(x)

    R = float(torch.pdist(x.flatten(1)).mean())
    u = random.normal(len(x), *x.shape[1:])
    u = u / u.flatten(1).norm(dim=1).view(-1, *[1] * (x.dim() - 1))
    r = R * torch.linspace(0, 1.2, 49)
    off = torch.stack([energy(x + float(distance) * u) for distance in r])
    return Landscape(margin, energy(x), energy(system.generate(len(x))), r, off, R)


def wells(system: EBGAN, data: Mixture) -> str:
    """At how many modes the energy is lower than halfway to both neighbors, and how many of those have samples.

    The modes lie on a circle in this order. A mode has samples if it is nearest to 1 % or more of them.
    """
    K = len(data.modes)
    energy, between = (
        -system.discriminator(points[:, :, None, None].double())
        for points in (data.modes, torch.nn.functional.normalize(data.modes + data.modes.roll(-1, 0)))
    )
    is_well = (energy < between) & (energy < between.roll(1))
    nearest = distances(system.generate(SHOWN).flatten(1).float(), data.modes).argmin(1)
    hit = torch.bincount(nearest, minlength=K) >= SHOWN / 100
    return f"the energy has a well at {int(is_well.sum())} of {K} modes, samples lie in {int((hit & is_well).sum())}"


def plot(path: Path, system: EBGAN, modes: Tensor, landscapes: dict[str, Landscape], V: dict[str, list[float]]) -> None:
    """The energy of the plane, for the ring; energy against distance from a real sample; V / m during training."""
    figure, ((surface, *curves, values),) = panels(1, 2 + len(landscapes), 3.7, 3.5)
    side = torch.linspace(-EXTENT, EXTENT, 161)
    points = torch.cartesian_prod(side, side)[:, :, None, None]
    height = -system.discriminator(points).view(161, 161).T
    levels = torch.linspace(0, float(height.quantile(0.98)), 15)
    contours = surface.contourf(side, side, height, levels=levels, cmap="viridis", extend="max")
    bar = figure.colorbar(contours, ax=surface, format="%.1f")
    bar.set_label("energy D", fontsize=8)
    bar.ax.tick_params(labelsize=7)
    surface.scatter(*system.generate(SHOWN)[:, :, 0, 0].T, s=3, c="w", alpha=0.6, label="generated samples")
    surface.plot(*modes.T, "r+", markersize=9, label="centers of the data's modes")
    surface.set_xlim(-EXTENT, EXTENT)
    surface.set_ylim(-EXTENT, EXTENT)
    label(surface, "ring of 8 Gaussians: the energy of the plane", "x1", "x2", "upper right")
    for axis, (name, energies) in zip(curves, landscapes.items()):
        low, middle, high = energies.off.quantile(torch.tensor([0.1, 0.5, 0.9]).to(energies.off), dim=1)
        axis.fill_between(energies.r, low, high, color="C0", alpha=0.25, label="x + r u: 10 % to 90 % of samples")
        axis.plot(energies.r, middle, "C0-", label="x + r u: median")
        axis.axhline(float(energies.real.median()), color="C1", linestyle="-.", label="real samples: median")
        axis.axhline(float(energies.generated.median()), color="C2", linestyle="--", label="generated samples: median")
        axis.axhline(energies.margin, color="k", linestyle=":", label="margin m")
        axis.axvline(energies.R, color="0.6", linewidth=0.8)
        title = f"{name}: energy at distance r from a real x"
        label(axis, title, "r (gray line: mean distance of two real samples)", "energy D", "upper left")
    for (name, curve), style in zip(V.items(), STYLES):
        means = torch.tensor(curve).unfold(0, min(WINDOW, len(curve)), 1).mean(1)
        values.plot(range(len(curve) - len(means) + 1, len(curve) + 1), means, style, label=name)
    values.axhline(1, color="k", linestyle=":", label="V = m: equilibrium")
    values.set_ylim(0, 2)
    label(
        values,
        f"V / m during training, mean of {WINDOW} iterations",
        "iteration",
        "V / m; V = E D(x) + E max(0, m - D(G(z)))",
        "upper right",
    )
    save(figure, path)
