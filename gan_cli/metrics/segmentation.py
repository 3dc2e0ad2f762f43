"""Do translated label maps show what the maps say? (The measure of Wang et al. 2018, section 4, without a network.)"""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from gan_cli.data.base import LabelMaps
from gan_cli.metrics.base import EvaluationData, Metric


def confusion(truth: Tensor, found: Tensor, classes: int) -> Tensor:
    """int64 (classes, classes): pixels of each class (rows) that were found to be of each (columns)."""
    pairs = torch.bincount(truth.flatten() * classes + found.flatten(), minlength=classes**2)
    return pairs.view(classes, classes)


def accuracy(table: Tensor) -> float:
    """The share of pixels that were found to be what they are."""
    return float(table.diagonal().sum() / table.sum())


def mean_iou(table: Tensor) -> float:
    """Intersection over union, averaged over the classes that occur in the truth or were found."""
    both = table.diagonal().double()
    either = table.sum(0) + table.sum(1) - table.diagonal()
    return float((both / either)[either > 0].mean())


@dataclass
class Segmentation(Metric):
    """Pixel accuracy and mean IoU of the classes that the data set's own `segment` finds in translated label maps,
    beside those that it finds in the real pictures (real_..., the oracle).

    Differs from the paper: PSPNet segments there; here the data set must know how to, as shapes_scene does.
    """

    better: ClassVar = {
        "pixel_accuracy": "higher", "mean_iou": "higher", "real_pixel_accuracy": None, "real_mean_iou": None,
    }

    def check(self, system: Any, data: Any) -> None:
        if data.batch_type is not LabelMaps or not hasattr(data, "segment"):
            raise ValueError("the segmentation metric needs label maps that can be read back: dataset=shapes_scene")

    def __call__(self, evidence: EvaluationData) -> dict[str, float]:
        system, data = evidence.system, evidence.data
        n = evidence.test.used = evidence.test.size
        tables = torch.zeros(2, data.label_nc, data.label_nc, dtype=torch.int64)
        for start in range(0, n, 50):
            batch = data.test_batch(start, min(50, n - start))
            fake = system.translate(batch.maps.to(system.device)).cpu()
            for table, image in zip(tables, (fake, batch.image.cpu())):
                table += confusion(batch.maps[:, 0].cpu(), data.segment(image), data.label_nc)
        fake_table, real_table = tables
        return {
            "pixel_accuracy": accuracy(fake_table), "mean_iou": mean_iou(fake_table),
            "real_pixel_accuracy": accuracy(real_table), "real_mean_iou": mean_iou(real_table),
        }
