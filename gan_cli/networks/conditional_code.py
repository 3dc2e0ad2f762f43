"""The conditional networks of DCGAN's authors for MNIST (Radford et al. 2016; Newmu/dcgan_code, train_cond_dcgan.py).

The label is one-hot beside the input of every layer, as constant channels beside maps. No layer has biases, and batch
normalization neither gain nor bias. Weights are N(0, .02). They work at multiples of 4 pixels. Differs: samples are
drawn with running statistics of batch normalization, and with those of their batch of 128 in the code.
"""

import math
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from gan_cli.networks.init import normal_
from gan_cli.networks.output import bounded
from gan_cli.networks.sizes import divided
from gan_cli.utils.image_size import ImageSize

EPS = 1e-8  # lib/ops.py


def _flat_norm(features: int) -> nn.Module:
    return nn.BatchNorm1d(features, EPS, affine=False)


def _norm(channels: int) -> nn.Module:
    return nn.BatchNorm2d(channels, EPS, affine=False)


def _with_label(layers: Iterable[nn.Module], h: Tensor, y: Tensor, num_classes: int) -> Tensor:
    """The layers, each of which sees its input (N, C) or (N, C, H, W) and the label y (N,)."""
    y_hot = one_hot(y, num_classes).to(h.dtype)
    for layer in layers:
        label = y_hot.view(*y_hot.shape, *[1] * (h.dim() - 2)).expand(-1, -1, *h.shape[2:])
        h = layer(torch.cat([h, label], dim=1))
    return h


class Generator(nn.Module):
    """Generator: z (N, latent_dim), y (N,) -> image in `value_range`.

    Linear to 1024 and to 128 maps, then transposed 5 x 5 convolutions to 64 maps and the image. width: maps of the
    last hidden layer; hidden: units of the first.
    """

    def __init__(
        self, image_size: ImageSize, channels: int, num_classes: int, value_range: Sequence[float] | None = (0.0, 1.0),
        latent_dim: int = 100, width: int = 64, hidden: int = 1024,
    ) -> None:
        super().__init__()
        quarter = divided(image_size, of=4, least=4)
        features, n = 2 * width * math.prod(quarter), num_classes
        self.num_classes = num_classes
        self.layers = nn.ModuleList([
            nn.Sequential(nn.Linear(latent_dim + n, hidden, bias=False), _flat_norm(hidden), nn.ReLU()),
            nn.Sequential(
                nn.Linear(hidden + n, features, bias=False), _flat_norm(features), nn.ReLU(),
                nn.Unflatten(1, (2 * width, *quarter)),
            ),
            nn.Sequential(
                nn.ConvTranspose2d(2 * width + n, width, 5, 2, 2, 1, bias=False), _norm(width), nn.ReLU()
            ),
            nn.Sequential(nn.ConvTranspose2d(width + n, channels, 5, 2, 2, 1, bias=False), bounded(value_range)),
        ])  # fmt: skip
        normal_(self)

    def forward(self, z: Tensor, y: Tensor) -> Tensor:
        return _with_label(self.layers, z, y, self.num_classes)


class Discriminator(nn.Module):
    """Discriminator: image, y (N,) -> scores (N,).

    5 x 5 convolutions to 64 and 128 maps, linear to 1024 and to the score. width: maps of the first layer; hidden:
    units of the last hidden one.
    """

    def __init__(
        self, image_size: ImageSize, channels: int, num_classes: int, width: int = 64, hidden: int = 1024
    ) -> None:
        super().__init__()
        quarter = divided(image_size, of=4, least=4)
        features, n = 2 * width * math.prod(quarter), num_classes
        self.num_classes = num_classes
        self.layers = nn.ModuleList([
            nn.Sequential(nn.Conv2d(channels + n, width, 5, 2, 2, bias=False), nn.LeakyReLU(0.2)),
            nn.Sequential(
                nn.Conv2d(width + n, 2 * width, 5, 2, 2, bias=False), _norm(2 * width), nn.LeakyReLU(0.2), nn.Flatten()
            ),
            nn.Sequential(nn.Linear(features + n, hidden, bias=False), _flat_norm(hidden), nn.LeakyReLU(0.2)),
            nn.Linear(hidden + n, 1, bias=False),
        ])  # fmt: skip
        normal_(self)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return _with_label(self.layers, x, y, self.num_classes).flatten()
