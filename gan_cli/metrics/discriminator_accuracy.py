"""Accuracy of an f-GAN's discriminator (Nowozin et al. 2016, arXiv 1606.00709, section 3.2)."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from gan_cli.losses.fgan import FGAN
from gan_cli.metrics.base import Better, Dataset, EvaluationData, Metric, Samples, System
from gan_cli.systems.gan import GAN


@dataclass
class DiscriminatorAccuracy(Metric):
    """The shares of held-out and of generated samples that D classifies correctly, and their mean.

    The threshold of D is f'(1). The mean is 1/2 if D cannot tell the two apart.
    """

    better: ClassVar[Better] = {"decision": None, "decision_real": None, "decision_fake": None}

    def check(self, system: System | None, data: Dataset | None) -> None:
        if not isinstance(system, GAN) or not isinstance(system.objective.adversarial, FGAN):
            raise ValueError("discriminator_accuracy needs an f-GAN, whose loss has a threshold: loss=fgan_...")

    def __call__(self, evaluation: EvaluationData) -> dict[str, float]:
        real = float(_says_real(evaluation, evaluation.test).float().mean())
        fake = 1 - float(_says_real(evaluation, evaluation.generated).float().mean())
        return {"decision": (real + fake) / 2, "decision_real": real, "decision_fake": fake}


def _says_real(evaluation: EvaluationData, samples: Samples) -> Tensor:
    """Which samples D takes for real, bool (N,)."""
    system = evaluation.system
    assert isinstance(system, GAN) and isinstance(system.objective.adversarial, FGAN) and evaluation.data is not None
    low, high = evaluation.data.value_range or (-1, 1)
    # Samples lie in [-1, 1], and D was trained on the data's own range.
    images = (low + (batch.image.to(evaluation.device) + 1) * (high - low) / 2 for batch in samples)
    return system.objective.adversarial.says_real(torch.cat([system.discriminator(x) for x in images]))
