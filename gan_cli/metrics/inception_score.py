"""Scores of a classifier's predictions: the Inception Score, the Mode Score and EBGAN's I'. Natural logarithms.

All take logits (N, K) and work on log p(y|x) in float64. The marginal log p(y) is a logsumexp over the samples and so
finite for any finite logits: samples of a single class score exp(0) = 1, not NaN.
"""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from gan_cli.metrics.base import Better, EvaluationData, Metric
from gan_cli.metrics.feature_checks import check_table, class_logits, known_reference, positive, reference_samples

FLOOR = 1e-8  # lower bound of p(y|x) in I'; our choice, the paper states none


def inception_score(logits: Tensor, splits: int = 10) -> tuple[float, float]:
    """Inception Score, exp E_x KL(p(y|x) || p(y)), 1 .. K (Salimans et al. 2016, arXiv 1606.03498, section 4).

    Mean and population standard deviation, nan for a single part, over `splits` consecutive parts. log IS = H(y) - E
    H(y|x).
    """
    log_p = _log_softmax(logits, "generated logits", least=splits)
    n = len(log_p)
    parts = [log_p[i * n // splits : (i + 1) * n // splits] for i in range(splits)]
    scores = torch.tensor([math.exp(_information(part)) for part in parts], dtype=torch.float64)
    return float(scores.mean()), float(scores.std(correction=0)) if splits > 1 else math.nan


def mode_score(fake: Tensor, real: Tensor) -> float:
    """Mode Score, exp( E_x KL(p(y|x) || p(y)) - KL(p(y) || p*(y)) ), with p*(y) that of real samples; at most K.

    Che et al. 2017 (arXiv 1612.02136), in the form of Xu et al. 2018 (arXiv 1806.07755; GAN-Metrics, metric.py):
    IS / exp KL(p || p*). With p* instead of p in the first term too, p* would cancel, and the score would be the
    Inception Score.
    """
    log_p = _log_softmax(fake, "generated logits")
    log_marginal, log_real = _marginal(log_p), _marginal(_log_softmax(real, "real logits"))
    return math.exp(_information(log_p) - float(_kl(log_marginal, log_real)))


def i_prime(logits: Tensor) -> float:
    """EBGAN's modified score I' = E_x KL(p(y) || p(y|x))^2 (Zhao et al. 2017, arXiv 1609.03126); 0 for a single class.

    The arguments of the KL are swapped compared with the Inception Score, so that it grows without bound as the
    classifier gets more confident. p(y|x) is bounded below by FLOOR. Compare values of the same classifier only.
    """
    log_p = _log_softmax(logits, "logits")
    divergence = _kl(_marginal(log_p), log_p.clamp(min=math.log(FLOOR)))
    return float(divergence.square().mean())


def _log_softmax(logits: Tensor, what: str, least: int = 1) -> Tensor:
    return check_table(logits, what, least).double().log_softmax(1)


def _marginal(log_p: Tensor) -> Tensor:
    """log of the mean of p(y|x): (N, K) -> (K,)."""
    return log_p.logsumexp(0) - math.log(len(log_p))


def _kl(log_p: Tensor, log_q: Tensor) -> Tensor:
    """KL(p || q) over the last axis."""
    return (log_p.exp() * (log_p - log_q)).sum(-1)


def _information(log_p: Tensor) -> float:
    """E_x KL(p(y|x) || p(y)), in nats."""
    return float(_kl(log_p, _marginal(log_p)).mean())


@dataclass
class InceptionScore(Metric):
    """Inception Score of generated samples, mean and standard deviation over `splits` parts."""

    splits: int = 10

    better: ClassVar[Better] = {"IS": "higher", "IS_std": None}

    def __post_init__(self) -> None:
        positive(splits=self.splits)

    def __call__(self, evaluation: EvaluationData) -> dict[str, float]:
        logits = class_logits(evaluation, evaluation.generated)
        # Shuffled, because the images of a folder are often sorted by class.
        order = torch.randperm(len(logits), generator=torch.Generator().manual_seed(evaluation.seed))
        mean, std = inception_score(logits[order], self.splits)
        return {evaluation.named("IS"): mean, evaluation.named("IS_std"): std}


@dataclass
class ModeScore(Metric):
    """Mode Score of generated samples; p*(y) is the classifier's mean prediction for the `reference` samples."""

    reference: str = "train"

    better: ClassVar[Better] = {"mode_score": "higher"}

    def __post_init__(self) -> None:
        known_reference(self.reference)

    def __call__(self, evaluation: EvaluationData) -> dict[str, float]:
        fake = class_logits(evaluation, evaluation.generated)
        score = mode_score(fake, class_logits(evaluation, reference_samples(evaluation, self.reference)))
        return {evaluation.named("mode_score"): score}


@dataclass
class ModifiedInceptionScore(Metric):
    """EBGAN's I' of generated samples and, for comparison, of the `reference` samples with the same classifier.

    IS_1split: the Inception Score of all generated samples in one part.
    """

    reference: str = "test"

    better: ClassVar[Better] = {"I_prime": "higher", "I_prime_real": None, "IS_1split": "higher"}

    def __post_init__(self) -> None:
        known_reference(self.reference)

    def __call__(self, evaluation: EvaluationData) -> dict[str, float]:
        fake = class_logits(evaluation, evaluation.generated)
        real = class_logits(evaluation, reference_samples(evaluation, self.reference))
        return {
            evaluation.named("I_prime"): i_prime(fake),
            evaluation.named("I_prime_real"): i_prime(real),
            evaluation.named("IS_1split"): inception_score(fake, splits=1)[0],
        }
