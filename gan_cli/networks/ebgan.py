"""The networks of EBGAN (Zhao et al. 2017, arXiv 1609.03126).

The fully connected networks of the MNIST grid search (section 4.1, table 1), the convolutional autoencoders for 64, 128
and 256 pixels, and the ImageNet generators (appendix C; see docs/UNVERIFIED.md).
"""

import itertools
import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.linalg import vector_norm

from gan_cli.networks.init import normal_
from gan_cli.networks.mlp import he_, hidden
from gan_cli.networks.output import bounded, image_layers
from gan_cli.networks.sizes import multiple
from gan_cli.utils.image_size import ImageSize, area, sides, words


class AutoEncoder(nn.Module):
    """Autoencoder as the discriminator: image -> scores (N,), -D(x) with the energy D(x) = ||Dec(Enc(x)) - x||.

    The norm is the L2 norm over all values of an image. encode: image -> code S (N, ...). decode: code ->
    reconstruction, with the shape of the image.
    """

    encode: nn.Module
    decode: nn.Module

    def distance(self, reconstruction: Tensor, x: Tensor) -> Tensor:
        """Return the L2 distance of each image, (N,), whose gradient at a perfect reconstruction is 0."""
        return vector_norm((reconstruction - x).flatten(1), dim=1)

    def forward(self, x: Tensor) -> Tensor:
        return -self.distance(self.decode(self.encode(x)), x)


def grid_layers(widths: Sequence[int], dropout: bool = False) -> list[nn.Module]:
    """Return layers widths[0] -> widths[1] -> ...: linear, batch normalization in all but the first, ReLU, dropout."""
    layers: list[nn.Module] = []
    for index, (narrow, wide) in enumerate(itertools.pairwise(widths)):
        layers += hidden([narrow, wide], norm=index > 0)
        layers += [nn.Dropout(0.5)] if dropout else []
    return layers


def depth(layers: int) -> int:
    """Return `layers`. ValueError if it is less than two."""
    if layers < 2:
        raise ValueError(f"layers={layers}: a network of the grid has at least 2, a hidden one and the output")
    return layers


class GridGenerator(nn.Module):
    """Generator of the grid: z (N, latent_dim) -> image.

    `layers` (nLayerG) linear layers with `size` (sizeG) units each, except the last; batch normalization and ReLU after
    all but the last. Weights N(0, .02), biases 0.
    """

    def __init__(
        self,
        image_size: ImageSize,
        channels: int,
        value_range: Sequence[float] | None = (-1.0, 1.0),
        latent_dim: int = 100,
        layers: int = 5,
        size: int = 800,
    ) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *hidden([latent_dim, *[size] * (depth(layers) - 1)], norm=True),
            *image_layers(size, image_size, channels, value_range),
        )
        normal_(self, 0.02)

    def forward(self, z: Tensor) -> Tensor:
        return self.layers(z)


class GridAutoEncoder(AutoEncoder):
    """Autoencoder of the grid: `layers` (nLayerD) linear layers in all, one of them in the decoder.

    The layers of the encoder have `size` (sizeD) units; batch normalization after all but the first, ReLU after all, so
    codes are not negative. Weights N(0, .002), biases 0. Differs, since the paper does not say: the decoder is linear,
    dropout has probability .5, and the reconstruction is not normalized. The paper's rule "batch normalization after
    all but G's output and D's input" would normalize it, but the DCGAN code does not normalize D's output.
    """

    def __init__(
        self, image_size: ImageSize, channels: int, layers: int = 2, size: int = 1024, dropout: bool = False
    ) -> None:
        super().__init__()
        shape = (channels, *sides(image_size))
        widths = [math.prod(shape), *[size] * (depth(layers) - 1)]
        self.encode = nn.Sequential(nn.Flatten(), *grid_layers(widths, dropout))
        self.decode = nn.Sequential(nn.Linear(size, math.prod(shape)), nn.Unflatten(1, shape))
        normal_(self, 0.002)


class GridDiscriminator(nn.Module):
    """Discriminator of the plain GAN of the grid: image -> scores (N,).

    The layers are those of GridAutoEncoder's encoder and a linear layer to the score.
    """

    def __init__(
        self, image_size: ImageSize, channels: int, layers: int = 2, size: int = 1024, dropout: bool = False
    ) -> None:
        super().__init__()
        widths = [channels * area(image_size), *[size] * (depth(layers) - 1)]
        self.layers = nn.Sequential(nn.Flatten(), *grid_layers(widths, dropout), nn.Linear(size, 1))
        normal_(self, 0.002)

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x).flatten()


