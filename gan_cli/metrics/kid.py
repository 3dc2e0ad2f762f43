"""Squared, unbiased maximum mean discrepancy: KID, and a mixture of RBF kernels (Gretton et al. 2012, eq. 3).

    MMD^2 = (sum K_XX - tr K_XX) / (m(m-1)) + (sum K_YY - tr K_YY) / (n(n-1)) - 2 mean K_XY

Its expectation is 0 for equal distributions, so a value may be negative.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from gan_cli.losses.kernels import RBF, Cubic, Kernel, unbiased_mmd2
from gan_cli.metrics import nearest_neighbors
from gan_cli.metrics.base import Better, EvaluationData, Metric
from gan_cli.metrics.feature_checks import check_tables, known_reference, positive, real_and_generated

MEDIAN_OF = 1000  # real samples among which the median distance is measured


def polynomial_mmd2(x: Tensor, y: Tensor) -> float:
    """MMD^2 of features (m, d), (n, d) with k(x, y) = (x.y / d + 1)^3."""
    return float(unbiased_mmd2(Cubic(), x.double(), y.double()))


def kid(real: Tensor, fake: Tensor, subsets: int = 100, size: int = 1000, seed: int = 0) -> tuple[float, float]:
    """KID: mean and population standard deviation of the MMD^2 over `subsets` random subsets of `size` samples.

    Binkowski et al. 2018 (arXiv 1801.01401). Subsets are sampled without replacement. size is lowered to the smaller
    count. The standard deviation of one subset is nan; so is that of subsets which are all the same, because the size
    equals both counts.
    """
    check_tables(real, fake, least=2)
    size = min(size, len(real), len(fake))
    generator = torch.Generator().manual_seed(seed)

    def subset(x: Tensor) -> Tensor:
        return x[torch.randperm(len(x), generator=generator)[:size]]

    if size == len(real) == len(fake):
        return polynomial_mmd2(real, fake), math.nan
    scores = torch.tensor([polynomial_mmd2(subset(real), subset(fake)) for _ in range(subsets)], dtype=torch.float64)
    return float(scores.mean()), float(scores.std(correction=0)) if subsets > 1 else math.nan


def median_distance(x: Tensor) -> float:
    """Median distance of two rows of x (N, d), over at most MEDIAN_OF evenly spaced rows. ValueError if it is 0."""
    step = -(-len(x) // MEDIAN_OF)
    median = float(torch.pdist(x[::step].double()).median()) if len(x[::step]) > 1 else 0.0
    if median == 0:
        raise ValueError("the median distance of real samples is 0, as most are equal: metric.mmd.median=false")
    return median


def rbf_mmd2(real: Tensor, fake: Tensor, bandwidths: Sequence[float]) -> float:
    """MMD^2 of features (m, d), (n, d) with k(x, y) = sum_s exp(-|x - y|^2 / (2 s^2)) over the bandwidths s."""
    x, y = (features.double() for features in check_tables(real, fake, least=2))
    k, m, n = RBF(bandwidths), len(x), len(y)
    within = _total(k, x, x) / (m * (m - 1)) + _total(k, y, y) / (n * (n - 1))  # the diagonals are 0
    return within - 2 * _total(k, x, y) / (m * n)


def _total(kernel: Kernel, x: Tensor, y: Tensor) -> float:
    """The sum of the kernel matrix, in blocks of rows to save memory."""
    return sum(float(kernel(block, y).sum()) for block in x.split(nearest_neighbors.BLOCK))


@dataclass
class KernelInceptionDistance(Metric):
    """KID between generated and `reference` samples, unbiased. The evaluation's seed chooses the subsets."""

    subsets: int = 100
    size: int = 1000
    reference: str = "train"

    better: ClassVar[Better] = {"KID": "lower", "KID_std": None}

    def __post_init__(self) -> None:
        positive(subsets=self.subsets, size=self.size)
        if self.size < 2:
            raise ValueError(f"size must be at least 2, not {self.size}")
        known_reference(self.reference)

    def __call__(self, evaluation: EvaluationData) -> dict[str, float]:
        real, fake = real_and_generated(evaluation, self.reference)
        mean, std = kid(real, fake, self.subsets, self.size, evaluation.seed)
        return {evaluation.named("KID"): mean, evaluation.named("KID_std"): std}


@dataclass
class MMDMetric(Metric):
    """MMD^2 between generated and `reference` samples, with a mixture of RBF kernels.

    bandwidths: of the kernels. median: they are in units of the median distance of real samples (`MMD2_unit`), which
    does not depend on the generator, so that scores of several generators can be compared.
    """

    bandwidths: Sequence[float] = (0.25, 0.5, 1.0, 2.0, 4.0)
    median: bool = True
    reference: str = "train"

    better: ClassVar[Better] = {"MMD2": "lower", "MMD2_unit": None}

    def __post_init__(self) -> None:
        if not self.bandwidths or min(self.bandwidths) <= 0:
            raise ValueError(f"bandwidths must be positive numbers, not {list(self.bandwidths)}")
        known_reference(self.reference)

    def __call__(self, evaluation: EvaluationData) -> dict[str, float]:
        real, fake = real_and_generated(evaluation, self.reference)
        unit = median_distance(real) if self.median else 1.0
        score = rbf_mmd2(real, fake, [unit * s for s in self.bandwidths])
        return {evaluation.named("MMD2"): score, evaluation.named("MMD2_unit"): unit}
