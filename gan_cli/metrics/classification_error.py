"""Classification error of a model that predicts classes."""

from dataclasses import dataclass
from typing import ClassVar

import torch

from gan_cli.metrics.base import Better, Dataset, EvaluationData, Metric
from gan_cli.metrics.pixels import held_out
from gan_cli.systems.base import Classifies, System
from gan_cli.systems.infogan import InfoGAN

BATCH = 500


@dataclass
class ClassificationError(Metric):
    """The share of the held-out images, 0 .. 1, for which `system.classify` predicts another class than their label."""

    better: ClassVar[Better] = {"error": "lower"}

    def check(self, system: System | None, data: Dataset | None) -> None:
        # InfoGAN classifies too, but its classes are codes without names.
        if not isinstance(system, Classifies) or isinstance(system, InfoGAN):
            raise ValueError(
                "classification_error needs a model that predicts classes: model=ladder, ebgan_ladder, acgan or "
                "cls_gan (for InfoGAN's codes there is metric=infogan_codes)"
            )
        if data is None or data.num_classes is None:
            raise ValueError("classification_error needs a labeled data set, such as dataset=mnist or mnist_labels")

    def __call__(self, evaluation: EvaluationData) -> dict[str, float]:
        system = evaluation.system
        assert isinstance(system, Classifies)
        wrong = 0
        for image, label in held_out(evaluation, BATCH):
            predicted = system.classify(image.to(evaluation.device)).cpu()
            wrong += int(torch.count_nonzero(predicted != label.cpu()))
        return {"error": wrong / evaluation.test.size}
