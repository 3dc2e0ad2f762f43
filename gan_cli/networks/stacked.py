"""The networks for Stacked MNIST (28 pixels) of PacGAN's code (Lin et al. 2018, arXiv 1712.04086).

A DCGAN, and the small networks of Metz et al. 2017 (arXiv 1611.02163, appendix), whose discriminator has fewer filters
than the generator. Differs: symmetric padding in place of TensorFlow's SAME.
"""

import itertools
from collections.abc import Sequence

from torch import Tensor, nn

from gan_cli.networks.init import dcgan_tensorflow_
from gan_cli.networks.norm import norm_layer
from gan_cli.networks.output import bounded
from gan_cli.utils.image_size import ImageSize, sides, words


class SmallGenerator(nn.Module):
    """Small generator: z (N, latent_dim) -> image.

    A linear layer to 64 maps of 4 x 4, transposed 3 x 3 convolutions with 32, 16 and 8 filters (7, 14 and 28 pixels),
    batch normalization and ReLU, and a 3 x 3 convolution.
    """

    def __init__(
        self, image_size: ImageSize, channels: int, value_range: Sequence[float] | None = (-1.0, 1.0),
        latent_dim: int = 256,
    ) -> None:
        super().__init__()
        _check_size(image_size)
        layers = [*_first(latent_dim, 64, side=4), *_up([64, 32, 16, 8], sides=[4, 7, 14, 28], kernel=3)]
        self.layers = nn.Sequential(*layers, nn.Conv2d(8, channels, 3, padding=1), bounded(value_range))
        dcgan_tensorflow_(self)

    def forward(self, z: Tensor) -> Tensor:
        return self.layers(z)


class SmallDiscriminator(nn.Module):
    """Small discriminator: image -> scores (N,).

    Three 3 x 3 convolutions of stride 2 with 8, 16 and 32 filters times `fraction` (1/4 and 1/2 in the paper), each
    with normalization (see norm_layer) and leaky ReLU .3, and a linear layer.
    """

    def __init__(self, image_size: ImageSize, channels: int, fraction: float = 0.25, norm: str = "batch") -> None:
        super().__init__()
        _check_size(image_size)
        widths = [channels, *(round(filters * fraction) for filters in (8, 16, 32))]
        layers: list[nn.Module] = []
        for narrow, wide in itertools.pairwise(widths):
            layers += [nn.Conv2d(narrow, wide, 3, 2, 1), norm_layer(norm, wide), nn.LeakyReLU(0.3)]
        self.layers = nn.Sequential(*layers, nn.Flatten(), nn.Linear(widths[-1] * 4 * 4, 1))
        dcgan_tensorflow_(self)

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x).flatten()


class Generator(nn.Module):
    """DCGAN generator: z (N, latent_dim) -> image.

    A linear layer to 8 width maps of 2 x 2, transposed 5 x 5 convolutions with 4, 2 and 1 times width filters (4, 7 and
    14 pixels), batch normalization and ReLU, and one to the image.
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
        _check_size(image_size)
        widths = [8 * width, 4 * width, 2 * width, width]
        layers = [*_first(latent_dim, widths[0], side=2), *_up(widths, sides=[2, 4, 7, 14], kernel=5)]
        last = nn.ConvTranspose2d(width, channels, 5, 2, 2, output_padding=1)
        self.layers = nn.Sequential(*layers, last, bounded(value_range))
        dcgan_tensorflow_(self)

    def forward(self, z: Tensor) -> Tensor:
        return self.layers(z)


class Discriminator(nn.Module):
    """DCGAN discriminator: image -> scores (N,).

    5 x 5 convolutions of stride 2 with 1, 2, 4 and 8 times width filters (14, 7, 4 and 2 pixels), leaky ReLU .2 and,
    except in the first, normalization (see norm_layer); then a linear layer.
    """

    def __init__(self, image_size: ImageSize, channels: int, width: int = 64, norm: str = "batch") -> None:
        super().__init__()
        _check_size(image_size)
        layers: list[nn.Module] = [nn.Conv2d(channels, width, 5, 2, 2), nn.LeakyReLU(0.2)]
        for narrow, wide in itertools.pairwise([width, 2 * width, 4 * width, 8 * width]):
            layers += [nn.Conv2d(narrow, wide, 5, 2, 2), norm_layer(norm, wide), nn.LeakyReLU(0.2)]
        self.layers = nn.Sequential(*layers, nn.Flatten(), nn.Linear(8 * width * 2 * 2, 1))
        dcgan_tensorflow_(self)

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x).flatten()


def _first(latent_dim: int, maps: int, side: int) -> list[nn.Module]:
    """z (N, latent_dim) -> (N, maps, side, side): linear, batch normalization, ReLU."""
    shape = nn.Unflatten(1, (maps, side, side))
    return [nn.Linear(latent_dim, maps * side**2), shape, nn.BatchNorm2d(maps), nn.ReLU()]


def _up(widths: Sequence[int], sides: Sequence[int], kernel: int) -> list[nn.Module]:
    """A transposed convolution of stride 2 from each of `sides` to the next, with batch normalization and ReLU."""
    layers: list[nn.Module] = []
    for (wide, narrow), (small, large) in zip(itertools.pairwise(widths), itertools.pairwise(sides), strict=True):
        extra = large - 2 * small + 1
        layers += [nn.ConvTranspose2d(wide, narrow, kernel, 2, kernel // 2, output_padding=extra)]
        layers += [nn.BatchNorm2d(narrow), nn.ReLU()]
    return layers


def _check_size(image_size: ImageSize) -> None:
    if sides(image_size) != (28, 28):
        size = words(image_size)
        raise ValueError(f"image_size {size}: these networks are for 28 pixels, dataset=stacked_mnist or mnist")
