"""Convolutional networks of the MMD GANs, whose critics return features instead of a score.

The DCGAN encoder of Li et al. 2017 (arXiv 1705.08584; base_module.py), whose decoder and generator are dcgan.Generator,
and the networks of Binkowski et al. 2018 (arXiv 1801.01401; gan/core/architecture.py).
"""

import itertools
import math
from collections.abc import Sequence

from torch import Tensor, nn

from gan_cli.networks.dcgan import Discriminator
from gan_cli.networks.init import dcgan_tensorflow_, normal_
from gan_cli.networks.norm import norm_layer, normalize_weights_
from gan_cli.networks.output import bounded
from gan_cli.networks.sizes import doublings
from gan_cli.utils.image_size import ImageSize, sides


class Encoder(Discriminator):
    """Encoder of Li et al.: image (N, channels, H, W) -> code (N, code_dim), at 4*2^k or 7*2^k pixels.

    It is DCGAN's discriminator with code_dim channels in the last convolution. width: channels of the first layer.
    """

    def __init__(
        self, image_size: ImageSize, channels: int, code_dim: int, width: int = 64, norm: str = "batch"
    ) -> None:
        super().__init__(image_size, channels, width, norm)
        # The parent builds a convolution to a score; it is replaced by one to the code.
        score = self.layers[-1]
        assert isinstance(score, nn.Conv2d)
        start, _ = doublings(image_size)
        self.layers[-1] = nn.Conv2d(score.in_channels, code_dim, start, bias=False)
        normal_(self.layers[-1])
        normalize_weights_(self.layers[-1], norm)

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x).flatten(1)


class Generator(nn.Module):
    """Generator of Binkowski et al.: z (N, latent_dim) -> image of any size in `value_range`.

    A linear layer and four doublings by 5x5 kernels with batch normalization. width: channels of the last hidden layer;
    each layer before has twice as many.
    """

    def __init__(
        self,
        image_size: ImageSize,
        channels: int,
        value_range: Sequence[float] | None = (0.0, 1.0),
        latent_dim: int = 128,
        width: int = 64,
    ) -> None:
        super().__init__()
        sizes, widths = halvings(image_size)[::-1], [8 * width, 4 * width, 2 * width, width, channels]
        start = (widths[0], *sizes[0])
        layers: list[nn.Module] = [nn.Linear(latent_dim, math.prod(start)), nn.Unflatten(1, start)]
        for (small, large), (wide, narrow) in zip(itertools.pairwise(sizes), itertools.pairwise(widths)):
            layers += [norm_layer("batch", wide), nn.ReLU()]
            extra = (large[0] - (2 * small[0] - 1), large[1] - (2 * small[1] - 1))
            layers += [nn.ConvTranspose2d(wide, narrow, 5, 2, 2, output_padding=extra)]
        self.layers = nn.Sequential(*layers, bounded(value_range))
        dcgan_tensorflow_(self, linear=0.01)  # core/ops.py

    def forward(self, z: Tensor) -> Tensor:
        return self.layers(z)


class Critic(nn.Module):
    """Critic of Binkowski et al.: image of any size -> features (N, features).

    Four 5x5 convolutions of stride 2 and a linear layer, without normalization, since a gradient penalty needs a score
    per sample that does not depend on the others. width: channels of the first layer.
    """

    def __init__(self, image_size: ImageSize, channels: int, features: int = 16, width: int = 64) -> None:
        super().__init__()
        widths = [channels, width, 2 * width, 4 * width, 8 * width]
        layers: list[nn.Module] = []
        for narrow, wide in itertools.pairwise(widths):
            layers += [nn.Conv2d(narrow, wide, 5, 2, 2), nn.LeakyReLU(0.2)]
        last = nn.Linear(widths[-1] * math.prod(halvings(image_size)[-1]), features)
        self.layers = nn.Sequential(*layers, nn.Flatten(), last)
        dcgan_tensorflow_(self, linear=0.01)  # core/ops.py

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


def halvings(size: ImageSize) -> list[tuple[int, int]]:
    """Return height and width and their four halvings, rounded up: 28, 14, 7, 4 and 2 of a side of 28."""
    height, width = sides(size)
    return [(-(-height // 2**k), -(-width // 2**k)) for k in range(5)]
