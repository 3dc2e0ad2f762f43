"""Memorization: nearest training image of each generated sample."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor

from gan_cli.metrics.base import Better, EvaluationData, Metric, Samples
from gan_cli.metrics.pixels import nearest, pick, rows
from gan_cli.utils.files import replacing


@dataclass
class Memorization(Metric):
    """Mean L2 distance (pixels in [-1, 1]) of generated samples to their nearest training sample.

    nearest_generated: of the first `count` generated samples; nearest_test: of as many held-out real samples;
    nearest_ratio: the former divided by the latter, about 1 for a generator that has learned the distribution, and far
    below 1 for one that copies. Only the training samples of the evaluation are searched: all of them if n= is at least
    the size of the training set.

    memorization.png: `shown` generated samples, each with its `k` nearest training images, the nearest first.
    """

    count: int = 1000
    shown: int = 10
    k: int = 5

    better: ClassVar[Better] = {"nearest_ratio": None, "nearest_generated": None, "nearest_test": None}

    def __call__(self, evaluation: EvaluationData) -> dict[str, float]:
        generated, number = self._nearest(evaluation.generated, evaluation.train)
        test, _ = self._nearest(evaluation.test, evaluation.train)
        if evaluation.folder is not None:
            number = number[: self.shown]
            first = evaluation.generated.take(len(number)).image
            if first.shape[1] in (1, 3) and first.shape[-1] > 1:  # images, not points
                copies = pick(evaluation.train, number.flatten()).unflatten(0, number.shape)
                _save(evaluation.folder / "memorization.png", torch.cat([first[:, None], copies], 1))
        return {
            "nearest_ratio": generated / test if test else float("nan"),
            "nearest_generated": generated,
            "nearest_test": test,
        }

    def _nearest(self, samples: Samples, train: Samples) -> tuple[float, Tensor]:
        """Mean distance of the first samples to the nearest training sample, and the numbers (N, k) of the nearest."""
        query = rows(samples, min(self.count, samples.size)).double()
        distance, number = nearest(query, (batch.image.flatten(1) for batch in train), self.k)
        return float(distance[:, 0].mean()), number


def _save(path: Path, table: Tensor) -> None:
    """Write images (rows, columns, C, H, W) in [-1, 1] as a PNG, atomically. ValueError if it cannot be written."""
    from torchvision.utils import save_image

    try:
        with replacing(path) as temporary:
            save_image(
                table.flatten(0, 1), temporary, format="png", nrow=table.shape[1], normalize=True, value_range=(-1, 1),
                pad_value=1.0,
            )  # fmt: skip
    except OSError as error:
        raise ValueError(f"cannot write image {path}: {error.strerror or error}") from error
