"""The convolutional networks of WGAN-GP's code (gan_mnist.py, gan_cifar.py) at 4*2^k or 7*2^k pixels.

5x5 kernels of stride 2 between 4x4 maps and the image; for 28 pixels, maps of 8x8 are cropped to 7x7. With a gradient
penalty the critic has no batch normalization, because a score must not depend on the other samples of the batch.
Differs: symmetric padding of 2 in place of TensorFlow's SAME.
"""

import itertools
import math
from collections.abc import Sequence

from torch import Tensor, nn

from gan_cli.networks.init import glorot_he_
from gan_cli.networks.norm import LAYERLESS, norm_layer, normalize_weights_
from gan_cli.networks.output import bounded
from gan_cli.networks.sizes import doublings
from gan_cli.utils.image_size import ImageSize, sides


class Generator(nn.Module):
    """Generator: z (N, latent_dim) -> image in `value_range`. norm: batch (gan_cifar.py) or none (gan_mnist.py)."""

    def __init__(
        self,
        image_size: ImageSize,
        channels: int,
        value_range: Sequence[float] | None = (-1.0, 1.0),
        latent_dim: int = 128,
        width: int = 64,
        norm: str = "batch",
    ) -> None:
        super().__init__()
        start, widths = _maps(image_size, width)
        widths.reverse()
        layers: list[nn.Module] = [nn.Linear(latent_dim, widths[0] * math.prod(start))]
        layers += [nn.Unflatten(1, (widths[0], *start)), norm_layer(norm, widths[0]), nn.ReLU()]
        for wide, narrow in itertools.pairwise(widths):
            layers += [_double(wide, narrow), norm_layer(norm, narrow), nn.ReLU()]
        if doublings(image_size)[0] == 7:
            layers.insert(7, nn.ZeroPad2d((0, -1, 0, -1)))  # negative padding after the first doubling: 8x8 -> 7x7
        self.layers = nn.Sequential(*layers, _double(width, channels), bounded(value_range))
        glorot_he_(self)
        normalize_weights_(self, norm)

    def forward(self, z: Tensor) -> Tensor:
        return self.layers(z)


class Discriminator(nn.Module):
    """Critic f: image -> scores (N,).

    norm: none, which the code has with a gradient penalty; batch or layer after all convolutions but the first, as in
    its other modes; or spectral (Miyato et al. 2018).
    """

    def __init__(self, image_size: ImageSize, channels: int, width: int = 64, norm: str = "none") -> None:
        super().__init__()
        last, widths = _maps(image_size, width)
        layers: list[nn.Module] = []
        for narrow, wide in zip([channels, *widths], widths):
            norms = [] if norm in LAYERLESS or not layers else [norm_layer(norm, wide)]
            layers += [nn.Conv2d(narrow, wide, 5, 2, 2), *norms, nn.LeakyReLU(0.2)]
        self.layers = nn.Sequential(*layers, nn.Flatten(), nn.Linear(widths[-1] * math.prod(last), 1))
        glorot_he_(self)
        normalize_weights_(self, norm)

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x).flatten()


def _maps(image_size: ImageSize, width: int) -> tuple[tuple[int, int], list[int]]:
    """Size of the smallest map, 4 x 4 of a square, and channels of the hidden maps, from the image to that map."""
    start, k = doublings(image_size)
    if start == 7:
        start, k = 4, k + 1
    return sides(start), [width * 2**i for i in range(k)]


def _double(channels: int, out: int) -> nn.Module:
    return nn.ConvTranspose2d(channels, out, 5, 2, 2, output_padding=1)
