"""The discriminator of EBGAN as an energy (Zhao, Mathieu, LeCun 2017, arXiv 1609.03126).

The reconstruction error of an autoencoder that is trained against a generator is low on the data and high elsewhere.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from gan_cli.config.composer import Composer, arguments
from gan_cli.data.base import Dataset, Images
from gan_cli.systems.base import test_mode
from gan_cli.systems.ebgan import EBGAN
from gan_cli.tools.demos._common import label, panels, save, write_table
from gan_cli.training import build
from gan_cli.utils import random
from gan_cli.utils.progress import Progress

TITLE = "EBGAN: the energy of the discriminator is low on the data and high elsewhere, for points and images"

SETTINGS = {  # name -> margin, overrides
    "ring": (0.3, ["dataset=ring", "network=mlp_points_autoencoder", "optimizer=adam_mlp", "model.lambda_pt=0"]),
    "shapes": (
        3.0,
        ["dataset=shapes", "dataset.image_size=16", "dataset.channels=1", "network=ebgan_mlp", "optimizer.lr=1e-3"]
        + [f"model.{network}.{key}" for network in ("generator", "discriminator") for key in ("layers=4", "size=128")],
    ),
}
STEPS = {"ring": 1000, "shapes": 600}
SHOWN = 500  # samples
DISTANCES = (0.1, 0.25, 0.5, 1.0)  # from a real sample, in units of R
EXTENT = 1.6  # of the plot of the plane


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
    rows, systems, landscapes = [], {}, {}
    for name, (margin, settings) in SETTINGS.items():
        with random.fork(0):
            systems[name], data = train(margin, settings, STEPS[name])
        with test_mode(systems[name], 0):
            real: Images = data.test_batch(0, SHOWN)  # type: ignore[assignment]
            energies = landscapes[name] = survey(systems[name], real.image, margin)
        nearest = [int((energies.r / energies.R - distance).abs().argmin()) for distance in DISTANCES]
        means = [energies.real.mean(), energies.generated.mean(), *(energies.off[i].mean() for i in nearest)]
        rows.append([name, margin, *map(float, means)])
    with test_mode(systems["ring"], 0):
        plot(folder / "energy.png", systems["ring"], landscapes)
    head = ["data", "margin", "D(x)", "D(G(z))", *(f"D(x + {distance:g} R u)" for distance in DISTANCES)]
    table = write_table(folder / "energy.csv", head, rows)
    return f"{table}\nD: energy; u: a random direction of length 1; R: the mean distance of two real samples"


def train(margin: float, settings: Sequence[str], steps: int) -> tuple[EBGAN, Dataset]:
    """Train model=ebgan_pt with these settings on the CPU; returns the model and its data set."""
    overrides = ["model=ebgan_pt", *settings, f"loss.adversarial.margin={margin}", f"trainer.iterations={steps}"]
    overrides += ["trainer.device=cpu", "trainer.ema_decay=0", "trainer.batch_size=64", "trainer/schedule=linear"]
    cfg = Composer(arguments(overrides)).compose(overrides)
    data, system = build.dataset(cfg), build.system(cfg)
    assert isinstance(system, EBGAN)
    trainer = build.trainer(cfg, system, data)
    progress = Progress(steps, "iterations")
    for _ in range(steps):
        trainer.iterate()
        progress.advance()
    return system, data


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


def plot(path: Path, system: EBGAN, landscapes: dict[str, Landscape]) -> None:
    """The energy of the plane, for the ring; energy against distance from a real sample, for each data set."""
    figure, ((surface, *curves),) = panels(1, 1 + len(landscapes), 4.0, 3.4)
    side = torch.linspace(-EXTENT, EXTENT, 161)
    points = torch.cartesian_prod(side, side)[:, :, None, None]
    height = -system.discriminator(points).view(161, 161).T
    levels = torch.linspace(0, float(height.quantile(0.98)), 15)
    contours = surface.contourf(side, side, height, levels=levels, cmap="viridis", extend="max")
    figure.colorbar(contours, ax=surface).ax.tick_params(labelsize=7)
    surface.scatter(*system.generate(SHOWN)[:, :, 0, 0].T, s=3, c="w", label="generated samples")
    surface.set_xlim(-EXTENT, EXTENT)
    surface.set_ylim(-EXTENT, EXTENT)
    label(surface, "ring of Gaussians: energy D(x) in the plane", "x1", "x2", "upper right")
    for axis, (name, energies) in zip(curves, landscapes.items()):
        low, middle, high = energies.off.quantile(torch.tensor([0.1, 0.5, 0.9]), dim=1)
        axis.fill_between(energies.r, low, high, color="C0", alpha=0.25, label="x + r u: 10 % to 90 % of samples")
        axis.plot(energies.r, middle, "C0-", label="x + r u: median")
        axis.axhline(float(energies.real.median()), color="C1", linestyle="-.", label="real samples: median")
        axis.axhline(float(energies.generated.median()), color="C2", linestyle="--", label="generated samples: median")
        axis.axhline(energies.margin, color="k", linestyle=":", label="margin m")
        axis.axvline(energies.R, color="0.6", linewidth=0.8)
        title = f"{name}: energy at distance r from a real sample x"
        label(axis, title, "r (gray line: mean distance of two real samples)", "energy D", "upper left")
    save(figure, path)
