"""FID: the Fréchet distance of two Gaussians fitted to features (Heusel et al. 2017, arXiv 1706.08500, eq. 6)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from gan_cli.metrics.base import Better, EvaluationData, Metric, Samples, labeled_by
from gan_cli.metrics.feature_checks import (
    check_table,
    check_tables,
    known_reference,
    real_and_generated,
    reference_samples,
)

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


def gaussian(features: Tensor, what: str, allow_singular: bool = False) -> tuple[Tensor, Tensor]:
    """Mean (d,) and covariance (d, d) of `what` features (N, d).

    ValueError if N <= d, which gives a covariance of deficient rank, unless `allow_singular`.
    """
    check_table(features, f"{what} features", least=2)
    _check_rank(len(features), features.shape[1], what, allow_singular)
    fitted = moments(features)
    return fitted.mean, fitted.covariance


def fid(real: Tensor, fake: Tensor, allow_singular: bool = False) -> float:
    """FID of features (N, d), (M, d). ValueError as for `gaussian`."""
    check_tables(real, fake, least=2)
    return frechet(*gaussian(real, "real", allow_singular), *gaussian(fake, "generated", allow_singular))


def _check_rank(count: int, d: int, what: str, allow_singular: bool) -> None:
    if count <= d and not allow_singular:
        raise ValueError(
            f"{count} {what} samples give no covariance of full rank in {d} features: take more than {d} "
            "(n=), an extractor with fewer, metric.fid.allow_singular=true, or metric=kid, which takes few samples"
        )


@dataclass
class FrechetInceptionDistance(Metric):
    """FID between generated and `reference` samples. It falls with n: compare values of equal counts only.

    Both may be statistics that a file holds. If the file does not say which network made them, the value's name
    includes their hash, for the user alone answers for the network.
    """

    reference: str = "train"
    allow_singular: bool = False

    better: ClassVar[Better] = {"FID": "lower"}
    uses_statistics: ClassVar[bool] = True

    def __post_init__(self) -> None:
        known_reference(self.reference)

    def __call__(self, evaluation: EvaluationData) -> dict[str, float]:
        both = (reference_samples(evaluation, self.reference), evaluation.generated)
        if not any(samples.statistics for samples in both):
            real, fake = real_and_generated(evaluation, self.reference)
            return {evaluation.named("FID"): fid(real, fake, self.allow_singular)}
        (mu_r, S_r), (mu_g, S_g) = (self._gaussian(evaluation, *side) for side in zip(both, ("real", "generated")))
        if len(mu_r) != len(mu_g):
            files = " and ".join(samples.split for samples in both if samples.statistics)
            raise ValueError(
                f"real samples have {len(mu_r)} features and generated ones {len(mu_g)}: {files} must be of "
                f"extractor={evaluation.extractor.name}"
            )
        return {self._name(evaluation, both): frechet(mu_r, S_r, mu_g, S_g)}

    def _gaussian(self, evaluation: EvaluationData, samples: Samples, what: str) -> tuple[Tensor, Tensor]:
        statistics = samples.statistics
        if statistics is None:
            return gaussian(evaluation.features(samples).values, what, self.allow_singular)
        extractor = f"{evaluation.extractor.name}:{evaluation.extractor.hash}"
        if statistics.extractor not in (None, extractor):
            raise ValueError(f"{samples.split} was made with {statistics.extractor}, and the extractor is {extractor}")
        if statistics.size is not None:
            _check_rank(statistics.size, len(statistics.mean), what, self.allow_singular)
        return statistics.mean, statistics.covariance

    @staticmethod
    def _name(evaluation: EvaluationData, both: Sequence[Samples]) -> str:
        stated = [s.statistics.hash[:4] for s in both if s.statistics and s.statistics.extractor is None]
        if not stated:
            return evaluation.named("FID")
        return labeled_by(evaluation.extractor, "FID").replace("]", f":statistics:{':'.join(stated)}]")
