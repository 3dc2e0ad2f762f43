"""Diversity of several translations of one image, and how much of the image they keep."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import ClassVar

import torch
from torch import Tensor

from gan_cli.metrics.base import Better, Dataset, EvaluationData, Metric, finite, labeled_by
from gan_cli.metrics.diversity import angular
from gan_cli.metrics.efficientnet import EfficientNetLite0
from gan_cli.metrics.lpips import LPIPS
from gan_cli.metrics.paired_translation import outlines, test_pairs
from gan_cli.metrics.pixels import held_out, l1_each, symmetric
from gan_cli.systems.base import System, Translates, TranslatesWithNoise

BATCH = 25
Distance = Callable[[Tensor, Tensor], Tensor]  # (N, ...) twice -> (N,)


def mean_pairwise(outputs: Tensor, distance: Distance) -> Tensor:
    """(k, N, ...), k outputs for each of N inputs -> their mean distance over the k (k - 1) / 2 pairs, (N,)."""
    distances = [distance(outputs[i], outputs[j]) for i, j in combinations(range(len(outputs)), 2)]
    return torch.stack(distances).mean(0)


@dataclass
class TranslationDiversity(Metric):
    """How `outputs` translations of each held-out image differ, in each direction; means over images.

    pixels: L1 of two outputs for the same input, in units of the range [-1, 1]. ratio: that L1 over the L1 of the two
    noises, which the mode-seeking term makes larger (Mao et al. 2019, arXiv 1903.05628, eq. 2), if the model's noise is
    a vector z. features: squared distance of their unit-length features. lpips: LPIPS, if `alexnet` names torchvision's
    file; 64 pixels or more. layers: distance of the layers of EfficientNet-Lite0 (see LayerDiversity), if `layers` is
    set; it is not LPIPS. If the data set knows the true counterparts: best: L1 of the nearest output to the
    counterpart; first: that of the first output.
    outline: L1 between the outlines of output and input; outline_true: those of counterpart and input. Noise is
    diverse too: read diversity together with `best` and FID.
    """

    outputs: int = 5
    alexnet: str | None = None
    layers: bool = False

    better: ClassVar[Better] = {
        "pixels_AtoB": "higher", "features_AtoB": "higher", "lpips_AtoB": "higher", "best_AtoB": "lower",
        "pixels_BtoA": "higher", "features_BtoA": "higher", "lpips_BtoA": "higher", "best_BtoA": "lower",
        "layers_AtoB": "higher", "layers_BtoA": "higher", "ratio_AtoB": "higher", "ratio_BtoA": "higher",
        "first_AtoB": None, "outline_AtoB": None, "outline_true_AtoB": None,
        "first_BtoA": None, "outline_BtoA": None, "outline_true_BtoA": None,
    }  # fmt: skip

    def check(self, system: System | None, data: Dataset | None) -> None:
        if system is None or not system.multimodal:
            raise ValueError(
                "translation_diversity needs a model with many outputs for one image: model=pix2pix_noise or drit"
            )
        if self.outputs < 2:
            raise ValueError(f"outputs={self.outputs}: a distance between outputs needs two")
        if self.alexnet is not None:
            LPIPS.files(self.alexnet)
            LPIPS.check_size(data, "alexnet=null")
        if self.layers:
            EfficientNetLite0.need()

    def __call__(self, evaluation: EvaluationData) -> dict[str, float]:
        assert evaluation.system is not None and evaluation.data is not None
        distances: dict[str, Distance] = {}
        if self.alexnet is not None:
            distances["lpips"] = LPIPS(self.alexnet).to(evaluation.device)
        if self.layers:
            network = EfficientNetLite0()
            network.prepare(None, evaluation.device)
            distances["layers"] = network.distance
        totals: dict[str, float] = {}
        for batch in held_out(evaluation, BATCH, test_pairs(evaluation.data)):
            for direction in evaluation.system.directions:
                for name, score in self._scores(evaluation, distances, direction, batch).items():
                    key = f"{name}_{direction}"
                    key = evaluation.named(key) if name == "features" else key
                    key = labeled_by(network, key) if name == "layers" else key
                    totals[key] = totals.get(key, 0.0) + float(score.sum())
        return {name: total / evaluation.test.size for name, total in totals.items()}

    def _scores(
        self,
        evaluation: EvaluationData,
        distances: Mapping[str, Distance],
        direction: str,
        batch: tuple[Tensor, Tensor],
    ) -> dict[str, Tensor]:
        """Scores of each image, (N,)."""
        system, data = evaluation.system, evaluation.data
        assert isinstance(system, Translates) and data is not None
        source = system.directions.index(direction)
        raw = batch[source].to(system.device)
        noise: list[Tensor] = []
        samples: list[Tensor] = []
        for _ in range(self.outputs):
            if isinstance(system, TranslatesWithNoise):
                noise.append(system.prior(len(raw)))
                samples.append(system.translate_from(raw, noise[-1], direction))
            else:
                samples.append(system.translate(raw, direction))
        outputs = finite(symmetric(torch.stack(samples), data.value_range), f"translated {direction}")
        features = torch.stack([evaluation.extractor(output).values for output in outputs])
        lines = outlines(symmetric(raw, data.value_range))
        scores = {
            "pixels": mean_pairwise(outputs, l1_each),
            "features": mean_pairwise(features, angular),
            "outline": torch.stack([l1_each(outlines(output), lines) for output in outputs]).mean(0),
        }
        if noise:
            pairs = combinations(range(self.outputs), 2)
            ratios = [l1_each(outputs[i], outputs[j]) / l1_each(noise[i], noise[j]) for i, j in pairs]
            scores["ratio"] = torch.stack(ratios).mean(0)
        scores |= {name: mean_pairwise(outputs, distance) for name, distance in distances.items()}
        if test_pairs(data) is not None:
            target = symmetric(batch[1 - source].to(system.device), data.value_range)
            errors = torch.stack([l1_each(output, target) for output in outputs])
            scores |= {"best": errors.min(0).values, "first": errors[0]}
            scores["outline_true"] = l1_each(outlines(target), lines)
        return scores
