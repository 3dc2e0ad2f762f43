"""Improved precision and recall (Kynkäänniemi et al. 2019, arXiv 1904.06991), density and coverage (Naeem et al.
2020, arXiv 2002.09797)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from gan_cli.metrics.base import EvaluationData, Metric
from gan_cli.metrics.feature_checks import both, known_reference, positive, real, values
from gan_cli.metrics.nearest_neighbors import centred, distances


def radii(x: Tensor, ks: Sequence[int]) -> list[Tensor]:
    """For each k of `ks`, the distance of every row of x (N, d) to its k-th nearest other row: (N,) each.

    The row itself is the first of the sorted distances, so this is the (k+1)-th.
    """
    found = torch.cat([block.topk(max(ks) + 1, largest=False).values for _, block in distances(x, x)])
    return [found[:, k] for k in ks]


def prdc(real: Tensor, fake: Tensor, k: int = 3, k_density: int = 5) -> dict[str, float]:
    """Features (N, d), (M, d); B(x) is the closed ball around x that reaches to its k-th neighbour of the same kind.

    precision: share of generated samples in a ball of a real one; recall: share of real samples in a ball of a
    generated one (k). density: real balls that hold a generated sample, over k, on average; may exceed 1.
    coverage: share of real balls that hold a generated sample (k_density).
    ValueError when a kind has no more than max(k, k_density) samples.
    """
    real, fake = centred(*both(real, fake, least=max(k, k_density) + 1))
    real_radius, real_radius_density = radii(real, (k, k_density))
    (fake_radius,) = radii(fake, (k,))
    precise = torch.zeros(len(fake), dtype=torch.bool)
    recalled = covered = held = 0
    for start, block in distances(real, fake):
        rows = slice(start, start + len(block))
        precise |= (block <= real_radius[rows, None]).any(0)
        recalled += int((block <= fake_radius).any(1).sum())
        inside = block <= real_radius_density[rows, None]
        covered += int(inside.any(1).sum())
        held += int(inside.sum())
    return {
        "precision": float(precise.double().mean()),
        "recall": recalled / len(real),
        "density": held / (k_density * len(fake)),
        "coverage": covered / len(real),
    }


@dataclass
class PRDC(Metric):
    """k: neighbours of precision and recall. k_density: of density and coverage."""

    k: int = 3
    k_density: int = 5
    reference: str = "train"

    better: ClassVar = {"precision": "higher", "recall": "higher", "density": "higher", "coverage": "higher"}

    def __post_init__(self) -> None:
        positive(self, "k", "k_density")
        known_reference(self.reference)

    def __call__(self, evidence: EvaluationData) -> dict[str, float]:
        target, fake = values(evidence, real(evidence, self.reference)), values(evidence, evidence.generated)
        found = prdc(target, fake, self.k, self.k_density)
        return {evidence.named(name): value for name, value in found.items()}
