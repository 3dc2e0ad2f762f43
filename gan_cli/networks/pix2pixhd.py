"""The networks of pix2pixHD (Wang et al. 2018, arXiv 1711.11585; settings of NVIDIA/pix2pixHD, networks.py).

Instance normalization without affine parameters, reflection padding, weights N(0, 0.02), biases as
torch has them.
"""

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn
from torch.nn.functional import avg_pool2d

from gan_cli.networks.init import normal_convolutions_
from gan_cli.networks.output import bounded
from gan_cli.networks.resnet import ResidualBlock
from gan_cli.networks.sizes import at_least, multiple
from gan_cli.utils.image_size import ImageSize


def half(x: Tensor) -> Tensor:
    """Halve the size by means of 3 x 3 pixels, without the padding: (N, C, H, W) -> (N, C, ceil(H/2), ceil(W/2))."""
    return avg_pool2d(x, 3, stride=2, padding=1, count_include_pad=False)


def _down(narrow: int, wide: int) -> list[nn.Module]:
    """d: a 3x3 convolution of stride 2."""
    return [nn.Conv2d(narrow, wide, 3, 2, 1), nn.InstanceNorm2d(wide), nn.ReLU()]


def _up(wide: int, narrow: int) -> list[nn.Module]:
    """u: a transposed 3x3 convolution of stride 2."""
    return [nn.ConvTranspose2d(wide, narrow, 3, 2, 1, 1), nn.InstanceNorm2d(narrow), nn.ReLU()]


def _front(channels: int, width: int) -> list[nn.Module]:
    """c7s1: a 7x7 convolution."""
    return [nn.ReflectionPad2d(3), nn.Conv2d(channels, width, 7), nn.InstanceNorm2d(width), nn.ReLU()]


def _head(width: int, channels: int, value_range: Sequence[float] | None) -> nn.Sequential:
    """c7s1 without normalization, bounded to the range of the data."""
    return nn.Sequential(nn.ReflectionPad2d(3), nn.Conv2d(width, channels, 7), bounded(value_range))


def _hourglass(inputs: int, width: int, downs: int, blocks: int) -> nn.Sequential:
    """c7s1-width, `downs` layers d, `blocks` residual blocks, `downs` layers u."""
    widths = [width * 2**i for i in range(downs + 1)]
    layers = _front(inputs, width)
    for narrow, wide in pairwise(widths):
        layers += _down(narrow, wide)
    layers += [ResidualBlock(widths[-1]) for _ in range(blocks)]
    for narrow, wide in zip(widths[-2::-1], widths[:0:-1]):
        layers += _up(wide, narrow)
    return nn.Sequential(*layers)


def _check(x: Tensor, of: int) -> None:
    """ValueError unless H and W are multiples of `of`, and at least twice that."""
    for size in x.shape[2:]:
        multiple(size, of, 2 * of)


class GlobalGenerator(nn.Module):
    """Global generator G1: c7s1-64, d128, d256, d512, d1024, R1024 x 9, u512, u256, u128, u64, c7s1-3.

    (N, sum(inputs), H, W) -> image (N, channels, H, W) in `value_range`, or with `features` the last feature map
    (N, width, H, W). inputs: channels of the parts that are concatenated, such as [classes, boundary]. It has
    182,546,755 parameters for 36 -> 3 channels. Raises ValueError unless H and W are multiples of 2^downs and at least
    twice that, since instance normalization needs two pixels.
    """

    def __init__(
        self, image_size: ImageSize, inputs: Sequence[int], channels: int,
        value_range: Sequence[float] | None = (-1.0, 1.0), width: int = 64, downs: int = 4, blocks: int = 9,
    ) -> None:
        super().__init__()
        self.width, self.multiple = width, 2**downs
        multiple(image_size, self.multiple, 2 * self.multiple)
        # The trunk is separate from the head, because the enhancer replaces the head by its own layers.
        self.trunk = _hourglass(sum(inputs), width, downs, blocks)
        self.head = _head(width, channels, value_range)
        normal_convolutions_(self)

    def forward(self, s: Tensor, features: bool = False) -> Tensor:
        _check(s, self.multiple)
        last = self.trunk(s)
        return last if features else self.head(last)


