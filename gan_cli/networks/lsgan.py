"""The networks of the least squares GAN's code (Mao et al. 2017, arXiv 1611.04076; xudonmao/LSGAN): scenes of 112
pixels (vgg.py), Chinese characters of 3740 classes (mcgan.py), the stability tests (dcgan64.py) and the ring (ls.py).

Symmetric padding of 2 stands for TensorFlow's SAME under 5x5 kernels.
"""

import itertools
import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from gan_cli.networks import wgan_gp
from gan_cli.networks.init import dcgan_tensorflow_
from gan_cli.networks.output import bounded
from gan_cli.networks.sizes import multiple


class Generator(nn.Module):
    """z (N, latent_dim) -> scene, at multiples of 16 pixels: FC 1/16 of the side x 256, then 3x3 transposed
    convolutions 256 (stride 2), 256, 256 (2), 256, 128 (2), 64 (2), each with batch norm and ReLU, and the image.
    """

    def __init__(
        self,
        image_size: int,
        channels: int,
        value_range: Sequence[float] | None = (-1.0, 1.0),
        latent_dim: int = 1024,
        width: int = 64,
    ) -> None:
        super().__init__()
        start, top = multiple(image_size, of=16, least=16) // 16, 4 * width
        layers: list[nn.Module] = [nn.Linear(latent_dim, top * start**2), nn.Unflatten(1, (top, start, start))]
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
    """Scene -> scores (N,): 5x5 convolutions of stride 2 (64, 128, 256, 512), leaky ReLU .2, batch normalisation from
    the second; linear.
    """

    def __init__(self, image_size: int, channels: int, width: int = 64) -> None:
        super().__init__()
        side = multiple(image_size, of=16, least=16) // 16
        layers: list[nn.Module] = [nn.Conv2d(channels, width, 5, 2, 2), nn.LeakyReLU(0.2)]
        for narrow, wide in itertools.pairwise([width, 2 * width, 4 * width, 8 * width]):
            layers += [nn.Conv2d(narrow, wide, 5, 2, 2), nn.BatchNorm2d(wide), nn.LeakyReLU(0.2)]
        self.layers = nn.Sequential(*layers, nn.Flatten(), nn.Linear(8 * width * side**2, 1))
        dcgan_tensorflow_(self)

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x).flatten()


class CharacterGenerator(nn.Module):
    """z (N, latent_dim), y (N,) -> character, at multiples of 4 pixels. The label passes a linear layer first."""

    def __init__(
        self,
        image_size: int,
        channels: int,
        num_classes: int,
        value_range: Sequence[float] | None = (0.0, 1.0),
        latent_dim: int = 1024,
        label_dim: int = 256,
    ) -> None:
        super().__init__()
        quarter = multiple(image_size, of=4, least=4) // 4
        hidden = 128 * quarter**2
        self.num_classes = num_classes
        self.label = nn.Linear(num_classes, label_dim)
        self.layers = nn.Sequential(
            nn.Linear(latent_dim + label_dim, hidden), nn.BatchNorm1d(hidden), nn.ReLU(),
            nn.Unflatten(1, (128, quarter, quarter)),
            nn.ConvTranspose2d(128, 128, 5, 2, 2, output_padding=1), nn.BatchNorm2d(128), nn.ReLU(),
            nn.ConvTranspose2d(128, channels, 5, 2, 2, output_padding=1), bounded(value_range),
        )  # fmt: skip
        dcgan_tensorflow_(self)

    def forward(self, z: Tensor, y: Tensor) -> Tensor:
        label = self.label(one_hot(y, self.num_classes).to(z.dtype))
        return self.layers(torch.cat([z, label], dim=1))


class CharacterDiscriminator(nn.Module):
    """Character, y (N,) -> scores (N,): two 5x5 convolutions of stride 2 and FC 1024; the label, through a linear
    layer, joins as maps after the first convolution, as a vector after the second and after FC 1024.
    """

    def __init__(self, image_size: int, channels: int, num_classes: int, label_dim: int = 256) -> None:
        super().__init__()
        quarter = multiple(image_size, of=4, least=4) // 4
        first, second = channels + label_dim, 64 + label_dim
        self.num_classes = num_classes
        self.label = nn.Linear(num_classes, label_dim)
        self.first = nn.Sequential(nn.Conv2d(channels, first, 5, 2, 2), nn.LeakyReLU(0.2))
        self.second = nn.Sequential(
            nn.Conv2d(first + label_dim, second, 5, 2, 2), nn.BatchNorm2d(second), nn.LeakyReLU(0.2), nn.Flatten()
        )
        self.third = nn.Sequential(
            nn.Linear(second * quarter**2 + label_dim, 1024), nn.BatchNorm1d(1024), nn.LeakyReLU(0.2)
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
    """The 64-pixel generator of the stability tests: WGAN-GP's layers, z of 1024; norm "none" there."""

    def __init__(
        self,
        image_size: int,
        channels: int,
        value_range: Sequence[float] | None = (-1.0, 1.0),
        latent_dim: int = 1024,
        width: int = 64,
        norm: str = "none",
    ) -> None:
        super().__init__(image_size, channels, value_range, latent_dim, width, norm)
        dcgan_tensorflow_(self)


class StabilityDiscriminator(wgan_gp.Discriminator):
    """The 64-pixel discriminator of the stability tests: WGAN-GP's layers; norm "batch" in BN_G, "none" in BN_GD."""

    def __init__(self, image_size: int, channels: int, width: int = 64, norm: str = "batch") -> None:
        super().__init__(image_size, channels, width, norm)
        dcgan_tensorflow_(self)


def tanh_layers(inputs: int, width: int, outputs: int) -> list[nn.Module]:
    """Linear layers inputs -> width -> width -> outputs, tanh between them; orthogonal weights, gain 1.4; biases 0."""
    linear = [nn.Linear(inputs, width), nn.Linear(width, width), nn.Linear(width, outputs)]
    for layer in linear:
        nn.init.orthogonal_(layer.weight, gain=1.4)
        nn.init.zeros_(layer.bias)
    return [linear[0], nn.Tanh(), linear[1], nn.Tanh(), linear[2]]


class RingGenerator(nn.Module):
    """z (N, latent_dim) -> points (N, channels, image_size, image_size), unbounded."""

    def __init__(self, image_size: int, channels: int, latent_dim: int = 256, width: int = 128) -> None:
        super().__init__()
        shape = (channels, image_size, image_size)
        self.layers = nn.Sequential(*tanh_layers(latent_dim, width, math.prod(shape)), nn.Unflatten(1, shape))

    def forward(self, z: Tensor) -> Tensor:
        return self.layers(z)


class RingDiscriminator(nn.Module):
    """Points -> scores (N,)."""

    def __init__(self, image_size: int, channels: int, width: int = 128) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), *tanh_layers(channels * image_size**2, width, 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x).flatten()
