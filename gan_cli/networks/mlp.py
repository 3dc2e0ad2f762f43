"""Fully connected networks: those of Goodfellow et al. 2014 (goodfeli/adversarial mnist.yaml and
cifar10_fully_connected.yaml), and WGAN-GP's toy ones.
"""

import itertools
import math
from collections.abc import Sequence

from torch import Tensor, nn

from gan_cli.networks.init import uniform_
from gan_cli.networks.maxout import Maxout
from gan_cli.networks.output import bounded


def hidden(widths: Sequence[int]) -> list[nn.Module]:
    """Linear and ReLU layers: widths[0] -> widths[1] -> ..."""
    return [
        layer
        for wide_in, wide_out in itertools.pairwise(widths)
        for layer in (nn.Linear(wide_in, wide_out), nn.ReLU())
    ]


class Generator(nn.Module):
    """z (N, latent_dim) -> image (N, channels, image_size, image_size). Weights U(-.05, .05)."""

    def __init__(
        self,
        image_size: int,
        channels: int,
        value_range: Sequence[float] | None = (0.0, 1.0),
        latent_dim: int = 100,
        widths: Sequence[int] = (1200, 1200),
    ) -> None:
        super().__init__()
        shape = (channels, image_size, image_size)
        self.layers = nn.Sequential(
            *hidden([latent_dim, *widths]),
            nn.Linear(widths[-1], math.prod(shape)),
            nn.Unflatten(1, shape),
            bounded(value_range),
        )
        uniform_(self, 0.05)

    def forward(self, z: Tensor) -> Tensor:
        return self.layers(z)


class SigmoidGenerator(nn.Module):
    """z -> image (unbounded), as cifar10_fully_connected.yaml: ReLU, sigmoid, linear. Weights U(-.05, .05), of the last
    layer U(-.5, .5).
    """

    def __init__(
        self, image_size: int, channels: int, latent_dim: int = 100, widths: tuple[int, int] = (8000, 8000)
    ) -> None:
        super().__init__()
        shape = (channels, image_size, image_size)
        last = nn.Linear(widths[1], math.prod(shape))
        self.layers = nn.Sequential(
            nn.Linear(latent_dim, widths[0]), nn.ReLU(),
            nn.Linear(widths[0], widths[1]), nn.Sigmoid(),
            last, nn.Unflatten(1, shape),
        )  # fmt: skip
        uniform_(self, 0.05)
        uniform_(last, 0.5)

    def forward(self, z: Tensor) -> Tensor:
        return self.layers(z)


class Discriminator(nn.Module):
    """image -> scores (N,): two layers of `units` maxout units of `pieces` each. Weights U(-.005, .005).

    Inverted dropout before every layer: the pixels are kept with probability .8 and scaled by 1.25, the units with
    probability .5 and scaled by 2; also in the generator's turn (the code's no_drop_in_d_for_g is off).
    """

    def __init__(self, image_size: int, channels: int, units: int = 240, pieces: int = 5) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Flatten(),
            nn.Dropout(0.2), Maxout(channels * image_size**2, units, pieces),
            nn.Dropout(0.5), Maxout(units, units, pieces),
            nn.Dropout(0.5), nn.Linear(units, 1),
        )  # fmt: skip
        uniform_(self, 0.005)

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x).flatten()


class ReLUDiscriminator(nn.Module):
    """image -> scores (N,): hidden layers of `widths` ReLU, without dropout. Weights U(-.005, .005)."""

    def __init__(self, image_size: int, channels: int, widths: Sequence[int] = (1200, 1200)) -> None:
        super().__init__()
        layers = hidden([channels * image_size**2, *widths])
        self.layers = nn.Sequential(nn.Flatten(), *layers, nn.Linear(widths[-1], 1))
        uniform_(self, 0.005)

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x).flatten()


class ToyGenerator(Generator):
    """The generator of WGAN-GP's gan_toy.py for points: He's initial weights, three hidden layers."""

    def __init__(
        self,
        image_size: int,
        channels: int,
        value_range: Sequence[float] | None = None,
        latent_dim: int = 2,
        widths: Sequence[int] = (512, 512, 512),
    ) -> None:
        super().__init__(image_size, channels, value_range, latent_dim, widths)
        he_(self)


class ToyDiscriminator(ReLUDiscriminator):
    """The critic of gan_toy.py: He's initial weights, three hidden layers."""

    def __init__(self, image_size: int, channels: int, widths: Sequence[int] = (512, 512, 512)) -> None:
        super().__init__(image_size, channels, widths)
        he_(self)


def he_(network: nn.Module) -> None:
    """Uniform weights of variance 2 / fan_in before a ReLU, 2 / (fan_in + fan_out) in the last layer."""
    linear = [layer for layer in network.modules() if isinstance(layer, nn.Linear)]
    for layer in linear[:-1]:
        nn.init.kaiming_uniform_(layer.weight, nonlinearity="relu")
    nn.init.xavier_uniform_(linear[-1].weight)
