"""The fully connected networks of GMMN (Li, Swersky, Zemel 2015, arXiv 1502.02761; settings of the released train.py).

Initial weights are those of the authors' library: N(0, 1 / fan_in), biases 0 (yujiali/pynn, pynn/layer.py:21).
"""

from collections.abc import Sequence

from torch import Tensor, nn

from gan_cli.networks.init import fan_in_normal_
from gan_cli.networks.mlp import hidden
from gan_cli.networks.output import image_layers
from gan_cli.utils.image_size import ImageSize, area


class Generator(nn.Module):
    """Generator: z (N, latent_dim) -> image (N, channels, H, W)."""

    def __init__(
        self,
        image_size: ImageSize,
        channels: int,
        value_range: Sequence[float] | None = (0.0, 1.0),
        latent_dim: int = 10,
        widths: Sequence[int] = (64, 256, 256, 1024),
    ) -> None:
        super().__init__()
        last = image_layers(widths[-1], image_size, channels, value_range)
        self.layers = nn.Sequential(*hidden([latent_dim, *widths]), *last)
        fan_in_normal_(self)

    def forward(self, z: Tensor) -> Tensor:
        return self.layers(z)


class CodeGenerator(nn.Module):
    """Generator of codes: z (N, latent_dim) -> code (N, code_dim) in (0, 1)."""

    def __init__(
        self, code_dim: int = 32, latent_dim: int = 10, widths: Sequence[int] = (64, 256, 256, 1024)
    ) -> None:
        super().__init__()
        self.layers = nn.Sequential(*hidden([latent_dim, *widths]), nn.Linear(widths[-1], code_dim), nn.Sigmoid())
        fan_in_normal_(self)

    def forward(self, z: Tensor) -> Tensor:
        return self.layers(z)


class Encoder(nn.Module):
    """Encoder: image -> code (N, code_dim) in (0, 1). dropout: probabilities for the image and the hidden layer."""

    def __init__(
        self,
        image_size: ImageSize,
        channels: int,
        code_dim: int = 32,
        width: int = 1024,
        dropout: Sequence[float] = (0.2, 0.5),
    ) -> None:
        super().__init__()
        of_image, of_hidden = dropout
        self.layers = nn.Sequential(
            nn.Flatten(), nn.Dropout(of_image), nn.Linear(channels * area(image_size), width), nn.Sigmoid(),
            nn.Dropout(of_hidden), nn.Linear(width, code_dim), nn.Sigmoid(),
        )  # fmt: skip
        fan_in_normal_(self)

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


class Decoder(nn.Module):
    """Decoder: code (N, code_dim) -> image in `value_range`."""

    def __init__(
        self,
        image_size: ImageSize,
        channels: int,
        value_range: Sequence[float] | None = (0.0, 1.0),
        code_dim: int = 32,
        width: int = 1024,
    ) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(code_dim, width), nn.Sigmoid(), *image_layers(width, image_size, channels, value_range)
        )
        fan_in_normal_(self)

    def forward(self, code: Tensor) -> Tensor:
        return self.layers(code)
