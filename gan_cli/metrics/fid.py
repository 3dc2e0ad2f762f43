"""Fréchet distance of two Gaussians fitted to features: FID (Heusel et al. 2017, arXiv 1706.08500, eq. 6)."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from gan_cli.metrics.base import EvaluationData, Metric
from gan_cli.metrics.feature_checks import both, checked, known_reference, real, values

CHUNK = 1000  # rows that are held in float64 at a time


class Moments:
    """Mean and covariance of rows (., d) that pass by, in float64; no row is kept.

    Batches are joined by the pairwise update of Chan, Golub and LeVeque 1979, which takes no difference of large sums.
    """

    def __init__(self, d: int) -> None:
        self.n = 0
        self.mean = torch.zeros(d, dtype=torch.float64)
        self._scatter = torch.zeros(d, d, dtype=torch.float64)

    def update(self, rows: Tensor) -> None:
        rows = checked(rows, "features").double()
        mean = rows.mean(0)
        delta = mean - self.mean
        total = self.n + len(rows)
        self._scatter += (rows - mean).T @ (rows - mean) + torch.outer(delta, delta) * (self.n * len(rows) / total)
        self.mean += delta * (len(rows) / total)
        self.n = total

    @property
    def covariance(self) -> Tensor:
        """(d, d), divided by n - 1. ValueError for fewer than 2 rows."""
        if self.n < 2:
            raise ValueError(f"a covariance needs 2 samples or more, not {self.n}; see n=")
        return self._scatter / (self.n - 1)


def moments(features: Tensor) -> Moments:
    """Of features (N, d)."""
    found = Moments(features.shape[1])
    for chunk in features.split(CHUNK):
        found.update(chunk)
    return found


def trace_sqrt(S: Tensor, T: Tensor) -> float:
    """Tr (S T)^(1/2) of covariances (d, d), float64.

    With S = C C^T, S T has the eigenvalues of the symmetric C^T T C (and of S^(1/2) T S^(1/2)): real, not negative.
    What rounding makes negative is 0. C is Cholesky's factor, three times faster than an eigendecomposition of S,
    which takes its place where S is singular.
    """
    C, singular = torch.linalg.cholesky_ex(S)
    if singular:
        L, U = torch.linalg.eigh(S)
        C = U * L.clamp(min=0).sqrt()
    product = C.T @ T @ C
    return float(torch.linalg.eigvalsh((product + product.T) / 2).clamp(min=0).sqrt().sum())


def frechet(mu_r: Tensor, S_r: Tensor, mu_g: Tensor, S_g: Tensor) -> float:
    """|mu_r - mu_g|^2 + Tr(S_r + S_g - 2 (S_r S_g)^(1/2)): means (d,), covariances (d, d), float64. Never negative."""
    trace = float(S_r.trace() + S_g.trace()) - 2 * trace_sqrt(S_r, S_g)
    return max(0.0, float((mu_r - mu_g).square().sum()) + trace)


def fid(real: Tensor, fake: Tensor, allow_singular: bool = False) -> float:
    """Of features (N, d), (M, d). ValueError when N or M <= d, which leaves a covariance of deficient rank, unless
    `allow_singular`."""
    both(real, fake, least=2)
    d = real.shape[1]
    for what, features in (("real", real), ("generated", fake)):
        if len(features) <= d and not allow_singular:
            raise ValueError(
                f"{len(features)} {what} samples give no covariance of full rank in {d} features: take more than {d} "
                "(n=), an extractor with fewer, or metric.fid.allow_singular=true"
            )
    r, g = moments(real), moments(fake)
    return frechet(r.mean, r.covariance, g.mean, g.covariance)


@dataclass
class FrechetDistance(Metric):
    """FID to the `reference` samples. Biased upwards in n: compare at equal counts only."""

    reference: str = "train"
    allow_singular: bool = False

    better: ClassVar = {"FID": "lower"}

    def __post_init__(self) -> None:
        known_reference(self.reference)

    def __call__(self, evidence: EvaluationData) -> dict[str, float]:
        target, fake = values(evidence, real(evidence, self.reference)), values(evidence, evidence.generated)
        return {evidence.named("FID"): fid(target, fake, self.allow_singular)}
