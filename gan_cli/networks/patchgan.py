"""PatchGAN: a discriminator that scores overlapping patches (Isola et al. 2017; Zhu et al. 2017, appendix).
"""

from torch import Tensor, nn

from gan_cli.networks.init import normal_


class Discriminator(nn.Module):
    """image (N, channels, H, W) -> score map (N, 1, h, w): C64-C128-C256-C512 and a 1-channel convolution,
    4x4 kernels.

    n_layers stride-2 layers and two of stride 1: a score sees 16, 34, 70, 142 pixels for n_layers 1, 2, 3,
    4. Instance normalisation on all but the first and the last layer. ValueError when the map would be
    empty.
    """

    def __init__(self, image_size: int, channels: int, width: int = 64, n_layers: int = 3) -> None:
        super().__init__()
        least = 3 * 2**n_layers
        if image_size < least:
            raise ValueError(f"image_size {image_size}: n_layers={n_layers} needs {least} pixels or more")
        layers: list[nn.Module] = [nn.Conv2d(channels, width, 4, 2, 1), nn.LeakyReLU(0.2)]
        narrow = width
        for i in range(1, n_layers + 1):
            wide, stride = width * min(2**i, 8), 2 if i < n_layers else 1
            layers += [nn.Conv2d(narrow, wide, 4, stride, 1), nn.InstanceNorm2d(wide), nn.LeakyReLU(0.2)]
            narrow = wide
        self.layers = nn.Sequential(*layers, nn.Conv2d(narrow, 1, 4, 1, 1))
        normal_(self)

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)
