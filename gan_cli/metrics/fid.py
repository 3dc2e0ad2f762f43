"""FID: the Fréchet distance of two Gaussians fitted to features (Heusel et al. 2017, arXiv 1706.08500, eq. 6)."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from gan_cli.metrics.base import Better, EvaluationData, Metric
from gan_cli.metrics.feature_checks import check_table, check_tables, known_reference, real_and_generated

CHUNK = 1000  # rows that are in memory in float64 at a time


class Moments:
    """Running mean and covariance of rows (., d), in float64.

    Batches are combined by the pairwise update of Chan, Golub and LeVeque 1979, which subtracts no large sums and so
    loses no digits.
    """

    def __init__(self, d: int) -> None:
        self.n = 0
        self.mean = torch.zeros(d, dtype=torch.float64)
        self._scatter = torch.zeros(d, d, dtype=torch.float64)

    def update(self, rows: Tensor) -> None:
        """Add the rows (n, d)."""
        rows = check_table(rows, "features").double()
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
    """Mean and covariance of features (N, d)."""
    result = Moments(features.shape[1])
    for chunk in features.split(CHUNK):
        result.update(chunk)
    return result


def trace_sqrt(S: Tensor, T: Tensor) -> float:
    """Tr (S T)^(1/2) of covariances (d, d), float64.

    With S = C C^T, S T has the eigenvalues of the symmetric C^T T C (and of S^(1/2) T S^(1/2)): real and not negative.
    Eigenvalues that rounding makes negative count as 0.
    """
    # Cholesky is three times as fast as an eigendecomposition of S, but exists only if S is not singular.
    C, singular = torch.linalg.cholesky_ex(S)
    if singular:
        L, U = torch.linalg.eigh(S)
        C = U * L.clamp(min=0).sqrt()
    product = C.T @ T @ C
    return float(torch.linalg.eigvalsh((product + product.T) / 2).clamp(min=0).sqrt().sum())


def frechet(mu_r: Tensor, S_r: Tensor, mu_g: Tensor, S_g: Tensor) -> float:
    """|mu_r - mu_g|^2 + Tr(S_r + S_g - 2 (S_r S_g)^(1/2)) of means (d,) and covariances (d, d), float64; at least 0."""
    trace = float(S_r.trace() + S_g.trace()) - 2 * trace_sqrt(S_r, S_g)
    return max(0.0, float((mu_r - mu_g).square().sum()) + trace)


def fid(real: Tensor, fake: Tensor, allow_singular: bool = False) -> float:
    """FID of features (N, d), (M, d).

    ValueError if N or M <= d, which gives a covariance of deficient rank, unless `allow_singular`.
    """
    check_tables(real, fake, least=2)
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
class FrechetInceptionDistance(Metric):
    """FID between generated and `reference` samples. It falls with n: compare values of equal counts only."""

    reference: str = "train"
    allow_singular: bool = False

    better: ClassVar[Better] = {"FID": "lower"}

    def __post_init__(self) -> None:
        known_reference(self.reference)

    def __call__(self, evaluation: EvaluationData) -> dict[str, float]:
        real, fake = real_and_generated(evaluation, self.reference)
        return {evaluation.named("FID"): fid(real, fake, self.allow_singular)}
