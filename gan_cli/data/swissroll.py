"""The Swiss roll: points near a spiral in the plane (gan_toy.py of the WGAN-GP code)."""

import math

import torch

from gan_cli.data.base import Dataset, Images, normal, positions, uniform
from gan_cli.data.gaussians import HELD_OUT


class SwissRoll(Dataset):
    """Endless new points ((t cos t, t sin t) + noise * N(0, I)) / divisor with t ~ U[1.5 pi, 4.5 pi).

    This is make_swiss_roll of scikit-learn without the second coordinate; gan_toy.py has noise .25 and divisor 7.5.
    Points are images of one pixel with two channels, (N, 2, 1, 1).
    """

    image_size, channels, num_classes, value_range = 1, 2, None, None

    def __init__(
        self, noise: float = 0.25, divisor: float = 7.5, image_size: int = 1, channels: int = 2,
        num_classes: None = None, value_range: None = None,
    ) -> None:
        if (image_size, channels) != (1, 2):
            raise ValueError(f"image_size={image_size}, channels={channels}: points have image_size 1 and channels 2")
        if noise < 0 or not divisor > 0:
            raise ValueError(f"noise={noise}, divisor={divisor}: noise is 0 or more, divisor positive")
        self.noise, self.divisor = noise, divisor
        self.size, self.test_size = 100_000, 10_000
        self.device = torch.device("cpu")

    def train_batch(self, seed: int, start: int, count: int) -> Images:
        return self._points(seed, positions(start, count, self.device))

    def test_batch(self, start: int, count: int) -> Images:
        return self._points(0, HELD_OUT + positions(start, count, self.device) % self.test_size)

    def _points(self, seed: int, index: torch.Tensor) -> Images:
        t = 1.5 * math.pi * (1 + 2 * uniform(seed, index, 0))
        roll = torch.stack([t * t.cos(), t * t.sin()], dim=1)
        noise = torch.stack([normal(seed, index, 1), normal(seed, index, 3)], dim=1)
        return Images(((roll + self.noise * noise) / self.divisor)[:, :, None, None])

    def fingerprint(self) -> str:
        return f"swissroll-{self.noise:g}-{self.divisor:g}"

    def to(self, device: torch.device) -> "SwissRoll":
        self.device = device
        return self
