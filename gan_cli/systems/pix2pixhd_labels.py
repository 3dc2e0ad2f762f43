"""pix2pixHD on label maps (Wang et al. 2018, arXiv 1711.11585, sections 3.3 and 3.4): instance boundaries and features
of instances.
"""

from collections.abc import Mapping
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, one_hot

from gan_cli.data.base import LabelMaps, Pairs
from gan_cli.losses.objective import Objective
from gan_cli.networks.instances import boundaries, instance_means, number_instances, spread_means
from gan_cli.networks.pix2pixhd import half
from gan_cli.networks.vgg import VGGLoss
from gan_cli.systems.base import Terms
from gan_cli.systems.instance_features import FeatureBank
from gan_cli.systems.pix2pixhd import Pix2PixHD

SMALL = 64  # instances below 1/64 of the image are no examples of their class (encode_features.py: 0.5 / 32)


class Instances(NamedTuple):
    """The M instances of a batch: the number of each pixel's instance, 0 .. M - 1, (N, H, W), and for each instance E's
    features (M, features), how many pixels it has (M,) and its class (M,).
    """

    numbers: Tensor
    features: Tensor
    pixels: Tensor
    classes: Tensor


class Pix2PixHDLabels(Pix2PixHD):
    """pix2pixHD whose s is a one-hot map of `label_nc` classes beside a map of the boundaries of instances.

    The optional encoder E computes `features` numbers per instance, the mean of E's map of the real image over the
    instance. G sees them beside s, D does not. E is trained as long as G1 is trained without G2, and is fixed
    afterwards, as the features that the authors compute in advance (load_features). With G2, E encodes the image at
    half size. The features of large instances are stored by class; in translation an instance gets one of the K-means
    centers of its class. ValueError for E and G2 without iterations for G1 alone.
    """

    batch_type: ClassVar[type] = LabelMaps
    headings: ClassVar[Mapping[str, str]] = {"translated": "G(labels)", "random_features": "other features"}

    def __init__(
        self,
        G1: nn.Module,
        D: nn.Module,
        objective: Objective,
        label_nc: int,
        E: nn.Module | None = None,
        features: int = 3,
        G2: nn.Module | None = None,
        global_iterations: int = 0,
        fixed_iterations: int = 0,
        perceptual: VGGLoss | None = None,
        lambda_feature: float = 10.0,
        lambda_vgg: float = 10.0,
        pool_size: int = 0,
    ) -> None:
        super().__init__(
            G1, D, objective, G2, global_iterations, fixed_iterations, perceptual, lambda_feature, lambda_vgg, pool_size
        )
        self.label_nc = label_nc
        if E is not None:
            if G2 is not None and not global_iterations:
                raise ValueError("E is trained with G1 alone: with E and G2, global_iterations is 1 or more")
            self.E, self.bank = E, FeatureBank(label_nc, features)
            self.sampling_networks = (*self.sampling_networks, "E")  # type: ignore[misc]
        self.multimodal = E is not None  # type: ignore[misc]

    def trained_networks(self) -> tuple[str, ...]:
        networks = super().trained_networks()
        return (*networks, "E") if self.multimodal and self.trains_global_only else networks

    def g_loss(self, batch: Pairs | LabelMaps) -> Terms:
        """The terms of pix2pixHD. Stores the features of the instances that are large enough to be examples."""
        terms = super().g_loss(batch)
        if self.multimodal:
            large = self.encoded.pixels * SMALL > batch[1][0, 0].numel()
            self.bank.add(self.encoded.features[large], self.encoded.classes[large])
        return terms

    def condition(self, source: Tensor) -> Tensor:
        """Classes and instances, int64 (N, 2, H, W) -> one-hot classes and boundaries (N, label_nc + 1, H, W).

        ValueError for anything but a label map, or for classes that are not in 0 .. label_nc - 1.
        """
        if source.is_floating_point() or source.ndim != 4 or source.shape[1] != 2:
            raise ValueError(
                "this model translates label maps: whole numbers (N, 2, H, W), classes and instances, not images"
            )
        labels, instances = source.unbind(1)
        low, high = int(labels.amin()), int(labels.amax())
        if low < 0 or high >= self.label_nc:
            raise ValueError(f"classes go from 0 to {self.label_nc - 1} here, and the map has {low} to {high}")
        classes = one_hot(labels, self.label_nc).permute(0, 3, 1, 2).float()
        return torch.cat([classes, boundaries(instances)], dim=1)

    def generator_input(self, s: Tensor, batch: Pairs | LabelMaps) -> Tensor:
        """s, with E beside the features of each pixel's instance."""
        if not self.multimodal:
            return s
        self.encoded = self.encode_instances(*batch)  # kept for g_loss, which stores it
        return torch.cat([s, spread_means(self.encoded.features, self.encoded.numbers)], dim=1)

    def encode_instances(self, maps: Tensor, image: Tensor) -> Instances:
        """The instances of `maps` (N, 2, H, W) with E's features of the images (N, C, H, W)."""
        labels, ids = maps.unbind(1)
        values = interpolate(self.E(half(image) if self.enhanced else image), size=ids.shape[1:], mode="nearest")
        numbers, count = number_instances(ids)
        means, pixels = instance_means(values, numbers, count)
        return Instances(numbers, means, pixels, instance_classes(labels, numbers, count))

    def translate(self, image: Tensor, direction: str = "AtoB") -> Tensor:
        """Label maps, int64 (N, 2, H, W) -> images. With E, each instance gets random features of its class."""
        s = self.condition(image)
        if not self.multimodal:
            return self.generate_full(s)
        numbers, count = number_instances(image[:, 1])
        features = self.bank.draw(instance_classes(image[:, 0], numbers, count))
        return self.generate_full(torch.cat([s, spread_means(features, numbers)], dim=1))

    def translate_labels(
        self, labels: Tensor, instances: Tensor | None = None, features: Tensor | None = None
    ) -> Tensor:
        """labels (N, H, W) -> images, with instances and features of choice.

        instances: int64 (N, H, W); if omitted, each class is one instance. features: (N, features, H, W) for G to see,
        such as networks.instances.spread returns; if omitted, each instance gets random features of its class.
        """
        maps = torch.stack([labels, labels if instances is None else instances], dim=1)
        if features is None:
            return self.translate(maps)
        return self.generate_full(torch.cat([self.condition(maps), features], dim=1))

    def translate_like(self, maps: Tensor, example: LabelMaps) -> Tensor:
        """Label maps (N, 2, H, W) -> images whose classes have the mean features that they have in `example`.

        A class that the example lacks gets random features. The example may hold any number of images. ValueError
        without E.
        """
        if not self.multimodal:
            raise ValueError("this run has no features of instances (model.E), so it takes no style from an example")
        style = self.encode_instances(*example)
        pixels = style.pixels[:, None].float()
        sums = torch.zeros(self.label_nc, style.features.shape[1], device=pixels.device)
        sums = sums.index_add(0, style.classes, pixels * style.features)
        area = torch.zeros(self.label_nc, 1, device=pixels.device).index_add(0, style.classes, pixels)
        labels, ids = maps.unbind(1)
        numbers, count = number_instances(ids)
        classes = instance_classes(labels, numbers, count)
        means = (sums / area.clamp(min=1))[classes]
        features = torch.where(area[classes] > 0, means, self.bank.draw(classes))
        return self.translate_labels(labels, ids, spread_means(features, numbers))

    def sample(self, batch: Pairs | LabelMaps) -> dict[str, Tensor]:
        """The classes in colors, their translation, with E a translation with random features, and the true image."""
        maps, image = batch
        view = self.generator_input(self.condition(maps), batch)
        named = {"labels": colors(maps[:, 0], self.label_nc), "translated": self.generate_full(view)}
        if self.multimodal:
            named["random_features"] = self.translate(maps)
        return {**named, "target": image}


def instance_classes(labels: Tensor, numbers: Tensor, count: int) -> Tensor:
    """labels and instances of pixels (N, H, W) -> the class of each instance (count,), the highest of its pixels'."""
    start = torch.zeros(count, dtype=torch.int64, device=labels.device)
    return start.scatter_reduce(0, numbers.flatten(), labels.flatten(), "amax")


def colors(labels: Tensor, label_nc: int) -> Tensor:
    """Classes (N, H, W) -> images (N, 3, H, W) in [0, 1] for display: class 0 is white, the others differ in hue."""
    hue = torch.arange(label_nc, device=labels.device) / max(label_nc - 1, 1)
    offset = torch.tensor([0.0, 2 / 3, 1 / 3], device=labels.device)
    table = ((6 * (hue[:, None] + offset) % 6 - 3).abs() - 1).clamp(0, 1)
    table[0] = 1
    return table[labels].permute(0, 3, 1, 2)
