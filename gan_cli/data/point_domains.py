"""Two unpaired domains of points in the plane with known modes: the toy experiment of DiscoGAN."""

import math

import torch
from torch import Tensor

from gan_cli.data.base import Dataset, Domains, mix, normal, positions, uniform
from gan_cli.data.gaussians import HELD_OUT


class MixtureDomains(Dataset):
    """Points x from a mixture of `modes_x` equally likely Gaussians, and y from one of `modes_y` Gaussians.

    Kim et al. 2017, section 3.1, have 5 and 10. Differs: they show the modes only in a figure; here those of x are on
    the line from (-1, 0) to (1, 0) and those of y on the unit circle, all with standard deviation `std`. Points are
    images of one pixel with two channels, (N, 2, 1, 1), and new at every position. Held-out points are the same in
    every run. Raises ValueError for fewer than one mode and for a std that is not positive.
    """

    batch_type = Domains
    image_size, channels, value_range = 1, 2, None

    def __init__(
        self, modes_x: int = 5, modes_y: int = 10, std: float = 0.05, image_size: int = 1, channels: int = 2,
        num_classes: None = None, value_range: None = None,
    ) -> None:
        if (image_size, channels) != (1, 2):
            raise ValueError(f"image_size={image_size}, channels={channels}: points have image_size 1 and channels 2")
        if min(modes_x, modes_y) < 1 or not std > 0:
            raise ValueError(
                f"modes_x and modes_y are at least 1 and std is positive, not {modes_x}, {modes_y} and {std}"
            )
        self.modes_x, self.modes_y = _line(modes_x), _circle(modes_y)
        self.std, self.num_classes = std, None
        self.size, self.test_size = 100_000, 10_000

    def train_batch(self, seed: int, start: int, count: int) -> Domains:
        return self._domains(seed, positions(start, count, self.modes_x.device))

    def test_batch(self, start: int, count: int) -> Domains:
        return self._domains(0, self._held_out(start, count))

    def test_modes(self, start: int, count: int) -> Tensor:
        """Return the mode of x that each of these held-out points x was sampled from, int64 (count,)."""
        return _mode(self.modes_x, 0, self._held_out(start, count))

    def _held_out(self, start: int, count: int) -> Tensor:
        return HELD_OUT + positions(start, count, self.modes_x.device) % self.test_size

    def _domains(self, seed: int, index: Tensor) -> Domains:
        # Another seed for y, whose points would otherwise have the same noise as those of x.
        other = int(mix(torch.tensor([seed]), stream=1)[0])
        return Domains(self._points(self.modes_x, seed, index), self._points(self.modes_y, other, index))

    def _points(self, modes: Tensor, seed: int, index: Tensor) -> Tensor:
        noise = torch.stack([normal(seed, index, 1), normal(seed, index, 3)], dim=1)
        return (modes[_mode(modes, seed, index)] + self.std * noise)[:, :, None, None]

    def fingerprint(self) -> str:
        return f"mixturedomains-{len(self.modes_x)}-{len(self.modes_y)}-{self.std:g}"

    def to(self, device: torch.device) -> "MixtureDomains":
        self.modes_x, self.modes_y = self.modes_x.to(device), self.modes_y.to(device)
        return self


def _mode(modes: Tensor, seed: int, index: Tensor) -> Tensor:
    """Return the mode that each sample comes from, int64."""
    return (uniform(seed, index, 0) * len(modes)).long()


def _line(count: int) -> Tensor:
    """Return equidistant points from (-1, 0) to (1, 0), (count, 2)."""
    return torch.stack([torch.linspace(-1, 1, count), torch.zeros(count)], dim=1)


def _circle(count: int) -> Tensor:
    """Return equidistant points on the unit circle from (1, 0), (count, 2)."""
    angle = 2 * math.pi * torch.arange(count, dtype=torch.float64) / count
    return torch.stack([angle.cos(), angle.sin()], dim=1).float()
