"""The networks of DRIT (Lee et al. 2018, arXiv 1808.00948; the authors' code) for two domains "x" and "y".

Convolutions pad by reflection, and their initial weights are N(0, .02). The leaky ReLUs of the content encoders and of
the discriminators have slope .01. The discriminators have no normalization: the authors' code has an option for it
that has no effect.
"""

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from gan_cli.networks.init import normal_convolutions_
from gan_cli.networks.multiscale import MultiScale
from gan_cli.networks.norm import norm_layer, normalize_weights_
from gan_cli.networks.output import bounded
from gan_cli.networks.resnet import ResidualBlock
from gan_cli.networks.sizes import at_least, divided, multiple
from gan_cli.networks.unet_noise import as_planes
from gan_cli.utils.image_size import ImageSize


def conv(before: int, after: int, kernel: int, stride: int = 1, padding: int = 0) -> nn.Conv2d:
    """A convolution with padding by reflection."""
    return nn.Conv2d(before, after, kernel, stride, padding, padding_mode="reflect")


class GaussianNoise(nn.Module):
    """Noise layer: x + N(0, I) in training mode, x in evaluation mode."""

    def forward(self, x: Tensor) -> Tensor:
        return x + torch.randn_like(x) if self.training else x


class ContentEncoder(nn.Module):
    """Content encoder E^c: image (N, channels, H, W), domain -> content (N, 4 width, H/4, W/4), noisy in training mode.

    c7s1-64, d128, d256 and 3 residual blocks per domain, then one that both domains share, or with share=False a fourth
    one per domain. H and W are multiples of 4 from 8 on; ValueError otherwise.
    """

    def __init__(self, image_size: ImageSize, channels: int, width: int = 64, share: bool = True) -> None:
        super().__init__()
        multiple(image_size, of=4, least=8)
        self.private = nn.ModuleDict({
            domain: nn.Sequential(
                conv(channels, width, 7, 1, 3), nn.LeakyReLU(),
                conv(width, 2 * width, 3, 2, 1), nn.InstanceNorm2d(2 * width), nn.ReLU(),
                conv(2 * width, 4 * width, 3, 2, 1), nn.InstanceNorm2d(4 * width), nn.ReLU(),
                *[ResidualBlock(4 * width) for _ in range(3 if share else 4)],
            )
            for domain in "xy"
        })  # fmt: skip
        self.shared = nn.Sequential(*[ResidualBlock(4 * width)] * share, GaussianNoise())
        normal_convolutions_(self)

    def forward(self, image: Tensor, domain: str) -> Tensor:
        for size in image.shape[2:]:
            multiple(size, of=4, least=8)
        return self.shared(self.private[domain](image))


