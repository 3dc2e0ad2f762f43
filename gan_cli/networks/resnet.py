"""The generator of CycleGAN (Zhu et al. 2017, appendix; after Johnson et al. 2016): c7s1-64, d128, d256, R256 x n, ...

Instance normalization without affine parameters or running statistics; convolutions with biases; reflection padding.
"""

from collections.abc import Sequence

from torch import Tensor, nn

from gan_cli.networks.init import normal_
from gan_cli.networks.output import bounded
from gan_cli.networks.sizes import multiple
from gan_cli.utils.image_size import ImageSize


class ResidualBlock(nn.Module):
    """Residual block R: x + two 3x3 convolutions, without an activation after the sum."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.ReflectionPad2d(1), nn.Conv2d(channels, channels, 3), nn.InstanceNorm2d(channels), nn.ReLU(),
            nn.ReflectionPad2d(1), nn.Conv2d(channels, channels, 3), nn.InstanceNorm2d(channels),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x)


class ResNetGenerator(nn.Module):
    """Translator: image (N, in_channels, H, W) -> image (N, channels, H, W) in `value_range`.

    in_channels: `channels` if None. blocks: 6 for 128 pixels, 9 for 256 and more. width: channels of the first layer.
    The network is convolutional, so that image_size is only checked. H and W are multiples of 4 from 8 on; ValueError
    names the nearest sizes.
    """

    def __init__(
        self,
        image_size: ImageSize,
        channels: int,
        value_range: Sequence[float] | None = (-1.0, 1.0),
        width: int = 64,
        blocks: int = 6,
        in_channels: int | None = None,
    ) -> None:
        super().__init__()
        multiple(image_size, of=4, least=8)
        self.layers = nn.Sequential(
            nn.ReflectionPad2d(3), nn.Conv2d(in_channels or channels, width, 7), nn.InstanceNorm2d(width), nn.ReLU(),
            nn.Conv2d(width, 2 * width, 3, 2, 1), nn.InstanceNorm2d(2 * width), nn.ReLU(),
            nn.Conv2d(2 * width, 4 * width, 3, 2, 1), nn.InstanceNorm2d(4 * width), nn.ReLU(),
            *[ResidualBlock(4 * width) for _ in range(blocks)],
            nn.ConvTranspose2d(4 * width, 2 * width, 3, 2, 1, 1), nn.InstanceNorm2d(2 * width), nn.ReLU(),
            nn.ConvTranspose2d(2 * width, width, 3, 2, 1, 1), nn.InstanceNorm2d(width), nn.ReLU(),
            nn.ReflectionPad2d(3), nn.Conv2d(width, channels, 7), bounded(value_range),
        )  # fmt: skip
        normal_(self)

    def forward(self, x: Tensor) -> Tensor:
        for size in x.shape[2:]:
            multiple(size, of=4, least=8)
        return self.layers(x)