class LocalEnhancer(nn.Module):
    """Local enhancer G2: c7s1-32, d64, + the last feature map of G1, R64 x 3, u32, c7s1-3.

    s (N, sum(inputs), H, W), features of G1 (N, 2 width, H/2, W/2) -> image (N, channels, H, W). G1 is twice as wide
    and works at half the size. Raises ValueError for odd H or W.
    """

    def __init__(
        self, image_size: ImageSize, inputs: Sequence[int], channels: int,
        value_range: Sequence[float] | None = (-1.0, 1.0), width: int = 32, blocks: int = 3,
    ) -> None:
        super().__init__()
        self.width = width
        multiple(image_size, of=2, least=4)
        self.front = nn.Sequential(*_front(sum(inputs), width), *_down(width, 2 * width))
        self.tail = nn.Sequential(*[ResidualBlock(2 * width) for _ in range(blocks)], *_up(2 * width, width))
        self.head = _head(width, channels, value_range)
        normal_convolutions_(self)

    def forward(self, s: Tensor, features: Tensor) -> Tensor:
        _check(s, 2)
        return self.head(self.tail(self.front(s) + features))


class PatchFeatures(nn.Module):
    """PatchGAN that returns all its layers: (N, channels, H, W) -> n_layers + 1 feature maps, and scores (N, 1, h, w).

    C64-C128-C256-C512 and a 1-channel convolution, with 4 x 4 kernels and padding 2: n_layers layers of stride 2, then
    one of stride 1; instance normalization in all but the first and the last.
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
        outputs = []
        for layer in self.layers:
            x = layer(x)
            outputs.append(x)
        return outputs


class MultiscaleDiscriminator(nn.Module):
    """Discriminators D_1, ..., D_num_D: PatchGANs of the image at full size, half the size, a quarter, ...

    (N, sum(inputs), H, W) -> for each scale, the finest first, the feature maps and scores of PatchFeatures. skip:
    number of the finest discriminators to omit, for an image that is smaller by 2^skip. Raises ValueError if the
    coarsest image has fewer than 4 pixels.
    """

    def __init__(
        self, image_size: ImageSize, inputs: Sequence[int], width: int = 64, n_layers: int = 3, num_D: int = 3
    ) -> None:
        super().__init__()
        if num_D < 1 or n_layers < 1:
            raise ValueError(f"num_D={num_D}, n_layers={n_layers}: a discriminator needs a scale and a layer")
        at_least(image_size, 4 * 2 ** (num_D - 1), f"num_D={num_D} needs")
        self.scales = nn.ModuleList([PatchFeatures(sum(inputs), width, n_layers) for _ in range(num_D)])
        normal_convolutions_(self)

    def forward(self, x: Tensor, skip: int = 0) -> list[list[Tensor]]:
        outputs = []
        for D in list(self.scales)[skip:]:
            outputs.append(D(x))
            x = half(x)
        return outputs


class Encoder(nn.Module):
    """Encoder E: c7s1-16, d32, d64, d128, d256, u128, u64, u32, u16, c7s1-3, tanh.

    image (N, channels, H, W) -> feature map (N, features, H, W) in [-1, 1], to be averaged over instances.
    """

    def __init__(
        self, image_size: ImageSize, channels: int, features: int = 3, width: int = 16, downs: int = 4
    ) -> None:
        super().__init__()
        self.multiple = 2**downs
        multiple(image_size, self.multiple, 2 * self.multiple)
        self.layers = nn.Sequential(
            _hourglass(channels, width, downs, blocks=0), _head(width, features, value_range=(-1.0, 1.0))
        )
        normal_convolutions_(self)

    def forward(self, x: Tensor) -> Tensor:
        _check(x, self.multiple)
        return self.layers(x)
