"""The networks of the least squares GAN's code (Mao et al. 2017, arXiv 1611.04076; xudonmao/LSGAN).

Scenes of 112 pixels (vgg.py), Chinese characters of 3740 classes (mcgan.py), the stability tests (dcgan64.py) and the
ring (ls.py). Differs: symmetric padding of 2 in place of TensorFlow's SAME for 5x5 kernels.
"""

import itertools
import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from gan_cli.networks import wgan_gp
from gan_cli.networks.init import dcgan_tensorflow_
from gan_cli.networks.mlp import hidden
from gan_cli.networks.output import bounded, image_layers
from gan_cli.networks.sizes import divided
from gan_cli.utils.image_size import ImageSize, area


class Generator(nn.Module):
    """Generator of scenes: z (N, latent_dim) -> image, at multiples of 16 pixels.

    A linear layer to 256 maps of 1/16 of the side, then 3x3 transposed convolutions with 256 (stride 2), 256, 256 (2),
    256, 128 (2) and 64 (2) channels, each with batch normalization and ReLU, and one to the image. width: 64 there.
    """

    def __init__(
        self,
        image_size: ImageSize,
        channels: int,
        value_range: Sequence[float] | None = (-1.0, 1.0),
        latent_dim: int = 1024,
        width: int = 64,
    ) -> None:
        super().__init__()
        start, top = divided(image_size, of=16, least=16), 4 * width
        layers: list[nn.Module] = [nn.Linear(latent_dim, top * math.prod(start)), nn.Unflatten(1, (top, *start))]
        layers += [nn.BatchNorm2d(top), nn.ReLU()]
        widths, strides = [top, top, top, top, top, 2 * width, width], [2, 1, 2, 1, 2, 2]
        for (wide, narrow), stride in zip(itertools.pairwise(widths), strides, strict=True):
            layers += [nn.ConvTranspose2d(wide, narrow, 3, stride, 1, output_padding=stride - 1)]
            layers += [nn.BatchNorm2d(narrow), nn.ReLU()]
        self.layers = nn.Sequential(*layers, nn.ConvTranspose2d(width, channels, 3, 1, 1), bounded(value_range))
        dcgan_tensorflow_(self)

    def forward(self, z: Tensor) -> Tensor:
        return self.layers(z)


class Discriminator(nn.Module):
    """Discriminator of scenes: image -> scores (N,).

    5x5 convolutions of stride 2 with 64, 128, 256 and 512 channels, leaky ReLU .2, batch normalization in all but the
    first, and a linear layer.
    """

    def __init__(self, image_size: ImageSize, channels: int, width: int = 64) -> None:
        super().__init__()
        last = divided(image_size, of=16, least=16)
        layers: list[nn.Module] = [nn.Conv2d(channels, width, 5, 2, 2), nn.LeakyReLU(0.2)]
        for narrow, wide in itertools.pairwise([width, 2 * width, 4 * width, 8 * width]):
            layers += [nn.Conv2d(narrow, wide, 5, 2, 2), nn.BatchNorm2d(wide), nn.LeakyReLU(0.2)]
        self.layers = nn.Sequential(*layers, nn.Flatten(), nn.Linear(8 * width * math.prod(last), 1))
        dcgan_tensorflow_(self)

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x).flatten()


class CharacterGenerator(nn.Module):
    """Generator of characters: z (N, latent_dim), y (N,) -> image, at multiples of 4 pixels."""

    def __init__(
        self,
        image_size: ImageSize,
        channels: int,
        num_classes: int,
        value_range: Sequence[float] | None = (0.0, 1.0),
        latent_dim: int = 1024,
        label_dim: int = 256,
    ) -> None:
        super().__init__()
        quarter = divided(image_size, of=4, least=4)
        values = 128 * math.prod(quarter)
        self.num_classes = num_classes
        self.label = nn.Linear(num_classes, label_dim)
        self.layers = nn.Sequential(
            nn.Linear(latent_dim + label_dim, values), nn.BatchNorm1d(values), nn.ReLU(),
            nn.Unflatten(1, (128, *quarter)),
            nn.ConvTranspose2d(128, 128, 5, 2, 2, output_padding=1), nn.BatchNorm2d(128), nn.ReLU(),
            nn.ConvTranspose2d(128, channels, 5, 2, 2, output_padding=1), bounded(value_range),
        )  # fmt: skip
        dcgan_tensorflow_(self)

    def forward(self, z: Tensor, y: Tensor) -> Tensor:
        label = self.label(one_hot(y, self.num_classes).to(z.dtype))
        return self.layers(torch.cat([z, label], dim=1))


