"""The networks of pix2pixHD (Wang et al. 2018, arXiv 1711.11585; settings: NVIDIA/pix2pixHD, networks.py).

Instance normalisation without affine parameters, reflection padding, weights N(0, 0.02).
"""

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn
from torch.nn.functional import avg_pool2d

from gan_cli.networks.init import normal_
from gan_cli.networks.output import bounded
from gan_cli.networks.resnet import Block
from gan_cli.networks.sizes import multiple


def half(x: Tensor) -> Tensor:
    """(N, C, H, W) -> (N, C, ceil(H/2), ceil(W/2)): means of 3 x 3 pixels, at the border of those that exist."""
    return avg_pool2d(x, 3, stride=2, padding=1, count_include_pad=False)


def _down(narrow: int, wide: int) -> list[nn.Module]:
    return [nn.Conv2d(narrow, wide, 3, 2, 1), nn.InstanceNorm2d(wide), nn.ReLU()]


def _up(wide: int, narrow: int) -> list[nn.Module]:
    return [nn.ConvTranspose2d(wide, narrow, 3, 2, 1, 1), nn.InstanceNorm2d(narrow), nn.ReLU()]


def _front(channels: int, width: int) -> list[nn.Module]:
    """c7s1."""
    return [nn.ReflectionPad2d(3), nn.Conv2d(channels, width, 7), nn.InstanceNorm2d(width), nn.ReLU()]


def _head(width: int, channels: int, value_range: Sequence[float] | None) -> nn.Sequential:
    """c7s1 that ends in the range of the data."""
    return nn.Sequential(nn.ReflectionPad2d(3), nn.Conv2d(width, channels, 7), bounded(value_range))


def _hourglass(inputs: int, width: int, downs: int, blocks: int) -> nn.Sequential:
    """c7s1-w, d2w, ..., R x blocks, ..., uw."""
    widths = [width * 2**i for i in range(downs + 1)]
    layers = _front(inputs, width)
    for narrow, wide in pairwise(widths):
        layers += _down(narrow, wide)
    layers += [Block(widths[-1]) for _ in range(blocks)]
    for narrow, wide in zip(widths[-2::-1], widths[:0:-1]):
        layers += _up(wide, narrow)
    return nn.Sequential(*layers)


def _check(x: Tensor, of: int) -> None:
    for size in x.shape[2:]:
        multiple(size, of, 2 * of)


class GlobalGenerator(nn.Module):
    """G1: c7s1-64, d128, d256, d512, d1024, R1024 x 9, u512, u256, u128, u64, c7s1-3.

    182,546,755 parameters for 36 -> 3.

    (N, sum(inputs), H, W) -> picture (N, channels, H, W) in `value_range`, or with `features` the last feature map
    (N, width, H, W). inputs: channels of the parts that are concatenated, such as [classes, boundary]. ValueError
    unless H and W are multiples of 2^downs, and at least twice that: instance normalisation needs two pixels.
    """

    def __init__(
        self, image_size: int, inputs: Sequence[int], channels: int, value_range: Sequence[float] | None = (-1.0, 1.0),
        width: int = 64, downs: int = 4, blocks: int = 9,
    ) -> None:
        super().__init__()
        self.width, self.multiple = width, 2**downs
        multiple(image_size, self.multiple, 2 * self.multiple)
        self.trunk = _hourglass(sum(inputs), width, downs, blocks)
        self.head = _head(width, channels, value_range)
        normal_(self)

    def forward(self, s: Tensor, features: bool = False) -> Tensor:
        _check(s, self.multiple)
        last = self.trunk(s)
        return last if features else self.head(last)


