"""Critics that return features instead of a score, for the losses that compare features by a kernel."""

from collections.abc import Sequence

from torch import Tensor, nn

from gan_cli.networks import sngan
from gan_cli.networks.init import normal_
from gan_cli.networks.mlp import he_, hidden
from gan_cli.networks.norm import normalise_weights_


class ToyFeatures(nn.Module):
    """Points -> features (N, features): networks.mlp.ToyDiscriminator with a vector for its score.

    norm: none or spectral; gain: of each hidden layer, as SpectralFeatures has it.
    """

    def __init__(
        self,
        image_size: int,
        channels: int,
        features: int = 16,
        widths: Sequence[int] = (512, 512, 512),
        norm: str = "none",
        gain: float = 1.0,
    ) -> None:
        super().__init__()
        layers = hidden([channels * image_size**2, *widths])
        self.layers = nn.Sequential(nn.Flatten(), *layers, nn.Linear(widths[-1], features))
        he_(self)
        normalise_weights_(self, norm)
        self.gain = gain ** len(widths)

    def forward(self, x: Tensor) -> Tensor:
        return self.gain * self.layers(x)


class SpectralFeatures(sngan.Discriminator):
    """image -> features (N, features): the standard critic of SN-GAN with a vector for its score, as in the repulsive
    MMD-GAN (Wang et al. 2019, my_test_cifar.py).

    gain: of each convolution, against what its leaky ReLU takes off; 1 / .55 in one release of the code, 1.5 later.
    All seven are applied at the end, which is the same but for the biases, as a leaky ReLU commutes with them.
    """

    def __init__(
        self, image_size: int, channels: int, features: int = 16, width: int = 64, gain: float = 1 / 0.55
    ) -> None:
        super().__init__(image_size, channels, width, norm="none")
        score = self.layers[-1]
        assert isinstance(score, nn.Linear)
        self.layers[-1] = nn.Linear(score.in_features, features)
        normal_(self.layers[-1])
        normalise_weights_(self, "spectral")
        self.gain = gain ** sum(isinstance(layer, nn.Conv2d) for layer in self.layers)

    def forward(self, x: Tensor) -> Tensor:
        return self.gain * self.layers(x)
