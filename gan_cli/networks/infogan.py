"""The MNIST networks of InfoGAN (Chen et al. 2016, table 1), at any multiple of 4 pixels.

Initial weights are N(0, .02), truncated at two standard deviations in the trunk's convolutions (custom_ops.py). Batch
normalization comes before the activation, as in the authors' code.
"""

import math
from collections.abc import Sequence

from torch import Tensor, nn

from gan_cli.networks.init import normal_
from gan_cli.networks.output import bounded
from gan_cli.networks.sizes import divided
from gan_cli.utils.image_size import ImageSize


class Generator(nn.Module):
    """Generator: latent vector (N, noise_dim + sum(categorical) + continuous) -> image in `value_range`."""

    def __init__(
        self,
        image_size: ImageSize,
        channels: int,
        value_range: Sequence[float] | None = (0.0, 1.0),
        noise_dim: int = 62,
        categorical: Sequence[int] = (10,),
        continuous: int = 2,
    ) -> None:
        super().__init__()
        quarter = divided(image_size, of=4, least=4)
        latent_dim = noise_dim + sum(categorical) + continuous
        self.layers = nn.Sequential(
            nn.Linear(latent_dim, 1024, bias=False), nn.BatchNorm1d(1024), nn.ReLU(),
            nn.Linear(1024, 128 * math.prod(quarter), bias=False), nn.BatchNorm1d(128 * math.prod(quarter)), nn.ReLU(),
            nn.Unflatten(1, (128, *quarter)),
            nn.ConvTranspose2d(128, 64, 4, 2, 1, bias=False), nn.BatchNorm2d(64), nn.ReLU(),
            nn.ConvTranspose2d(64, channels, 4, 2, 1), bounded(value_range),
        )  # fmt: skip
        normal_(self)

    def forward(self, latent: Tensor) -> Tensor:
        return self.layers(latent)


class Trunk(nn.Module):
    """Layers shared by D and Q: image -> features (N, 1024). leak: .1 in the paper, .01 in the released MNIST code."""

    def __init__(self, image_size: ImageSize, channels: int, leak: float = 0.1) -> None:
        super().__init__()
        quarter = divided(image_size, of=4, least=4)
        self.layers = nn.Sequential(
            nn.Conv2d(channels, 64, 4, 2, 1), nn.LeakyReLU(leak),
            nn.Conv2d(64, 128, 4, 2, 1, bias=False), nn.BatchNorm2d(128), nn.LeakyReLU(leak),
            nn.Flatten(),
            nn.Linear(128 * math.prod(quarter), 1024, bias=False), nn.BatchNorm1d(1024), nn.LeakyReLU(leak),
        )  # fmt: skip
        normal_(self, truncated=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


class Discriminator(nn.Module):
    """Discriminator: features (N, 1024) -> scores (N,)."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(1024, 1)
        normal_(self)

    def forward(self, features: Tensor) -> Tensor:
        return self.layer(features).flatten()


class Posterior(nn.Module):
    """Posterior Q(c|x): features (N, 1024) -> (N, sum(categorical) + 2 continuous).

    The columns are the logits of the categorical codes, then the means and the log variances of the continuous ones.
    """

    def __init__(self, categorical: Sequence[int] = (10,), continuous: int = 2, leak: float = 0.1) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(1024, 128, bias=False), nn.BatchNorm1d(128), nn.LeakyReLU(leak),
            nn.Linear(128, sum(categorical) + 2 * continuous),
        )  # fmt: skip
        normal_(self)

    def forward(self, features: Tensor) -> Tensor:
        return self.layers(features)
