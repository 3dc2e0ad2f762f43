"""A U-Net with the noise in every encoder layer (BicycleGAN, Zhu et al. 2017, arXiv 1711.11586; MSGAN's pix2pix)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from gan_cli.networks.init import xavier_
from gan_cli.networks.output import bounded
from gan_cli.networks.sizes import halvings, multiple
from gan_cli.utils.image_size import ImageSize


def as_planes(z: Tensor, like: Tensor) -> Tensor:
    """Expand z (N, d) to d constant channels of the size of `like` (N, C, H, W): (N, d, H, W)."""
    return z[:, :, None, None].expand(-1, -1, *like.shape[2:])


class NoiseUNet(nn.Module):
    """Generator: image (N, in_channels, H, W), z (N, latent_dim) -> image (N, channels, H, W) in `value_range`.

    image_size = 2^k, 8 or more: k halvings to one pixel and k doublings by 4 x 4 kernels of stride 2, with width
    channels at first and twice as many at each level up to 8 width; z is concatenated with the input of each halving.
    As in BicycleGAN's code: instance normalization in all but the first, the last and the innermost layer, no dropout,
    slope .2 in the encoder, Xavier weights of gain .02. H and W are multiples of 2^k, where k is the largest for which
    both sides of an image_size that is not square are; ValueError otherwise.
    """

    def __init__(
        self,
        image_size: ImageSize,
        channels: int,
        value_range: Sequence[float] | None = (-1.0, 1.0),
        latent_dim: int = 8,
        width: int = 64,
        in_channels: int | None = None,
    ) -> None:
        super().__init__()
        depth = halvings(image_size)
        widths = [width * min(2**k, 8) for k in range(depth)]
        encoder, decoder = [in_channels or channels, *widths], [channels, *widths]
        self.multiple = 2**depth
        self.down = nn.ModuleList(
            self._half(encoder[k] + latent_dim, encoder[k + 1], first=k == 0, norm=0 < k < depth - 1)
            for k in range(depth)
        )
        self.up = nn.ModuleList(
            self._double(decoder[k + 1] * (1 if k == depth - 1 else 2), decoder[k], norm=k > 0)
            for k in reversed(range(depth))
        )
        self.last = bounded(value_range)
        xavier_(self)

    @staticmethod
    def _half(before: int, after: int, first: bool, norm: bool) -> nn.Sequential:
        layers = [nn.Identity() if first else nn.LeakyReLU(0.2), nn.Conv2d(before, after, 4, 2, 1)]
        return nn.Sequential(*layers, nn.InstanceNorm2d(after) if norm else nn.Identity())

    @staticmethod
    def _double(before: int, after: int, norm: bool) -> nn.Sequential:
        layers = [nn.ReLU(), nn.ConvTranspose2d(before, after, 4, 2, 1)]
        return nn.Sequential(*layers, nn.InstanceNorm2d(after) if norm else nn.Identity())

    def forward(self, x: Tensor, z: Tensor) -> Tensor:
        for size in x.shape[2:]:
            multiple(size, of=self.multiple, least=self.multiple)
        skips = []
        for layer in self.down:
            x = layer(torch.cat([x, as_planes(z, x)], dim=1))
            skips.append(x)
        skips.pop()  # the innermost map is the input of the decoder
        for layer in self.up:
            x = layer(x)
            x = torch.cat([x, skips.pop()], dim=1) if skips else x
        return self.last(x)
