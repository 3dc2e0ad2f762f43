"""Zhao, Mathieu, LeCun 2017 (EBGAN, arXiv 1609.03126): an autoencoder trained against a generator is an energy, low
where the data are and high elsewhere.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from gan_cli.config.composer import Composer, arguments
from gan_cli.systems.base import test_mode
from gan_cli.systems.ebgan import EBGAN
from gan_cli.tools.demos._parts import label, panels, save, write_table
from gan_cli.training import build
from gan_cli.utils import random

TITLE = "EBGAN's energy: low on the data, high off them; on the ring and on pictures"

GAMES = {  # name -> margin, and the other settings
    "ring": (0.3, ["dataset=ring", "network=mlp_points_autoencoder", "optimizer=adam_mlp", "model.lambda_pt=0"]),
    "shapes": (
        3.0,
        ["dataset=shapes", "dataset.image_size=16", "dataset.channels=1", "network=ebgan_mlp", "optimizer.lr=1e-3"]
        + [f"model.{player}.{key}" for player in ("generator", "discriminator") for key in ("layers=4", "size=128")],
    ),
}
STEPS = {"ring": 1000, "shapes": 600}
SHOWN = 500  # samples
FAR = (0.1, 0.25, 0.5, 1.0)  # in units of the mean distance between two real samples
WIDE = 1.6  # of the ring's picture


class Landscape(NamedTuple):
    """Energies (n,) of real and of generated samples; off: of x + r u, (49, n), u a random direction of length 1, at
    the distances r (49,). R: the mean distance between two real samples."""

    margin: float
    real: Tensor
    generated: Tensor
    r: Tensor
    off: Tensor
    R: float


def run(folder: Path) -> str:
    """energy.{csv,png}: mean energies of real samples, of generated ones, and at distances from real ones."""
    rows, systems, landscapes = [], {}, {}
    for name, (margin, settings) in GAMES.items():
        with random.fork(0):
            systems[name], data = train(margin, settings, STEPS[name])
        with test_mode(systems[name], 0):
            found = landscapes[name] = survey(systems[name], data.test_batch(0, SHOWN).image, margin)
        at = [int((found.r / found.R - far).abs().argmin()) for far in FAR]
        means = [found.real.mean(), found.generated.mean(), *(found.off[i].mean() for i in at)]
        rows.append([name, margin, *map(float, means)])
    with test_mode(systems["ring"], 0):
        picture(folder / "energy.png", systems["ring"], landscapes)
    head = ["data", "margin", "D(x)", "D(G(z))", *(f"D(x + {far:g} R u)" for far in FAR)]
    table = write_table(folder / "energy.csv", head, rows)
    return f"{table}\nu: a random direction of length 1; R: the mean distance between two real samples"


def train(margin: float, settings: Sequence[str], steps: int) -> tuple[EBGAN, Any]:
    """model=ebgan_pt with these settings, on the CPU, and its data."""
    overrides = ["model=ebgan_pt", *settings, f"loss.adversarial.margin={margin}", f"trainer.iterations={steps}"]
    overrides += ["trainer.device=cpu", "trainer.ema_decay=0", "trainer.batch_size=64", "trainer/schedule=linear"]
    cfg = Composer(arguments(overrides)).compose(overrides)
    data, system = build.dataset(cfg), build.system(cfg)
    assert isinstance(system, EBGAN)
    trainer = build.trainer(cfg, system, data)
    for _ in range(steps):
        trainer.iterate()
    return system, data


def survey(system: EBGAN, x: Tensor, margin: float) -> Landscape:
    """x: real samples."""
    energy = lambda t: -system.discriminator(t)  # noqa: E731
    R = float(torch.pdist(x.flatten(1)).mean())
    u = random.normal(len(x), *x.shape[1:])
    u = u / u.flatten(1).norm(dim=1).view(-1, *[1] * (x.dim() - 1))
    r = R * torch.linspace(0, 1.2, 49)
    off = torch.stack([energy(x + float(distance) * u) for distance in r])
    return Landscape(margin, energy(x), energy(system.generate(len(x))), r, off, R)


def picture(path: Path, system: EBGAN, landscapes: dict[str, Landscape]) -> None:
    figure, ((surface, *curves),) = panels(1, 1 + len(landscapes), 4.0, 3.4)
    side = torch.linspace(-WIDE, WIDE, 161)
    points = torch.cartesian_prod(side, side)[:, :, None, None]
    height = -system.discriminator(points).view(161, 161).T
    levels = torch.linspace(0, float(height.quantile(0.98)), 15)
    drawn = surface.contourf(side, side, height, levels=levels, cmap="viridis", extend="max")
    figure.colorbar(drawn, ax=surface).ax.tick_params(labelsize=7)
    surface.scatter(*system.generate(SHOWN)[:, :, 0, 0].T, s=3, c="w", label="G(z)")
    surface.set_xlim(-WIDE, WIDE)
    surface.set_ylim(-WIDE, WIDE)
    label(surface, "ring: D(x) of the plane", "x1", "x2", "upper right")
    for axis, (name, found) in zip(curves, landscapes.items()):
        low, middle, high = found.off.quantile(torch.tensor([0.1, 0.5, 0.9]), dim=1)
        axis.fill_between(found.r, low, high, color="C0", alpha=0.25)
        axis.plot(found.r, middle, "C0-", label="x + r u, u a random direction")
        axis.axhline(float(found.real.median()), color="C1", linestyle="-.", label="other real samples")
        axis.axhline(float(found.generated.median()), color="C2", linestyle="--", label="G(z)")
        axis.axhline(found.margin, color="k", linestyle=":", label="margin m")
        axis.axvline(found.R, color="0.6", linewidth=0.8)
        label(axis, f"{name}: away from a real sample x", "distance r (gray: between two real ones)", "D", "upper left")
    save(figure, path)
