"""The residual networks of WGAN-GP for CIFAR-10 (Gulrajani et al. 2017, table 3; gan_cifar_resnet.py), at any 4*2^k or
7*2^k pixels.

At 32 pixels the layers are those of the code; other sizes change the number of doublings in G and of halvings in D,
whose last map is 8x8 at 4*2^k pixels (16 or more). He's weights in the 3x3 convolutions, Glorot's in shortcuts, the
linear layers and G's last convolution. A shortcut's 1x1 convolution acts on the smaller map: it commutes with
nearest-neighbour doubling and with mean pooling.
"""

from collections.abc import Callable, Sequence

from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate

from gan_cli.networks.conditional_norm import ConditionalBatchNorm2d
from gan_cli.networks.init import glorot_he_
from gan_cli.networks.norm import normalise_weights_
from gan_cli.networks.output import bounded
from gan_cli.networks.sizes import doublings

Norm = Callable[[int], nn.Module]
"""Channels -> a normalisation of (N, channels, H, W)."""


def double(x: Tensor) -> Tensor:
    """(N, C, H, W) -> (N, C, 2H, 2W), each pixel four times."""
    return interpolate(x, scale_factor=2.0, mode="nearest")


def halve(x: Tensor) -> Tensor:
    """(N, C, H, W) -> (N, C, H/2, W/2), means of 2 x 2 pixels."""
    return avg_pool2d(x, 2)


class Up(nn.Module):
    """(N, channels, H, W), [y] -> (N, out, 2H, 2W): norm, ReLU, doubling, 3x3; norm, ReLU, 3x3; and a 1x1 shortcut."""

    def __init__(self, channels: int, out: int, norm: Norm, bias: bool = True) -> None:
        super().__init__()
        self.norm1, self.norm2 = norm(channels), norm(out)
        self.conv1 = nn.Conv2d(channels, out, 3, padding=1, bias=bias)
        self.conv2 = nn.Conv2d(out, out, 3, padding=1)
        self.shortcut = nn.Conv2d(channels, out, 1)

    def forward(self, x: Tensor, *y: Tensor) -> Tensor:
        h = self.conv1(double(self.norm1(x, *y).relu()))
        return double(self.shortcut(x)) + self.conv2(self.norm2(h, *y).relu())


class Down(nn.Module):
    """(N, channels, H, W) -> (N, out, H/2, W/2): norm, ReLU, 3x3; norm, ReLU, 3x3, halving; and a 1x1 shortcut."""

    def __init__(self, channels: int, out: int, norm: Norm = nn.Identity, bias: bool = True) -> None:
        super().__init__()
        self.norm1, self.norm2 = norm(channels), norm(channels)
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, bias=bias)
        self.conv2 = nn.Conv2d(channels, out, 3, padding=1)
        self.shortcut = nn.Conv2d(channels, out, 1)

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv1(self.norm1(x).relu())
        return self.shortcut(halve(x)) + halve(self.conv2(self.norm2(h).relu()))


class First(nn.Module):
    """Image -> (N, out, H/2, W/2): 3x3, ReLU, 3x3, halving; and a 1x1 shortcut. No ReLU before the first layer."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, out, 3, padding=1)
        self.conv2 = nn.Conv2d(out, out, 3, padding=1)
        self.shortcut = nn.Conv2d(channels, out, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.shortcut(halve(x)) + halve(self.conv2(self.conv1(x).relu()))


class Plain(nn.Module):
    """x + (ReLU, 3x3, ReLU, 3x3); the size stays."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv2(self.conv1(x.relu()).relu())


def init_(network: nn.Module) -> None:
    """He for 3x3 convolutions, Glorot for linear layers and for the 1x1 shortcuts; all uniform, biases 0."""
    glorot_he_(network)
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d) and layer.kernel_size == (1, 1):
            nn.init.xavier_uniform_(layer.weight)


class Generator(nn.Module):
    """z (N, latent_dim), and y (N,) where num_classes is given -> image in `value_range`.

    num_classes: of the conditional batch normalisation inside the blocks, as the labelled run has it; the last
    normalisation sees no label.
    """

    def __init__(
        self,
        image_size: int,
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
            nn.Linear(latent_dim, width * start**2), nn.Unflatten(1, (width, start, start))
        )
        self.blocks = nn.ModuleList([Up(width, width, norm) for _ in range(k)])
        last = nn.Conv2d(width, channels, 3, padding=1)
        self.image = nn.Sequential(nn.BatchNorm2d(width), nn.ReLU(), last, bounded(value_range))
        init_(self)
        nn.init.xavier_uniform_(last.weight)

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        labels = () if y is None else (y,)
        x = self.project(z)
        for block in self.blocks:
            x = block(x, *labels)
        return self.image(x)


def trunk(image_size: int, channels: int, width: int) -> nn.Sequential:
    """Image -> features (N, width): First, Down to a map of 8x8 (14x14 at 7*2^k), two Plain, ReLU, mean."""
    _, k = doublings(image_size)
    halvings = [Down(width, width) for _ in range(k - 2)]
    return nn.Sequential(
        First(channels, width), *halvings, Plain(width), Plain(width),
        nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
    )  # fmt: skip


class Discriminator(nn.Module):
    """image -> scores (N,); the critic f. norm: "none" as the code, or "spectral" (Miyato et al. 2018)."""

    def __init__(self, image_size: int, channels: int, width: int = 128, norm: str = "none") -> None:
        super().__init__()
        self.trunk, self.score = trunk(image_size, channels, width), nn.Linear(width, 1)
        init_(self)
        normalise_weights_(self, norm)

    def forward(self, x: Tensor) -> Tensor:
        return self.score(self.trunk(x)).flatten()


class ClassifyingDiscriminator(nn.Module):
    """image -> (scores (N,), logits (N, num_classes)): the critic with the auxiliary classifier of the labelled run."""

    def __init__(
        self, image_size: int, channels: int, num_classes: int, width: int = 128, norm: str = "none"
    ) -> None:
        super().__init__()
        self.trunk, self.score = trunk(image_size, channels, width), nn.Linear(width, 1)
        self.classes = nn.Linear(width, num_classes)
        init_(self)
        normalise_weights_(self, norm)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        features = self.trunk(x)
        return self.score(features).flatten(), self.classes(features)
