"""Discriminators of one image at several sizes, each half of the one before."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from gan_cli.networks import patchgan
from gan_cli.networks.init import xavier_
from gan_cli.networks.sizes import at_least
from gan_cli.utils.image_size import ImageSize, sides


class MultiScale(nn.Module):
    """Discriminators of several scales; number k sees the image after k mean poolings of 3 x 3 pixels with stride 2."""

    def __init__(self, critics: Iterable[nn.Module]) -> None:
        super().__init__()
        self.critics = nn.ModuleList(critics)
        self.pool = nn.AvgPool2d(3, stride=2, padding=1, count_include_pad=False)

    @property
    def scales(self) -> int:
        """Number of discriminators."""
        return len(self.critics)

    def forward(self, x: Tensor, scale: int = 0) -> Tensor:
        """Return the score map (N, 1, h, w) of discriminator number `scale` for an image (N, C, H, W) of full size."""
        for _ in range(scale):
            x = self.pool(x)
        return self.critics[scale](x)


class MultiScalePairDiscriminator(MultiScale):
    """PatchGANs of several scales of a source and an image, which are concatenated; each has half the previous width.

    These are the discriminators of BicycleGAN and of MSGAN's pix2pix, with Xavier weights of gain .02 and slope .2 as
    in their code. in_channels: those of the source, `channels` if None. Raises ValueError if the image is too small for
    the last scale.
    """

    def __init__(
        self,
        image_size: ImageSize,
        channels: int,
        width: int = 64,
        n_layers: int = 3,
        scales: int = 2,
        in_channels: int | None = None,
    ) -> None:
        least = 3 * 2 ** (n_layers + scales - 1)
        at_least(image_size, least, f"{scales} scales of n_layers={n_layers} need")
        height, wide = sides(image_size)
        both = (in_channels or channels) + channels
        super().__init__(
            # Smaller images need fewer channels: the width halves with the size.
            patchgan.Discriminator((height >> k, wide >> k), both, width=max(1, width >> k), n_layers=n_layers)
            for k in range(scales)
        )
        xavier_(self)

    def forward(self, source: Tensor, image: Tensor, scale: int = 0) -> Tensor:  # type: ignore[override]
        return super().forward(torch.cat([source, image], dim=1), scale)
