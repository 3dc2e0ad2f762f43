"""The networks of f-GAN (Nowozin, Cseke & Tomioka 2016, arXiv 1606.00709): a Gaussian, MNIST, LSUN at 96 pixels.

The scores are V; the output activation of the divergence is part of the loss. The paper does not give its initial
weights; they are torch's unless stated otherwise.
"""

import itertools
import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from gan_cli.networks.init import normal_
from gan_cli.networks.mlp import hidden
from gan_cli.networks.output import bounded, image_layers
from gan_cli.networks.sizes import divided
from gan_cli.utils.image_size import ImageSize, area, words


class GaussianGenerator(nn.Module):
    """Gaussian generator: z (N, 1) -> mu + sigma z, (N, 1, 1, 1), ~ N(mu, sigma^2). mu, sigma: initial values."""

    def __init__(self, mu: float = 0.0, sigma: float = 1.0) -> None:
        super().__init__()
        self.mu, self.sigma = nn.Parameter(torch.tensor(mu)), nn.Parameter(torch.tensor(sigma))

    def forward(self, z: Tensor) -> Tensor:
        return (self.mu + self.sigma * z)[:, :, None, None]


class TanhDiscriminator(nn.Module):
    """Discriminator of points with hidden layers of tanh: x (N, channels, 1, 1) -> scores (N,).

    Raises ValueError for another image_size than 1.
    """

    def __init__(self, image_size: ImageSize, channels: int, widths: Sequence[int] = (64, 64)) -> None:
        super().__init__()
        if area(image_size) != 1:
            raise ValueError(
                f"image_size {words(image_size)}: this network is for points, such as dataset=mixture_1d; "
                "network=fgan_mnist is for images"
            )
        self.layers = score_mlp([channels, *widths], nn.Tanh)

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x).flatten()


class Generator(nn.Module):
    """MNIST generator: z (N, latent_dim) -> image; hidden layers with batch normalization and ReLU."""

    def __init__(
        self,
        image_size: ImageSize,
        channels: int,
        value_range: Sequence[float] | None = (0.0, 1.0),
        latent_dim: int = 100,
        widths: Sequence[int] = (1200, 1200),
    ) -> None:
        super().__init__()
        layers = hidden([latent_dim, *widths], norm=True)
        self.layers = nn.Sequential(*layers, *image_layers(widths[-1], image_size, channels, value_range))

    def forward(self, z: Tensor) -> Tensor:
        return self.layers(z)


class Discriminator(nn.Module):
    """MNIST discriminator: image -> scores (N,); linear layers with ELU between them."""

    def __init__(self, image_size: ImageSize, channels: int, widths: Sequence[int] = (240, 240)) -> None:
        super().__init__()
        self.layers = score_mlp([channels * area(image_size), *widths], nn.ELU)

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x).flatten()


class ConvGenerator(nn.Module):
    """LSUN generator: z (N, latent_dim) -> image.

    A linear layer to 8 width maps of image_size / 16 pixels, then four doublings to 4 width, 2 width, width and
    `channels` maps. Weights N(0, .02). Raises ValueError unless image_size is a multiple of 16.
    """

    def __init__(
        self,
        image_size: ImageSize,
        channels: int,
        value_range: Sequence[float] | None = (-1.0, 1.0),
        latent_dim: int = 100,
        width: int = 64,
    ) -> None:
        super().__init__()
        start = divided(image_size, of=16, least=16)
        layers: list[nn.Module] = [nn.Linear(latent_dim, 8 * width * math.prod(start)), nn.Unflatten(1, (-1, *start))]
        for wide, narrow in itertools.pairwise([8 * width, 4 * width, 2 * width, width, channels]):
            layers += [nn.BatchNorm2d(wide), nn.ReLU(), nn.ConvTranspose2d(wide, narrow, 4, 2, 1)]
        self.layers = nn.Sequential(*layers, bounded(value_range))
        normal_(self)

    def forward(self, z: Tensor) -> Tensor:
        return self.layers(z)


class ConvDiscriminator(nn.Module):
    """LSUN discriminator: image -> scores (N,).

    Four halvings with LeakyReLU, batch normalization in all but the first, and a linear layer (Radford et al. 2016).
    Weights N(0, .02). Raises ValueError unless image_size is a multiple of 16.
    """

    def __init__(self, image_size: ImageSize, channels: int, width: int = 64) -> None:
        super().__init__()
        end = divided(image_size, of=16, least=16)
        layers: list[nn.Module] = [nn.Conv2d(channels, width, 4, 2, 1), nn.LeakyReLU(0.2)]
        for narrow, wide in itertools.pairwise([width, 2 * width, 4 * width, 8 * width]):
            layers += [nn.Conv2d(narrow, wide, 4, 2, 1), nn.BatchNorm2d(wide), nn.LeakyReLU(0.2)]
        self.layers = nn.Sequential(*layers, nn.Flatten(), nn.Linear(8 * width * math.prod(end), 1))
        normal_(self)

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x).flatten()


def score_mlp(widths: Sequence[int], activation: type[nn.Module]) -> nn.Sequential:
    """Return layers from samples of widths[0] values to a score, with `activation` after all but the last."""
    return nn.Sequential(nn.Flatten(), *hidden(widths, activation), nn.Linear(widths[-1], 1))
