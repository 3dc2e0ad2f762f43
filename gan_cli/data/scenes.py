"""Scenes of several shapes with their label maps: pictures whose every pixel's class and instance are known."""

import math
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from gan_cli.data.base import LabelMaps, uniform
from gan_cli.data.shapes import KINDS, Factors, Scenes, colour, distance, factors

OBJECTS = 5  # places for shapes in a scene; each is taken with probability 0.8, a later one hides an earlier one
TAKEN = 0.8
CLASSES = ("ground", *KINDS)
HUES = 0.5  # of a kind's sixth of the colour circle, the part that its shapes take their colours from
SATURATED = 0.35  # of the brightest channel: below it, a pixel is ground


def _object(index: Tensor, place: int) -> tuple[Factors, Tensor]:
    """Place number `place` of each scene (N,): the shape in it, and whether there is one (N,)."""
    number = index * OBJECTS + place
    shape = factors(number)
    u = [uniform(1, number, stream) for stream in range(4)]
    size = 0.25 + 0.2 * u[0]
    room = 0.97 - size
    hue = (shape.kind + HUES * (shape.hue - 0.5)) / len(KINDS) % 1
    shape = shape._replace(hue=hue, size=size, x=(2 * u[1] - 1) * room, y=(2 * u[2] - 1) * room)
    return shape, u[3] < TAKEN


def scene(index: Tensor, pixels: int) -> tuple[Tensor, Tensor]:
    """Scenes with these numbers (N,) -> maps int64 (N, 2, pixels, pixels) as in LabelMaps, and RGB in [0, 1].

    Class 0 is the ground, of one grey in a scene, 1 .. 6 are the KINDS; an instance is 1000 class + its place, and the
    ground's is 0. The kind gives the colour but for half of its sixth of the circle, which is the instance's own; the
    rim of a shape is darker, so that the parts of two that touch can be told apart.
    """
    ground = 0.75 + 0.25 * uniform(2, index, 0)
    picture = ground[:, None, None, None].expand(-1, 3, pixels, pixels)
    maps = torch.zeros(len(index), 2, pixels, pixels, dtype=torch.int64, device=index.device)
    for place in range(OBJECTS):
        shape, taken = _object(index, place)
        away = torch.where(taken[:, None, None], distance(shape, pixels), math.inf)
        alpha = (0.5 - away).clamp(0, 1)[:, None]
        depth = (-away / (0.15 * shape.size * pixels)[:, None, None]).clamp(0, 1)[:, None]
        fill = colour(shape.hue)[:, :, None, None] * (0.55 + 0.45 * depth)
        picture = picture + (fill - picture) * alpha
        label = torch.stack([shape.kind + 1, 1000 * (shape.kind + 1) + place], dim=1)[:, :, None, None]
        maps = torch.where((away <= 0)[:, None], label, maps)
    return maps, picture


def segment(picture: Tensor) -> Tensor:
    """RGB in [0, 1] (N, 3, H, W) -> the class of each pixel by its colour alone, int64 (N, H, W): what a segmentation
    network is to photographs. Right on the scenes themselves but for pixels on an edge."""
    high, low = picture.amax(1), picture.amin(1)
    chroma = (high - low).clamp(min=1e-6)
    red, green, blue = picture.unbind(1)
    not_red = torch.where(high == green, (blue - red) / chroma + 2, (red - green) / chroma + 4)
    hue = torch.where(high == red, (green - blue) / chroma % 6, not_red)
    kind = hue.round().long() % len(KINDS)
    return torch.where(high - low < SATURATED * high, 0, kind + 1)


class ShapesScene(Scenes):
    """Label maps and pictures of scenes. `segment` reads the classes back from pictures in the set's range."""

    batch_type: ClassVar[type] = LabelMaps

    def __init__(
        self, image_size: int = 64, channels: int = 3, num_classes: None = None, label_nc: int = len(CLASSES),
        value_range: Sequence[float] = (-1.0, 1.0), size: int = 50_000,
    ) -> None:
        if channels != 3:
            raise ValueError(f"channels={channels}: the colours of a scene tell its classes, so it has 3")
        if label_nc != len(CLASSES):
            raise ValueError(f"label_nc={label_nc}: a scene has {len(CLASSES)} classes: ground and 6 kinds of shapes")
        super().__init__(image_size, channels, num_classes, value_range, size)
        self.label_nc = label_nc

    def train_batch(self, seed: int, start: int, count: int) -> LabelMaps:
        return self._maps(self.train_index(seed, start, count))

    def test_batch(self, start: int, count: int) -> LabelMaps:
        return self._maps(self.test_index(start, count))

    def _maps(self, index: Tensor) -> LabelMaps:
        maps, picture = scene(index, self.image_size)
        return LabelMaps(maps, self.show(picture))

    def segment(self, image: Tensor) -> Tensor:
        assert self.value_range is not None
        low, high = self.value_range
        return segment((image - low) / (high - low))
