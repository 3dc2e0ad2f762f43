"""The networks of BEGAN (Berthelot, Schumm, Metz 2017, arXiv 1703.10717; carpedm20/BEGAN-tensorflow, models.py).

Pairs of 3x3 convolutions with ELU, a linear code, and a generator of the same structure as the decoder.
"""

import math

from torch import Tensor, nn

from gan_cli.networks.ebgan import AutoEncoder
from gan_cli.networks.sizes import divided
from gan_cli.utils.image_size import ImageSize, sides


def levels(image_size: ImageSize) -> tuple[tuple[int, int], int]:
    """Return the smallest of the resolutions, and their number: (8, 8), 4 for 64 = 8 * 2^3 pixels.

    ValueError unless a square has 8 * 2^k pixels, k >= 1, and another size a smaller side of 8 to 15 times 2^k.
    """
    height, width = sides(image_size)
    k = max((min(height, width) // 8).bit_length() - 1, 1)
    if height != width:
        return divided(image_size, of=2**k, least=8 * 2**k), k + 1
    if height != 8 * 2**k or k > 7:
        raise ValueError(f"image_size {height}: this network works at 8*2^k pixels: 16, 32, 64, 128, 256, ...")
    return (8, 8), k + 1


def _pair(inputs: int, outputs: int) -> list[nn.Module]:
    """Two 3x3 convolutions with ELU."""
    return [nn.Conv2d(inputs, outputs, 3, 1, 1), nn.ELU(), nn.Conv2d(outputs, outputs, 3, 1, 1), nn.ELU()]


class Generator(nn.Module):
    """Generator: z (N, latent_dim) -> image, unbounded.

    A linear layer to 8x8 maps of `width` channels, and two convolutions at each resolution; between resolutions the
    maps are doubled by nearest neighbors.
    """

    def __init__(self, image_size: ImageSize, channels: int, latent_dim: int = 64, width: int = 64) -> None:
        super().__init__()
        start, count = levels(image_size)
        layers: list[nn.Module] = [nn.Linear(latent_dim, width * math.prod(start)), nn.Unflatten(1, (width, *start))]
        for level in range(count):
            layers += [nn.UpsamplingNearest2d(scale_factor=2)] if level else []
            layers += _pair(width, width)
        self.layers = nn.Sequential(*layers, nn.Conv2d(width, channels, 3, 1, 1))

    def forward(self, z: Tensor) -> Tensor:
        return self.layers(z)


class BEGANAutoEncoder(AutoEncoder):
    """Autoencoder as the discriminator: image -> scores (N,), -L(x) with L(x) = mean |D(x) - x| over all values.

    The encoder has a convolution to `width` channels, then two at each resolution with width, 2 width, 3 width, ...
    channels and one of stride 2 between resolutions, and a linear layer to the code of `code_dim`. The decoder has the
    layers of `Generator`.
    """

    def __init__(self, image_size: ImageSize, channels: int, code_dim: int = 64, width: int = 64) -> None:
        super().__init__()
        last, count = levels(image_size)
        layers: list[nn.Module] = [nn.Conv2d(channels, width, 3, 1, 1), nn.ELU()]
        for level in range(count):
            wide = (level + 1) * width
            layers += [nn.Conv2d(level * width, level * width, 3, 2, 1), nn.ELU()] if level else []
            layers += _pair(max(level, 1) * width, wide)
        self.encode = nn.Sequential(*layers, nn.Flatten(), nn.Linear(count * width * math.prod(last), code_dim))
        self.decode = Generator(image_size, channels, code_dim, width)

    def distance(self, reconstruction: Tensor, x: Tensor) -> Tensor:
        """Return the mean absolute error of each image, (N,)."""
        return (reconstruction - x).abs().flatten(1).mean(1)
