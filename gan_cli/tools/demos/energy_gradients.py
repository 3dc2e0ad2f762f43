"""Gradients of the samples of a batch, for a logistic discriminator and for an autoencoder (Zhao, Mathieu, LeCun 2017,
arXiv 1609.03126, section 2.3).

The paper motivates the autoencoder: a logistic loss has only two targets, so the gradients of the samples of a batch
are far from orthogonal, while reconstruction has a target per sample.
"""

from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from torch.nn.functional import normalize

from gan_cli.config.composer import Composer, arguments
from gan_cli.data.base import Images
from gan_cli.losses.adversarial import AdversarialLoss
from gan_cli.systems.base import test_mode
from gan_cli.systems.gan import GAN
from gan_cli.tools.demos._common import in_float64, panels, save, write_table
from gan_cli.training import build
from gan_cli.utils import random
from gan_cli.utils.progress import Progress

TITLE = "EBGAN's motivation: gradients of different images agree for a logistic D, less so for an autoencoder"

COMMON = ["dataset=shapes", "dataset.image_size=16", "dataset.channels=1", "optimizer.lr=1e-3"]
COMMON += [f"model.generator.{key}" for key in ("layers=3", "size=128")]
COMMON += [f"model.discriminator.{key}" for key in ("layers=2", "size=128")]
MODELS = {  # name -> overrides; the encoder of the autoencoder is the body of the logistic discriminator
    "logistic": ["model=sgan", "network=gan_grid_mlp"],
    "autoencoder": ["model=ebgan", "network=ebgan_mlp", "loss.adversarial.margin=3"],
}
STEPS, SHOWN, SEED = (0, 300), 60, 0

Cosines = dict[tuple[str, int], Tensor]


def run(folder: Path) -> str:
    """energy_gradients.{csv,png}: cosines of the gradients of real images, before and after training."""
    cosines: Cosines = {}
    for name, overrides in MODELS.items():
        with random.fork(SEED):
            found, labels = train(name, overrides)
        cosines |= found
    rows = [[name, step, *statistics(cosine, labels)] for (name, step), cosine in cosines.items()]
    plot(folder / "energy_gradients.png", cosines, labels)
    head = ["D", "iterations", "mean |cos|", "of one class", "of two classes", "directions"]
    table = write_table(folder / "energy_gradients.csv", head, rows)
    return f"{table}\ncos: of the gradients of two images; directions: participation ratio of the cosines' eigenvalues"


def train(name: str, settings: list[str]) -> tuple[Cosines, Tensor]:
    """The cosines after each number of iterations in STEPS, and the sorted labels of the images."""
    overrides = [*settings, *COMMON, f"trainer.iterations={max(STEPS)}", "trainer.batch_size=64", f"seed={SEED}"]
    overrides += ["trainer.device=cpu", "trainer.ema_decay=0"]
    cfg = Composer(arguments(overrides)).compose(overrides)
    data, system = build.dataset(cfg), cast(GAN, in_float64(build.system(cfg)))
    trainer = build.trainer(cfg, system, data)
    batch = cast(Images, data.test_batch(0, SHOWN))
    assert batch.label is not None
    order = batch.label.argsort(stable=True)
    progress, cosines = Progress(max(STEPS), "iterations", label=name), {}
    for step in range(max(STEPS) + 1):
        if step in STEPS:
            with test_mode(system, SEED), torch.enable_grad():
                gradients = per_sample(system.discriminator, system.objective.adversarial, batch.image[order].double())
            directions = normalize(gradients)
            cosines[name, step] = directions @ directions.T
        if step < max(STEPS):
            trainer.iterate()
            progress.advance()
    return cosines, batch.label[order]


def per_sample(D: nn.Module, adversarial: AdversarialLoss, x: Tensor) -> Tensor:
    """The gradient of each real image's own loss in the parameters of D, (N, P)."""
    parameters = {name: value.detach() for name, value in D.named_parameters()}

    def loss(parameters: dict[str, Tensor], image: Tensor) -> Tensor:
        score = functional_call(D, parameters, (image[None],))
        return adversarial.d_loss(score, torch.zeros_like(score))  # the fake score is a constant, without a gradient

    gradients = vmap(grad(loss), in_dims=(None, 0))(parameters, x)
    return torch.cat([value.flatten(1) for value in gradients.values()], dim=1)


def statistics(cosine: Tensor, labels: Tensor) -> list[float]:
    """Mean |cos| of all pairs, of pairs of one class and of two; and the number of directions, between 1 and N.

    The last is (sum l)^2 / sum l^2 of the eigenvalues l of the matrix.
    """
    other = ~torch.eye(len(cosine), dtype=torch.bool)
    same = labels[:, None] == labels
    size = cosine.abs()
    directions = cosine.trace() ** 2 / cosine.square().sum()
    return [float(size[other].mean()), float(size[other & same].mean()), float(size[~same].mean()), float(directions)]


def plot(path: Path, cosines: Cosines, labels: Tensor) -> None:
    """The matrix of cosines for each D (columns), before and after training (rows)."""
    figure, axes = panels(len(STEPS), len(MODELS), 4.2, 3.5)
    borders = torch.bincount(labels).cumsum(0)
    for (name, step), axis in zip(cosines, axes.T.flat):
        image = axis.imshow(cosines[name, step], cmap="viridis", vmin=0, vmax=1)
        axis.grid(False)
        for border in borders[:-1].tolist():
            axis.axhline(border - 0.5, color="k", linewidth=0.6)
            axis.axvline(border - 0.5, color="k", linewidth=0.6)
        mean = statistics(cosines[name, step], labels)[0]
        axis.set_title(f"{name} D after {step} iterations: mean |cos| {mean:.2f}", fontsize=9)
        axis.set_xlabel("real image j (lines: classes of shapes)", fontsize=8)
        axis.set_ylabel("real image i", fontsize=8)
    bar = figure.colorbar(image, ax=axes, shrink=0.6)
    bar.set_label("cosine of two gradients: of the losses of images i and j by the parameters of D", fontsize=8)
    bar.ax.tick_params(labelsize=7)
    save(figure, path)
