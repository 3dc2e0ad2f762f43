"""Diversity: how alike two samples are on average, beside two real ones. A picture of noise is diverse too: read these
values beside a measure of quality."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from gan_cli.metrics.base import EvaluationData, Metric, Samples
from gan_cli.metrics.lpips import LPIPS
from gan_cli.metrics.pixels import finite, labelled, need_images, pairs, pick
from gan_cli.metrics.similarity import WEIGHTS, ms_ssim, scales

BATCH = 50


def mean_over(images: Tensor, measure: Callable[[Tensor, Tensor], Tensor]) -> float:
    """images (2, M, C, H, W), the pairs; measure: (N, C, H, W) twice -> (N,)."""
    return float(torch.cat([measure(a, b) for a, b in zip(images[0].split(BATCH), images[1].split(BATCH))]).mean())


def within_classes(label: Tensor, count: int, seed: int) -> Tensor:
    """Labels (N,) -> (2, M): pairs of samples of one class, equally many of each class, about `count` in all.

    ValueError if a class has a single sample.
    """
    classes = label.unique()
    each = -(-count // len(classes))
    parts = []
    for number in classes:
        members = (label == number).nonzero()[:, 0]
        parts.append(members[pairs(len(members), each, seed + int(number))])
    return torch.cat(parts, 1)


def _pairs(samples: Samples, count: int, seed: int) -> Tensor:
    """(2, count, C, H, W): random pairs of the samples."""
    at = pairs(samples.size, count, seed)
    return pick(samples, at.flatten()).unflatten(0, at.shape)


@dataclass
class MultiScaleSimilarity(Metric):
    """Mean MS-SSIM over `pairs` random pairs of generated samples (Odena et al. 2017, arXiv 1610.09585, section 4.2):
    collapse is a higher value than that of real training pairs. For a game that is asked for a class, and for real
    images beside it, the pairs are of one class each, as in the paper, and every class counts the same.

    `MS-SSIM` only with the five scales of its paper (176 pixels or more); below, `MS-SSIM[2 scales]` and so on.
    """

    pairs: int = 1000

    better: ClassVar = {"MS-SSIM": "lower", "MS-SSIM_real": None}

    def check(self, system: Any, data: Any) -> None:
        need_images("ms_ssim", data)
        if data is not None:
            scales(data.image_size)

    def __call__(self, evidence: EvaluationData) -> dict[str, float]:
        if evidence.system is not None and evidence.system.needs_labels:
            generated, real = self._by_class(evidence)
        else:
            generated, real = (_pairs(s, self.pairs, evidence.seed) for s in (evidence.generated, evidence.train))
        count = scales(min(generated.shape[-2:]))
        suffix = "" if count == len(WEIGHTS) else f"[{count} scales]"
        return {
            f"MS-SSIM{suffix}": mean_over(generated, ms_ssim),
            f"MS-SSIM_real{suffix}": mean_over(real, ms_ssim),
        }

    def _by_class(self, evidence: EvaluationData) -> tuple[Tensor, Tensor]:
        n = min(evidence.generated.size, 2 * self.pairs)
        batches = [(image.cpu(), label.cpu()) for image, label in labelled(evidence, n)]
        images, label = (torch.cat(column) for column in zip(*batches))
        generated = images[within_classes(label, self.pairs, evidence.seed)]
        real = torch.cat([batch.label.cpu() for batch in evidence.train if batch.label is not None])
        at = within_classes(real, self.pairs, evidence.seed)
        return generated, pick(evidence.train, at.flatten()).unflatten(0, at.shape)


@dataclass
class PerceptualDiversity(Metric):
    """LPIPS (Zhang et al. 2018, arXiv 1801.03924; AlexNet, v0.1) between random pairs of generated samples, and of real
    training samples, the ceiling. Images of 64 pixels or more.

    alexnet: file of torchvision's AlexNet weights (alexnet-owt-7be5be79.pth). The linear weights are those of the
    package lpips.
    """

    alexnet: str | None = None
    pairs: int = 1900

    better: ClassVar = {"LPIPS": "higher", "LPIPS_real": None}

    def check(self, system: Any, data: Any) -> None:
        need_images("lpips", data)
        if data is not None and data.image_size < LPIPS.least:
            raise ValueError(f"LPIPS needs images of {LPIPS.least} pixels, not {data.image_size}: metric=diversity")
        LPIPS.files(self.alexnet)

    def __call__(self, evidence: EvaluationData) -> dict[str, float]:
        network = LPIPS(self.alexnet).to(evidence.device)

        def measure(a: Tensor, b: Tensor) -> Tensor:
            return network(a.to(evidence.device), b.to(evidence.device)).cpu()

        generated, real = (
            mean_over(_pairs(samples, self.pairs, evidence.seed), measure)
            for samples in (evidence.generated, evidence.train)
        )
        return {"LPIPS": generated, "LPIPS_real": real}


def angular(a: Tensor, b: Tensor) -> Tensor:
    """Features (N, d), (N, d) -> |a/|a| - b/|b||^2 (N,), 0 .. 4: what LPIPS takes in each layer, unweighted."""
    a, b = (x.double() / x.double().norm(dim=1, keepdim=True).clamp(min=1e-10) for x in (a, b))
    return (a - b).square().sum(1)


@dataclass
class FeatureDiversity(Metric):
    """Mean squared distance between unit-length features of random pairs of generated samples, and of real training
    samples, the ceiling: in the place of LPIPS where its weights or 64 pixels are wanting. Not comparable with it."""

    pairs: int = 10_000

    better: ClassVar = {"diversity": "higher", "diversity_real": None}

    def __call__(self, evidence: EvaluationData) -> dict[str, float]:
        values = {}
        for name, samples in (("diversity", evidence.generated), ("diversity_real", evidence.train)):
            features = finite(evidence.features(samples).values, samples.split)
            a, b = features[pairs(len(features), self.pairs, evidence.seed)]
            values[evidence.named(name)] = float(angular(a, b).mean())
        return values
