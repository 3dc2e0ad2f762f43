"""Precision and recall by nearest neighbors (Kynkäänniemi et al. 2019, arXiv 1904.06991), density and coverage (Naeem
et al. 2020, arXiv 2002.09797).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from gan_cli.metrics.base import Better, EvaluationData, Metric
from gan_cli.metrics.feature_checks import check_tables, known_reference, positive, real_and_generated
from gan_cli.metrics.nearest_neighbors import centered, distances, tie
from gan_cli.utils.progress import Progress


def limits(x: Tensor, ks: Sequence[int], progress: Progress | None = None) -> list[Tensor]:
    """For each k of `ks`, the squared distance of every row of x (N, d) to its k-th nearest other row: (N,) each.

    Lowered by what rounding may add, so that a point at this very distance is never below it.
    """
    nearest = torch.cat([block.topk(max(ks) + 1, largest=False).values for _, block in distances(x, x, progress)])
    return [nearest[:, k] - tie(x, nearest[:, k]) for k in ks]  # column 0 is the distance of each row to itself


def prdc(
    real: Tensor, fake: Tensor, k: int = 3, k_density: int = 5, progress: Progress | None = None
) -> dict[str, float]:
    """Precision, recall, density and coverage of real features (N, d) and generated features (M, d).

    Each sample has an open ball that reaches to its k-th nearest neighbor of the same kind, not counting itself.
    precision: share of generated samples that lie in the ball of a real one; recall: share of real samples that lie in
    the ball of a generated one, 0 .. 1. With k_density for k: density: number of real balls that a generated sample
    lies in, divided by k, on average (may exceed 1); coverage: share of real balls that hold a generated sample, 0 ..
    1. The balls are open as in the code of Naeem et al. (github.com/clovaai/generative-evaluation-prdc), so that copies
    of the real samples have a density of 1. ValueError if a kind has at most max(k, k_density) samples.
    """
    real, fake = centered(*check_tables(real, fake, least=max(k, k_density) + 1))
    real_limit, real_limit_density = limits(real, (k, k_density), progress)
    (fake_limit,) = limits(fake, (k,), progress)
    precise = torch.zeros(len(fake), dtype=torch.bool)
    recalled = covered = memberships = 0
    for start, block in distances(real, fake, progress):
        rows = slice(start, start + len(block))
        precise |= (block < real_limit[rows, None]).any(0)
        recalled += int((block < fake_limit).any(1).sum())
        inside = block < real_limit_density[rows, None]
        covered += int(inside.any(1).sum())
        memberships += int(inside.sum())
    return {
        "precision": float(precise.double().mean()),
        "recall": recalled / len(real),
        "density": memberships / (k_density * len(fake)),
        "coverage": covered / len(real),
    }


@dataclass
class PRDC(Metric):
    """Precision, recall, density and coverage of generated against `reference` samples.

    k: neighbors of precision and recall. k_density: neighbors of density and coverage.
    """

    k: int = 3
    k_density: int = 5
    reference: str = "train"

    better: ClassVar[Better] = {"precision": "higher", "recall": "higher", "density": "higher", "coverage": "higher"}

    def __post_init__(self) -> None:
        positive(k=self.k, k_density=self.k_density)
        known_reference(self.reference)

    def __call__(self, evaluation: EvaluationData) -> dict[str, float]:
        real, fake = real_and_generated(evaluation, self.reference)
        count = len(real) ** 2 + len(fake) ** 2 + len(real) * len(fake)
        scores = prdc(real, fake, self.k, self.k_density, evaluation.progress(count, "distances", "prdc:"))
        return {evaluation.named(name): score for name, score in scores.items()}
