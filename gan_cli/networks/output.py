"""The last layers of a generator."""

import math
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from torch import Tensor, nn

from gan_cli.utils.image_size import ImageSize, sides


@runtime_checkable
class StartsFromMean(Protocol):
    """A network some of whose initial weights depend on the training images."""

    def start_from(self, mean: Tensor) -> None:
        """Set these weights by the mean training image (C, H, W)."""


def bounded(value_range: Sequence[float] | None) -> nn.Module:
    """Return the activation whose range is the data's: tanh for [-1, 1], a sigmoid for [0, 1], none for None.

    None is for points, which are unbounded. Raises ValueError for another range.
    """
    if value_range is None:
        return nn.Identity()
    activations = {(-1.0, 1.0): nn.Tanh, (0.0, 1.0): nn.Sigmoid}
    low, high = value_range
    if (low, high) not in activations:
        raise ValueError(f"value_range [{low}, {high}]: a generator's is [-1, 1], [0, 1] or null (unbounded)")
    return activations[low, high]()


def image_layers(
    features: int, image_size: ImageSize, channels: int, value_range: Sequence[float] | None
) -> list[nn.Module]:
    """Return layers (N, features) -> image (N, channels, H, W): linear, and `bounded` if it is."""
    shape = (channels, *sides(image_size))
    layers = [nn.Linear(features, math.prod(shape)), nn.Unflatten(1, shape)]
    return layers if value_range is None else [*layers, bounded(value_range)]
