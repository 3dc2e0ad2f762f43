"""Rendered scenes of several shapes, with the class and the instance of every pixel."""

import math
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from gan_cli.data.base import LabelMaps, uniform
from gan_cli.data.shapes import KINDS, Factors, SceneDataset, color, distance, factors
from gan_cli.utils.image_size import ImageSize, sides

OBJECTS = 5  # possible shapes per scene; a later one covers an earlier one
PRESENT = 0.8  # probability that each of them is present
CLASSES = ("ground", *KINDS)
HUES = 0.5  # each kind has a sixth of the color circle, and its shapes have hues from this part of the sixth
SATURATED = 0.35  # a pixel whose range of channels is below this part of the brightest one is ground


def _object(index: Tensor, place: int) -> tuple[Factors, Tensor]:
    """Return shape number `place` of each scene (N,), and whether it is present, (N,)."""
    number = index * OBJECTS + place
    shape = factors(number)
    u = [uniform(1, number, stream) for stream in range(4)]
    size = 0.25 + 0.2 * u[0]
    room = 0.97 - size
    hue = (shape.kind + HUES * (shape.hue - 0.5)) / len(KINDS) % 1
    shape = shape._replace(hue=hue, size=size, x=(2 * u[1] - 1) * room, y=(2 * u[2] - 1) * room)
    return shape, u[3] < PRESENT


def render_scene(index: Tensor, pixels: ImageSize) -> tuple[Tensor, Tensor]:
    """Render the scenes with these numbers (N,): int64 (N, 2, H, W) as in LabelMaps, and RGB in [0, 1].

    Class 0 is the ground, which has one gray per scene; 1 .. 6 are the KINDS. The id of an instance is 1000 times its
    class plus its number in the scene; the ground has 0. The hue of a shape lies in the range of its kind, within
    which it differs per instance. The rim of a shape is darker, so that touching shapes can be distinguished.
    """
    ground = 0.75 + 0.25 * uniform(2, index, 0)
    image = ground[:, None, None, None].expand(-1, 3, *sides(pixels))
    maps = torch.zeros(len(index), 2, *sides(pixels), dtype=torch.int64, device=index.device)
    for place in range(OBJECTS):
        shape, present = _object(index, place)
        away = torch.where(present[:, None, None], distance(shape, pixels), math.inf)
        alpha = (0.5 - away).clamp(0, 1)[:, None]
        depth = (-away / (0.15 * shape.size * min(sides(pixels)))[:, None, None]).clamp(0, 1)[:, None]
        fill = color(shape.hue)[:, :, None, None] * (0.55 + 0.45 * depth)
        image = image + (fill - image) * alpha
        label = torch.stack([shape.kind + 1, 1000 * (shape.kind + 1) + place], dim=1)[:, :, None, None]
        maps = torch.where((away <= 0)[:, None], label, maps)
    return maps, image


def segment_by_hue(image: Tensor) -> Tensor:
    """Classify each pixel of RGB in [0, 1] (N, 3, H, W) by its hue, int64 (N, H, W).

    It takes the place of a segmentation network for photographs, and is right on rendered scenes except at edges.
    """
    high, low = image.amax(1), image.amin(1)
    chroma = (high - low).clamp(min=1e-6)
    red, green, blue = image.unbind(1)
    not_red = torch.where(high == green, (blue - red) / chroma + 2, (red - green) / chroma + 4)
    hue = torch.where(high == red, (green - blue) / chroma % 6, not_red)
    kind = hue.round().long() % len(KINDS)
    return torch.where(high - low < SATURATED * high, 0, kind + 1)


class ShapesScene(SceneDataset):
    """Label maps and images of scenes. `segment` recovers the classes from images in the data set's value range."""

    name = "shapesscene"

    batch_type: ClassVar[type] = LabelMaps

    def __init__(
        self, image_size: ImageSize = 64, channels: int = 3, num_classes: None = None, label_nc: int = len(CLASSES),
        value_range: Sequence[float] = (-1.0, 1.0), size: int = 50_000,
    ) -> None:
        if channels != 3:
            raise ValueError(f"channels={channels}: the colors of a scene show its classes, so it has 3")
        if label_nc != len(CLASSES):
            raise ValueError(f"label_nc={label_nc}: a scene has {len(CLASSES)} classes: ground and 6 kinds of shapes")
        super().__init__(image_size, channels, num_classes, value_range, size)
        self.label_nc = label_nc

    def train_batch(self, seed: int, start: int, count: int) -> LabelMaps:
        return self._maps(self.train_index(seed, start, count))

    def test_batch(self, start: int, count: int) -> LabelMaps:
        return self._maps(self.test_index(start, count))

    def _maps(self, index: Tensor) -> LabelMaps:
        maps, image = render_scene(index, self.image_size)
        return LabelMaps(maps, self.to_output(image))

    def segment(self, image: Tensor) -> Tensor:
        """Return the class of each pixel, (N, 3, H, W) -> int64 (N, H, W)."""
        assert self.value_range is not None
        low, high = self.value_range
        return segment_by_hue((image - low) / (high - low))
