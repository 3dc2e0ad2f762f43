"""Stacked MNIST: three digits at random as the red, green and blue of one picture, 1000 classes (Metz et al. 2016)."""

import hashlib
from collections.abc import Sequence

import torch
from torch import Tensor

from gan_cli.data.base import Dataset, Images, as_range, mix, order, positions, scale
from gan_cli.data.mnist_cifar import MNIST

TRIPLES = 1000


class StackedMNIST(Dataset):
    """`size` training pictures of MNIST's training digits, 26,000 held-out ones of its test digits; 128,000 and as many
    in VEEGAN's protocol (Srivastava et al. 2017; PacGAN's code). Picture i always holds the same digits.

    fresh: every training picture is a new one, as in Metz et al.; `size` is then the length of an epoch only. digits:
    MNIST itself, in one channel, for a classifier. num_classes: 1000, the digits read in order, red first; null hides
    them. Files are found, fetched and resized as MNIST's. ValueError for settings that do not fit.
    """

    value_range: tuple[float, float]

    def __init__(
        self, root: str, image_size: int = 28, channels: int = 3, num_classes: int | None = None,
        value_range: Sequence[float] = (-1.0, 1.0), size: int = 128_000, fresh: bool = False,
    ) -> None:
        if channels != 3:
            raise ValueError(f"channels={channels}: stacked digits have 3, one for each")
        if num_classes not in (None, TRIPLES):
            raise ValueError(f"num_classes={num_classes}: this set has {TRIPLES} classes; null hides them")
        if size < 1:
            raise ValueError(f"size={size}: at least one training picture is needed")
        self.digits = MNIST(root, image_size=image_size, value_range=value_range)
        self.image_size, self.channels, self.num_classes = image_size, channels, num_classes
        self.value_range = as_range(value_range)
        self.size, self.test_size, self.fresh = size, 26_000, fresh

    def train_batch(self, seed: int, start: int, count: int) -> Images:
        digits = self.digits
        if self.fresh:
            index = mix(positions(start, count, torch.device("cpu")) ^ mix(torch.tensor([seed])))
        else:
            index = order(seed, start, count, self.size)
        return self._stack(digits.train, digits.train_label, index, stream=0)

    def test_batch(self, start: int, count: int) -> Images:
        index = positions(start, count, torch.device("cpu")) % self.test_size
        return self._stack(self.digits.test, self.digits.test_label, index, stream=3)

    def _stack(self, pixels: Tensor, label: Tensor, index: Tensor, stream: int) -> Images:
        """Channel c of picture index[i] is the digit that number stream + c of that index chooses."""
        numbers = torch.stack([mix(index, stream + c) for c in range(3)], dim=1)
        chosen = ((numbers & 0x7FFF_FFFF_FFFF_FFFF) % len(pixels)).to(pixels.device)
        triple = (label[chosen] * torch.tensor([100, 10, 1], device=label.device)).sum(1)
        return Images(scale(pixels[chosen][:, :, 0], self.value_range), triple if self.num_classes else None)

    def fingerprint(self) -> str:
        pictures = "fresh" if self.fresh else self.size
        return hashlib.sha256(f"stacked-{pictures}-{self.digits.fingerprint()}".encode()).hexdigest()[:16]

    def to(self, device: torch.device) -> "StackedMNIST":
        self.digits.to(device)
        return self
