"""pix2pixHD on label maps (Wang et al. 2018, arXiv 1711.11585, sections 3.3 and 3.4): boundaries, instance features."""

from collections.abc import Callable
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, one_hot

from gan_cli.data.base import LabelMaps
from gan_cli.losses.objective import Objective
from gan_cli.networks.instances import boundaries, instance_means, number, spread
from gan_cli.networks.pix2pixhd import half
from gan_cli.systems.base import Terms
from gan_cli.systems.instance_features import FeatureBank
from gan_cli.systems.pix2pixhd import Pix2PixHD

SMALL = 64  # an instance below this part of the picture is no example of its class (encode_features.py: 0.5 / 32)


class Pix2PixHDLabels(Pix2PixHD):
    """s is a one-hot map of `label_nc` classes and a map of the boundaries of instances.

    E, if there is one, makes `features` numbers of each instance, its mean over E's map of the real picture, which G
    sees beside s; D does not. E learns with G1 alone: where there is an enhancer E looks at the picture at half size,
    and is fixed from then on, as the features that the authors compute beforehand (load_features) are. The features
    that were seen are kept, by class; at test an instance gets one of the K-means centres of its class.
    """

    batch_type: ClassVar[type] = LabelMaps
    capturable = False  # the map is checked, and its instances are counted, in Python

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
        perceptual: Callable[[Tensor, Tensor], Tensor] | None = None,
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
                raise ValueError("E learns while G1 learns alone: with E and G2, global_iterations is 1 or more")
            self.E, self.bank = E, FeatureBank(label_nc, features)
            self.sampling_networks = (*self.sampling_networks, "E")  # type: ignore[misc]
        self.multimodal = E is not None  # type: ignore[misc]

    def trains(self) -> tuple[str, ...]:
        return (*super().trains(), "E") if self.multimodal and self.alone else super().trains()

    def g_loss(self, batch: LabelMaps) -> Terms:
        """Also keeps the features of the instances that are large enough to be examples."""
        terms = super().g_loss(batch)
        if self.multimodal:
            means, pixels, classes = self.found
            large = pixels * SMALL > batch.image[0, 0].numel()
            self.bank.add(means[large], classes[large])
        return terms

    def condition(self, batch: LabelMaps) -> Tensor:
        """One-hot classes and boundaries, (N, label_nc + 1, H, W)."""
        return self.encode(batch.maps)

    def view(self, batch: LabelMaps, s: Tensor) -> Tensor:
        if not self.multimodal:
            return s
        numbers, *self.found = self.instances(batch)
        return torch.cat([s, spread(self.found[0], numbers)], dim=1)

    def encode(self, maps: Tensor) -> Tensor:
        """int64 (N, 2, H, W), classes and instances -> (N, label_nc + 1, H, W). ValueError for other maps."""
        if maps.is_floating_point() or maps.ndim != 4 or maps.shape[1] != 2:
            raise ValueError(
                "this game translates label maps: whole numbers (N, 2, H, W), classes and instances, not pictures"
            )
        labels, instances = maps.unbind(1)
        low, high = int(labels.amin()), int(labels.amax())
        if low < 0 or high >= self.label_nc:
            raise ValueError(f"classes go from 0 to {self.label_nc - 1} here, and the map has {low} to {high}")
        classes = one_hot(labels, self.label_nc).permute(0, 3, 1, 2).float()
        return torch.cat([classes, boundaries(instances)], dim=1)

    def instances(self, batch: LabelMaps) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Of the M instances of the batch: the numbers 0 .. M - 1 (N, H, W), E's features (M, features), the pixels and
        the class (M,) of each."""
        labels, ids = batch.maps.unbind(1)
        seen = half(batch.image) if self.enhanced else batch.image
        values = interpolate(self.E(seen), size=ids.shape[1:], mode="nearest")
        numbers, count = number(ids)
        means, pixels = instance_means(values, numbers, count)
        return numbers, means, pixels, self.classes(labels, numbers, count)

    @staticmethod
    def classes(labels: Tensor, numbers: Tensor, count: int) -> Tensor:
        """The class of each instance (M,): the highest of its pixels, where they disagree."""
        start = torch.zeros(count, dtype=torch.int64, device=labels.device)
        return start.scatter_reduce(0, numbers.flatten(), labels.flatten(), "amax")

    def translate(self, image: Tensor, direction: str = "x2y") -> Tensor:
        """Label maps, int64 (N, 2, H, W) -> pictures; with E each instance is drawn anew."""
        s = self.encode(image)
        if not self.multimodal:
            return self.show(s)
        numbers, count = number(image[:, 1])
        means = self.bank.draw(self.classes(image[:, 0], numbers, count))
        return self.show(torch.cat([s, spread(means, numbers)], dim=1))

    def translate_labels(
        self, labels: Tensor, instances: Tensor | None = None, features: Tensor | None = None
    ) -> Tensor:
        """labels, instances: int64 (N, H, W); without instances every class is one. features: (N, features, H, W) for G
        to see, such as `spread` makes; without, each instance gets a random one of its class's centres."""
        maps = torch.stack([labels, labels if instances is None else instances], dim=1)
        if features is None:
            return self.translate(maps)
        return self.show(torch.cat([self.encode(maps), features], dim=1))

    def transfer(self, image: Tensor, style: LabelMaps, direction: str = "x2y") -> Tensor:
        """Label maps `image` (N, 2, H, W), each class in the mean features that the picture `style`, of whatever number
        of examples, shows of it; a class that it lacks is drawn. ValueError without E."""
        if not self.multimodal:
            raise ValueError("this run has no features of instances (model.E), so it takes no style from an example")
        _, means, pixels, classes = self.instances(style)
        weight = pixels[:, None].float()
        total = torch.zeros(self.label_nc, means.shape[1], device=means.device).index_add(0, classes, weight * means)
        area = torch.zeros(self.label_nc, 1, device=means.device).index_add(0, classes, weight)
        labels, ids = image.unbind(1)
        numbers, count = number(ids)
        own = self.classes(labels, numbers, count)
        rows = torch.where(area[own] > 0, (total / area.clamp(min=1))[own], self.bank.draw(own))
        return self.translate_labels(labels, ids, spread(rows, numbers))

    def sample(self, batch: LabelMaps) -> dict[str, Tensor]:
        """The classes as colours, G's picture, that of drawn features where there are some, and the real one."""
        view = self.view(batch, self.condition(batch))
        named = {"labels": colours(batch.maps[:, 0], self.label_nc), "fake": self.show(view)}
        if self.multimodal:
            named["drawn"] = self.translate(batch.maps)
        return {**named, "real": batch.image}


def colours(labels: Tensor, label_nc: int) -> Tensor:
    """Classes (N, H, W) -> pictures (N, 3, H, W) in [0, 1], to look at: class 0 white, the others around the circle."""
    hue = torch.arange(label_nc, device=labels.device) / max(label_nc - 1, 1)
    offset = torch.tensor([0.0, 2 / 3, 1 / 3], device=labels.device)
    table = ((6 * (hue[:, None] + offset) % 6 - 3).abs() - 1).clamp(0, 1)
    table[0] = 1
    return table[labels].permute(0, 3, 1, 2)
