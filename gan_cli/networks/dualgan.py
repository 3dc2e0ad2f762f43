"""The networks of DualGAN's code (Yi et al. 2017, arXiv 1704.02510; model.py and ops.py, for 256 pixels).

Differs: TensorFlow pads a 3x3 convolution of stride 2 only at the right and at the bottom; here all sides are padded.
"""

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from gan_cli.networks.init import dcgan_tensorflow_
from gan_cli.networks.noise import NoiseDropout
from gan_cli.networks.output import bounded
from gan_cli.networks.sizes import doublings, halvings, multiple
from gan_cli.utils.image_size import ImageSize, area


class InstanceNorm(nn.Module):
    """Instance normalization with a learned scale and shift per channel, which ops.py calls batch_norm.

    The scales start as N(1, .02). A map of one pixel becomes exactly its shift, without gradients but the shift's;
    nn.InstanceNorm2d refuses such maps, and group_norm leaves rounding errors that it amplifies by 1 / eps^(1/2).
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(1 + 0.02 * torch.randn(channels)), nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        if x[0, 0].numel() == 1:
            return (x - x) * self.weight[:, None, None] + self.bias[:, None, None]
        # One group per channel is instance normalization, for maps of any size.
        return torch.group_norm(x, x.shape[1], self.weight, self.bias, 1e-6)


class Generator(nn.Module):
    """U-Net generator: image (N, in_channels, H, W) -> image (N, channels, H, W) in `value_range`.

    image_size = 2^k: k convolutions of stride 2 down to one pixel and k transposed ones up, with min(2^i, 8) width
    channels at level i. They are 3x3, the first and the last one 5x5. Instance normalization in all but the first and
    the last, LeakyReLU .2 before a convolution and ReLU before a transposed one. H and W are multiples of 2^k, where
    k is the largest for which both sides of an image_size that is not square are; ValueError names the nearest sizes.

    dropout: probability in the first three transposed layers, in training and in evaluation, as the noise z of the
    paper's section 3; 0, the default of the code, leaves the translation deterministic. in_channels: `channels` if
    None.
    """

    def __init__(
        self,
        image_size: ImageSize,
        channels: int,
        value_range: Sequence[float] | None = (-1.0, 1.0),
        width: int = 64,
        dropout: float = 0.0,
        in_channels: int | None = None,
    ) -> None:
        super().__init__()
        k = halvings(image_size)
        self.multiple = 2**k
        wide = [width * min(2**i, 8) for i in range(k)]
        self.down = nn.ModuleList([nn.Conv2d(in_channels or channels, width, 5, 2, 2)])
        for a, b in itertools.pairwise(wide):
            self.down.append(nn.Sequential(nn.LeakyReLU(0.2), nn.Conv2d(a, b, 3, 2, 1), InstanceNorm(b)))
        self.up = nn.ModuleList()
        for i, b in enumerate(wide[-2::-1]):
            a = wide[-1 - i] * (2 if i else 1)  # twice as many with the skip connection
            noise = [NoiseDropout(dropout)] if dropout and i < 3 else []
            self.up.append(nn.Sequential(nn.ReLU(), nn.ConvTranspose2d(a, b, 3, 2, 1, 1), InstanceNorm(b), *noise))
        last = nn.ConvTranspose2d(2 * width, channels, 5, 2, 2, 1)
        self.up.append(nn.Sequential(nn.ReLU(), last, bounded(value_range)))
        dcgan_tensorflow_(self)

    def forward(self, x: Tensor) -> Tensor:
        for size in x.shape[2:]:
            multiple(size, of=self.multiple, least=self.multiple)
        skips: list[Tensor] = []
        for down in self.down:
            x = down(x)
            skips.append(x)
        for i, up in enumerate(self.up):
            x = up(torch.cat([x, skips[-1 - i]], 1) if i else x)
        return x


class Critic(nn.Module):
    """Critic: image -> scores (N,) of the whole image, or with `patch` a score map (N, 1, h, w).

    Convolutions of stride 2, the first 5x5 and the others 3x3, with 1, 2, 4, 8 and 8 times width channels: five, or as
    many as leave 4 or 7 pixels. LeakyReLU .2, instance normalization in all but the first; then a linear layer, or one
    more convolution. Raises ValueError for a size that is not 4 or 7 times a power of two.
    """

    def __init__(self, image_size: ImageSize, channels: int, width: int = 64, patch: bool = False) -> None:
        super().__init__()
        _, k = doublings(image_size)
        wide = [width * min(2**i, 8) for i in range(min(k, 5))]
        layers: list[nn.Module] = [nn.Conv2d(channels, width, 5, 2, 2), nn.LeakyReLU(0.2)]
        for a, b in itertools.pairwise(wide):
            layers += [nn.Conv2d(a, b, 3, 2, 1), InstanceNorm(b), nn.LeakyReLU(0.2)]
        pixels = area(image_size) // 4 ** len(wide)
        whole = [nn.Flatten(), nn.Linear(wide[-1] * pixels, 1), nn.Flatten(0)]
        self.layers = nn.Sequential(*layers, *([nn.Conv2d(wide[-1], 1, 3, 2, 1)] if patch else whole))
        dcgan_tensorflow_(self)

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)
