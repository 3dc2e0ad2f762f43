"""The networks for points of PacGAN's code (Lin et al. 2018, arXiv 1712.04086; pacgan_task.py).

Weights N(0, .02), biases 0.
"""

import itertools
import math
from collections.abc import Sequence

from torch import Tensor, nn

from gan_cli.networks.init import dcgan_tensorflow_
from gan_cli.networks.maxout import Maxout


class Generator(nn.Module):
    """z (N, latent_dim) -> points (N, channels, image_size, image_size), unbounded: linear layers of `widths` without
    biases, each with batch normalisation and ReLU, and a linear one.
    """

    def __init__(
        self, image_size: int, channels: int, latent_dim: int = 2, widths: Sequence[int] = (400, 400, 400, 400)
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for narrow, wide in itertools.pairwise([latent_dim, *widths]):
            layers += [nn.Linear(narrow, wide, bias=False), nn.BatchNorm1d(wide), nn.ReLU()]
        shape = (channels, image_size, image_size)
        self.layers = nn.Sequential(*layers, nn.Linear(widths[-1], math.prod(shape)), nn.Unflatten(1, shape))
        dcgan_tensorflow_(self)

    def forward(self, z: Tensor) -> Tensor:
        return self.layers(z)


class Discriminator(nn.Module):
    """Points, or packs of them, -> scores (N,): three layers of `units` maxout units of `pieces` each, no dropout."""

    def __init__(self, image_size: int, channels: int, units: int = 200, pieces: int = 5) -> None:
        super().__init__()
        first = Maxout(channels * image_size**2, units, pieces)
        others = [Maxout(units, units, pieces) for _ in range(2)]
        self.layers = nn.Sequential(nn.Flatten(), first, *others, nn.Linear(units, 1))
        dcgan_tensorflow_(self)

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x).flatten()
