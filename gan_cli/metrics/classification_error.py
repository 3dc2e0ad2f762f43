"""How often a game that names classes is wrong about held-out images."""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from gan_cli.metrics.base import EvaluationData, Metric

BATCH = 500


@dataclass
class ClassificationError(Metric):
    """The share of the first n held-out images that `game.classify` takes for another class than their own."""

    better: ClassVar = {"error": "lower"}

    def check(self, system: Any, data: Any) -> None:
        if not hasattr(system, "classify") or hasattr(system, "categorical"):
            raise ValueError(
                "classification_error needs a game that names classes: model=ladder, ebgan_ladder, acgan or cls_gan "
                "(InfoGAN's codes have no names: metric=infogan_codes)"
            )
        if data.num_classes is None:
            raise ValueError("classification_error needs a labelled data set, such as dataset=mnist or mnist_labels")

    def __call__(self, evidence: EvaluationData) -> dict[str, float]:
        system, data, n = evidence.system, evidence.data, evidence.test.size
        evidence.test.used = n
        wrong = 0
        for start in range(0, n, BATCH):
            batch = data.test_batch(start, min(BATCH, n - start))
            predicted = system.classify(batch.image.to(evidence.device)).cpu()
            wrong += int(torch.count_nonzero(predicted != batch.label.cpu()))
        return {"error": wrong / n}
