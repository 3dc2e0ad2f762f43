"""Segmentation accuracy of translated label maps (as in Wang et al. 2018, section 4, but without a network)."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from gan_cli.data.base import Dataset, LabelMaps, Segments
from gan_cli.metrics.base import Better, EvaluationData, Metric
from gan_cli.metrics.pixels import held_out
from gan_cli.systems.base import System, Translates

BATCH = 50


def confusion(truth: Tensor, predicted: Tensor, classes: int) -> Tensor:
    """Confusion matrix, int64 (classes, classes): pixels by their true class (rows) and predicted class (columns)."""
    pairs = torch.bincount(truth.flatten() * classes + predicted.flatten(), minlength=classes**2)
    return pairs.view(classes, classes)


def accuracy(table: Tensor) -> float:
    """The share of correctly classified pixels, 0 .. 1."""
    return float(table.diagonal().sum() / table.sum())


def mean_iou(table: Tensor) -> float:
    """Intersection over union, 0 .. 1, averaged over the classes that occur in the truth or in the prediction."""
    both = table.diagonal().double()
    either = table.sum(0) + table.sum(1) - table.diagonal()
    return float((both / either)[either > 0].mean())


@dataclass
class Segmentation(Metric):
    """Pixel accuracy and mean IoU between label maps and the segmentation of their translations.

    real_...: the same for the real images, the ceiling. Differs from the paper, which segments with PSPNet: here the
    data set itself must be able to segment an image, as shapes_scene is.
    """

    better: ClassVar[Better] = {
        "pixel_accuracy": "higher", "mean_iou": "higher", "real_pixel_accuracy": None, "real_mean_iou": None,
    }

    def check(self, system: System | None, data: Dataset | None) -> None:
        if data is None or data.batch_type is not LabelMaps or not isinstance(data, Segments):
            raise ValueError("the segmentation metric needs a data set that can segment images: dataset=shapes_scene")

    def __call__(self, evaluation: EvaluationData) -> dict[str, float]:
        system, data = evaluation.system, evaluation.data
        assert isinstance(system, Translates) and isinstance(data, Segments)
        tables = torch.zeros(2, data.label_nc, data.label_nc, dtype=torch.int64)
        for maps, real in held_out(evaluation, BATCH):
            fake = system.translate(maps.to(system.device)).cpu()
            for table, image in zip(tables, (fake, real.cpu())):
                table += confusion(maps[:, 0].cpu(), data.segment(image), data.label_nc)
        fake_table, real_table = tables
        return {
            "pixel_accuracy": accuracy(fake_table), "mean_iou": mean_iou(fake_table),
            "real_pixel_accuracy": accuracy(real_table), "real_mean_iou": mean_iou(real_table),
        }
