"""Mixtures of Gaussians of the papers on mode coverage (VEEGAN, PacGAN): in the plane and in 1200 dimensions.

A point is an image of one pixel with one channel per dimension, such as (N, 2, 1, 1), so that every model can be
trained on points.
"""

import math
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import pad

from gan_cli.data.base import Dataset, Images, normal, positions, uniform

HELD_OUT = 1 << 40  # position of the first held-out point; training does not get so far


class Mixture(Dataset):
    """Endless new samples of a mixture of equally likely Gaussians.

    modes: centers of the Gaussians, (K, d). std: their standard deviation. quality_radius: the modes metric counts a
    point as of high quality if it is within this many standard deviations of a mode. num_classes: K, for the number of
    the mode as the label, or None. name: part of the fingerprint, which must not change when a class is renamed.
    """

    name: ClassVar[str]

    image_size, channels, value_range = 1, 2, None
    quality_radius = 3.0

    def __init__(self, modes: Tensor, std: float, num_classes: int | None = None) -> None:
        if not std > 0:
            raise ValueError(f"std is a positive number, not {std}")
        if num_classes not in (None, len(modes)):
            raise ValueError(f"num_classes={num_classes}: the labels are the {len(modes)} modes; null hides them")
        self.modes, self.std, self.num_classes = modes, std, num_classes
        self.size, self.test_size = 100_000, 10_000

    def train_batch(self, seed: int, start: int, count: int) -> Images:
        return self._points(seed, positions(start, count, self.modes.device))

    def test_batch(self, start: int, count: int) -> Images:
        return self._points(0, HELD_OUT + positions(start, count, self.modes.device) % self.test_size)

    def _points(self, seed: int, index: Tensor) -> Images:
        mode = (uniform(seed, index, 0) * len(self.modes)).long()
        points = self.modes[mode] + self.std * self._noise(seed, index)
        return Images(points[:, :, None, None], mode if self.num_classes else None)

    def _noise(self, seed: int, index: Tensor) -> Tensor:
        """Return N(0, I) of each sample, (N, d)."""
        return torch.stack([normal(seed, index, 1), normal(seed, index, 3)], dim=1)

    def fingerprint(self) -> str:
        return f"{self.name}-{len(self.modes)}-{self.std:g}"

    def to(self, device: torch.device) -> "Mixture":
        self.modes = self.modes.to(device)
        return self


class Ring(Mixture):
    """Gaussians on a circle: 8 with radius 1 and std .01 in PacGAN's configs."""

    name = "ring"

    def __init__(
        self, n_modes: int = 8, radius: float = 1.0, std: float = 0.01, image_size: int = 1, channels: int = 2,
        num_classes: int | None = None, value_range: None = None,
    ) -> None:
        _plane(image_size, channels)
        if n_modes < 1:
            raise ValueError(f"n_modes is at least 1, not {n_modes}")
        if not radius > 0:
            raise ValueError(f"radius is a positive number, not {radius}")
        angle = 2 * math.pi * torch.arange(n_modes, dtype=torch.float64) / n_modes
        super().__init__((radius * torch.stack([angle.cos(), angle.sin()], dim=1)).float(), std, num_classes)


class GaussianGrid(Mixture):
    """`side` x `side` Gaussians at a distance of 2, around the origin: 25 with std .05 in PacGAN's configs.

    scale: factor of the centers and of std (gan_toy.py of WGAN-GP divides by 2.828).
    """

    name = "grid"

    def __init__(
        self, side: int = 5, std: float = 0.05, scale: float = 1.0, image_size: int = 1, channels: int = 2,
        num_classes: int | None = None, value_range: None = None,
    ) -> None:
        _plane(image_size, channels)
        if side < 1:
            raise ValueError(f"side is at least 1, not {side}")
        line = 2.0 * torch.arange(side) - (side - 1)
        super().__init__(scale * torch.cartesian_prod(line, line).reshape(-1, 2), scale * std, num_classes)


