"""The networks of DiscoGAN (Kim et al. 2017, arXiv 1703.05192; the authors' model.py has them for 64 pixels).

Initial weights are torch's, as in that code.
"""

import itertools
from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor, nn

from gan_cli.networks.mlp import hidden
from gan_cli.networks.output import bounded
from gan_cli.networks.sizes import doublings
from gan_cli.utils.image_size import ImageSize, words

BOTTLENECK = 100  # channels of the 1 x 1 map between the extra layers


class DiscriminatorOutput(NamedTuple):
    """Output of a discriminator: scores (N,), and hidden activations (N, ...) for feature matching, in layer order."""

    score: Tensor
    features: tuple[Tensor, ...]


def _channels(width: int, depth: int) -> list[int]:
    """Channels of the maps, from the largest to the smallest map: 1, 2, 4, 8, 8, ... times width."""
    return [width * min(2**i, 8) for i in range(depth)]


class DiscoGANGenerator(nn.Module):
    """Translator: image (N, channels, H, W) -> image of the same shape in `value_range`, at 4 * 2^k or 7 * 2^k pixels.

    k convolutions 4x4 of stride 2 and k transposed ones without biases; batch normalization in all layers except the
    first and the last. The paper's value range is [0, 1]. extra_layers: layers in the middle, to a map of 1 x 1 with
    100 channels and back, as in angle_pairing of the code. in_channels: those of the input, `channels` if None. Raises
    ValueError for another size.
    """

    def __init__(
        self,
        image_size: ImageSize,
        channels: int,
        value_range: Sequence[float] | None = (0.0, 1.0),
        width: int = 64,
        extra_layers: bool = False,
        in_channels: int | None = None,
    ) -> None:
        super().__init__()
        start, depth = doublings(image_size)
        wide = _channels(width, depth)
        first = nn.Conv2d(in_channels or channels, width, 4, 2, 1, bias=False)
        layers: list[nn.Module] = [first, nn.LeakyReLU(0.2)]
        for a, b in itertools.pairwise(wide):
            layers += [nn.Conv2d(a, b, 4, 2, 1, bias=False), nn.BatchNorm2d(b), nn.LeakyReLU(0.2)]
        if extra_layers:
            layers += [
                nn.Conv2d(wide[-1], BOTTLENECK, start, bias=False), nn.BatchNorm2d(BOTTLENECK), nn.LeakyReLU(0.2),
                nn.ConvTranspose2d(BOTTLENECK, wide[-1], start, bias=False), nn.BatchNorm2d(wide[-1]), nn.ReLU(),
            ]  # fmt: skip
        for a, b in itertools.pairwise(wide[::-1]):
            layers += [nn.ConvTranspose2d(a, b, 4, 2, 1, bias=False), nn.BatchNorm2d(b), nn.ReLU()]
        layers += [nn.ConvTranspose2d(width, channels, 4, 2, 1, bias=False), bounded(value_range)]
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


class Discriminator(nn.Module):
    """Discriminator: image -> scores (N,), and the activations of the hidden layers from number `matched_from` on.

    At 64 pixels these are layers 2, 3 and 4, or 3 and 4 in angle_pairing.py. The layers are those of the first half of
    the generator, followed by a convolution to a score. Raises ValueError for another size, for 8 and 14 pixels, which
    leave no hidden layer to match, and for a number that no hidden layer has.
    """

    def __init__(self, image_size: ImageSize, channels: int, width: int = 64, matched_from: int = 2) -> None:
        super().__init__()
        start, depth = doublings(image_size)
        if depth < 2:
            raise ValueError(f"image_size {words(image_size)}: DiscoGAN's discriminator needs 16 pixels or more")
        if not 1 <= matched_from <= depth:
            size = words(image_size)
            raise ValueError(f"matched_from {matched_from}: at {size} pixels the hidden layers are 1 to {depth}")
        wide = _channels(width, depth)
        first = nn.Sequential(nn.Conv2d(channels, width, 4, 2, 1, bias=False), nn.LeakyReLU(0.2))
        others = [
            nn.Sequential(nn.Conv2d(a, b, 4, 2, 1, bias=False), nn.BatchNorm2d(b), nn.LeakyReLU(0.2))
            for a, b in itertools.pairwise(wide)
        ]
        self.hidden = nn.ModuleList([first, *others])
        self.last = nn.Conv2d(wide[-1], 1, start, bias=False)
        self.matched_from = matched_from

    def forward(self, x: Tensor) -> DiscriminatorOutput:
        features = []
        for layer in self.hidden:
            x = layer(x)
            features.append(x)
        return DiscriminatorOutput(self.last(x).flatten(), tuple(features[self.matched_from - 1 :]))


class PointGenerator(nn.Module):
    """Translator of points (N, channels, 1, 1): three linear layers with ReLU between them (section 3.1).

    Raises ValueError for images.
    """

    def __init__(self, channels: int = 2, widths: Sequence[int] = (128, 128)) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Flatten(), *hidden([channels, *widths]),
            nn.Linear(widths[-1], channels), nn.Unflatten(1, (channels, 1, 1)),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[2:] != (1, 1):
            size = words((x.shape[2], x.shape[3]))
            raise ValueError(f"image_size {size}: this network is for points; network=discogan is for images")
        return self.layers(x)


class PointDiscriminator(nn.Module):
    """Discriminator of points (N, channels, 1, 1): five linear layers with ReLU between them (section 3.1).

    The features are the activations of layers 2, 3 and 4.
    """

    def __init__(self, channels: int = 2, widths: Sequence[int] = (128, 128, 128, 128)) -> None:
        super().__init__()
        layers = hidden([channels, *widths])
        self.hidden = nn.ModuleList([nn.Sequential(*layers[i : i + 2]) for i in range(0, len(layers), 2)])
        self.last = nn.Linear(widths[-1], 1)

    def forward(self, x: Tensor) -> DiscriminatorOutput:
        x = x.flatten(1)
        features = []
        for layer in self.hidden:
            x = layer(x)
            features.append(x)
        return DiscriminatorOutput(self.last(x).flatten(), tuple(features[1:]))