class CharacterDiscriminator(nn.Module):
    """Discriminator of characters: image, y (N,) -> scores (N,).

    Two 5x5 convolutions of stride 2 and a layer of 1024 units. The label passes a linear layer and is concatenated as
    maps after the first convolution, and as a vector after the second and after the 1024 units.
    """

    def __init__(self, image_size: ImageSize, channels: int, num_classes: int, label_dim: int = 256) -> None:
        super().__init__()
        quarter = divided(image_size, of=4, least=4)
        first, second = channels + label_dim, 64 + label_dim
        self.num_classes = num_classes
        self.label = nn.Linear(num_classes, label_dim)
        self.first = nn.Sequential(nn.Conv2d(channels, first, 5, 2, 2), nn.LeakyReLU(0.2))
        self.second = nn.Sequential(
            nn.Conv2d(first + label_dim, second, 5, 2, 2), nn.BatchNorm2d(second), nn.LeakyReLU(0.2), nn.Flatten()
        )
        self.third = nn.Sequential(
            nn.Linear(second * math.prod(quarter) + label_dim, 1024), nn.BatchNorm1d(1024), nn.LeakyReLU(0.2)
        )
        self.score = nn.Linear(1024 + label_dim, 1)
        dcgan_tensorflow_(self)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        label = self.label(one_hot(y, self.num_classes).to(x.dtype))
        h = self.first(x)
        maps = label[:, :, None, None].expand(-1, -1, *h.shape[2:])
        h = self.second(torch.cat([h, maps], dim=1))
        h = self.third(torch.cat([h, label], dim=1))
        return self.score(torch.cat([h, label], dim=1)).flatten()


class StabilityGenerator(wgan_gp.Generator):
    """Generator of the stability tests at 64 pixels: the layers of WGAN-GP, with norm "none" in dcgan64.py."""

    def __init__(
        self,
        image_size: ImageSize,
        channels: int,
        value_range: Sequence[float] | None = (-1.0, 1.0),
        latent_dim: int = 1024,
        width: int = 64,
        norm: str = "none",
    ) -> None:
        super().__init__(image_size, channels, value_range, latent_dim, width, norm)
        dcgan_tensorflow_(self)


class StabilityDiscriminator(wgan_gp.Discriminator):
    """Discriminator of the stability tests: the layers of WGAN-GP; norm "batch" in BN_G and "none" in BN_GD."""

    def __init__(self, image_size: ImageSize, channels: int, width: int = 64, norm: str = "batch") -> None:
        super().__init__(image_size, channels, width, norm)
        dcgan_tensorflow_(self)


def orthogonal_(network: nn.Module) -> None:
    """Set the weights of linear layers to orthogonal matrices times 1.4, and biases to 0."""
    for layer in network.modules():
        if isinstance(layer, nn.Linear):
            nn.init.orthogonal_(layer.weight, gain=1.4)
            nn.init.zeros_(layer.bias)


class RingGenerator(nn.Module):
    """Generator of the ring: z (N, latent_dim) -> points (N, channels, H, W), unbounded."""

    def __init__(self, image_size: ImageSize, channels: int, latent_dim: int = 256, width: int = 128) -> None:
        super().__init__()
        layers = hidden([latent_dim, width, width], nn.Tanh)
        self.layers = nn.Sequential(*layers, *image_layers(width, image_size, channels, value_range=None))
        orthogonal_(self)

    def forward(self, z: Tensor) -> Tensor:
        return self.layers(z)


class RingDiscriminator(nn.Module):
    """Discriminator of the ring: points -> scores (N,)."""

    def __init__(self, image_size: ImageSize, channels: int, width: int = 128) -> None:
        super().__init__()
        layers = hidden([channels * area(image_size), width, width], nn.Tanh)
        self.layers = nn.Sequential(nn.Flatten(), *layers, nn.Linear(width, 1))
        orthogonal_(self)

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x).flatten()
