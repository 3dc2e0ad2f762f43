"""The networks of DualGAN's code (Yi et al. 2017, arXiv 1704.02510; model.py and ops.py), at 256 pixels there.

Differs: TensorFlow pads a 3x3 convolution of stride 2 at the right and below only, and here it is all around.
"""

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from gan_cli.networks.output import bounded
from gan_cli.networks.sizes import doublings, halvings, multiple


class InstanceNorm(nn.Module):
    """What ops.py calls batch_norm: each map of each image to mean 0 and variance 1, scaled and shifted by channel.

    A map of one pixel becomes the shift, whatever it was, where torch's own layer refuses it. Scales start as N(1,
    .02).
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(1 + 0.02 * torch.randn(channels)), nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        return torch.group_norm(x, x.shape[1], self.weight, self.bias, 1e-6)


class Generator(nn.Module):
    """image (N, channels, H, W) -> image of the same shape in `value_range`: a U-Net of convolutions 3x3, 5x5 the first
    and the last, all of stride 2.

    image_size = 2^k: k of them down to one pixel and k transposed ones up, with min(2^i, 8) width channels at level i;
    instance normalisation but at the first and the last, LeakyReLU .2 before a convolution and ReLU before a transposed
    one. No dropout: the code's default. H and W are multiples of image_size; ValueError names the nearest sizes.
    """

    def __init__(
        self,
        image_size: int,
        channels: int,
        value_range: Sequence[float] | None = (-1.0, 1.0),
        width: int = 64,
    ) -> None:
        super().__init__()
        k = halvings(image_size)
        self.image_size = image_size
        wide = [width * min(2**i, 8) for i in range(k)]
        self.down = nn.ModuleList([nn.Conv2d(channels, width, 5, 2, 2)])
        for a, b in itertools.pairwise(wide):
            self.down.append(nn.Sequential(nn.LeakyReLU(0.2), nn.Conv2d(a, b, 3, 2, 1), InstanceNorm(b)))
        self.up = nn.ModuleList()
        for i, b in enumerate(wide[-2::-1]):
            a = wide[-1 - i] * (2 if i else 1)  # the skip connection
            self.up.append(nn.Sequential(nn.ReLU(), nn.ConvTranspose2d(a, b, 3, 2, 1, 1), InstanceNorm(b)))
        last = nn.ConvTranspose2d(2 * width, channels, 5, 2, 2, 1)
        self.up.append(nn.Sequential(nn.ReLU(), last, bounded(value_range)))
        _initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        for size in x.shape[2:]:
            multiple(size, of=self.image_size, least=self.image_size)
        seen: list[Tensor] = []
        for down in self.down:
            x = down(x)
            seen.append(x)
        for i, up in enumerate(self.up):
            x = up(torch.cat([x, seen[-1 - i]], 1) if i else x)
        return x


class Critic(nn.Module):
    """image -> scores (N,), of the whole image, or with `patch` a map (N, 1, h, w).

    Convolutions of stride 2, 5x5 the first and 3x3 the others, to width, 2, 4, 8 and 8 width channels: five, or as many
    as leave 4 or 7 pixels. LeakyReLU .2, instance normalisation on all but the first; then a linear layer, or one more
    convolution. ValueError for a size that is not 4 or 7 times a power of two.
    """

    def __init__(self, image_size: int, channels: int, width: int = 64, patch: bool = False) -> None:
        super().__init__()
        _, k = doublings(image_size)
        wide = [width * min(2**i, 8) for i in range(min(k, 5))]
        layers: list[nn.Module] = [nn.Conv2d(channels, width, 5, 2, 2), nn.LeakyReLU(0.2)]
        for a, b in itertools.pairwise(wide):
            layers += [nn.Conv2d(a, b, 3, 2, 1), InstanceNorm(b), nn.LeakyReLU(0.2)]
        side = image_size // 2 ** len(wide)
        whole = [nn.Flatten(), nn.Linear(wide[-1] * side**2, 1), nn.Flatten(0)]
        self.layers = nn.Sequential(*layers, *([nn.Conv2d(wide[-1], 1, 3, 2, 1)] if patch else whole))
        _initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


def _initialise(network: nn.Module) -> None:
    """Normal weights of deviation .02, those of convolutions cut at two deviations; biases 0."""
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.trunc_normal_(layer.weight, 0.0, 0.02, -0.04, 0.04)
        elif isinstance(layer, (nn.ConvTranspose2d, nn.Linear)):
            nn.init.normal_(layer.weight, 0.0, 0.02)
        if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)) and layer.bias is not None:
            nn.init.zeros_(layer.bias)
