"""Networks that see a label y: (N,) int64, 0 <= y < num_classes."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from gan_cli.networks import dcgan
from gan_cli.networks.init import normal_, uniform_
from gan_cli.networks.maxout import Maxout
from gan_cli.networks.noise import NoiseDropout
from gan_cli.networks.norm import normalise_weights_
from gan_cli.networks.output import bounded


class Generator(nn.Module):
    """z (N, latent_dim), y (N,) -> image: a DCGAN generator of [z, one-hot y]; its arguments are those of dcgan."""

    def __init__(
        self,
        image_size: int,
        channels: int,
        num_classes: int,
        value_range: Sequence[float] | None = (-1.0, 1.0),
        latent_dim: int = 100,
        width: int = 64,
        norm: str = "batch",
        torch_defaults: bool = False,
    ) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.body = dcgan.Generator(
            image_size, channels, value_range, latent_dim + num_classes, width, norm, torch_defaults
        )

    def forward(self, z: Tensor, y: Tensor) -> Tensor:
        return self.body(torch.cat([z, one_hot(y, self.num_classes).to(z.dtype)], dim=1))


class Discriminator(nn.Module):
    """image, y (N,) -> scores (N,): a DCGAN discriminator of the image with one constant plane per class
    beside it.
    """

    def __init__(
        self,
        image_size: int,
        channels: int,
        num_classes: int,
        width: int = 64,
        norm: str = "batch",
        torch_defaults: bool = False,
    ) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.body = dcgan.Discriminator(image_size, channels + num_classes, width, norm, torch_defaults)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        planes = one_hot(y, self.num_classes).to(x.dtype)[:, :, None, None].expand(-1, -1, *x.shape[2:])
        return self.body(torch.cat([x, planes], dim=1))


class JointDiscriminator(nn.Module):
    """image, y (N,) -> scores (N,): a DCGAN discriminator whose last hidden layer is of the label too, one shift per
    class and channel before its LeakyReLU, as x and y meet in the last maxout layer of Mirza & Osindero 2014.

    Differs from label planes beside the image: those are biases of dcgan.torch's first layer, which has none. With a
    bias there, of a label or not, D tells MNIST's background of exactly -1 from G's, and wins within fifty updates.
    The shifts begin as N(0, 1), as large as the normalised features that they are added to.
    """

    def __init__(self, image_size: int, channels: int, num_classes: int, width: int = 64, norm: str = "batch") -> None:
        super().__init__()
        self.num_classes = num_classes
        *from_x, relu, last = dcgan.Discriminator(image_size, channels, width, norm).layers
        assert isinstance(last, nn.Conv2d)
        self.from_x, self.from_y = nn.Sequential(*from_x), nn.Linear(num_classes, last.in_channels, bias=False)
        self.score = nn.Sequential(relu, last)
        normal_(self.from_y, 1.0)
        normalise_weights_(self.from_y, norm)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        y_hot = one_hot(y, self.num_classes).to(x.dtype)
        return self.score(self.from_x(x) + self.from_y(y_hot)[:, :, None, None]).flatten()


class MLPGenerator(nn.Module):
    """The MNIST generator of Mirza & Osindero 2014, section 4.1: z -> 200 and y -> 1000 ReLU in parallel -> 1200 ReLU
    -> image.

    Dropout of probability .5 on the hidden units; the paper does not say whether z and y are dropped too, nor what
    becomes of it when samples are drawn. Here it stays: trained with it, G leaves z unused, and without it all digits
    of a class are alike. Weights U(-.05, .05) as in the 2014 code, for the paper gives none.
    """

    def __init__(
        self,
        image_size: int,
        channels: int,
        num_classes: int,
        value_range: Sequence[float] | None = (0.0, 1.0),
        latent_dim: int = 100,
    ) -> None:
        super().__init__()
        shape = (channels, image_size, image_size)
        self.num_classes = num_classes
        self.from_z, self.from_y = nn.Linear(latent_dim, 200), nn.Linear(num_classes, 1000)
        self.joint = nn.Sequential(
            nn.ReLU(), NoiseDropout(0.5), nn.Linear(200 + 1000, 1200),
            nn.ReLU(), NoiseDropout(0.5), nn.Linear(1200, math.prod(shape)),
            nn.Unflatten(1, shape), bounded(value_range),
        )  # fmt: skip
        uniform_(self, 0.05)

    def forward(self, z: Tensor, y: Tensor) -> Tensor:
        y_hot = one_hot(y, self.num_classes).to(z.dtype)
        return self.joint(torch.cat([self.from_z(z), self.from_y(y_hot)], dim=1))


class MLPDiscriminator(nn.Module):
    """Section 4.1: x -> maxout 240 x 5, y -> maxout 50 x 5, both -> maxout 240 x 4 -> scores (N,).

    Dropout of probability .5 on the hidden units; weights U(-.005, .005) as in the 2014 code.
    """

    def __init__(self, image_size: int, channels: int, num_classes: int) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.from_x, self.from_y = Maxout(channels * image_size**2, 240, 5), Maxout(num_classes, 50, 5)
        self.joint = nn.Sequential(
            nn.Dropout(0.5), Maxout(240 + 50, 240, 4), nn.Dropout(0.5), nn.Linear(240, 1)
        )
        uniform_(self, 0.005)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        y_hot = one_hot(y, self.num_classes).to(x.dtype)
        return self.joint(torch.cat([self.from_x(x.flatten(1)), self.from_y(y_hot)], dim=1)).flatten()
