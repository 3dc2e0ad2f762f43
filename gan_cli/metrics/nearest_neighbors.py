"""Squared distances in blocks, and the 1-NN two-sample test (Lopez-Paz & Oquab 2017, arXiv 1610.06545)."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from gan_cli.metrics.base import Better, EvaluationData, Metric
from gan_cli.metrics.feature_checks import check_tables, known_reference, real_and_generated
from gan_cli.utils.clustering import squared_distances
from gan_cli.utils.progress import Progress

BLOCK = 128  # rows of a distance matrix in memory: 10 MB for 10,000 columns
ROUNDING = 4e-12  # of |x - y|^2 as a matrix product in float64, in units of |x|^2 + |x - y|^2


def centered(real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
    """Both in float64 minus the real mean: distances are the same, and |x|^2 + |y|^2 - 2xy loses fewer digits."""
    real = real.double()
    mean = real.mean(0)
    return real - mean, fake.double() - mean


def distances(x: Tensor, y: Tensor, progress: Progress | None = None) -> Iterator[tuple[int, Tensor]]:
    """Squared distances of x (N, d) and y (M, d) in blocks: the number of the first row, (<= BLOCK, M).

    progress: advanced by N M, as by the functions below.
    """
    for start in range(0, len(x), BLOCK):
        block = squared_distances(x[start : start + BLOCK], y)
        yield start, block
        if progress:
            progress.advance(block.numel())


def tie(x: Tensor, square: Tensor) -> Tensor:
    """How far two squared distances of a row of x (N, d), about `square` (N,), may differ and still be equal: (N,).

    Distances of equal features differ by the rounding of the matrix product, which depends on the order of the rows.
    """
    return ROUNDING * (x.square().sum(1) + square)


def nearest(x: Tensor, y: Tensor, progress: Progress | None = None) -> Tensor:
    """Squared distance of each row of x (N, d) to the nearest row of y (M, d): (N,)."""
    return torch.cat([block.min(1).values for _, block in distances(x, y, progress)])


def nearest_other(x: Tensor, progress: Progress | None = None) -> Tensor:
    """Squared distance of each row of x (N, d) to the nearest other row: (N,)."""
    minima = []
    for start, block in distances(x, x, progress):
        rows = torch.arange(len(block))
        block[rows, start + rows] = math.inf
        minima.append(block.min(1).values)
    return torch.cat(minima)


def one_nn(real: Tensor, fake: Tensor, progress: Progress | None = None) -> tuple[float, float]:
    """Leave-one-out accuracy, 0 .. 1, of a 1-NN classifier of real (N, d) against generated (M, d) samples.

    Returns the accuracy on real and on generated samples; a tie counts half. Equal distributions: N / (N + M) and
    M / (N + M). Generated copies of all real samples: 0, 0. Two sets that are far apart: 1, 1. A generator that drops
    modes: low on real, high on generated samples (Xu et al. 2018, arXiv 1806.07755).
    """
    real, fake = centered(*check_tables(real, fake, least=2))
    return (
        _closer(real, nearest_other(real, progress), nearest(real, fake, progress)),
        _closer(fake, nearest_other(fake, progress), nearest(fake, real, progress)),
    )


def _closer(x: Tensor, same: Tensor, other: Tensor) -> float:
    """Share of samples x (N, d) whose nearest neighbor is of the same kind.

    same, other: squared distances to the nearest sample of either kind, (N,). A tie counts half.
    """
    tied = (same - other).abs() <= tie(x, torch.minimum(same, other))
    return float(torch.where(tied, 0.5, (same < other).double()).mean())


@dataclass
class OneNearestNeighborTest(Metric):
    """Accuracy, 0 .. 1, of a 1-NN classifier of real against generated samples; .5 is best.

    The mean of the accuracies on real and on generated samples, which is .5 for equal distributions of any counts.
    one_nn_gap: its distance from .5, at most .5.
    """

    reference: str = "train"

    better: ClassVar[Better] = {"one_nn": None, "one_nn_gap": "lower", "one_nn_real": None, "one_nn_fake": None}

    def __post_init__(self) -> None:
        known_reference(self.reference)

    def __call__(self, evaluation: EvaluationData) -> dict[str, float]:
        real, fake = real_and_generated(evaluation, self.reference)
        progress = evaluation.progress((len(real) + len(fake)) ** 2, "distances", "one_nn:")
        on_real, on_fake = one_nn(real, fake, progress)
        accuracy = (on_real + on_fake) / 2
        return {
            evaluation.named("one_nn"): accuracy,
            evaluation.named("one_nn_gap"): abs(accuracy - 0.5),
            evaluation.named("one_nn_real"): on_real,
            evaluation.named("one_nn_fake"): on_fake,
        }
