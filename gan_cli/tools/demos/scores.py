"""Which score notices which failure of a generator (Xu et al. 2018, arXiv 1806.07755; Kynkäänniemi et al. 2019).

Real points come from a ring of eight Gaussians, whose classes are known exactly, so that no network is involved.
"""

from pathlib import Path

import torch
from torch import Tensor

from gan_cli.data.gaussians import Ring
from gan_cli.metrics.fid import fid
from gan_cli.metrics.inception_score import inception_score, mode_score
from gan_cli.metrics.kid import kid
from gan_cli.metrics.nearest_neighbors import one_nn
from gan_cli.metrics.prdc import prdc
from gan_cli.tools.demos._common import label, panels, save, write_table
from gan_cli.utils import random

TITLE = "Scores of six generators on eight modes: which score notices noise, dropped modes, collapse and copies"

DATA = Ring(std=0.15)
COUNT = 1000
SCORES = ("FID", "KID", "IS", "mode score", "precision", "recall", "density", "coverage", "1-NN real", "1-NN generated")
EXTENT = 1.9  # of the plots


def run(folder: Path) -> str:
    """scores.{csv,png}: the scores of each generator, against the same real points."""
    real = DATA.test_batch(0, COUNT).image.flatten(1)
    with random.fork(0):
        sets = generators()
    rows = {name: scores(real, points) for name, points in sets.items()}
    plot(folder / "scores.png", real, sets, rows)
    table = write_table(folder / "scores.csv", ["generated", *SCORES], [[name, *row] for name, row in rows.items()])
    return f"{table}\n1-NN: accuracy on real and on generated points; 0.5 and 0.5 for equal distributions"


def generators() -> dict[str, Tensor]:
    """Six sets of generated points (COUNT, 2), each with a failure of its own; the first one has none."""
    fresh = DATA.train_batch(1, 0, 20 * COUNT).image.flatten(1)
    centers = DATA.modes[logits(fresh[:COUNT]).argmax(1)]
    return {
        "as the data": fresh[:COUNT],
        "noise added": fresh[:COUNT] + random.normal(COUNT, 2) * 0.3,
        "4 of 8 modes": fresh[logits(fresh).argmax(1) % 2 == 0][:COUNT],
        "1 of 8 modes": fresh[logits(fresh).argmax(1) == 0][:COUNT],
        "collapsed modes": centers + (fresh[:COUNT] - centers) * 0.05,
        "copies of data": DATA.test_batch(0, COUNT).image.flatten(1),
    }


def logits(x: Tensor) -> Tensor:
    """log p(y|x) of the modes y up to a constant, (N, 2) -> (N, 8): those of an exact classifier."""
    return -(x[:, None] - DATA.modes).square().sum(2) / (2 * DATA.std**2)


def scores(real: Tensor, fake: Tensor) -> list[float]:
    """The values named by SCORES, of points (N, 2) and (M, 2). The points themselves are the features."""
    neighbors = prdc(real, fake)
    return [
        fid(real, fake), kid(real, fake)[0], inception_score(logits(fake), splits=1)[0],
        mode_score(logits(fake), logits(real)), *(neighbors[name] for name in SCORES[4:8]), *one_nn(real, fake),
    ]  # fmt: skip


def plot(path: Path, real: Tensor, sets: dict[str, Tensor], rows: dict[str, list[float]]) -> None:
    """Each set of points over the real ones; below, the table, colored by the change from the first set."""
    figure, axes = panels(2, len(sets), 2.0, 2.2)
    for axis, (name, points) in zip(axes[0], sets.items(), strict=True):
        axis.scatter(*real.T, s=2, c="0.8")
        axis.scatter(*points.T, s=2, c="C1")
        axis.set_xlim(-EXTENT, EXTENT)
        axis.set_ylim(-EXTENT, EXTENT)
        label(axis, name, "", legend=None)
    for axis in axes[1]:
        axis.remove()
    axis = figure.add_subplot(axes[1, 0].get_gridspec()[1, :])
    values = torch.tensor(list(rows.values())).T
    change = (values - values[:, :1]).abs()
    axis.imshow(change / change.amax(1, keepdim=True), cmap="Reds", vmin=0, vmax=1.4, aspect="auto")
    for i, row in enumerate(values.tolist()):
        for j, value in enumerate(row):
            axis.text(j, i, f"{value:.3g}", ha="center", va="center", fontsize=7)
    axis.set_xticks(range(len(sets)), list(sets), fontsize=8)
    axis.set_yticks(range(len(SCORES)), SCORES, fontsize=7)
    label(axis, "scores; the redder within a row, the farther from the first column", "", legend=None)
    figure.suptitle("gray: real points; orange: generated points", fontsize=9)
    save(figure, path)
