"""Distances in blocks, and the 1-NN two-sample test (Lopez-Paz & Oquab 2017, arXiv 1610.06545)."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from gan_cli.metrics.base import EvaluationData, Metric
from gan_cli.metrics.feature_checks import both, known_reference, real, values

BLOCK = 128  # rows of a distance matrix in memory: 10 MB beside 10,000 columns


def centred(real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
    """Both in float64, less the real mean: distances stay, and |x|^2 + |y|^2 - 2xy loses fewer digits."""
    real = real.double()
    centre = real.mean(0)
    return real - centre, fake.double() - centre


def distances(x: Tensor, y: Tensor) -> Iterator[tuple[int, Tensor]]:
    """Euclidean distances of rows (N, d) and (M, d): the first row's number and (<= BLOCK, M), block by block."""
    for start in range(0, len(x), BLOCK):
        yield start, torch.cdist(x[start : start + BLOCK], y, compute_mode="use_mm_for_euclid_dist")


def nearest(x: Tensor, y: Tensor) -> Tensor:
    """Distance of each row of x (N, d) to the nearest of y (M, d): (N,)."""
    return torch.cat([block.min(1).values for _, block in distances(x, y)])


def nearest_other(x: Tensor) -> Tensor:
    """Distance of each row of x (N, d) to the nearest other row: (N,)."""
    found = []
    for start, block in distances(x, x):
        rows = torch.arange(len(block))
        block[rows, start + rows] = math.inf
        found.append(block.min(1).values)
    return torch.cat(found)


def one_nn(real: Tensor, fake: Tensor) -> tuple[float, float]:
    """Leave-one-out accuracy of a 1-NN classifier that tells real (N, d) from generated (M, d): its accuracy on the
    real ones, and on the generated ones. A tie counts half.

    Equal distributions: N / (N + M) and M / (N + M). Generated copies of all real samples: 0, 0. Two sets that lie
    apart: 1, 1. A generator that drops modes: low on real, high on generated (Xu et al. 2018, arXiv 1806.07755).
    """
    real, fake = centred(*both(real, fake, least=2))
    return (
        _closer(nearest_other(real), nearest(real, fake)),
        _closer(nearest_other(fake), nearest(fake, real)),
    )


def _closer(own: Tensor, other: Tensor) -> float:
    return float(((own < other).double() + 0.5 * (own == other).double()).mean())


@dataclass
class NearestNeighbourTest(Metric):
    """The accuracy is the mean of both parts: that of all samples where the counts are equal, and .5 for equal
    distributions at any counts. Neither high nor low is good; `one_nn_gap` is its distance from .5, at most .5."""

    reference: str = "train"

    better: ClassVar = {"one_nn": None, "one_nn_gap": "lower", "one_nn_real": None, "one_nn_fake": None}

    def __post_init__(self) -> None:
        known_reference(self.reference)

    def __call__(self, evidence: EvaluationData) -> dict[str, float]:
        target, fake = values(evidence, real(evidence, self.reference)), values(evidence, evidence.generated)
        on_real, on_fake = one_nn(target, fake)
        accuracy = (on_real + on_fake) / 2
        return {
            evidence.named("one_nn"): accuracy,
            evidence.named("one_nn_gap"): abs(accuracy - 0.5),
            evidence.named("one_nn_real"): on_real,
            evidence.named("one_nn_fake"): on_fake,
        }
