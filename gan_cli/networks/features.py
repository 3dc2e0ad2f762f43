"""Critics that return features instead of a score, for losses that compare features by a kernel (MMD)."""

from collections.abc import Sequence

from torch import Tensor, nn

from gan_cli.networks import sngan
from gan_cli.networks.init import normal_
from gan_cli.networks.mlp import he_, hidden
from gan_cli.networks.norm import normalize_weights_
from gan_cli.utils.image_size import ImageSize, area


class PointFeatures(nn.Module):
    """Critic of points: points -> features (N, features); mlp.PointDiscriminator with a vector in place of the score.

    norm: none or spectral. gain: factor of each hidden layer, as in SpectralFeatures.
    """

    def __init__(
        self,
        image_size: ImageSize,
        channels: int,
        features: int = 16,
        widths: Sequence[int] = (512, 512, 512),
        norm: str = "none",
        gain: float = 1.0,
    ) -> None:
        super().__init__()
        layers = hidden([channels * area(image_size), *widths])
        self.layers = nn.Sequential(nn.Flatten(), *layers, nn.Linear(widths[-1], features))
        he_(self)
        # Spectral normalization needs the final initial weights: its first steps of power iteration start from them.
        normalize_weights_(self, norm)
        self.gain = gain ** len(widths)

    def forward(self, x: Tensor) -> Tensor:
        return self.gain * self.layers(x)


class SpectralFeatures(sngan.Discriminator):
    """Critic of the repulsive MMD-GAN: image -> features (N, features) (Wang et al. 2019, my_test_cifar.py).

    It is the standard critic of SN-GAN with a vector in place of the score. gain: factor of each convolution, which
    compensates for the leaky ReLU; 1 / .55 in one release of the code, 1.5 in a later one. All seven factors are
    applied at the end, which is equal up to the biases, because a leaky ReLU commutes with a positive factor.
    """

    def __init__(
        self, image_size: ImageSize, channels: int, features: int = 16, width: int = 64, gain: float = 1 / 0.55
    ) -> None:
        super().__init__(image_size, channels, width, norm="none")
        # The parent builds a layer to a score; only its number of inputs is used.
        score = self.layers[-1]
        assert isinstance(score, nn.Linear)
        self.layers[-1] = nn.Linear(score.in_features, features)
        normal_(self.layers[-1])
        normalize_weights_(self, "spectral")
        self.gain = gain ** sum(isinstance(layer, nn.Conv2d) for layer in self.layers)

    def forward(self, x: Tensor) -> Tensor:
        return self.gain * self.layers(x)
