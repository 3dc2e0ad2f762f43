"""Parzen-window log-likelihood of held-out images, in nats: a Gaussian around each generated image.

The protocols of Goodfellow et al. 2014 (arXiv 1406.2661, section 5) and of Nowozin et al. 2016 (f-GAN, arXiv
1606.00709, section 4.1), for pixels in [0, 1]. Values of the two protocols cannot be compared. `..._real` is the value
of as many training images as centers, by the same protocol: a model of that many images whose samples are as good as
real ones scores as much.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from gan_cli.metrics.base import Better, Dataset, EvaluationData, Metric, System
from gan_cli.metrics.pixels import need_images, rows, unit
from gan_cli.utils.clustering import squared_distances
from gan_cli.utils.progress import Progress

BLOCK = 1000


def log_density(x: Tensor, centers: Tensor, sigmas: Tensor, progress: Progress | None = None) -> Tensor:
    """log p_sigma(x) of x (N, d) for centers mu (M, d) and sigmas (S,), in nats: float64 (S, N).

    log p(x) = logmeanexp_i( -|x - mu_i|^2 / (2 sigma^2) ) - d log(sigma sqrt(2 pi)).
    progress: advanced by N M.
    """
    sigmas = sigmas.double()
    scale = (-0.5 / sigmas**2).tolist()
    parts = []
    for block in x.split(BLOCK):
        total = torch.full((len(sigmas), len(block)), -math.inf, dtype=torch.float64)
        for mu in centers.split(4 * BLOCK):
            square = squared_distances(block.double(), mu.double())
            total = torch.logaddexp(total, torch.stack([torch.logsumexp(factor * square, 1) for factor in scale]))
            if progress:
                progress.advance(square.numel())
        parts.append(total)
    norm = math.log(len(centers)) + x.shape[1] * (sigmas * math.sqrt(2 * math.pi)).log()
    return torch.cat(parts, 1) - norm[:, None]


def cross_validated(centers: Tensor, sigmas: Tensor, folds: int, progress: Progress | None = None) -> Tensor:
    """Mean log density of each fold of the centers (M, d) under the centers of the other folds, by sigma: (S,)."""
    groups = [torch.arange(len(centers)) % folds == fold for fold in range(folds)]
    return torch.stack([log_density(centers[g], centers[~g], sigmas, progress).mean(1) for g in groups]).mean(0)


def grid(low: float, high: float, steps: int) -> Tensor:
    """`steps` bandwidths from 10^low to 10^high, evenly spaced on a logarithmic scale."""
    return torch.logspace(low, high, steps, dtype=torch.float64)


@dataclass
class Parzen(Metric):
    """Log-likelihood by the protocol of Goodfellow et al. 2014: mean over held-out images, and its standard error.

    Every generated image is a center (10,000 in the paper); sigma is the one of `steps` values 10^low .. 10^high, or of
    `sigmas` if there are any, that is best on `validation` images: the first ones that the data set withholds from
    training, as in the paper. Of a data set that withholds none they are the first ones of the shuffled training set:
    then a generator that copies them gets the smallest sigma and a low score, and they are no centers of `parzen_real`.
    """

    validation: int = 1000
    low: float = -1.0
    high: float = 0.0
    steps: int = 10
    sigmas: Sequence[float] | None = None
    _real: dict[str, float] = field(default_factory=dict, init=False, repr=False)

    better: ClassVar[Better] = {
        "parzen": "higher", "parzen_error": None, "parzen_sigma": None, "parzen_real": None
    }  # fmt: skip

    def __post_init__(self) -> None:
        if self.sigmas is not None and not (self.sigmas and min(self.sigmas) > 0):
            raise ValueError(f"sigmas are one or more positive numbers, not {list(self.sigmas)}")

    def check(self, system: System | None, data: Dataset | None) -> None:
        need_images("parzen", data)

    def __call__(self, evaluation: EvaluationData) -> dict[str, float]:
        withheld = evaluation.validation
        sigmas = grid(self.low, self.high, self.steps)
        if self.sigmas is not None:
            sigmas = torch.tensor(self.sigmas, dtype=torch.float64)
        validation = unit(rows(withheld or evaluation.train, self.validation))

        def best(centers: Tensor) -> Tensor:
            return sigmas[_log_density(evaluation, validation, centers, sigmas).mean(1).argmax()]

        values = _score("parzen", evaluation, best)
        return values | _real_score("parzen", evaluation, best, 0 if withheld else self.validation, self._real)


@dataclass
class KernelDensity(Metric):
    """Log-likelihood by the protocol of f-GAN: mean over held-out images, and its standard error.

    Every generated image is a center (16,384 in the paper); sigma is the one of `steps` values 10^low .. 10^high that
    is best by cross-validation on the generated images. A generator of few different images gets a small sigma and a
    very low score. The paper does not state its grid of sigmas.
    """

    folds: int = 3
    low: float = -2.0
    high: float = 0.0
    steps: int = 17
    _real: dict[str, float] = field(default_factory=dict, init=False, repr=False)

    better: ClassVar[Better] = {"kde": "higher", "kde_error": None, "kde_sigma": None, "kde_real": None}

    def check(self, system: System | None, data: Dataset | None) -> None:
        need_images("parzen_fgan", data)

    def __call__(self, evaluation: EvaluationData) -> dict[str, float]:
        if len(evaluation.generated) < self.folds:
            count = len(evaluation.generated)
            raise ValueError(f"{self.folds} folds need at least as many generated samples, not {count}; see n=")
        sigmas = grid(self.low, self.high, self.steps)

        def best(centers: Tensor) -> Tensor:
            # M^2 pairs of centers less those of one fold, whose sizes differ by 1 at most.
            count = len(centers) ** 2 - sum(len(centers[fold :: self.folds]) ** 2 for fold in range(self.folds))
            progress = evaluation.progress(count, "distances", "kde: sigma")
            return sigmas[cross_validated(centers, sigmas, self.folds, progress).argmax()]

        return _score("kde", evaluation, best) | _real_score("kde", evaluation, best, 0, self._real)


def _log_density(evaluation: EvaluationData, x: Tensor, centers: Tensor, sigmas: Tensor) -> Tensor:
    label = "Parzen windows: sigma" if len(sigmas) > 1 else "Parzen windows:"
    return log_density(x, centers, sigmas, evaluation.progress(len(x) * len(centers), "distances", label))


def _score(name: str, evaluation: EvaluationData, best: Callable[[Tensor], Tensor]) -> dict[str, float]:
    """The score of the generated images, its standard error, and sigma. best: centers (M, d) -> their sigma."""
    centers = unit(rows(evaluation.generated))
    sigma = best(centers)
    density = _log_density(evaluation, unit(rows(evaluation.test)), centers, sigma[None])[0]
    error = float(density.std()) / math.sqrt(len(density)) if len(density) > 1 else math.nan
    return {name: float(density.mean()), f"{name}_error": error, f"{name}_sigma": float(sigma)}


def _real_score(
    name: str, evaluation: EvaluationData, best: Callable[[Tensor], Tensor], skip: int, known: dict[str, float]
) -> dict[str, float]:
    """The score of the training images but the first `skip`, computed once per data set and number of images.

    Nothing if the held-out images are the training images, or if no image is left.
    """
    train, test = evaluation.train, evaluation.test
    if train is test or len(train) <= skip:
        return {}
    key = f"{train.key}-{len(train)}-{len(test)}"
    if train.key is None or key not in known:
        centers = unit(rows(train))[skip:]
        known[key] = float(_log_density(evaluation, unit(rows(test)), centers, best(centers)[None]).mean())
    return {f"{name}_real": known[key]}
