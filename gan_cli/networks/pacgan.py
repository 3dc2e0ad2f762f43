"""The networks for points of PacGAN's code (Lin et al. 2018, arXiv 1712.04086; pacgan_task.py).

Weights are N(0, .02) and biases 0.
"""

from collections.abc import Sequence

from torch import Tensor, nn

from gan_cli.networks.init import dcgan_tensorflow_
from gan_cli.networks.maxout import Maxout
from gan_cli.networks.mlp import hidden
from gan_cli.networks.output import image_layers
from gan_cli.utils.image_size import ImageSize, area


class Generator(nn.Module):
    """Generator: z (N, latent_dim) -> points (N, channels, H, W), unbounded.

    The hidden layers have no biases, but batch normalization and ReLU.
    """

    def __init__(
        self, image_size: ImageSize, channels: int, latent_dim: int = 2, widths: Sequence[int] = (400, 400, 400, 400)
    ) -> None:
        super().__init__()
        layers = hidden([latent_dim, *widths], norm=True, bias=False)
        self.layers = nn.Sequential(*layers, *image_layers(widths[-1], image_size, channels, value_range=None))
        dcgan_tensorflow_(self)

    def forward(self, z: Tensor) -> Tensor:
        return self.layers(z)


class Discriminator(nn.Module):
    """Discriminator: points or packs of points -> scores (N,); three layers of maxout units, without dropout."""

    def __init__(self, image_size: ImageSize, channels: int, units: int = 200, pieces: int = 5) -> None:
        super().__init__()
        first = Maxout(channels * area(image_size), units, pieces)
        others = [Maxout(units, units, pieces) for _ in range(2)]
        self.layers = nn.Sequential(nn.Flatten(), first, *others, nn.Linear(units, 1))
        dcgan_tensorflow_(self)

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x).flatten()
