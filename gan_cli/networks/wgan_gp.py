"""The convolutional networks of WGAN-GP's code (gan_mnist.py, gan_cifar.py) at 4*2^k or 7*2^k pixels.

5x5 kernels of stride 2 between 4x4 maps and the image; for 28 pixels, maps of 8x8 are cropped to 7x7. With a gradient
penalty the critic has no batch normalization, because a score must not depend on the other samples of the batch.
Differs: symmetric padding of 2 in place of TensorFlow's SAME.
"""

import itertools
from collections.abc import Sequence

from torch import Tensor, nn

from gan_cli.networks.init import glorot_he_
from gan_cli.networks.norm import LAYERLESS, norm_layer, normalize_weights_
from gan_cli.networks.output import bounded
from gan_cli.networks.sizes import doublings


class Generator(nn.Module):
    """Generator: z (N, latent_dim) -> image in `value_range`. norm: batch (gan_cifar.py) or none (gan_mnist.py)."""

    def __init__(
        self,
        image_size: int,
        channels: int,
        value_range: Sequence[float] | None = (-1.0, 1.0),
        latent_dim: int = 128,
        width: int = 64,
        norm: str = "batch",
    ) -> None:
        super().__init__()
        widths = _widths(image_size, width)[::-1]
        layers: list[nn.Module] = [nn.Linear(latent_dim, widths[0] * 4 * 4)]
        layers += [nn.Unflatten(1, (widths[0], 4, 4)), norm_layer(norm, widths[0]), nn.ReLU()]
        for wide, narrow in itertools.pairwise(widths):
            layers += [_double(wide, narrow), norm_layer(norm, narrow), nn.ReLU()]
        if image_size % 7 == 0:
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

    def __init__(self, image_size: int, channels: int, width: int = 64, norm: str = "none") -> None:
        super().__init__()
        widths = _widths(image_size, width)
        layers: list[nn.Module] = []
        for narrow, wide in zip([channels, *widths], widths):
            norms = [] if norm in LAYERLESS or not layers else [norm_layer(norm, wide)]
            layers += [nn.Conv2d(narrow, wide, 5, 2, 2), *norms, nn.LeakyReLU(0.2)]
        self.layers = nn.Sequential(*layers, nn.Flatten(), nn.Linear(widths[-1] * 4 * 4, 1))
        glorot_he_(self)
        normalize_weights_(self, norm)

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x).flatten()


def _widths(image_size: int, width: int) -> list[int]:
    """Channels of the hidden maps, from the image to the 4x4 map."""
    start, k = doublings(image_size)
    return [width * 2**i for i in range(k if start == 4 else k + 1)]


def _double(channels: int, out: int) -> nn.Module:
    return nn.ConvTranspose2d(channels, out, 5, 2, 2, output_padding=1)
