"""Critics of one image at several sizes, each half of the one before."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from gan_cli.networks import patchgan
from gan_cli.networks.init import xavier_


class MultiScale(nn.Module):
    """`critics[k]` sees the image after k poolings (3 x 3, stride 2, the padding not counted). `scales`: how many there
    are.
    """

    def __init__(self, critics: Iterable[nn.Module]) -> None:
        super().__init__()
        self.critics = nn.ModuleList(critics)
        self.pool = nn.AvgPool2d(3, stride=2, padding=1, count_include_pad=False)

    @property
    def scales(self) -> int:
        return len(self.critics)

    def forward(self, x: Tensor, scale: int = 0) -> Tensor:
        """image (N, C, H, W) -> the score map (N, 1, h, w) of critic number `scale`."""
        for _ in range(scale):
            x = self.pool(x)
        return self.critics[scale](x)


class PairCritics(MultiScale):
    """PatchGANs of (source, image) side by side in the channels; each has half the width of the one before (the
    discriminators of BicycleGAN and of MSGAN's pix2pix; Xavier weights of gain .02 and slope .2, as their code has).
    ValueError where the image is too small for the last.
    """

    def __init__(self, image_size: int, channels: int, width: int = 64, n_layers: int = 3, scales: int = 2) -> None:
        least = 3 * 2 ** (n_layers + scales - 1)
        if image_size < least:
            raise ValueError(
                f"image_size {image_size}: {scales} scales of n_layers={n_layers} need {least} pixels or more"
            )
        super().__init__(
            patchgan.Discriminator(image_size >> k, 2 * channels, width=max(1, width >> k), n_layers=n_layers)
            for k in range(scales)
        )
        xavier_(self)

    def forward(self, source: Tensor, image: Tensor, scale: int = 0) -> Tensor:  # type: ignore[override]
        return super().forward(torch.cat([source, image], dim=1), scale)