class LocalEnhancer(nn.Module):
    """G2: c7s1-32, d64, + G1's last feature map, R64 x 3, u32, c7s1-3.

    s (N, sum(inputs), H, W) and G1's features (N, 2 width, H/2, W/2) -> picture (N, channels, H, W): G1 is twice
    as wide, and works at half the size. ValueError for odd H or W.
    """

    def __init__(
        self, image_size: int, inputs: Sequence[int], channels: int, value_range: Sequence[float] | None = (-1.0, 1.0),
        width: int = 32, blocks: int = 3,
    ) -> None:
        super().__init__()
        self.width = width
        multiple(image_size, of=2, least=4)
        self.front = nn.Sequential(*_front(sum(inputs), width), *_down(width, 2 * width))
        self.tail = nn.Sequential(*[Block(2 * width) for _ in range(blocks)], *_up(2 * width, width))
        self.head = _head(width, channels, value_range)
        normal_(self)

    def forward(self, s: Tensor, features: Tensor) -> Tensor:
        _check(s, 2)
        return self.head(self.tail(self.front(s) + features))


class PatchFeatures(nn.Module):
    """PatchGAN that shows its layers: C64-C128-C256-C512 and a 1-channel convolution, 4 x 4 kernels, padding 2.

    (N, channels, H, W) -> the n_layers + 1 feature maps and the score map (N, 1, h, w). n_layers stride-2 layers, then
    one of stride 1; instance normalisation on all but the first and the last.
    """

    def __init__(self, channels: int, width: int = 64, n_layers: int = 3) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Sequential(nn.Conv2d(channels, width, 4, 2, 2), nn.LeakyReLU(0.2))]
        narrow = width
        for i in range(1, n_layers + 1):
            wide, stride = width * min(2**i, 8), 2 if i < n_layers else 1
            conv = nn.Conv2d(narrow, wide, 4, stride, 2)
            layers.append(nn.Sequential(conv, nn.InstanceNorm2d(wide), nn.LeakyReLU(0.2)))
            narrow = wide
        self.layers = nn.ModuleList([*layers, nn.Conv2d(narrow, 1, 4, 1, 2)])

    def forward(self, x: Tensor) -> list[Tensor]:
        found = []
        for layer in self.layers:
            x = layer(x)
            found.append(x)
        return found


class MultiscaleDiscriminator(nn.Module):
    """D_1, ..., D_num_D: PatchGANs on the picture at full size, half of it, a quarter, ...

    (N, sum(inputs), H, W) -> for each scale, the finest first, the feature maps and scores of PatchFeatures. skip:
    leave out the finest D's, for a picture that is smaller by 2^skip. ValueError when the coarsest picture has fewer
    than 4 pixels.
    """

    def __init__(
        self, image_size: int, inputs: Sequence[int], width: int = 64, n_layers: int = 3, num_D: int = 3
    ) -> None:
        super().__init__()
        if num_D < 1 or n_layers < 1:
            raise ValueError(f"num_D={num_D}, n_layers={n_layers}: a discriminator has one scale and layer at least")
        if image_size < 4 * 2 ** (num_D - 1):
            raise ValueError(f"image_size {image_size}: num_D={num_D} needs {4 * 2 ** (num_D - 1)} pixels or more")
        self.scales = nn.ModuleList([PatchFeatures(sum(inputs), width, n_layers) for _ in range(num_D)])
        normal_(self)

    def forward(self, x: Tensor, skip: int = 0) -> list[list[Tensor]]:
        found = []
        for D in list(self.scales)[skip:]:
            found.append(D(x))
            x = half(x)
        return found


class Encoder(nn.Module):
    """E: c7s1-16, d32, d64, d128, d256, u128, u64, u32, u16, c7s1-3, tanh.

    picture (N, channels, H, W) -> a map of features (N, features, H, W) in [-1, 1], to be averaged over instances.
    """

    def __init__(
        self, image_size: int, channels: int, features: int = 3, width: int = 16, downs: int = 4
    ) -> None:
        super().__init__()
        self.multiple = 2**downs
        multiple(image_size, self.multiple, 2 * self.multiple)
        self.layers = nn.Sequential(
            _hourglass(channels, width, downs, blocks=0), _head(width, features, value_range=(-1.0, 1.0))
        )
        normal_(self)

    def forward(self, x: Tensor) -> Tensor:
        _check(x, self.multiple)
        return self.layers(x)
