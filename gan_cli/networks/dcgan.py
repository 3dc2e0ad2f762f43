"""The networks of DCGAN (Radford, Metz, Chintala 2016, arXiv 1511.06434; dcgan.torch), at 4*2^k or 7*2^k pixels.

At 64 pixels and width 64 the layers are those of main.lua of dcgan.torch. At other sizes the number of doublings
differs, and 28 = 7*2*2 pixels start from 7 x 7. The networks of WGAN are the same.
"""

import itertools
from collections.abc import Sequence

from torch import Tensor, nn

from gan_cli.networks.init import normal_, normal_convolutions_
from gan_cli.networks.norm import LAYERLESS, norm_layer, normalize_weights_
from gan_cli.networks.output import bounded
from gan_cli.networks.sizes import doublings
from gan_cli.utils.image_size import ImageSize


class Generator(nn.Module):
    """Generator: z (N, latent_dim) -> image (N, channels, H, W) in `value_range`.

    width: channels of the last hidden layer (ngf); each layer before it has twice as many. norm: see norm_layer.
    torch_defaults: biases in all convolutions, which start as torch has them, as does batch normalization (MSGAN).
    The weights of convolutions are N(0, .02) either way.
    """

    def __init__(
        self,
        image_size: ImageSize,
        channels: int,
        value_range: Sequence[float] | None = (-1.0, 1.0),
        latent_dim: int = 100,
        width: int = 64,
        norm: str = "batch",
        torch_defaults: bool = False,
    ) -> None:
        super().__init__()
        start, k = doublings(image_size)
        widths = [width * 2**i for i in reversed(range(k))]
        bias = torch_defaults or norm in LAYERLESS  # batch normalization has a bias of its own
        layers: list[nn.Module] = [nn.ConvTranspose2d(latent_dim, widths[0], start, bias=bias)]
        for wide, narrow in itertools.pairwise(widths):
            layers += [norm_layer(norm, wide), nn.ReLU()]
            layers += [nn.ConvTranspose2d(wide, narrow, 4, 2, 1, bias=bias)]
        layers += [norm_layer(norm, width), nn.ReLU()]
        layers += [nn.ConvTranspose2d(width, channels, 4, 2, 1, bias=torch_defaults), bounded(value_range)]
        self.layers = nn.Sequential(*layers)
        (normal_convolutions_ if torch_defaults else normal_)(self)
        normalize_weights_(self, norm)

    def forward(self, z: Tensor) -> Tensor:
        return self.layers(z[:, :, None, None])


class Discriminator(nn.Module):
    """Discriminator: image (N, channels, H, W) -> scores (N,).

    width: channels of the first layer (ndf); each later layer has twice as many. norm, torch_defaults: see Generator.
    """

    def __init__(
        self, image_size: ImageSize, channels: int, width: int = 64, norm: str = "batch", torch_defaults: bool = False
    ) -> None:
        super().__init__()
        start, k = doublings(image_size)
        widths = [width * 2**i for i in range(k)]
        bias = torch_defaults or norm in LAYERLESS
        layers: list[nn.Module] = [nn.Conv2d(channels, width, 4, 2, 1, bias=bias), nn.LeakyReLU(0.2)]
        for narrow, wide in itertools.pairwise(widths):
            layers += [nn.Conv2d(narrow, wide, 4, 2, 1, bias=bias), norm_layer(norm, wide), nn.LeakyReLU(0.2)]
        self.layers = nn.Sequential(*layers, nn.Conv2d(widths[-1], 1, start, bias=torch_defaults))
        (normal_convolutions_ if torch_defaults else normal_)(self)
        normalize_weights_(self, norm)

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x).flatten()
