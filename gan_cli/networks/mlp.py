"""Fully connected networks: those of Goodfellow et al. 2014 (goodfeli/adversarial, mnist.yaml and
cifar10_fully_connected.yaml), and those for points of the WGAN-GP code (gan_toy.py).
"""

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from gan_cli.networks.init import uniform_
from gan_cli.networks.maxout import Maxout
from gan_cli.networks.output import image_layers
from gan_cli.utils.image_size import ImageSize, area


def hidden(
    widths: Sequence[int], activation: type[nn.Module] = nn.ReLU, norm: bool = False, bias: bool = True
) -> list[nn.Module]:
    """Return hidden layers widths[0] -> widths[1] -> ...: linear, batch normalization with `norm`, and activation."""
    layers: list[nn.Module] = []
    for narrow, wide in itertools.pairwise(widths):
        layers += [nn.Linear(narrow, wide, bias), *([nn.BatchNorm1d(wide)] if norm else []), activation()]
    return layers


class Generator(nn.Module):
    """Generator with ReLU: z (N, latent_dim) -> image (N, channels, H, W). Weights U(-.05, .05)."""

    def __init__(
        self,
        image_size: ImageSize,
        channels: int,
        value_range: Sequence[float] | None = (0.0, 1.0),
        latent_dim: int = 100,
        widths: Sequence[int] = (1200, 1200),
    ) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *hidden([latent_dim, *widths]), *image_layers(widths[-1], image_size, channels, value_range)
        )
        uniform_(self, 0.05)

    def forward(self, z: Tensor) -> Tensor:
        return self.layers(z)


class MarginalGenerator(Generator):
    """The generator of mnist.yaml: the biases of its last layer start at the logits of the mean training image, so that
    a sigmoid of them is that image. ValueError for another value_range than [0, 1].
    """

    def __init__(
        self,
        image_size: ImageSize,
        channels: int,
        value_range: Sequence[float] | None = (0.0, 1.0),
        latent_dim: int = 100,
        widths: Sequence[int] = (1200, 1200),
    ) -> None:
        if value_range is None or tuple(value_range) != (0, 1):
            raise ValueError(f"the logit of a mean pixel needs dataset.value_range=[0,1], not {value_range}")
        super().__init__(image_size, channels, value_range, latent_dim, widths)

    def start_from(self, mean: Tensor) -> None:
        """Set the biases by the mean image (C, H, W); pixels of one value are 1e-7 from 0 or 1, as in pylearn2."""
        linear = [layer for layer in self.layers if isinstance(layer, nn.Linear)][-1]
        with torch.no_grad():
            linear.bias.copy_(mean.flatten().double().clamp(1e-7, 1 - 1e-7).logit())


class SigmoidGenerator(nn.Module):
    """Generator of cifar10_fully_connected.yaml: z (N, latent_dim) -> image, unbounded; ReLU, sigmoid, linear.

    Weights U(-.05, .05), and U(-.5, .5) in the last layer.
    """

    def __init__(
        self, image_size: ImageSize, channels: int, latent_dim: int = 100, widths: tuple[int, int] = (8000, 8000)
    ) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(latent_dim, widths[0]), nn.ReLU(),
            nn.Linear(widths[0], widths[1]), nn.Sigmoid(),
            *image_layers(widths[1], image_size, channels, value_range=None),
        )  # fmt: skip
        uniform_(self, 0.05)
        uniform_(self.layers[4], 0.5)

    def forward(self, z: Tensor) -> Tensor:
        return self.layers(z)


class Discriminator(nn.Module):
    """Maxout discriminator: image -> scores (N,), two layers of `units` maxout units with `pieces` pieces each.

    Inverted dropout before every layer: pixels are kept with probability .8 and scaled by 1.25, units with probability
    .5 and scaled by 2. It acts in the generator's turn too (no_drop_in_d_for_g of the code is off). Weights
    U(-.005, .005).
    """

    def __init__(self, image_size: ImageSize, channels: int, units: int = 240, pieces: int = 5) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Flatten(),
            nn.Dropout(0.2), Maxout(channels * area(image_size), units, pieces),
            nn.Dropout(0.5), Maxout(units, units, pieces),
            nn.Dropout(0.5), nn.Linear(units, 1),
        )  # fmt: skip
        uniform_(self, 0.005)

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x).flatten()


class ReLUDiscriminator(nn.Module):
    """ReLU discriminator without dropout: image -> scores (N,). Weights U(-.005, .005)."""

    def __init__(self, image_size: ImageSize, channels: int, widths: Sequence[int] = (1200, 1200)) -> None:
        super().__init__()
        layers = hidden([channels * area(image_size), *widths])
        self.layers = nn.Sequential(nn.Flatten(), *layers, nn.Linear(widths[-1], 1))
        uniform_(self, 0.005)

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x).flatten()


class PointGenerator(Generator):
    """Generator of points of gan_toy.py (WGAN-GP): three hidden layers of ReLU, He's initial weights."""

    def __init__(
        self,
        image_size: ImageSize,
        channels: int,
        value_range: Sequence[float] | None = None,
        latent_dim: int = 2,
        widths: Sequence[int] = (512, 512, 512),
    ) -> None:
        super().__init__(image_size, channels, value_range, latent_dim, widths)
        he_(self)


class PointDiscriminator(ReLUDiscriminator):
    """Critic of points of gan_toy.py (WGAN-GP): three hidden layers of ReLU, He's initial weights."""

    def __init__(self, image_size: ImageSize, channels: int, widths: Sequence[int] = (512, 512, 512)) -> None:
        super().__init__(image_size, channels, widths)
        he_(self)


def he_(network: nn.Module) -> None:
    """Set uniform weights of variance 2 / fan_in before a ReLU, and of 2 / (fan_in + fan_out) in the last layer."""
    linear = [layer for layer in network.modules() if isinstance(layer, nn.Linear)]
    for layer in linear[:-1]:
        nn.init.kaiming_uniform_(layer.weight, nonlinearity="relu")
    nn.init.xavier_uniform_(linear[-1].weight)
