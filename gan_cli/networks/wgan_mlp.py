"""The fully connected networks of WGAN's ablation (Arjovsky et al. 2017; models/mlp.py): four linear layers with ReLU.

Initial weights are torch's.
"""

from torch import Tensor, nn

from gan_cli.networks.mlp import hidden
from gan_cli.networks.output import image_layers
from gan_cli.utils.image_size import ImageSize, area


class Generator(nn.Module):
    """Generator: z (N, latent_dim) -> image (N, channels, H, W), unbounded."""

    def __init__(self, image_size: ImageSize, channels: int, latent_dim: int = 100, width: int = 512) -> None:
        super().__init__()
        layers = hidden([latent_dim, width, width, width])
        self.layers = nn.Sequential(*layers, *image_layers(width, image_size, channels, value_range=None))

    def forward(self, z: Tensor) -> Tensor:
        return self.layers(z)


class Discriminator(nn.Module):
    """Critic: image -> scores (N,)."""

    def __init__(self, image_size: ImageSize, channels: int, width: int = 512) -> None:
        super().__init__()
        layers = hidden([channels * area(image_size), width, width, width])
        self.layers = nn.Sequential(nn.Flatten(), *layers, nn.Linear(width, 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x).flatten()
