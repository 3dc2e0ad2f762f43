"""Diversity: mean distance or similarity of two random samples, and of two real ones.

Noise is diverse too: read these values together with a measure of quality.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from gan_cli.metrics.base import Better, Dataset, EvaluationData, Metric, Samples, System, finite, labeled_by
from gan_cli.metrics.efficientnet import EfficientNetLite0
from gan_cli.metrics.lpips import LPIPS
from gan_cli.metrics.pixels import class_samples, l1_each, need_images, need_labels, pairs, pick, symmetric
from gan_cli.metrics.similarity import WEIGHTS, ms_ssim, scales
from gan_cli.systems.base import GeneratesFromNoise
from gan_cli.utils.image_size import sides

BATCH = 50


def mean_over(images: Tensor, measure: Callable[[Tensor, Tensor], Tensor]) -> float:
    """Mean of `measure`, (N, C, H, W) twice -> (N,), over pairs of images (2, M, C, H, W)."""
    return float(torch.cat([measure(a, b) for a, b in zip(images[0].split(BATCH), images[1].split(BATCH))]).mean())


def within_classes(label: Tensor, count: int, seed: int) -> Tensor:
    """Random pairs of samples of the same class: labels (N,) -> numbers of samples (2, M).

    Equally many pairs per class, about `count` in all. ValueError if a class has a single sample.
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


def _generated_and_real(
    evaluation: EvaluationData, count: int, measure: Callable[[Tensor, Tensor], Tensor]
) -> tuple[float, float]:
    """Mean of `measure` over `count` random pairs of generated samples, and of real training samples."""
    generated, real = (_pairs(samples, count, evaluation.seed) for samples in (evaluation.generated, evaluation.train))
    return mean_over(generated, measure), mean_over(real, measure)


@dataclass
class MultiScaleSimilarity(Metric):
    """Mean MS-SSIM of random pairs of generated samples (Odena et al. 2017, arXiv 1610.09585, section 4.2), 0 .. 1.

    A value above that of real training pairs shows mode collapse. For a model that is conditional on labels, both
    samples of a pair are of one class, as in the paper, also for real images; every class has the same weight. The
    value is called `MS-SSIM` only with the five scales of its paper (176 pixels or more); otherwise
    `MS-SSIM[2 scales]` and so on.
    """

    pairs: int = 1000

    better: ClassVar[Better] = {"MS-SSIM": "lower", "MS-SSIM_real": None}

    def check(self, system: System | None, data: Dataset | None) -> None:
        need_images("ms_ssim", data)
        if data is not None:
            scales(min(sides(data.image_size)))

    def __call__(self, evaluation: EvaluationData) -> dict[str, float]:
        if evaluation.system is not None and evaluation.system.needs_labels:
            generated, real = self._by_class(evaluation)
        else:
            generated, real = (_pairs(s, self.pairs, evaluation.seed) for s in (evaluation.generated, evaluation.train))
        count = scales(min(generated.shape[-2:]))
        suffix = "" if count == len(WEIGHTS) else f"[{count} scales]"
        return {
            f"MS-SSIM{suffix}": mean_over(generated, ms_ssim),
            f"MS-SSIM_real{suffix}": mean_over(real, ms_ssim),
        }

    def _by_class(self, evaluation: EvaluationData) -> tuple[Tensor, Tensor]:
        """Pairs of generated and of real images, (2, M, C, H, W) each."""
        n = min(evaluation.generated.size, 2 * self.pairs)
        batches = [(image.cpu(), label.cpu()) for image, label in class_samples(evaluation, n)]
        images, label = (torch.cat(column) for column in zip(*batches))
        generated = images[within_classes(label, self.pairs, evaluation.seed)]
        real = torch.cat([batch.label.cpu() for batch in evaluation.train if batch.label is not None])
        at = within_classes(real, self.pairs, evaluation.seed)
        return generated, pick(evaluation.train, at.flatten()).unflatten(0, at.shape)


@dataclass
class PerceptualDiversity(Metric):
    """Mean LPIPS (Zhang et al. 2018, arXiv 1801.03924; AlexNet, v0.1) of random pairs of generated samples.

    LPIPS_real: that of real training samples, the ceiling. Images of 64 pixels or more. alexnet: file of torchvision's
    AlexNet weights (alexnet-owt-7be5be79.pth). The linear weights are those of the package lpips.
    """

    alexnet: str | None = None
    pairs: int = 1900

    better: ClassVar[Better] = {"LPIPS": "higher", "LPIPS_real": None}

    def check(self, system: System | None, data: Dataset | None) -> None:
        need_images("lpips", data)
        LPIPS.check_size(data, "metric=diversity or layer_distance")
        LPIPS.files(self.alexnet)

    def __call__(self, evaluation: EvaluationData) -> dict[str, float]:
        network = LPIPS(self.alexnet).to(evaluation.device)

        def measure(a: Tensor, b: Tensor) -> Tensor:
            return network(a.to(evaluation.device), b.to(evaluation.device)).cpu()

        generated, real = _generated_and_real(evaluation, self.pairs, measure)
        return {"LPIPS": generated, "LPIPS_real": real}


