"""Mode coverage on Stacked MNIST: 1000 triples of digits, which a classifier of single digits recognizes.

The protocol of VEEGAN (Srivastava et al. 2017, arXiv 1705.07761) and PacGAN (Lin et al. 2018, arXiv 1712.04086) counts
the distinct triples among 26,000 samples, and measures the KL divergence of their histogram from the uniform one.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from gan_cli.data.base import Dataset, HasDigits
from gan_cli.metrics.base import Better, EvaluationData, Metric, Samples, System, finite

DIGITS, TRIPLES = 10, 1000


def triples(digits: Tensor) -> Tensor:
    """Histogram of triples: digits (N, 3), 0 .. 9 -> int64 (1000,). A triple's number is its digits read R, G, B."""
    return torch.bincount(digits @ torch.tensor([100, 10, 1]), minlength=TRIPLES)


def from_uniform(counts: Tensor) -> float:
    """KL(p || uniform) of a histogram (K,), in nats: 0 .. log K."""
    p = counts.double() / counts.sum()
    return float(torch.xlogy(p, p * len(p)).sum())


@dataclass
class StackedModes(Metric):
    """Number of modes among generated samples, 0 .. 1000, and KL of their histogram from the uniform one, in nats.

    KL_perfect: the expected KL of N uniformly sampled triples, 999 / 2N, which is .019 for N = 26,000. Real images have
    3 x .0014 more, because MNIST's digits are not equally frequent.
    """

    better: ClassVar[Better] = {"modes": "higher", "KL": "lower", "KL_perfect": None}

    def check(self, system: System | None, data: Dataset | None) -> None:
        if not isinstance(data, HasDigits):
            raise ValueError("the stacked_modes metric needs stacked digits: dataset=stacked_mnist")

    def __call__(self, evaluation: EvaluationData) -> dict[str, float]:
        counts = triples(_digits(evaluation, evaluation.generated))
        values = {"modes": float((counts > 0).sum()), "KL": from_uniform(counts)}
        expected = (TRIPLES - 1) / (2 * int(counts.sum()))
        return {**{evaluation.named(name): value for name, value in values.items()}, "KL_perfect": expected}


def _digits(evaluation: EvaluationData, samples: Samples) -> Tensor:
    """The digit in each channel, (N, 3), as the extractor, a classifier of single digits, predicts it."""
    parts = []
    for batch in samples:
        features = evaluation.extractor(batch.image.flatten(0, 1)[:, None])
        finite(features.values, samples.split)
        if features.logits is None or features.logits.shape[1] != DIGITS:
            raise ValueError(
                f"stacked_modes needs a classifier of ten digits, and {evaluation.extractor.name} is none: "
                "extractor=classifier"
            )
        parts.append(features.logits.argmax(1).unflatten(0, (-1, 3)))
    return torch.cat(parts)
