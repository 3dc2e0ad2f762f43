"""The wider residual networks of the WGAN-GP and WGAN-div code for 64 pixels, at any multiple of 16 pixels.

They are named "Good" in gan_64x64.py and wgan_div.py. Batch normalization in G, layer normalization in D. The first
convolution of a block has no bias. D starts with a 3x3 convolution with Glorot's weights; the last convolution of G has
He's.
"""

import functools
import itertools
import math
from collections.abc import Sequence

from torch import Tensor, nn

from gan_cli.networks.norm import norm_layer
from gan_cli.networks.output import bounded
from gan_cli.networks.sizes import divided
from gan_cli.networks.wgan_gp_resnet import DownBlock, UpBlock, init_
from gan_cli.utils.image_size import ImageSize

HALVINGS = 4


class Generator(nn.Module):
    """Generator: z (N, latent_dim) -> image; four UpBlocks with 8, 4, 2 and 1 times width channels, from side / 16."""

    def __init__(
        self,
        image_size: ImageSize,
        channels: int,
        value_range: Sequence[float] | None = (-1.0, 1.0),
        latent_dim: int = 128,
        width: int = 64,
    ) -> None:
        super().__init__()
        start = divided(image_size, of=2**HALVINGS, least=2**HALVINGS)
        widths = [8 * width, 8 * width, 4 * width, 2 * width, width]
        blocks = [UpBlock(wide, narrow, nn.BatchNorm2d, bias=False) for wide, narrow in itertools.pairwise(widths)]
        self.layers = nn.Sequential(
            nn.Linear(latent_dim, 8 * width * math.prod(start)), nn.Unflatten(1, (8 * width, *start)), *blocks,
            nn.BatchNorm2d(width), nn.ReLU(), nn.Conv2d(width, channels, 3, padding=1), bounded(value_range),
        )  # fmt: skip
        init_(self)

    def forward(self, z: Tensor) -> Tensor:
        return self.layers(z)


class Discriminator(nn.Module):
    """Critic: image -> scores (N,); four DownBlocks with 2, 4, 8 and 8 times width channels.

    norm: layer as in the code, or none; a gradient penalty does not allow batch normalization.
    """

    def __init__(self, image_size: ImageSize, channels: int, width: int = 64, norm: str = "layer") -> None:
        super().__init__()
        last = divided(image_size, of=2**HALVINGS, least=2**HALVINGS)
        widths = [width, 2 * width, 4 * width, 8 * width, 8 * width]
        blocks = [
            DownBlock(narrow, wide, functools.partial(norm_layer, norm), bias=False)
            for narrow, wide in itertools.pairwise(widths)
        ]
        first = nn.Conv2d(channels, width, 3, padding=1)
        self.layers = nn.Sequential(first, *blocks, nn.Flatten(), nn.Linear(8 * width * math.prod(last), 1))
        init_(self)
        nn.init.xavier_uniform_(first.weight)

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x).flatten()
