"""The small networks in which Metz et al. 2017 (arXiv 1611.02163, appendix) count the modes of Stacked MNIST, from
memory: the discriminator has a quarter or a half of the filters of the generator.

Weights start at torch's defaults, which the paper does not give; images are of 28 pixels.
"""

import itertools
from collections.abc import Sequence

from torch import Tensor, nn

from gan_cli.networks.output import bounded


class Generator(nn.Module):
    """z (N, latent_dim) -> image: linear to 64 maps of 4 x 4, transposed convolutions of 32, 16 and 8 filters (7, 14,
    28 pixels) with batch normalisation and ReLU, and a convolution; all 3 x 3.
    """

    def __init__(
        self, image_size: int, channels: int, value_range: Sequence[float] | None = (-1.0, 1.0), latent_dim: int = 256
    ) -> None:
        super().__init__()
        _sized(image_size)
        layers: list[nn.Module] = [nn.Linear(latent_dim, 64 * 4 * 4), nn.Unflatten(1, (64, 4, 4))]
        layers += [nn.BatchNorm2d(64), nn.ReLU()]
        for (wide, narrow), extra in zip(itertools.pairwise([64, 32, 16, 8]), (0, 1, 1), strict=True):
            layers += [nn.ConvTranspose2d(wide, narrow, 3, 2, 1, output_padding=extra)]  # 4 -> 7 -> 14 -> 28
            layers += [nn.BatchNorm2d(narrow), nn.ReLU()]
        self.layers = nn.Sequential(*layers, nn.Conv2d(8, channels, 3, padding=1), bounded(value_range))

    def forward(self, z: Tensor) -> Tensor:
        return self.layers(z)


class Discriminator(nn.Module):
    """image -> scores (N,): three 3 x 3 convolutions of stride 2, of 8, 16 and 32 filters times `fraction`, leaky ReLU
    .3; linear. fraction: 1/4 and 1/2 in the paper.
    """

    def __init__(self, image_size: int, channels: int, fraction: float = 0.25) -> None:
        super().__init__()
        _sized(image_size)
        widths = [channels, *(round(filters * fraction) for filters in (8, 16, 32))]
        layers: list[nn.Module] = []
        for narrow, wide in itertools.pairwise(widths):
            layers += [nn.Conv2d(narrow, wide, 3, 2, 1), nn.LeakyReLU(0.3)]
        self.layers = nn.Sequential(*layers, nn.Flatten(), nn.Linear(widths[-1] * 4 * 4, 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x).flatten()


def _sized(image_size: int) -> None:
    if image_size != 28:
        raise ValueError(f"image_size {image_size}: these networks are for 28 pixels, dataset=stacked_mnist or mnist")