@dataclass
class LayerDiversity(Metric):
    """Mean distance of the layers of EfficientNet-Lite0 for random pairs of generated samples; it is not LPIPS.

    Like LPIPS it compares activations of unit length at each place of the image, but they are of another network, and
    its layers have no learned weights: values of the two cannot be compared. Its weights need no download (extra
    `features`), and images of any size are resized to 224 pixels. layer_distance_real: that of real training samples,
    the ceiling.
    """

    pairs: int = 500

    better: ClassVar[Better] = {"layer_distance": "higher", "layer_distance_real": None}

    def check(self, system: System | None, data: Dataset | None) -> None:
        need_images("layer_distance", data)
        EfficientNetLite0.need()

    def __call__(self, evaluation: EvaluationData) -> dict[str, float]:
        network = EfficientNetLite0()
        network.prepare(None, evaluation.device)
        generated, real = _generated_and_real(evaluation, self.pairs, network.distance)
        return {labeled_by(network, "layer_distance"): generated, labeled_by(network, "layer_distance_real"): real}


def angular(a: Tensor, b: Tensor) -> Tensor:
    """Squared distance of unit-length features, |a/|a| - b/|b||^2: (N, d), (N, d) -> (N,), 0 .. 4.

    LPIPS sums it over its layers, with weights.
    """
    a, b = (x.double() / x.double().norm(dim=1, keepdim=True).clamp(min=1e-10) for x in (a, b))
    return (a - b).square().sum(1)


@dataclass
class FeatureDiversity(Metric):
    """Mean squared distance of unit-length features of random pairs of generated samples, 0 .. 4.

    diversity_real: that of real training samples, the ceiling. It replaces LPIPS where its weights are missing or
    images have fewer than 64 pixels; values of the two cannot be compared.
    """

    pairs: int = 10_000

    better: ClassVar[Better] = {"diversity": "higher", "diversity_real": None}

    def __call__(self, evaluation: EvaluationData) -> dict[str, float]:
        values = {}
        for name, samples in (("diversity", evaluation.generated), ("diversity_real", evaluation.train)):
            features = finite(evaluation.features(samples).values, samples.split)
            a, b = features[pairs(len(features), self.pairs, evaluation.seed)]
            values[evaluation.named(name)] = float(angular(a, b).mean())
        return values


@dataclass
class ModeSeekingRatio(Metric):
    """How far apart two images of one class are, over how far apart their noises are: the ratio that the mode-seeking
    term makes larger (Mao et al. 2019, arXiv 1903.05628, eq. 2).

    For models that are conditional on labels, over `pairs` pairs of the classes 0, 1, ... in turn. d_I: L1 of the two
    images, in units of the range [-1, 1], mean over values. d_z: L1 of their noises, mean over dimensions. ratio: mean
    of d_I / d_z over the pairs. Noisy images are far apart, too: read it together with a measure of quality.
    """

    pairs: int = 1000

    better: ClassVar[Better] = {"ratio": "higher", "d_I": "higher", "d_z": None}

    def check(self, system: System | None, data: Dataset | None) -> None:
        need_labels("mode_seeking", system, data)
        if not isinstance(system, GeneratesFromNoise):
            raise ValueError("the mode_seeking metric needs a model that takes noise and a class: model=msgan or cgan")
        if self.pairs < 1:
            raise ValueError(f"pairs={self.pairs}: at least one is needed")

    def __call__(self, evaluation: EvaluationData) -> dict[str, float]:
        system, data = evaluation.system, evaluation.data
        assert isinstance(system, GeneratesFromNoise) and data is not None and data.num_classes is not None
        evaluation.generated.used = max(evaluation.generated.used, 2 * self.pairs)
        distances = []
        for start in range(0, self.pairs, BATCH):
            label = torch.arange(start, min(self.pairs, start + BATCH), device=evaluation.device) % data.num_classes
            z = [system.prior(len(label)) for _ in range(2)]
            images = [symmetric(system.generate_from(noise, label), data.value_range) for noise in z]
            distances.append(torch.stack([l1_each(*finite(torch.stack(images), "generated")), l1_each(*z)]))
        d_i, d_z = torch.cat(distances, 1)
        return {"ratio": float((d_i / d_z).mean()), "d_I": float(d_i.mean()), "d_z": float(d_z.mean())}
