"""InfoGAN's MNIST networks (Chen et al. 2016, table 1), at any multiple of 4 pixels; N(0, .02) initial
weights, those of the trunk's convolutions cut at two standard deviations (custom_ops.py).

Batch normalisation before the activation, as the authors' code has it.
"""

from collections.abc import Sequence

from torch import Tensor, nn

from gan_cli.networks.init import normal_
from gan_cli.networks.output import bounded
from gan_cli.networks.sizes import multiple


class Generator(nn.Module):
    """Latent vector (N, noise_dim + sum(categorical) + continuous) -> image in `value_range`."""

    def __init__(
        self,
        image_size: int,
        channels: int,
        value_range: Sequence[float] | None = (0.0, 1.0),
        noise_dim: int = 62,
        categorical: Sequence[int] = (10,),
        continuous: int = 2,
    ) -> None:
        super().__init__()
        quarter = multiple(image_size, of=4, least=4) // 4
        latent_dim = noise_dim + sum(categorical) + continuous
        self.layers = nn.Sequential(
            nn.Linear(latent_dim, 1024, bias=False), nn.BatchNorm1d(1024), nn.ReLU(),
            nn.Linear(1024, 128 * quarter**2, bias=False), nn.BatchNorm1d(128 * quarter**2), nn.ReLU(),
            nn.Unflatten(1, (128, quarter, quarter)),
            nn.ConvTranspose2d(128, 64, 4, 2, 1, bias=False), nn.BatchNorm2d(64), nn.ReLU(),
            nn.ConvTranspose2d(64, channels, 4, 2, 1), bounded(value_range),
        )  # fmt: skip
        normal_(self)

    def forward(self, latent: Tensor) -> Tensor:
        return self.layers(latent)


class Trunk(nn.Module):
    """image -> features (N, 1024), shared by D and Q. leak: .1 in the paper; the released MNIST code has
    .01.
    """

    def __init__(self, image_size: int, channels: int, leak: float = 0.1) -> None:
        super().__init__()
        quarter = multiple(image_size, of=4, least=4) // 4
        self.layers = nn.Sequential(
            nn.Conv2d(channels, 64, 4, 2, 1), nn.LeakyReLU(leak),
            nn.Conv2d(64, 128, 4, 2, 1, bias=False), nn.BatchNorm2d(128), nn.LeakyReLU(leak),
            nn.Flatten(),
            nn.Linear(128 * quarter**2, 1024, bias=False), nn.BatchNorm1d(1024), nn.LeakyReLU(leak),
        )  # fmt: skip
        normal_(self, cut=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


class Discriminator(nn.Module):
    """Features (N, 1024) -> scores (N,)."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(1024, 1)
        normal_(self)

    def forward(self, features: Tensor) -> Tensor:
        return self.layer(features).flatten()


class Posterior(nn.Module):
    """Q(c|x): features (N, 1024) -> (N, sum(categorical) logits + continuous means + continuous log
    variances).
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
