"""How often an f-GAN's discriminator is right (Nowozin et al. 2016, arXiv 1606.00709, section 3.2)."""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from gan_cli.metrics.base import EvaluationData, Metric, Samples


@dataclass
class Decision(Metric):
    """The shares of held-out and of generated samples that D tells by the threshold f'(1), and their mean: 1/2 where
    it cannot tell at all.
    """

    better: ClassVar = {"decision": None, "decision_real": None, "decision_fake": None}

    def check(self, system: Any, data: Any) -> None:
        if not hasattr(getattr(getattr(system, "objective", None), "adversarial", None), "says_real"):
            raise ValueError("discriminator_accuracy needs an f-GAN, whose loss has a threshold: loss=fgan_...")

    def __call__(self, evidence: EvaluationData) -> dict[str, float]:
        real = float(self._says_real(evidence, evidence.test).float().mean())
        fake = 1 - float(self._says_real(evidence, evidence.generated).float().mean())
        return {"decision": (real + fake) / 2, "decision_real": real, "decision_fake": fake}

    def _says_real(self, evidence: EvaluationData, samples: Samples) -> Tensor:
        """(N,) bool. Samples lie in [-1, 1], and D sees the data's own range."""
        system, (low, high) = evidence.system, evidence.data.value_range or (-1, 1)
        images = (low + (batch.image.to(evidence.device) + 1) * (high - low) / 2 for batch in samples)
        scores = [system.discriminator(x) for x in images]
        return system.objective.adversarial.says_real(torch.cat(scores))
