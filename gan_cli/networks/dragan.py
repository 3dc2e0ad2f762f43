"""The MNIST networks of DRAGAN's notebook (Kodali et al. 2017; DRAGAN.ipynb): one hidden layer of 128 ReLU each."""

import math
from collections.abc import Sequence

from torch import Tensor, nn

from gan_cli.networks.output import image_layers
from gan_cli.utils.image_size import ImageSize, area


def init_(network: nn.Module) -> None:
    """Set weights N(0, sqrt(2 / fan_in)) and biases 0."""
    for layer in network.modules():
        if isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, 0.0, math.sqrt(2 / layer.in_features))
            nn.init.zeros_(layer.bias)


class Generator(nn.Module):
    """Generator: z (N, latent_dim) -> image in `value_range`."""

    def __init__(
        self,
        image_size: ImageSize,
        channels: int,
        value_range: Sequence[float] | None = (0.0, 1.0),
        latent_dim: int = 100,
        width: int = 128,
    ) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(latent_dim, width), nn.ReLU(), *image_layers(width, image_size, channels, value_range)
        )
        init_(self)

    def forward(self, z: Tensor) -> Tensor:
        return self.layers(z)


class Discriminator(nn.Module):
    """Discriminator: image -> scores (N,)."""

    def __init__(self, image_size: ImageSize, channels: int, width: int = 128) -> None:
        super().__init__()
        pixels = channels * area(image_size)
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(pixels, width), nn.ReLU(), nn.Linear(width, 1))
        init_(self)

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x).flatten()