class ConvAutoEncoder(AutoEncoder):
    """Convolutional autoencoder, at multiples of 2^halvings pixels.

    With `halvings` 3 it is that of 64 pixels, Enc (64)4c2s-(128)4c2s-(256)4c2s and Dec (128)4c2s-(64)4c2s-(3)4c2s; with
    4 it is that of ImageNet, whose encoder continues to 512. 4c2s is a 4x4 convolution of stride 2. width: channels of
    the first layer. As in DCGAN: batch normalization after all layers but the first and the last, leaky ReLU .2 in Enc,
    ReLU in Dec, weights N(0, .02). The last layer is linear.
    """

    def __init__(self, image_size: ImageSize, channels: int, width: int = 64, halvings: int = 3) -> None:
        super().__init__()
        multiple(image_size, of=2**halvings, least=2**halvings)
        widths = [width * 2**i for i in range(halvings)]
        down: list[nn.Module] = [nn.Conv2d(channels, width, 4, 2, 1), nn.LeakyReLU(0.2)]
        for narrow, wide in itertools.pairwise(widths):
            down += [nn.Conv2d(narrow, wide, 4, 2, 1, bias=False), nn.BatchNorm2d(wide), nn.LeakyReLU(0.2)]
        up: list[nn.Module] = []
        for wide, narrow in itertools.pairwise(widths[::-1]):
            up += [nn.ConvTranspose2d(wide, narrow, 4, 2, 1, bias=False), nn.BatchNorm2d(narrow), nn.ReLU()]
        self.encode = nn.Sequential(*down)
        self.decode = nn.Sequential(*up, nn.ConvTranspose2d(width, channels, 4, 2, 1))
        normal_(self)


class NoisyGenerator(nn.Module):
    """Generator of ImageNet, with noise maps that are concatenated with the input of every layer but the last.

    At 128 pixels (1024)4c-(512)4c2s-(256)4c2s-(128)4c2s-(64)4c2s-(64)4c2s-(3)3c with 100-64-32-16-8-4 noise planes; at
    256 pixels one more layer, (2048)4c, in front, and 100-64-32-16-8-4-2 planes.

    z: (N, latent_dim), all noise of an image in one row: planes[0] numbers, then planes[1] maps of 4x4, planes[2] of
    8x8, ...; latent_dim must be their total, see `noise_values`. width: channels of the last two hidden layers; each
    layer before has twice as many. Batch normalization and ReLU after all layers but the last, weights N(0, .02), as in
    DCGAN. Raises ValueError for an image_size that does not match the number of planes, and for another latent_dim.
    """

    def __init__(
        self,
        image_size: ImageSize,
        channels: int,
        value_range: Sequence[float] | None = (-1.0, 1.0),
        latent_dim: int = 31844,
        width: int = 64,
        planes: Sequence[int] = (100, 64, 32, 16, 8, 4),
    ) -> None:
        super().__init__()
        doublings = len(planes) - 1
        side = 4 * 2**doublings
        if sides(image_size) != (side, side):
            raise ValueError(
                f"image_size {words(image_size)}: {len(planes)} noise planes lead to {side} pixels; "
                "network=ebgan_dcgan is for other sizes"
            )
        if latent_dim != noise_values(planes):
            raise ValueError(f"latent_dim {latent_dim}: the noise planes {list(planes)} take {noise_values(planes)}")
        self.planes = list(planes)
        widths = [width * 2**i for i in reversed(range(doublings))]
        self.blocks = nn.ModuleList([_block(nn.ConvTranspose2d(planes[0], widths[0], 4, bias=False))])
        for wide, narrow, extra in zip(widths, [*widths[1:], width], planes[1:], strict=True):
            self.blocks.append(_block(nn.ConvTranspose2d(wide + extra, narrow, 4, 2, 1, bias=False)))
        self.last = nn.Sequential(nn.Conv2d(width, channels, 3, 1, 1), bounded(value_range))
        normal_(self)

    def forward(self, z: Tensor) -> Tensor:
        sides = noise_sides(self.planes)
        rows = z.split([p * s**2 for p, s in zip(self.planes, sides)], dim=1)
        noise = [row.unflatten(1, (-1, side, side)) for row, side in zip(rows, sides)]
        # Each block gets the maps of the block before it together with noise planes of the same size.
        h = self.blocks[0](noise[0])
        for block, planes in zip(self.blocks[1:], noise[1:]):
            h = block(torch.cat([h, planes], dim=1))
        return self.last(h)


def _block(convolution: nn.ConvTranspose2d) -> nn.Module:
    """The convolution, batch normalization and ReLU."""
    return nn.Sequential(convolution, nn.BatchNorm2d(convolution.out_channels), nn.ReLU())


def noise_sides(planes: Sequence[int]) -> list[int]:
    """Return the pixels per side of each noise tensor: 1, 4, 8, 16, ..."""
    return [1, *(4 * 2**i for i in range(len(planes) - 1))]


def noise_values(planes: Sequence[int]) -> int:
    """Return the number of noise values per image: 100-64-32-16-8-4 -> 100 + 64 4^2 + 32 8^2 + ... = 31844."""
    return sum(p * side**2 for p, side in zip(planes, noise_sides(planes)))


class PointAutoEncoder(AutoEncoder):
    """Autoencoder of points: points -> scores (N,); ReLU layers of `widths` on both sides of a linear code."""

    def __init__(
        self, image_size: ImageSize, channels: int, code_dim: int = 16, widths: Sequence[int] = (128, 128)
    ) -> None:
        super().__init__()
        shape = (channels, *sides(image_size))
        n = math.prod(shape)
        self.encode = nn.Sequential(nn.Flatten(), *hidden([n, *widths]), nn.Linear(widths[-1], code_dim))
        decoder = [*hidden([code_dim, *widths[::-1]]), nn.Linear(widths[0], n)]
        self.decode = nn.Sequential(*decoder, nn.Unflatten(1, shape))
        he_(self.encode)
        he_(self.decode)
