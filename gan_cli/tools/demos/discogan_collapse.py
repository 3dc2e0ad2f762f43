"""Mode collapse of translation between points (Kim et al. 2017, DiscoGAN, arXiv 1703.05192, section 3.1, figure 4).

A GAN, a GAN with reconstruction in one direction, and DiscoGAN map 5 modes of A to 10 modes of B. All seeds of a model
are trained at once: their weights are stacked, and their losses are computed by torch.func.vmap.
"""

from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap

from gan_cli.config.composer import Composer, arguments
from gan_cli.data.base import Domains
from gan_cli.data.point_domains import MixtureDomains
from gan_cli.metrics.domain_modes import SHARE, landing, sharing
from gan_cli.systems.discogan import OneWayGAN
from gan_cli.tools.demos._common import label, panels, save, write_table
from gan_cli.training import build
from gan_cli.utils import random
from gan_cli.utils.progress import Progress

TITLE = "DiscoGAN: without reconstruction in both directions, several modes of A are mapped to one mode of B"

VARIANTS = {"gan": "GAN", "recongan": "GAN with reconstruction of A", "discogan": "DiscoGAN"}
SEEDS, STEPS, SHOWN = 5, 300, 1000
COLORS = ("C0", "C1", "C2", "C3", "C4")


class Loss(nn.Module):
    """The sum of the terms of one turn's loss, as a module, which functional_call evaluates with other weights."""

    def __init__(self, system: OneWayGAN) -> None:
        super().__init__()
        self.system = system

    def forward(self, turn: str, x: Tensor, y: Tensor) -> Tensor:
        loss = self.system.d_loss if turn == "D" else self.system.g_loss
        return torch.stack(list(loss(Domains(x, y)).values())).sum()


def run(folder: Path) -> str:
    """discogan_collapse.{csv,png}: modes of B that are hit, and modes of A that share one, over the seeds."""
    rows, translated = [], {}
    for variant, title in VARIANTS.items():
        data, y = train(variant)
        source = data.test_modes(0, SHOWN)
        counts = [landing(points, data.modes_y.double(), source, len(data.modes_x)) for points in y]
        hit = [int((count.sum(0) >= SHARE * SHOWN).sum()) for count in counts]
        shared = [sharing(count) for count in counts]
        most = f"{shared[0]} of {len(data.modes_x)} modes land\nwhere another one does"
        translated[f"{title}: {most} ({sum(shared) / SEEDS:.1f} on average)"] = y[0]
        rows.append([title, sum(hit) / SEEDS, sum(shared) / SEEDS, " ".join(map(str, shared))])
    plot(folder / "discogan_collapse.png", data, translated)
    head = ["model", "modes of B hit", "modes of A that share one", "of each seed"]
    table = write_table(folder / "discogan_collapse.csv", head, rows)
    size = f"A has {len(data.modes_x)} modes, B {len(data.modes_y)}"
    return f"{table}\nmeans over {SEEDS} seeds after {STEPS} iterations; {size}"


def train(variant: str) -> tuple[MixtureDomains, Tensor]:
    """Train the variant of experiment=discogan_toy with all seeds; returns its data set and G_AB(x) of held-out points.

    The latter are (SEEDS, SHOWN, 2).
    """
    experiment = Composer(arguments(["experiment=discogan_toy"])).compose(["experiment=discogan_toy"])
    overrides = ["experiment=discogan_toy", *experiment.variants[variant], "trainer.device=cpu"]
    cfg = Composer(arguments(overrides)).compose(overrides)
    data, losses = cast(MixtureDomains, build.dataset(cfg)), []
    for seed in range(SEEDS):
        cfg.seed = seed
        with random.fork(seed):
            losses.append(Loss(cast(OneWayGAN, build.system(cfg))).double())
    first, system = losses[0], losses[0].system
    weights, _ = stack_module_state(losses)
    parts = {name: [w for key, w in weights.items() if key.startswith(f"system.{name}.")] for name, _ in
             system.named_children()}  # fmt: skip
    # Adam acts on each weight alone, so that one step on stacked weights is a step of every seed.
    settings = {key: value for key, value in cfg.optimizer.items() if key in ("lr", "betas", "weight_decay")}
    optimizers = {name: torch.optim.Adam(part, **settings) for name, part in parts.items()}
    progress = Progress(STEPS, "iterations", label=variant)
    for step, batch in enumerate(batches(data, cfg.trainer.batch_size)):
        system.iteration = step
        for turn in system.turns():
            if turn.steps:
                trained = [w for name in turn.trains for w in parts[name]]
                loss = vmap(lambda w, x, y, name=turn.name: functional_call(first, w, (name, x, y)))(weights, *batch)
                for w, gradient in zip(trained, torch.autograd.grad(loss.sum(), trained)):
                    w.grad = gradient
                for name in turn.trains:
                    optimizers[name].step()
        progress.advance()
    G_AB = {name: weights[f"system.G_AB.{name}"].detach() for name, _ in system.G_AB.named_parameters()}
    x = data.test_batch(0, SHOWN).x.double()
    return data, vmap(lambda w: functional_call(system.G_AB, w, (x,)))(G_AB).flatten(2)


def batches(data: MixtureDomains, size: int) -> list[tuple[Tensor, Tensor]]:
    """STEPS batches (x, y) of all seeds, each (SEEDS, size, 2, 1, 1)."""
    streams = [data.train_batch(seed, 0, STEPS * size) for seed in range(SEEDS)]
    x, y = (torch.stack(part).double().unflatten(1, (STEPS, size)).unbind(1) for part in zip(*streams))
    return list(zip(x, y))


def plot(path: Path, data: MixtureDomains, translated: dict[str, Tensor]) -> None:
    """A's points with a color per mode, and where each model maps them, over the modes of B."""
    figure, ((source, *targets),) = panels(1, 1 + len(translated), 3.3, 3.5)
    modes = data.test_modes(0, SHOWN)
    x = data.test_batch(0, SHOWN).x.flatten(1)
    shown = {"domain A: five modes, a color each": x, **translated}
    for axis, (title, points) in zip((source, *targets), shown.items()):
        if axis is not source:
            axis.scatter(*data.modes_y.T, s=60, c="k", marker="x", linewidth=1, label="modes of B")
        for mode, color in enumerate(COLORS):
            name = f"mode {mode + 1} of A" if axis is source else None
            axis.scatter(*points[modes == mode].T, s=4, c=color, label=name)
        axis.set_xlim(-2, 2)
        axis.set_ylim(-2, 2)
        axis.set_aspect("equal")
        point = "x" if axis is source else "G_AB(x)"
        label(
            axis,
            title,
            f"first coordinate of {point}",
            f"second coordinate of {point}",
            "upper right" if axis is source else "lower right",
        )
    save(figure, path)
