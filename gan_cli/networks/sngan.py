"""The standard CNN of SN-GAN (Miyato et al. 2018, arXiv 1802.05957, table 3), at any multiple of 8 pixels.

Initial weights are N(0, .02); the table does not give them.
"""

import itertools
import math
from collections.abc import Sequence

from torch import Tensor, nn

from gan_cli.networks import mlp
from gan_cli.networks.init import normal_
from gan_cli.networks.norm import normalize_weights_
from gan_cli.networks.output import bounded
from gan_cli.networks.sizes import divided
from gan_cli.utils.image_size import ImageSize


class Generator(nn.Module):
    """Generator: z (N, latent_dim) -> image.

    A linear layer, three transposed 4x4 convolutions of stride 2 with batch normalization and ReLU, and a 3x3 one.
    """

    def __init__(
        self,
        image_size: ImageSize,
        channels: int,
        value_range: Sequence[float] | None = (-1.0, 1.0),
        latent_dim: int = 128,
        width: int = 64,
    ) -> None:
        super().__init__()
        start = divided(image_size, of=8, least=8)
        widths = [8 * width, 4 * width, 2 * width, width]
        layers: list[nn.Module] = [nn.Linear(latent_dim, widths[0] * math.prod(start))]
        layers += [nn.Unflatten(1, (widths[0], *start))]
        for wide, narrow in itertools.pairwise(widths):
            layers += [nn.ConvTranspose2d(wide, narrow, 4, 2, 1), nn.BatchNorm2d(narrow), nn.ReLU()]
        self.layers = nn.Sequential(*layers, nn.Conv2d(width, channels, 3, padding=1), bounded(value_range))
        normal_(self)

    def forward(self, z: Tensor) -> Tensor:
        return self.layers(z)


class Discriminator(nn.Module):
    """Discriminator: image -> scores (N,). norm: spectral or none.

    3x3 convolutions and 4x4 ones of stride 2 alternate, with leaky ReLU .1; then a linear layer.
    """

    def __init__(self, image_size: ImageSize, channels: int, width: int = 64, norm: str = "spectral") -> None:
        super().__init__()
        last = divided(image_size, of=8, least=8)
        layers: list[nn.Module] = [nn.Conv2d(channels, width, 3, padding=1), nn.LeakyReLU(0.1)]
        for narrow, wide in itertools.pairwise([width, 2 * width, 4 * width, 8 * width]):
            layers += [nn.Conv2d(narrow, narrow, 4, 2, 1), nn.LeakyReLU(0.1)]
            layers += [nn.Conv2d(narrow, wide, 3, padding=1), nn.LeakyReLU(0.1)]
        self.layers = nn.Sequential(*layers, nn.Flatten(), nn.Linear(8 * width * math.prod(last), 1))
        normal_(self)
        normalize_weights_(self, norm)

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x).flatten()


class PointDiscriminator(mlp.PointDiscriminator):
    """Critic of points: that of gan_toy.py (WGAN-GP) with spectral normalization of the weights."""

    def __init__(self, image_size: ImageSize, channels: int, widths: Sequence[int] = (512, 512, 512)) -> None:
        super().__init__(image_size, channels, widths)
        normalize_weights_(self, "spectral")
