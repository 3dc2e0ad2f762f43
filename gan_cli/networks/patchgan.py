"""PatchGAN: a discriminator that scores overlapping patches (Isola et al. 2017; Zhu et al. 2017, appendix)."""

import torch
from torch import Tensor, nn

from gan_cli.networks.init import normal_
from gan_cli.networks.norm import norm_layer, normalize_weights_
from gan_cli.networks.sizes import at_least
from gan_cli.utils.image_size import ImageSize


class Discriminator(nn.Module):
    """Discriminator: image (N, channels, H, W) -> score map (N, 1, h, w).

    C64-C128-C256-C512 and a 1-channel convolution. All kernels are 4x4: n_layers convolutions of stride 2 and two of
    stride 1, with min(2^i, 8) width channels in layer i. The receptive field of a score has 16, 34, 70, 142, 286, 574
    pixels for n_layers 1 to 6. n_layers 0 is the PixelGAN, 1x1 convolutions to width, 2 width and 1 channels, which
    scores single pixels. norm, in all but the first and the last layer: instance (CycleGAN), batch (pix2pix; without
    biases before it), layer, none or spectral. Raises ValueError if the map would be empty.
    """

    def __init__(
        self, image_size: ImageSize, channels: int, width: int = 64, n_layers: int = 3, norm: str = "instance"
    ) -> None:
        super().__init__()
        if n_layers < 0:
            raise ValueError(f"n_layers {n_layers}: 0 is for single pixels, 3 for patches of 70")
        least = 3 * 2**n_layers if n_layers else 1
        at_least(image_size, least, f"n_layers={n_layers} needs")
        kernel, padding = (4, 1) if n_layers else (1, 0)
        first = nn.Conv2d(channels, width, kernel, 2 if n_layers else 1, padding)
        layers: list[nn.Module] = [first, nn.LeakyReLU(0.2)]
        narrow = width
        for i in range(1, max(n_layers, 1) + 1):
            wide, stride = width * min(2**i, 8), 2 if i < n_layers else 1
            convolution = nn.Conv2d(narrow, wide, kernel, stride, padding, bias=norm != "batch")
            layers += [convolution, norm_layer(norm, wide), nn.LeakyReLU(0.2)]
            narrow = wide
        self.layers = nn.Sequential(*layers, nn.Conv2d(narrow, 1, kernel, 1, padding))
        normal_(self)
        normalize_weights_(self, norm)

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


class PairDiscriminator(Discriminator):
    """PatchGAN of pairs: x (N, in_channels, H, W), y (N, channels, H, W) -> score map (Isola et al. 2017, eq. 1).

    condition: False ignores x, which is the unconditional variant of eq. 2. in_channels: `channels` if None.
    """

    def __init__(
        self,
        image_size: ImageSize,
        channels: int,
        in_channels: int | None = None,
        condition: bool = True,
        width: int = 64,
        n_layers: int = 3,
        norm: str = "batch",
    ) -> None:
        inputs = channels + (in_channels or channels) * condition
        super().__init__(image_size, inputs, width, n_layers, norm)
        self.condition = condition

    def forward(self, x: Tensor, y: Tensor) -> Tensor:  # type: ignore[override]
        return self.layers(torch.cat([x, y], 1) if self.condition else y)
