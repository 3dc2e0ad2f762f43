"""The residual networks of WGAN-GP for CIFAR-10 (Gulrajani et al. 2017, table 3; gan_cifar_resnet.py).

They work at 4*2^k or 7*2^k pixels. At 32 pixels the layers are those of the code; other sizes change the number of
doublings in G and of halvings in D, whose last map is 8x8 at 4*2^k pixels (16 or more). Initial weights are He's in 3x3
convolutions, and Glorot's in shortcuts, linear layers and the last convolution of G. The 1x1 convolution of a shortcut
acts on the smaller map, which is equal, because it commutes with nearest-neighbor doubling and with mean pooling.
"""

from collections.abc import Callable, Sequence

from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate

from gan_cli.networks.conditional_norm import ConditionalBatchNorm2d
from gan_cli.networks.init import glorot_he_
from gan_cli.networks.norm import normalize_weights_
from gan_cli.networks.output import bounded
from gan_cli.networks.sizes import doublings
from gan_cli.utils.image_size import ImageSize, area, sides

Norm = Callable[[int], nn.Module]
"""Number of channels -> a normalization layer for (N, channels, H, W)."""


def double(x: Tensor) -> Tensor:
    """Double the size by nearest neighbors, (N, C, H, W) -> (N, C, 2H, 2W)."""
    return interpolate(x, scale_factor=2.0, mode="nearest")


def halve(x: Tensor) -> Tensor:
    """Halve the size by means of 2 x 2 pixels, (N, C, H, W) -> (N, C, H/2, W/2)."""
    return avg_pool2d(x, 2)


class UpBlock(nn.Module):
    """Residual block that doubles the size: (N, channels, H, W) -> (N, out, 2H, 2W).

    Norm, ReLU, doubling, 3x3; norm, ReLU, 3x3; and a 1x1 shortcut. Labels y, if any, are passed to the norms.
    """

    def __init__(self, channels: int, out: int, norm: Norm, bias: bool = True) -> None:
        super().__init__()
        self.norm1, self.norm2 = norm(channels), norm(out)
        self.conv1 = nn.Conv2d(channels, out, 3, padding=1, bias=bias)
        self.conv2 = nn.Conv2d(out, out, 3, padding=1)
        self.shortcut = nn.Conv2d(channels, out, 1)

    def forward(self, x: Tensor, *y: Tensor) -> Tensor:
        h = self.conv1(double(self.norm1(x, *y).relu()))
        return double(self.shortcut(x)) + self.conv2(self.norm2(h, *y).relu())


class DownBlock(nn.Module):
    """Residual block that halves the size: (N, channels, H, W) -> (N, out, H/2, W/2).

    Norm, ReLU, 3x3; norm, ReLU, 3x3, halving; and a 1x1 shortcut.
    """

    def __init__(self, channels: int, out: int, norm: Norm = nn.Identity, bias: bool = True) -> None:
        super().__init__()
        self.norm1, self.norm2 = norm(channels), norm(channels)
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, bias=bias)
        self.conv2 = nn.Conv2d(channels, out, 3, padding=1)
        self.shortcut = nn.Conv2d(channels, out, 1)

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv1(self.norm1(x).relu())
        return self.shortcut(halve(x)) + halve(self.conv2(self.norm2(h).relu()))


class FirstBlock(nn.Module):
    """First block of D: image -> (N, out, H/2, W/2); 3x3, ReLU, 3x3, halving; and a 1x1 shortcut.

    It has no ReLU before the first convolution, which would discard the negative half of the pixel values.
    """

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, out, 3, padding=1)
        self.conv2 = nn.Conv2d(out, out, 3, padding=1)
        self.shortcut = nn.Conv2d(channels, out, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.shortcut(halve(x)) + halve(self.conv2(self.conv1(x).relu()))


class ResidualBlock(nn.Module):
    """Residual block that keeps the size: x + (ReLU, 3x3, ReLU, 3x3)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv2(self.conv1(x.relu()).relu())


def init_(network: nn.Module) -> None:
    """Set He's weights in 3x3 convolutions, Glorot's in linear layers and 1x1 shortcuts; all uniform, biases 0."""
    glorot_he_(network)
    # he_init=False in the code: no ReLU precedes the convolution of a shortcut.
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d) and layer.kernel_size == (1, 1):
            nn.init.xavier_uniform_(layer.weight)


class Generator(nn.Module):
    """Generator: z (N, latent_dim), and y (N,) if num_classes is given -> image in `value_range`.

    num_classes: makes the batch normalization in the blocks conditional, as in the code for labeled CIFAR-10; the last
    normalization depends on no label.
    """

    def __init__(
        self,
        image_size: ImageSize,
        channels: int,
        value_range: Sequence[float] | None = (-1.0, 1.0),
        latent_dim: int = 128,
        width: int = 128,
        num_classes: int | None = None,
    ) -> None:
        super().__init__()
        start, k = doublings(image_size)

        def norm(n: int) -> nn.Module:
            return nn.BatchNorm2d(n) if num_classes is None else ConditionalBatchNorm2d(n, num_classes)

        self.project = nn.Sequential(
            nn.Linear(latent_dim, width * area(start)), nn.Unflatten(1, (width, *sides(start)))
        )
        self.blocks = nn.ModuleList([UpBlock(width, width, norm) for _ in range(k)])
        last = nn.Conv2d(width, channels, 3, padding=1)
        self.image = nn.Sequential(nn.BatchNorm2d(width), nn.ReLU(), last, bounded(value_range))
        init_(self)
        # The last convolution has no ReLU after it: he_init=False in the code.
        nn.init.xavier_uniform_(last.weight)

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        labels = () if y is None else (y,)
        x = self.project(z)
        for block in self.blocks:
            x = block(x, *labels)
        return self.image(x)


def trunk(image_size: ImageSize, channels: int, width: int) -> nn.Sequential:
    """Return the layers of D from the image to features (N, width).

    FirstBlock, DownBlocks to a map of 8x8 (14x14 at 7*2^k pixels), two ResidualBlocks, ReLU, mean over pixels.
    """
    _, k = doublings(image_size)
    halvings = [DownBlock(width, width) for _ in range(k - 2)]
    return nn.Sequential(
        FirstBlock(channels, width), *halvings, ResidualBlock(width), ResidualBlock(width),
        nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
    )  # fmt: skip


class Discriminator(nn.Module):
    """Critic f: image -> scores (N,). norm: none as in the code, or spectral (Miyato et al. 2018)."""

    def __init__(self, image_size: ImageSize, channels: int, width: int = 128, norm: str = "none") -> None:
        super().__init__()
        self.trunk, self.score = trunk(image_size, channels, width), nn.Linear(width, 1)
        init_(self)
        normalize_weights_(self, norm)

    def forward(self, x: Tensor) -> Tensor:
        return self.score(self.trunk(x)).flatten()


class ClassifyingDiscriminator(nn.Module):
    """Critic with an auxiliary classifier, for labeled CIFAR-10: image -> scores (N,), logits (N, num_classes)."""

    def __init__(
        self, image_size: ImageSize, channels: int, num_classes: int, width: int = 128, norm: str = "none"
    ) -> None:
        super().__init__()
        self.trunk, self.score = trunk(image_size, channels, width), nn.Linear(width, 1)
        self.classes = nn.Linear(width, num_classes)
        init_(self)
        normalize_weights_(self, norm)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        features = self.trunk(x)
        return self.score(features).flatten(), self.classes(features)
