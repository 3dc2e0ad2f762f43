"""Stacked MNIST: three random digits as the red, green and blue of one image, 1000 classes (Metz et al. 2016)."""

import hashlib
from collections.abc import Sequence

import torch
from torch import Tensor

from gan_cli.data.base import Dataset, Images, as_range, mix, order, positions, scale
from gan_cli.data.mnist_cifar import MNIST

TRIPLES = 1000


class StackedMNIST(Dataset):
    """`size` training images of three MNIST training digits each, and 26,000 held-out images of test digits.

    VEEGAN's protocol has 128,000 and 26,000 images (Srivastava et al. 2017; PacGAN's code). Image i always holds the
    same digits. fresh: every training image is a new combination, as in Metz et al.; `size` is then only the length of
    an epoch. digits: MNIST in one channel, to train a classifier. num_classes: 1000, the number that the digits form,
    red first; None: no labels. Files are found, downloaded and resized as for MNIST. Raises ValueError for settings
    that do not fit.
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
            raise ValueError(f"size={size}: at least one training image is needed")
        self.digits = MNIST(root, image_size=image_size, value_range=value_range)
        self.image_size, self.channels, self.num_classes = image_size, channels, num_classes
        self.value_range = as_range(value_range)
        self.size, self.test_size, self.fresh = size, 26_000, fresh

    def train_batch(self, seed: int, start: int, count: int) -> Images:
        digits = self.digits
        if self.fresh:
            # Indices from all of int64 never repeat in practice, so every image is a new combination of digits.
            index = mix(positions(start, count, torch.device("cpu")) ^ mix(torch.tensor([seed])))
        else:
            index = order(seed, start, count, self.size)
        return self._stack(digits.train, digits.train_label, index, stream=0)

    def test_batch(self, start: int, count: int) -> Images:
        index = positions(start, count, torch.device("cpu")) % self.test_size
        return self._stack(self.digits.test, self.digits.test_label, index, stream=3)

    def _stack(self, pixels: Tensor, label: Tensor, index: Tensor, stream: int) -> Images:
        """Make images whose channel c holds the digit that random number stream + c of the image's index selects."""
        numbers = torch.stack([mix(index, stream + c) for c in range(3)], dim=1)
        chosen = ((numbers & 0x7FFF_FFFF_FFFF_FFFF) % len(pixels)).to(pixels.device)
        triple = (label[chosen] * torch.tensor([100, 10, 1], device=label.device)).sum(1)
        return Images(scale(pixels[chosen][:, :, 0], self.value_range), triple if self.num_classes else None)

    def fingerprint(self) -> str:
        count = "fresh" if self.fresh else self.size
        return hashlib.sha256(f"stacked-{count}-{self.digits.fingerprint()}".encode()).hexdigest()[:16]

    def to(self, device: torch.device) -> "StackedMNIST":
        self.digits.to(device)
        return self