class Gaussians1200(Mixture):
    """VEEGAN's mixture in 1200 dimensions, as PacGAN's code samples it (pacgan/datasets.py).

    N(0, I) in the first 700 of 1200 dimensions, 0 in the others, and all 1200 shifted by one of ten numbers. PacGAN
    counts points within 10 std as of high quality, which real points are not: the norm of their noise is 26.5 +- 0.7.
    A radius of 30 includes them all.
    """

    name = "gaussians1200"
    channels, noisy, quality_radius = 1200, 700, 10.0
    shifts = (-1.0, -0.5, 0.0, 0.5, -2.0, -2.5, 10.0, 0.25, -13.0, -5.5)

    def __init__(
        self, std: float = 1.0, image_size: int = 1, channels: int = 1200, num_classes: int | None = None,
        value_range: None = None,
    ) -> None:
        if (image_size, channels) != (1, self.channels):
            raise ValueError(f"image_size={image_size}, channels={channels}: points of this set have 1 and 1200")
        super().__init__(torch.tensor(self.shifts)[:, None].repeat(1, self.channels), std, num_classes)

    def _noise(self, seed: int, index: Tensor) -> Tensor:
        each = index[:, None] * self.noisy + torch.arange(self.noisy, device=index.device)
        return pad(normal(seed, each, 1), (0, self.channels - self.noisy))


def _plane(image_size: int, channels: int) -> None:
    """ValueError unless an image is a point in the plane."""
    if (image_size, channels) != (1, 2):
        raise ValueError(f"image_size={image_size}, channels={channels}: points have image_size 1 and channels 2")


class Mixture1d(Dataset):
    """Endless new samples of a mixture of Gaussians on the line, sum_k weights_k N(means_k, stds_k^2).

    Raises ValueError unless weights, means and stds have one length, the weights are positive with sum 1, and the stds
    are positive.
    """

    image_size, channels, value_range = 1, 1, None
    size, test_size = 100_000, 10_000

    def __init__(
        self, weights: Sequence[float], means: Sequence[float], stds: Sequence[float], image_size: int = 1,
        channels: int = 1, num_classes: int | None = None, value_range: None = None,
    ) -> None:
        if (image_size, channels) != (1, 1):
            raise ValueError(f"image_size={image_size}, channels={channels}: points on the line have 1 and 1")
        if not len(weights) == len(means) == len(stds) or min(stds, default=0) <= 0:
            raise ValueError("weights, means and stds are lists of one length, and stds are positive")
        if min(weights) <= 0 or not math.isclose(sum(weights), 1):
            raise ValueError(f"weights are positive and sum to 1, not {list(weights)}")
        if num_classes not in (None, len(weights)):
            raise ValueError(f"num_classes={num_classes}: the {len(weights)} labels are the components; or null")
        self.weights, self.means, self.stds = (torch.tensor(part).float() for part in (weights, means, stds))
        self.num_classes = num_classes

    def log_density(self, x: Tensor) -> Tensor:
        """Return log p(x), elementwise."""
        w, m, s = (part.to(x) for part in (self.weights, self.means, self.stds))
        z = (x[..., None] - m) / s
        return torch.logsumexp(w.log() - z.square() / 2 - s.log() - math.log(2 * math.pi) / 2, -1)

    def train_batch(self, seed: int, start: int, count: int) -> Images:
        return self._points(seed, positions(start, count, self.means.device))

    def test_batch(self, start: int, count: int) -> Images:
        return self._points(0, HELD_OUT + positions(start, count, self.means.device) % self.test_size)

    def _points(self, seed: int, index: Tensor) -> Images:
        component = torch.bucketize(uniform(seed, index, 0), self.weights.cumsum(0)[:-1], right=True)
        points = self.means[component] + self.stds[component] * normal(seed, index, 1)
        return Images(points[:, None, None, None], component if self.num_classes else None)

    def fingerprint(self) -> str:
        parts = zip(self.weights.tolist(), self.means.tolist(), self.stds.tolist(), strict=True)
        return "mixture1d-" + "-".join(f"{w:.4g},{m:.4g},{s:.4g}" for w, m, s in parts)

    def to(self, device: torch.device) -> "Mixture1d":
        self.weights, self.means, self.stds = (t.to(device) for t in (self.weights, self.means, self.stds))
        return self
