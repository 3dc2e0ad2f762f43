"""Statistically different bins (Richardson & Weiss 2018, arXiv 1805.12462): are the regions of the training data
filled in proportion?"""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from gan_cli.metrics.base import EvaluationData, Metric
from gan_cli.metrics.pixels import rows
from gan_cli.utils.clustering import kmeans, squared_distances

LARGE = 1000  # above this many dimensions the bins live on a random sixth of them, as in the paper
PER_BIN = 10  # training samples for each bin at least


def assign(data: Tensor, centres: Tensor) -> Tensor:
    """(N, d), (k, d) -> how many are nearest to each centre, int64 (k,)."""
    label = torch.cat([squared_distances(part, centres).argmin(1) for part in data.split(4096)])
    return torch.bincount(label, minlength=len(centres))


def z_scores(a: Tensor, b: Tensor) -> Tensor:
    """Counts (k,), (k,) -> (k,), the two-proportion z of each bin:

    z = (p1 - p2) / sqrt(p (1 - p) (1/n1 + 1/n2)),  p = (p1 n1 + p2 n2) / (n1 + n2);  0 for a bin that both leave empty.
    """
    a, b = a.double(), b.double()
    n1, n2 = a.sum(), b.sum()
    p = (a + b) / (n1 + n2)
    spread = (p * (1 - p) * (1 / n1 + 1 / n2)).sqrt()
    return torch.where(spread > 0, (a / n1 - b / n2) / spread, 0.0)


def different(a: Tensor, b: Tensor, alpha: float = 0.05) -> int:
    """NDB: bins whose shares differ at level `alpha`, 2 Phi(-|z|) < alpha."""
    return int((torch.erfc(z_scores(a, b).abs() / math.sqrt(2)) < alpha).sum())


def jensen_shannon(a: Tensor, b: Tensor) -> float:
    """Counts or shares (k,), (k,) -> JS divergence in nats, 0 .. log 2."""
    p, q = a.double() / a.sum(), b.double() / b.sum()
    m = (p + q) / 2
    return float((torch.xlogy(p, p / m.clamp(min=1e-300)) + torch.xlogy(q, q / m.clamp(min=1e-300))).sum() / 2)


@dataclass
class Bins(Metric):
    """K-means bins of the training samples (pixels, L2); NDB and JSD between their shares of training and of generated
    samples, beside the same of held-out ones.

    A perfect generator scores about alpha * bins, and somewhat more because the bins fit the training samples; the
    held-out figure shows how much. whiten: zero mean and unit variance of each dimension by the training samples.
    With more than 1000 dimensions a random sixth of them is used. Works on points too.
    """

    bins: int = 100
    alpha: float = 0.05
    whiten: bool = False

    better: ClassVar = {"NDB": "lower", "NDB_share": "lower", "JSD": "lower", "NDB_test": None, "JSD_test": None}

    def __call__(self, evidence: EvaluationData) -> dict[str, float]:
        train = rows(evidence.train)
        if len(train) < PER_BIN * self.bins:
            raise ValueError(
                f"{self.bins} bins need {PER_BIN * self.bins} training samples, and there are {len(train)}: "
                "a larger n= or a smaller metric.ndb.bins="
            )
        d = train.shape[1]
        used = torch.arange(d)
        if d > LARGE:
            used = torch.randperm(d, generator=torch.Generator().manual_seed(evidence.seed))[: d // 6]
        shift, scale = torch.zeros(len(used)), torch.ones(len(used))
        if self.whiten:
            shift, scale = train[:, used].mean(0), train[:, used].std(0).clamp(min=1e-6)

        def view(data: Tensor) -> Tensor:
            return (data[:, used] - shift) / scale

        centres = kmeans(view(train), self.bins, evidence.seed)
        reference = assign(view(train), centres)
        generated, test = (assign(view(rows(samples)), centres) for samples in (evidence.generated, evidence.test))
        ndb = different(reference, generated, self.alpha)
        return {
            "NDB": float(ndb),
            "NDB_share": ndb / self.bins,
            "JSD": jensen_shannon(reference, generated),
            "NDB_test": float(different(reference, test, self.alpha)),
            "JSD_test": jensen_shannon(reference, test),
        }
