"""Has the generator learned its training images by heart? The nearest ones beside generated ones."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor

from gan_cli.metrics.base import EvaluationData, Metric
from gan_cli.metrics.pixels import nearest, pick, rows


@dataclass
class NearestTraining(Metric):
    """Mean L2 distance (pixels in [-1, 1]) from the first `count` generated samples to the nearest training sample, the
    same of held-out real ones, and the ratio of the two: about 1 for a generator that has learned the distribution,
    far below 1 for one that copies.

    memorization.png: `shown` generated samples, each beside its `k` nearest training images, the nearest first. Looks
    at as many training samples as there are in the evidence: n= of at least the training set for all of them.
    """

    count: int = 1000
    shown: int = 10
    k: int = 5

    better: ClassVar = {"nearest_ratio": None, "nearest_generated": None, "nearest_test": None}

    def __call__(self, evidence: EvaluationData) -> dict[str, float]:
        number = None
        mean = {}
        for samples in (evidence.generated, evidence.test):
            query = rows(samples, min(self.count, samples.size)).double()
            train = (batch.image.flatten(1) for batch in evidence.train)
            distance, found = nearest(query, train, self.k)
            mean[samples.split] = float(distance[:, 0].mean())
            number = found[: self.shown] if number is None else number
        assert number is not None
        generated, test = mean[evidence.generated.split], mean[evidence.test.split]
        if evidence.folder is not None:
            first = evidence.generated.take(len(number)).image
            if first.shape[1] in (1, 3) and first.shape[-1] > 1:
                copies = pick(evidence.train, number.flatten()).unflatten(0, number.shape)
                _save(evidence.folder / "memorization.png", torch.cat([first[:, None], copies], 1))
        return {
            "nearest_ratio": generated / test if test else float("nan"),
            "nearest_generated": generated,
            "nearest_test": test,
        }


def _save(path: Path, table: Tensor) -> None:
    """(rows, columns, C, H, W) in [-1, 1] -> PNG, whole or not at all. ValueError if it cannot be written."""
    from torchvision.utils import save_image

    temporary = path.with_name(f".{path.name}.tmp")
    try:
        save_image(
            table.flatten(0, 1), temporary, format="png", nrow=table.shape[1], normalize=True, value_range=(-1, 1),
            pad_value=1.0,
        )
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise ValueError(f"cannot write picture {path}: {error.strerror or error}") from error
