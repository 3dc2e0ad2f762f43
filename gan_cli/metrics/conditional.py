"""Label-conditional games: are the images of the class that was asked for?"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from gan_cli.metrics.base import EvaluationData, Metric, Samples
from gan_cli.metrics.pixels import finite, labelled, nearest, need_labels, rows


def one_nn_error(train: Iterator[tuple[Tensor, Tensor]], test: Tensor, test_label: Tensor) -> float:
    """Error of the 1-nearest-neighbour classifier (L2) on test (N, d). train: blocks (M, d) and their labels (M,)."""
    labels: list[Tensor] = []

    def blocks() -> Iterator[Tensor]:
        for block, label in train:
            labels.append(label)
            yield block

    _, number = nearest(test, blocks())
    return float((torch.cat(labels)[number[:, 0]] != test_label).float().mean())


@dataclass
class OneNearestNeighbour(Metric):
    """DCGAN's test on MNIST (Radford et al. 2016, arXiv 1511.06434): the 1-NN classifier (L2 on pixels) fitted on n
    class-conditional samples, its error on the held-out images; beside it, fitted on n real training images.

    The paper's table 3: 2.98 % for 50,000 samples of a conditional DCGAN, 3.1 % for as many real images.
    """

    better: ClassVar = {"one_nn_error": "lower", "one_nn_error_real": None}

    def check(self, system: Any, data: Any) -> None:
        need_labels("one_nn_classifier", system, data)

    def __call__(self, evidence: EvaluationData) -> dict[str, float]:
        label = evidence.test.take().label
        assert label is not None
        test = rows(evidence.test)
        n = evidence.generated.size
        generated = ((image.cpu().flatten(1), asked.cpu()) for image, asked in labelled(evidence, n))
        return {
            "one_nn_error": one_nn_error(generated, test, label),
            "one_nn_error_real": one_nn_error(_real(evidence.train), test, label),
        }


def _real(samples: Samples) -> Iterator[tuple[Tensor, Tensor]]:
    for batch in samples:
        assert batch.label is not None
        yield finite(batch.image, samples.split).cpu().flatten(1), batch.label.cpu()


def class_accuracy(predicted: Tensor, label: Tensor, classes: int) -> Tensor:
    """(N,), (N,) -> (classes,): share of each class that is predicted right; nan for a class without samples."""
    right = torch.bincount(label[predicted == label], minlength=classes)
    return right / torch.bincount(label, minlength=classes)


@dataclass
class ConditionalAccuracy(Metric):
    """Share of the images that the classifier takes for the class asked for; of the worst class, and which one it is;
    and of held-out real images, the ceiling. The extractor must know the data set's classes."""

    better: ClassVar = {
        "accuracy": "higher", "worst_class_accuracy": "higher", "worst_class": None, "accuracy_real": None
    }

    def check(self, system: Any, data: Any) -> None:
        need_labels("conditional_accuracy", system, data)

    def __call__(self, evidence: EvaluationData) -> dict[str, float]:
        classes = evidence.data.num_classes
        real = evidence.features(evidence.test)
        if real.logits is None or real.logits.shape[1] != classes or real.label is None:
            raise ValueError(
                f"conditional accuracy needs a classifier of the {classes} classes, and {evidence.extractor.name} "
                "is none: extractor=classifier"
            )
        predicted, label = [], []
        for image, asked in labelled(evidence, evidence.generated.size):
            logits = evidence.extractor(image).logits
            assert logits is not None
            predicted.append(logits.argmax(1))
            label.append(asked.cpu())
        by_class = class_accuracy(torch.cat(predicted), torch.cat(label), classes)
        seen = by_class.nan_to_num(1.0)
        values = {
            "accuracy": float((torch.cat(predicted) == torch.cat(label)).float().mean()),
            "worst_class_accuracy": float(seen.min()),
            "worst_class": float(seen.argmin()),
            "accuracy_real": float((real.logits.argmax(1) == real.label).float().mean()),
        }
        return {evidence.named(name): value for name, value in values.items()}
