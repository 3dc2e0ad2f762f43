"""Modes of Stacked MNIST: 1000 triples of digits, told apart by a classifier of single digits.

The protocol of VEEGAN (Srivastava et al. 2017, arXiv 1705.07761) and PacGAN (Lin et al. 2018, arXiv 1712.04086):
26,000 samples; modes: distinct triples; KL of their histogram from the uniform one.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from gan_cli.metrics.base import EvaluationData, Metric, Samples

DIGITS, TRIPLES = 10, 1000


def triples(digits: Tensor) -> Tensor:
    """(N, 3) of 0..9 -> histogram int64 (1000,); the number of a triple is its digits in order, R first."""
    return torch.bincount(digits @ torch.tensor([100, 10, 1]), minlength=TRIPLES)


def from_uniform(counts: Tensor) -> float:
    """KL(p || uniform) in nats of a histogram (K,): 0 .. log K."""
    p = counts.double() / counts.sum()
    return float(torch.xlogy(p, p * len(p)).sum())


@dataclass
class StackedModes(Metric):
    """Modes and KL of generated samples, and what KL N evenly drawn triples have on average: 999 / 2N, .019 of 26,000.

    Real pictures have a little more, as MNIST's digits are not equally frequent: 3 x .0014.
    """

    better: ClassVar = {"modes": "higher", "KL": "lower", "KL_perfect": None}

    def check(self, system: Any, data: Any) -> None:
        if not hasattr(data, "digits"):
            raise ValueError("the stacked_modes metric needs stacked digits: dataset=stacked_mnist")

    def __call__(self, evidence: EvaluationData) -> dict[str, float]:
        counts = triples(_digits(evidence, evidence.generated))
        values = {"modes": float((counts > 0).sum()), "KL": from_uniform(counts)}
        expected = (TRIPLES - 1) / (2 * int(counts.sum()))
        return {**{evidence.named(name): value for name, value in values.items()}, "KL_perfect": expected}


def _digits(evidence: EvaluationData, samples: Samples) -> Tensor:
    """(N, 3): what the extractor, trained on single digits, reads in each channel."""
    parts = []
    for batch in samples:
        read = evidence.extractor(batch.image.flatten(0, 1)[:, None])
        if not read.values.isfinite().all():
            raise ValueError(f"the {samples.split} samples hold NaN or infinite values: there is nothing to score")
        if read.logits is None or read.logits.shape[1] != DIGITS:
            raise ValueError(
                f"stacked_modes needs a classifier of ten digits, and {evidence.extractor.name} is none: "
                "extractor=classifier"
            )
        parts.append(read.logits.argmax(1).unflatten(0, (-1, 3)))
    return torch.cat(parts)
