"""The fully connected networks of WGAN's ablation (Arjovsky et al. 2017; models/mlp.py): four linear layers, ReLU
between them, torch's default initial weights.
"""

import math

from torch import Tensor, nn


def layers(inputs: int, width: int, outputs: int) -> list[nn.Module]:
    return [
        nn.Linear(inputs, width), nn.ReLU(),
        nn.Linear(width, width), nn.ReLU(),
        nn.Linear(width, width), nn.ReLU(),
        nn.Linear(width, outputs),
    ]  # fmt: skip


class Generator(nn.Module):
    """z (N, latent_dim) -> image (N, channels, image_size, image_size), not bounded: the last layer is linear."""

    def __init__(self, image_size: int, channels: int, latent_dim: int = 100, width: int = 512) -> None:
        super().__init__()
        shape = (channels, image_size, image_size)
        self.layers = nn.Sequential(*layers(latent_dim, width, math.prod(shape)), nn.Unflatten(1, shape))

    def forward(self, z: Tensor) -> Tensor:
        return self.layers(z)


class Discriminator(nn.Module):
    """image -> scores (N,)."""

    def __init__(self, image_size: int, channels: int, width: int = 512) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), *layers(channels * image_size**2, width, 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x).flatten()