class DownsamplingBlock(nn.Module):
    """Pre-activation residual block that halves the size: twice leaky ReLU .2 and a 3 x 3 convolution, mean pooling.

    The shortcut is mean pooling of 2 x 2 and a 1 x 1 convolution.
    """

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.LeakyReLU(0.2), conv(before, before, 3, 1, 1),
            nn.LeakyReLU(0.2), conv(before, after, 3, 1, 1), nn.AvgPool2d(2),
        )  # fmt: skip
        self.shortcut = nn.Sequential(nn.AvgPool2d(2), conv(before, after, 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x) + self.shortcut(x)


class VariationalAttributeEncoder(nn.Module):
    """Attribute encoder E^a of ConcatenatingGenerator: image, domain -> mean and log variance, (N, latent_dim) each.

    Raises ValueError below 16 pixels.
    """

    def __init__(self, image_size: ImageSize, channels: int, latent_dim: int = 8, width: int = 64) -> None:
        super().__init__()
        at_least(image_size, 16, "the attribute encoder needs")
        self.trunk, self.mean, self.log_variance = nn.ModuleDict(), nn.ModuleDict(), nn.ModuleDict()
        for domain in "xy":
            self.trunk[domain] = nn.Sequential(
                conv(channels, width, 4, 2, 1), *[DownsamplingBlock(k * width, (k + 1) * width) for k in (1, 2, 3)],
                nn.LeakyReLU(0.2), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
            )  # fmt: skip
            self.mean[domain] = nn.Linear(4 * width, latent_dim)
            self.log_variance[domain] = nn.Linear(4 * width, latent_dim)
        normal_convolutions_(self)

    def forward(self, image: Tensor, domain: str) -> tuple[Tensor, Tensor]:
        features = self.trunk[domain](image)
        return self.mean[domain](features), self.log_variance[domain](features)


class DeterministicAttributeEncoder(nn.Module):
    """Attribute encoder E^a of FeatureWiseGenerator: image, domain -> attribute (N, latent_dim), and None.

    None stands for the variance, which this encoder does not predict. Raises ValueError below 16 pixels.
    """

    def __init__(self, image_size: ImageSize, channels: int, latent_dim: int = 8, width: int = 64) -> None:
        super().__init__()
        at_least(image_size, 16, "the attribute encoder needs")
        widths = [width, 2 * width, 4 * width, 4 * width, 4 * width]
        self.private = nn.ModuleDict()
        for domain in "xy":
            layers: list[nn.Module] = [conv(channels, width, 7, 1, 3), nn.ReLU()]
            for before, after in itertools.pairwise(widths):
                layers += [conv(before, after, 4, 2, 1), nn.ReLU()]
            layers += [nn.AdaptiveAvgPool2d(1), conv(4 * width, latent_dim, 1), nn.Flatten()]
            self.private[domain] = nn.Sequential(*layers)
        normal_convolutions_(self)

    def forward(self, image: Tensor, domain: str) -> tuple[Tensor, None]:
        return self.private[domain](image), None


def _double(before: int, after: int) -> nn.Sequential:
    """Transposed 3 x 3 convolution of stride 2, layer normalization, ReLU."""
    deconv = nn.ConvTranspose2d(before, after, 3, 2, 1, output_padding=1)
    return nn.Sequential(deconv, norm_layer("layer", after), nn.ReLU())


class ConcatenatingGenerator(nn.Module):
    """Generator G for changes of color and texture, which concatenates the attribute with the features.

    content (N, 4 width, h, w), attribute (N, latent_dim), domain -> image (N, channels, 4 h, 4 w) in `value_range`. The
    first residual block is shared by the domains and sees no attribute; the attribute is concatenated before each of
    the other parts.
    """

    def __init__(
        self, channels: int, value_range: Sequence[float] | None = (-1.0, 1.0), latent_dim: int = 8, width: int = 64
    ) -> None:
        super().__init__()
        a = 4 * width + latent_dim
        b = (a + latent_dim) // 2
        c = (b + latent_dim) // 2
        self.shared = ResidualBlock(4 * width)
        self.private = nn.ModuleDict({
            domain: nn.ModuleList([
                nn.Sequential(*[ResidualBlock(a) for _ in range(3)]),
                _double(a + latent_dim, b), _double(b + latent_dim, c),
                nn.Sequential(nn.ConvTranspose2d(c + latent_dim, channels, 1), bounded(value_range)),
            ])
            for domain in "xy"
        })  # fmt: skip
        normal_convolutions_(self)

    def forward(self, content: Tensor, attribute: Tensor, domain: str) -> Tensor:
        x = self.shared(content)
        for part in self.private[domain]:  # type: ignore[attr-defined]
            x = part(torch.cat([x, as_planes(attribute, x)], dim=1))
        return x


class FeatureWiseBlock(nn.Module):
    """Residual block whose two convolutions are each followed by a mix with a code (N, d): two 1 x 1 convolutions."""

    def __init__(self, channels: int, code: int) -> None:
        super().__init__()
        wide = channels + code
        self.convs = nn.ModuleList(
            nn.Sequential(conv(channels, channels, 3, 1, 1), nn.InstanceNorm2d(channels)) for _ in range(2)
        )
        self.mixes = nn.ModuleList(
            nn.Sequential(conv(wide, wide, 1), nn.ReLU(), conv(wide, channels, 1), nn.ReLU()) for _ in range(2)
        )

    def forward(self, x: Tensor, code: Tensor) -> Tensor:
        y = x
        for convolve, mix in zip(self.convs, self.mixes):
            y = convolve(y)
            y = mix(torch.cat([y, as_planes(code, y)], dim=1))
        return x + y


class FeatureWiseGenerator(nn.Module):
    """Generator G for changes of shape: an MLP turns the attribute into a code for each of four residual blocks.

    Inputs and outputs are those of ConcatenatingGenerator; the domains share nothing.
    """

    def __init__(
        self, channels: int, value_range: Sequence[float] | None = (-1.0, 1.0), latent_dim: int = 8, width: int = 64
    ) -> None:
        super().__init__()
        wide = 4 * width
        self.codes, self.blocks, self.last = nn.ModuleDict(), nn.ModuleDict(), nn.ModuleDict()
        for domain in "xy":
            self.codes[domain] = nn.Sequential(
                nn.Linear(latent_dim, wide), nn.ReLU(), nn.Linear(wide, wide), nn.ReLU(), nn.Linear(wide, 4 * wide)
            )
            self.blocks[domain] = nn.ModuleList(FeatureWiseBlock(wide, wide) for _ in range(4))
            self.last[domain] = nn.Sequential(
                _double(wide, 2 * width), _double(2 * width, width),
                nn.ConvTranspose2d(width, channels, 1), bounded(value_range),
            )  # fmt: skip
        normal_convolutions_(self)

    def forward(self, content: Tensor, attribute: Tensor, domain: str) -> Tensor:
        x = content
        codes = self.codes[domain](attribute).chunk(4, dim=1)
        for block, code in zip(self.blocks[domain], codes, strict=True):  # type: ignore[call-overload]
            x = block(x, code)
        return self.last[domain](x)


class Discriminator(MultiScale):
    """Discriminator D of one domain: image -> a score map at each of `scales` sizes.

    Each scale has n_layers convolutions of stride 2, the first with `width` channels and each later one with twice as
    many, and a 1 x 1 convolution. norm: none or spectral. The single-scale discriminator of the code (dis_scale 1) is
    scales=1, n_layers=6, kernel=3. Raises ValueError if the image is too small for the last scale.
    """

    def __init__(
        self, image_size: ImageSize, channels: int, width: int = 64, scales: int = 3, n_layers: int = 4,
        kernel: int = 4, norm: str = "none",
    ) -> None:  # fmt: skip
        at_least(
            image_size, 2 ** (n_layers + scales - 1), f"a discriminator of {scales} scales and {n_layers} layers needs"
        )
        widths = [channels] + [width * 2**k for k in range(n_layers)]
        super().__init__(
            nn.Sequential(
                *[
                    layer
                    for before, after in itertools.pairwise(widths)
                    for layer in (conv(before, after, kernel, 2, 1), nn.LeakyReLU())
                ],
                conv(widths[-1], 1, 1),
            )
            for _ in range(scales)
        )
        normal_convolutions_(self)
        normalize_weights_(self, norm)


class ContentDiscriminator(nn.Module):
    """Content discriminator D^c: content (N, 4 width, h, w) -> scores (N, 1, ...).

    Up to three 7 x 7 convolutions of stride 2, as long as they leave 4 pixels, then one of 4 x 4 and one of 1 x 1. At
    216 pixels the sizes are 54 -> 25 -> 11 -> 4 -> 1, as in the authors' code.
    """

    def __init__(self, image_size: ImageSize, width: int = 64) -> None:
        super().__init__()
        size, wide = min(divided(image_size, of=4, least=16)), 4 * width
        layers: list[nn.Module] = []
        # Each 7 x 7 convolution of stride 2 and padding 1 maps size to (size - 5) // 2 + 1.
        while len(layers) < 6 and (size - 5) // 2 + 1 >= 4:
            layers += [conv(wide, wide, 7, 2, 1), nn.LeakyReLU()]
            size = (size - 5) // 2 + 1
        self.layers = nn.Sequential(*layers, conv(wide, wide, 4), nn.LeakyReLU(), conv(wide, 1, 1))
        normal_convolutions_(self)

    def forward(self, content: Tensor) -> Tensor:
        return self.layers(content)
