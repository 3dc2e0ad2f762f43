"""Number of statistically different bins, NDB (Richardson & Weiss 2018, arXiv 1805.12462)."""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from gan_cli.metrics.base import Better, EvaluationData, Metric
from gan_cli.metrics.nearest_neighbors import tie
from gan_cli.metrics.pixels import rows
from gan_cli.utils.clustering import ITERATIONS, kmeans, squared_distances

LARGE = 1000  # with more dimensions, the bins use a random sixth of them, as in the paper
PER_BIN = 10  # minimum number of training samples per bin


def assign(data: Tensor, centers: Tensor) -> Tensor:
    """How many rows of data (N, d) are nearest to each of the centers (k, d): int64 (k,)."""
    counts = torch.zeros(len(centers), dtype=torch.int64)
    for part in map(Tensor.double, data.split(4096)):
        square = squared_distances(part, centers.double())
        smallest = square.min(1).values
        # Of several centers at the same distance the first counts, whatever rounding says.
        nearest = (square <= (smallest + tie(part, smallest))[:, None]).int().argmax(1)
        counts += torch.bincount(nearest, minlength=len(centers))
    return counts


def z_scores(a: Tensor, b: Tensor) -> Tensor:
    """Two-proportion z of each bin, from counts (k,), (k,); 0 for a bin that is empty in both.

    z = (p1 - p2) / sqrt(p (1 - p) (1/n1 + 1/n2)),  p = (p1 n1 + p2 n2) / (n1 + n2).
    """
    a, b = a.double(), b.double()
    n1, n2 = a.sum(), b.sum()
    p = (a + b) / (n1 + n2)
    spread = (p * (1 - p) * (1 / n1 + 1 / n2)).sqrt()
    return torch.where(spread > 0, (a / n1 - b / n2) / spread, 0.0)


def different(a: Tensor, b: Tensor, alpha: float = 0.05) -> int:
    """NDB: number of bins whose shares differ at significance level `alpha`, 2 Phi(-|z|) < alpha."""
    return int((torch.erfc(z_scores(a, b).abs() / math.sqrt(2)) < alpha).sum())


def jensen_shannon(a: Tensor, b: Tensor) -> float:
    """Jensen-Shannon divergence of two histograms (k,), counts or shares, in nats: 0 .. log 2."""
    p, q = a.double() / a.sum(), b.double() / b.sum()
    m = (p + q) / 2
    return float((torch.xlogy(p, p / m.clamp(min=1e-300)) + torch.xlogy(q, q / m.clamp(min=1e-300))).sum() / 2)


@dataclass
class StatisticallyDifferentBins(Metric):
    """NDB and Jensen-Shannon divergence (JSD, nats) of the shares of K-means bins.

    The bins are those of the training samples (pixels or coordinates, L2). NDB, JSD: of generated against training
    samples; NDB_test, JSD_test: of held-out against training samples. NDB is 0 .. bins; a perfect generator scores
    about alpha * bins, or a little more because the bins are fitted to the training samples, as NDB_test shows.
    whiten: scale each dimension to zero mean and unit variance on the training samples. With more than 1000
    dimensions, a random sixth of them is used.
    """

    bins: int = 100
    alpha: float = 0.05
    whiten: bool = False

    better: ClassVar[Better] = {
        "NDB": "lower", "NDB_share": "lower", "JSD": "lower", "NDB_test": None, "JSD_test": None
    }  # fmt: skip

    def __call__(self, evaluation: EvaluationData) -> dict[str, float]:
        train = rows(evaluation.train)
        if len(train) < PER_BIN * self.bins:
            raise ValueError(
                f"{self.bins} bins need {PER_BIN * self.bins} training samples, and there are {len(train)}: "
                "a larger n= or a smaller metric.ndb.bins="
            )
        d = train.shape[1]
        used = torch.arange(d)
        if d > LARGE:
            used = torch.randperm(d, generator=torch.Generator().manual_seed(evaluation.seed))[: d // 6]
        shift, scale = torch.zeros(len(used)), torch.ones(len(used))
        if self.whiten:
            shift, scale = train[:, used].mean(0), train[:, used].std(0).clamp(min=1e-6)

        def normalized(data: Tensor) -> Tensor:
            return (data[:, used] - shift) / scale

        progress = evaluation.progress(ITERATIONS, "iterations", "ndb: k-means")
        centers = kmeans(normalized(train), self.bins, evaluation.seed, progress=progress)
        reference, generated, test = (
            assign(normalized(data), centers) for data in (train, rows(evaluation.generated), rows(evaluation.test))
        )
        ndb = different(reference, generated, self.alpha)
        return {
            "NDB": float(ndb),
            "NDB_share": ndb / self.bins,
            "JSD": jensen_shannon(reference, generated),
            "NDB_test": float(different(reference, test, self.alpha)),
            "JSD_test": jensen_shannon(reference, test),
        }
