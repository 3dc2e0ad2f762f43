"""Scores of label-conditional models: whether generated images are of the class that was asked for."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from gan_cli.metrics.base import Better, Dataset, EvaluationData, Metric, Samples, System, finite
from gan_cli.metrics.pixels import class_samples, nearest, need_labels, rows


def one_nn_error(train: Iterator[tuple[Tensor, Tensor]], test: Tensor, test_label: Tensor) -> float:
    """Error of the 1-nearest-neighbor classifier (L2) on test (N, d). train: blocks (M, d) and their labels (M,)."""
    labels: list[Tensor] = []

    def blocks() -> Iterator[Tensor]:
        for block, label in train:
            labels.append(label)
            yield block

    _, number = nearest(test, blocks())
    return float((torch.cat(labels)[number[:, 0]] != test_label).float().mean())


@dataclass
class OneNearestNeighborError(Metric):
    """DCGAN's test on MNIST (Radford et al. 2016, arXiv 1511.06434): error of a 1-NN classifier of generated samples.

    The classifier (L2 on pixels) is fitted on n class-conditional samples and scored on the held-out images; beside it
    the error of one that is fitted on n real training images. In the paper's table 3: 2.98 % for 50,000 samples of a
    conditional DCGAN, 3.1 % for as many real images.
    """

    better: ClassVar[Better] = {"one_nn_error": "lower", "one_nn_error_real": None}

    def check(self, system: System | None, data: Dataset | None) -> None:
        need_labels("one_nn_classifier", system, data)

    def __call__(self, evaluation: EvaluationData) -> dict[str, float]:
        label = evaluation.test.take().label
        assert label is not None
        test = rows(evaluation.test)
        samples = class_samples(evaluation, evaluation.generated.size)
        generated = ((image.cpu().flatten(1), wanted.cpu()) for image, wanted in samples)
        return {
            "one_nn_error": one_nn_error(generated, test, label),
            "one_nn_error_real": one_nn_error(_real(evaluation.train), test, label),
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
    """Share of generated images for which a classifier predicts the class that was asked for.

    Also the share in the worst class and the number of that class, and the accuracy on held-out real images, which is
    the ceiling. The extractor must be a classifier of the data set's classes.
    """

    better: ClassVar[Better] = {
        "accuracy": "higher", "worst_class_accuracy": "higher", "worst_class": None, "accuracy_real": None
    }  # fmt: skip

    def check(self, system: System | None, data: Dataset | None) -> None:
        need_labels("conditional_accuracy", system, data)

    def __call__(self, evaluation: EvaluationData) -> dict[str, float]:
        assert evaluation.data is not None and evaluation.data.num_classes is not None
        classes = evaluation.data.num_classes
        real = evaluation.features(evaluation.test)
        if real.logits is None or real.logits.shape[1] != classes or real.label is None:
            raise ValueError(
                f"conditional accuracy needs a classifier of the {classes} classes, and {evaluation.extractor.name} "
                "is none: extractor=classifier"
            )
        predicted, label = [], []
        for image, wanted in class_samples(evaluation, evaluation.generated.size):
            logits = evaluation.extractor(image).logits
            assert logits is not None
            predicted.append(logits.argmax(1))
            label.append(wanted.cpu())
        # A class without samples must not count as the worst one.
        by_class = class_accuracy(torch.cat(predicted), torch.cat(label), classes).nan_to_num(1.0)
        values = {
            "accuracy": float((torch.cat(predicted) == torch.cat(label)).float().mean()),
            "worst_class_accuracy": float(by_class.min()),
            "worst_class": float(by_class.argmin()),
            "accuracy_real": float((real.logits.argmax(1) == real.label).float().mean()),
        }
        return {evaluation.named(name): value for name, value in values.items()}
