"""Translations of one image, several times over: how they differ among themselves, and what they keep of it."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations
from typing import Any, ClassVar

import torch
from torch import Tensor

from gan_cli.metrics.base import EvaluationData, Metric
from gan_cli.metrics.diversity import angular
from gan_cli.metrics.lpips import LPIPS
from gan_cli.metrics.paired_translation import outlines, partners
from gan_cli.metrics.pixels import finite, symmetric

BATCH = 25
Distance = Callable[[Tensor, Tensor], Tensor]  # (N, ...) twice -> (N,)


def l1_each(a: Tensor, b: Tensor) -> Tensor:
    """Mean absolute difference of each pair, (N,), in units of the images' range [-1, 1]."""
    return (a.double() - b.double()).abs().flatten(1).mean(1)


def mean_pairwise(outputs: Tensor, distance: Distance) -> Tensor:
    """(k, N, ...), k outputs for each of N inputs -> their mean distance over the k (k - 1) / 2 pairs, (N,)."""
    found = [distance(outputs[i], outputs[j]) for i, j in combinations(range(len(outputs)), 2)]
    return torch.stack(found).mean(0)


@dataclass
class TranslationDiversity(Metric):
    """`outputs` translations of each held-out image, in each direction, and means over images of

    pixels: mean L1 between two outputs for the same input; features: the same of unit-length features of the
    extractor (squared); lpips, where `alexnet` is given (torchvision's file) and images have 64 pixels.
    best: L1 of the nearest output to the true partner, and first: of one output, where the data set knows partners.
    outline: mean L1 between the outlines of output and input; outline_true: of the partner's and the input's.
    Noise differs too: read diversity beside `best` and FID.
    """

    outputs: int = 5
    alexnet: str | None = None

    better: ClassVar = {
        "pixels_x2y": "higher", "features_x2y": "higher", "lpips_x2y": "higher", "best_x2y": "lower",
        "pixels_y2x": "higher", "features_y2x": "higher", "lpips_y2x": "higher", "best_y2x": "lower",
        "first_x2y": None, "outline_x2y": None, "outline_true_x2y": None,
        "first_y2x": None, "outline_y2x": None, "outline_true_y2x": None,
    }  # fmt: skip

    def check(self, system: Any, data: Any) -> None:
        if not getattr(system, "multimodal", False):
            raise ValueError(
                "translation_diversity needs a game with many outputs for one image: model=pix2pix_noise or drit"
            )
        if self.outputs < 2:
            raise ValueError(f"outputs={self.outputs}: a distance between outputs needs two")
        if self.alexnet is not None:
            LPIPS.files(self.alexnet)
            if data.image_size < LPIPS.least:
                raise ValueError(f"LPIPS needs images of {LPIPS.least} pixels, not {data.image_size}: alexnet=null")

    def __call__(self, evidence: EvaluationData) -> dict[str, float]:
        n = evidence.test.used = evidence.test.size
        lpips = None if self.alexnet is None else LPIPS(self.alexnet).to(evidence.device)
        totals: dict[str, float] = {}
        for start in range(0, n, BATCH):
            for direction in evidence.system.directions:
                for name, each in self._scores(evidence, lpips, direction, start, min(BATCH, n - start)).items():
                    key = f"{name}_{direction}"
                    key = evidence.named(key) if name == "features" else key
                    totals[key] = totals.get(key, 0.0) + float(each.sum())
        return {name: total / n for name, total in totals.items()}

    def _scores(
        self, evidence: EvaluationData, lpips: Distance | None, direction: str, start: int, count: int
    ) -> dict[str, Tensor]:
        """Each (N,)."""
        system, data = evidence.system, evidence.data
        at = system.directions.index(direction)
        known = partners(data)
        batch = known(start, count) if known is not None else data.test_batch(start, count)
        raw = batch[at].to(system.device)
        drawn = [symmetric(system.translate(raw, direction), data.value_range) for _ in range(self.outputs)]
        outputs = finite(torch.stack(drawn), f"translated {direction}")
        features = torch.stack([evidence.extractor(output).values for output in outputs])
        lines = outlines(symmetric(raw, data.value_range))
        scores = {
            "pixels": mean_pairwise(outputs, l1_each),
            "features": mean_pairwise(features, angular),
            "outline": torch.stack([l1_each(outlines(output), lines) for output in outputs]).mean(0),
        }
        if lpips is not None:
            scores["lpips"] = mean_pairwise(outputs, lpips)
        if known is not None:
            target = symmetric(batch[1 - at].to(system.device), data.value_range)
            errors = torch.stack([l1_each(output, target) for output in outputs])
            scores |= {"best": errors.min(0).values, "first": errors[0]}
            scores["outline_true"] = l1_each(outlines(target), lines)
        return scores
