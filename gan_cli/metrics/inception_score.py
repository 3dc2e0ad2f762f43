"""Scores of a classifier's opinion: the Inception Score, the Mode Score and EBGAN's I'. Natural logarithms.

All take logits (N, K) and work on log p(y|x) in float64. The marginal log p(y) is a logsumexp over the samples, so it
is finite for any finite logits: one class alone scores exp(0) = 1, not NaN.
"""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from gan_cli.metrics.base import EvaluationData, Metric
from gan_cli.metrics.feature_checks import checked, known_reference, logits, positive, real

FLOOR = 1e-8  # of p(y|x) in I'; ours, the paper names none


def inception_score(logits: Tensor, splits: int = 10) -> tuple[float, float]:
    """Mean and population standard deviation over `splits` parts, in order, of exp E_x KL(p(y|x) || p(y)).

    Salimans et al. 2016 (arXiv 1606.03498), section 4. Between 1 and K; log IS = H(y) - E H(y|x).
    """
    log_p = _log_softmax(logits, "generated logits", least=splits)
    n = len(log_p)
    parts = [log_p[i * n // splits : (i + 1) * n // splits] for i in range(splits)]
    scores = torch.tensor([math.exp(_information(part)) for part in parts], dtype=torch.float64)
    return float(scores.mean()), float(scores.std(correction=0))


def mode_score(fake: Tensor, real: Tensor) -> float:
    """exp( E_x KL(p(y|x) || p(y)) - KL(p(y) || p*(y)) ), p*(y) the mean of p(y|x) over real samples. At most K.

    Che et al. 2017 (arXiv 1612.02136), in the variant of Xu et al. 2018 (arXiv 1806.07755; GAN-Metrics, metric.py):
    IS / exp KL(p || p*). With p* in place of p in the first term as well the difference is E KL(p(y|x) || p(y)) again,
    whatever p* is: that variant is the Inception Score under another name.
    """
    log_p = _log_softmax(fake, "generated logits")
    log_marginal, log_real = _marginal(log_p), _marginal(_log_softmax(real, "real logits"))
    return math.exp(_information(log_p) - float(_kl(log_marginal, log_real)))


def i_prime(logits: Tensor) -> float:
    """E_x KL(p(y) || p(y|x))^2: Zhao et al. 2017 (EBGAN, arXiv 1609.03126). 0 for one class alone.

    The distributions are swapped against the Inception Score, so the KL grows without bound as a classifier gets
    confident. p(y|x) is clipped from below at FLOOR, and values compare through one and the same classifier only.
    """
    log_p = _log_softmax(logits, "logits")
    divergence = _kl(_marginal(log_p), log_p.clamp(min=math.log(FLOOR)))
    return float(divergence.square().mean())


def _log_softmax(logits: Tensor, what: str, least: int = 1) -> Tensor:
    return checked(logits, what, least).double().log_softmax(1)


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
    """Over `splits` parts of the generated samples, which are shuffled first: folders are often sorted by class."""

    splits: int = 10

    better: ClassVar = {"IS": "higher", "IS_std": None}

    def __post_init__(self) -> None:
        positive(self, "splits")

    def __call__(self, evidence: EvaluationData) -> dict[str, float]:
        found = logits(evidence, evidence.generated)
        order = torch.randperm(len(found), generator=torch.Generator().manual_seed(evidence.seed))
        mean, std = inception_score(found[order], self.splits)
        return {evidence.named("IS"): mean, evidence.named("IS_std"): std}


@dataclass
class ModeScore(Metric):
    """p*(y) is what the same classifier sees in the `reference` samples, so no labels are needed."""

    reference: str = "train"

    better: ClassVar = {"mode_score": "higher"}

    def __post_init__(self) -> None:
        known_reference(self.reference)

    def __call__(self, evidence: EvaluationData) -> dict[str, float]:
        fake = logits(evidence, evidence.generated)
        score = mode_score(fake, logits(evidence, real(evidence, self.reference)))
        return {evidence.named("mode_score"): score}


@dataclass
class ModifiedInceptionScore(Metric):
    """I' beside its yardstick, the `reference` samples' own I' through the same classifier, and the Inception Score
    of all generated samples in one part."""

    reference: str = "test"

    better: ClassVar = {"I_prime": "higher", "I_prime_real": None, "IS_1split": "higher"}

    def __post_init__(self) -> None:
        known_reference(self.reference)

    def __call__(self, evidence: EvaluationData) -> dict[str, float]:
        fake = logits(evidence, evidence.generated)
        return {
            evidence.named("I_prime"): i_prime(fake),
            evidence.named("I_prime_real"): i_prime(logits(evidence, real(evidence, self.reference))),
            evidence.named("IS_1split"): inception_score(fake, splits=1)[0],
        }
