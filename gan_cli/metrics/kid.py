"""Maximum mean discrepancy, squared and unbiased: KID, and a mixture of RBF kernels (Gretton et al. 2012, eq. 3).

    MMDMetric^2 = (sum K_XX - tr K_XX) / (m(m-1)) + (sum K_YY - tr K_YY) / (n(n-1)) - 2 mean K_XY

Its mean is 0 for equal distributions, so it may be negative.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from gan_cli.losses.kernels import RBF, Cubic, Kernel, unbiased_mmd2
from gan_cli.metrics import nearest_neighbors
from gan_cli.metrics.base import EvaluationData, Metric
from gan_cli.metrics.feature_checks import both, known_reference, positive, real, values

MEDIAN_OF = 1000  # real samples whose distances give the median


def polynomial_mmd2(x: Tensor, y: Tensor) -> float:
    """With k(x, y) = (x.y / d + 1)^3 on features (m, d), (n, d)."""
    return float(unbiased_mmd2(Cubic(), x.double(), y.double()))


def kid(real: Tensor, fake: Tensor, subsets: int = 100, size: int = 1000, seed: int = 0) -> tuple[float, float]:
    """Mean and population standard deviation over `subsets` of `size` samples, drawn without replacement.

    Binkowski et al. 2018 (arXiv 1801.01401). size is lowered to the smaller count; where both counts are
    no more than that, all subsets are the same, and the deviation of 0 says nothing.
    """
    both(real, fake, least=2)
    size = min(size, len(real), len(fake))
    generator = torch.Generator().manual_seed(seed)

    def draw(x: Tensor) -> Tensor:
        return x[torch.randperm(len(x), generator=generator)[:size]]

    if size == len(real) == len(fake):
        return polynomial_mmd2(real, fake), 0.0
    found = torch.tensor([polynomial_mmd2(draw(real), draw(fake)) for _ in range(subsets)], dtype=torch.float64)
    return float(found.mean()), float(found.std(correction=0))


def median_distance(x: Tensor) -> float:
    """Median distance of two rows of x (N, d), over at most MEDIAN_OF rows at even steps. ValueError when it is 0."""
    step = -(-len(x) // MEDIAN_OF)
    median = float(torch.pdist(x[::step].double()).median()) if len(x[::step]) > 1 else 0.0
    if median == 0:
        raise ValueError("the real samples have no median distance, most are the same: metric.mmd.median=false")
    return median


def rbf_mmd2(real: Tensor, fake: Tensor, bandwidths: Sequence[float]) -> float:
    """With k(x, y) = sum_s exp(-|x - y|^2 / (2 s^2)) over the bandwidths s, on features (m, d), (n, d)."""
    x, y = (features.double() for features in both(real, fake, least=2))
    k, m, n = RBF(bandwidths), len(x), len(y)
    within = _total(k, x, x) / (m * (m - 1)) + _total(k, y, y) / (n * (n - 1))  # the diagonals are 0
    return within - 2 * _total(k, x, y) / (m * n)


def _total(kernel: Kernel, x: Tensor, y: Tensor) -> float:
    """The sum of the kernel matrix, in blocks of rows."""
    return sum(float(kernel(block, y).sum()) for block in x.split(nearest_neighbors.BLOCK))


@dataclass
class KernelDistance(Metric):
    """KID to the `reference` samples; no bias in n. Subsets are drawn from the evaluation's seed."""

    subsets: int = 100
    size: int = 1000
    reference: str = "train"

    better: ClassVar = {"KID": "lower", "KID_std": None}

    def __post_init__(self) -> None:
        positive(self, "subsets", "size")
        if self.size < 2:
            raise ValueError(f"size must be at least 2, not {self.size}")
        known_reference(self.reference)

    def __call__(self, evidence: EvaluationData) -> dict[str, float]:
        target, fake = values(evidence, real(evidence, self.reference)), values(evidence, evidence.generated)
        mean, std = kid(target, fake, self.subsets, self.size, evidence.seed)
        return {evidence.named("KID"): mean, evidence.named("KID_std"): std}


@dataclass
class MMDMetric(Metric):
    """bandwidths: of the RBF mixture; with `median` in units of the median distance of real samples (`MMD2_unit`),
    which does not depend on the generator, so that scores of several compare."""

    bandwidths: Sequence[float] = (0.25, 0.5, 1.0, 2.0, 4.0)
    median: bool = True
    reference: str = "train"

    better: ClassVar = {"MMD2": "lower", "MMD2_unit": None}

    def __post_init__(self) -> None:
        if not self.bandwidths or min(self.bandwidths) <= 0:
            raise ValueError(f"bandwidths must be positive numbers, not {list(self.bandwidths)}")
        known_reference(self.reference)

    def __call__(self, evidence: EvaluationData) -> dict[str, float]:
        target, fake = values(evidence, real(evidence, self.reference)), values(evidence, evidence.generated)
        unit = median_distance(target) if self.median else 1.0
        score = rbf_mmd2(target, fake, [unit * s for s in self.bandwidths])
        return {evidence.named("MMD2"): score, evidence.named("MMD2_unit"): unit}
