"""Parzen-window log-likelihood: a Gaussian around each generated image, scored on held-out ones.

The protocol of Goodfellow et al. 2014 (arXiv 1406.2661, section 5) and that of Nowozin et al. 2016 (f-GAN, arXiv
1606.00709, section 4.1). Pixels lie in [0, 1]. Figures of one protocol say nothing about those of the other.
"""

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from gan_cli.metrics.base import EvaluationData, Metric
from gan_cli.metrics.pixels import need_images, rows, unit
from gan_cli.utils.clustering import squared_distances

BLOCK = 1000


def log_density(x: Tensor, centres: Tensor, sigmas: Tensor) -> Tensor:
    """x (N, d), centres (M, d), sigmas (S,) -> log p_sigma(x) in nats, float64 (S, N):

    log p(x) = logmeanexp_i( -|x - mu_i|^2 / (2 sigma^2) ) - d log(sigma sqrt(2 pi)).
    """
    sigmas = sigmas.double()
    scale = (-0.5 / sigmas**2).tolist()
    parts = []
    for block in x.split(BLOCK):
        total = torch.full((len(sigmas), len(block)), -math.inf, dtype=torch.float64)
        for near in centres.split(4 * BLOCK):
            square = squared_distances(block.double(), near.double())
            fresh = torch.stack([torch.logsumexp(factor * square, 1) for factor in scale])
            total = torch.logaddexp(total, fresh)
        parts.append(total)
    norm = math.log(len(centres)) + x.shape[1] * (sigmas * math.sqrt(2 * math.pi)).log()
    return torch.cat(parts, 1) - norm[:, None]


def cross_validated(centres: Tensor, sigmas: Tensor, folds: int) -> Tensor:
    """(M, d), (S,) -> (S,): mean log density of each fold under the centres of the others."""
    groups = [torch.arange(len(centres)) % folds == fold for fold in range(folds)]
    return torch.stack([log_density(centres[g], centres[~g], sigmas).mean(1) for g in groups]).mean(0)


def grid(low: float, high: float, steps: int) -> Tensor:
    """(steps,): numpy's logspace."""
    return torch.logspace(low, high, steps, dtype=torch.float64)


@dataclass
class Parzen(Metric):
    """The protocol of 2014: every generated image is a centre (10,000 in the paper), sigma is the best of the grid on
    `validation` images, the score is the mean over the held-out images, and its standard error.

    Differs: the paper holds the validation images out of training; here they are the first ones of the shuffled
    training set, so that a generator that copies these gets the smallest sigma and a low score. sigmas: 10 ** low ..
    10 ** high.
    """

    validation: int = 1000
    low: float = -1.0
    high: float = 0.0
    steps: int = 10

    better: ClassVar = {"parzen": "higher", "parzen_error": None, "parzen_sigma": None}

    def check(self, system: Any, data: Any) -> None:
        need_images("parzen", data)

    def __call__(self, evidence: EvaluationData) -> dict[str, float]:
        centres = unit(rows(evidence.generated))
        sigmas = grid(self.low, self.high, self.steps)
        validation = unit(rows(evidence.train, self.validation))
        sigma = sigmas[log_density(validation, centres, sigmas).mean(1).argmax()]
        return _score("parzen", evidence, centres, sigma)


@dataclass
class KernelDensity(Metric):
    """The protocol of f-GAN: every generated image is a centre (16,384 in the paper), sigma is the best of the grid by
    cross-validation on the generated images themselves, the score is the mean over the held-out images.

    A generator of few images gets a small sigma and a very low score. The paper does not print its grid; sigmas:
    10 ** low .. 10 ** high.
    """

    folds: int = 3
    low: float = -2.0
    high: float = 0.0
    steps: int = 17

    better: ClassVar = {"kde": "higher", "kde_error": None, "kde_sigma": None}

    def check(self, system: Any, data: Any) -> None:
        need_images("parzen_fgan", data)

    def __call__(self, evidence: EvaluationData) -> dict[str, float]:
        centres = unit(rows(evidence.generated))
        if len(centres) < self.folds:
            raise ValueError(f"{self.folds} folds need as many generated samples, not {len(centres)}; see n=")
        sigmas = grid(self.low, self.high, self.steps)
        sigma = sigmas[cross_validated(centres, sigmas, self.folds).argmax()]
        return _score("kde", evidence, centres, sigma)


def _score(name: str, evidence: EvaluationData, centres: Tensor, sigma: Tensor) -> dict[str, float]:
    density = log_density(unit(rows(evidence.test)), centres, sigma[None])[0]
    error = float(density.std()) / math.sqrt(len(density)) if len(density) > 1 else math.nan
    return {name: float(density.mean()), f"{name}_error": error, f"{name}_sigma": float(sigma)}
