"""The networks of f-GAN (Nowozin, Cseke & Tomioka 2016, arXiv 1606.00709): a Gaussian, MNIST, LSUN at 96 pixels.

The scores are V; the divergence's output activation is part of the loss. Initial weights are torch's where nothing
else is said: the paper's are not known to us.
"""

import itertools
import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from gan_cli.networks.init import normal_
from gan_cli.networks.output import bounded
from gan_cli.networks.sizes import multiple


class GaussianGenerator(nn.Module):
    """z (N, 1) -> mu + sigma z, (N, 1, 1, 1): for z ~ N(0, 1) samples of N(mu, sigma^2). mu, sigma: where it starts."""

    def __init__(self, mu: float = 0.0, sigma: float = 1.0) -> None:
        super().__init__()
        self.mu, self.sigma = nn.Parameter(torch.tensor(mu)), nn.Parameter(torch.tensor(sigma))

    def forward(self, z: Tensor) -> Tensor:
        return (self.mu + self.sigma * z)[:, :, None, None]


class TanhDiscriminator(nn.Module):
    """x (N, channels, image_size, image_size) -> scores (N,): two hidden layers of 64 tanh."""

    def __init__(self, image_size: int, channels: int, widths: Sequence[int] = (64, 64)) -> None:
        super().__init__()
        self.layers = _mlp([channels * image_size**2, *widths], nn.Tanh)

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x).flatten()


class Generator(nn.Module):
    """z (N, latent_dim) -> image: twice linear, batch normalisation and ReLU, then linear and the data's range."""

    def __init__(
        self,
        image_size: int,
        channels: int,
        value_range: Sequence[float] | None = (0.0, 1.0),
        latent_dim: int = 100,
        widths: Sequence[int] = (1200, 1200),
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for wide_in, wide_out in itertools.pairwise([latent_dim, *widths]):
            layers += [nn.Linear(wide_in, wide_out), nn.BatchNorm1d(wide_out), nn.ReLU()]
        shape = (channels, image_size, image_size)
        last = nn.Linear(widths[-1], math.prod(shape))
        self.layers = nn.Sequential(*layers, last, nn.Unflatten(1, shape), bounded(value_range))

    def forward(self, z: Tensor) -> Tensor:
        return self.layers(z)


class Discriminator(nn.Module):
    """image -> scores (N,): three linear layers with ELU between them."""

    def __init__(self, image_size: int, channels: int, widths: Sequence[int] = (240, 240)) -> None:
        super().__init__()
        self.layers = _mlp([channels * image_size**2, *widths], nn.ELU)

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x).flatten()


class ConvGenerator(nn.Module):
    """z (N, latent_dim) -> image: linear to 8 width maps of image_size / 16, then four doublings, of 4 width,
    2 width, width and `channels` maps; initial weights N(0, .02). ValueError unless image_size is a multiple of 16.
    """

    def __init__(
        self,
        image_size: int,
        channels: int,
        value_range: Sequence[float] | None = (-1.0, 1.0),
        latent_dim: int = 100,
        width: int = 64,
    ) -> None:
        super().__init__()
        start = multiple(image_size, 16, 16) // 16
        layers: list[nn.Module] = [nn.Linear(latent_dim, 8 * width * start**2), nn.Unflatten(1, (-1, start, start))]
        for wide, narrow in itertools.pairwise([8 * width, 4 * width, 2 * width, width, channels]):
            layers += [nn.BatchNorm2d(wide), nn.ReLU(), nn.ConvTranspose2d(wide, narrow, 4, 2, 1)]
        self.layers = nn.Sequential(*layers, bounded(value_range))
        normal_(self)

    def forward(self, z: Tensor) -> Tensor:
        return self.layers(z)


class ConvDiscriminator(nn.Module):
    """image -> scores (N,): four halvings with LeakyReLU, batch normalisation but in the first, then linear (Radford
    et al. 2016); initial weights N(0, .02). ValueError unless image_size is a multiple of 16.
    """

    def __init__(self, image_size: int, channels: int, width: int = 64) -> None:
        super().__init__()
        end = multiple(image_size, 16, 16) // 16
        layers: list[nn.Module] = [nn.Conv2d(channels, width, 4, 2, 1), nn.LeakyReLU(0.2)]
        for narrow, wide in itertools.pairwise([width, 2 * width, 4 * width, 8 * width]):
            layers += [nn.Conv2d(narrow, wide, 4, 2, 1), nn.BatchNorm2d(wide), nn.LeakyReLU(0.2)]
        self.layers = nn.Sequential(*layers, nn.Flatten(), nn.Linear(8 * width * end**2, 1))
        normal_(self)

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x).flatten()


def _mlp(widths: Sequence[int], activation: type[nn.Module]) -> nn.Sequential:
    """Samples of widths[0] values -> widths[1] -> ... -> 1, with `activation` after every layer but the last."""
    layers: list[nn.Module] = [nn.Flatten()]
    for wide_in, wide_out in itertools.pairwise(widths):
        layers += [nn.Linear(wide_in, wide_out), activation()]
    return nn.Sequential(*layers, nn.Linear(widths[-1], 1))
