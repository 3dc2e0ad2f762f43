"""Networks of conditional GANs, whose input includes a label y: (N,) int64, 0 <= y < num_classes."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from gan_cli.networks import dcgan
from gan_cli.networks.init import normal_, uniform_
from gan_cli.networks.maxout import Maxout
from gan_cli.networks.noise import NoiseDropout
from gan_cli.networks.norm import normalize_weights_
from gan_cli.networks.output import image_layers
from gan_cli.utils.image_size import ImageSize, area


class Generator(nn.Module):
    """DCGAN generator of [z, one-hot y]: z (N, latent_dim), y (N,) -> image. Arguments: as for dcgan.Generator."""

    def __init__(
        self,
        image_size: ImageSize,
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
    """DCGAN discriminator of the image with one constant channel per class: image, y (N,) -> scores (N,)."""

    def __init__(
        self,
        image_size: ImageSize,
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
    """DCGAN discriminator with the label in its last hidden layer: image, y (N,) -> scores (N,).

    The label adds a shift per class and channel before the last LeakyReLU, as x and y are joined in the last maxout
    layer of Mirza & Osindero 2014. Constant label channels beside the image would act as biases of the first layer,
    which has none in dcgan.torch. With biases there, of labels or not, D distinguishes the background of MNIST, which
    is exactly -1, from G's, and wins within fifty updates. The shifts start as N(0, 1), as large as the normalized
    features that they are added to.
    """

    def __init__(
        self, image_size: ImageSize, channels: int, num_classes: int, width: int = 64, norm: str = "batch"
    ) -> None:
        super().__init__()
        self.num_classes = num_classes
        # Split DCGAN's layers before the last activation, where the label is added.
        *from_x, relu, last = dcgan.Discriminator(image_size, channels, width, norm).layers
        assert isinstance(last, nn.Conv2d)
        self.from_x, self.from_y = nn.Sequential(*from_x), nn.Linear(num_classes, last.in_channels, bias=False)
        self.score = nn.Sequential(relu, last)
        normal_(self.from_y, 1.0)
        normalize_weights_(self.from_y, norm)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        y_hot = one_hot(y, self.num_classes).to(x.dtype)
        return self.score(self.from_x(x) + self.from_y(y_hot)[:, :, None, None]).flatten()


class MLPGenerator(nn.Module):
    """MNIST generator of Mirza & Osindero 2014, section 4.1: z (N, latent_dim), y (N,) -> image.

    z -> 200 ReLU and y -> 1000 ReLU in parallel, then 1200 ReLU and the image. Dropout with probability .5 on the
    hidden units; the paper does not say whether z and y are dropped too, nor whether dropout acts in sampling. Here it
    does: trained with dropout, G ignores z, and without dropout all digits of a class would be equal. Weights
    U(-.05, .05) as in the 2014 code; the paper gives none.
    """

    def __init__(
        self,
        image_size: ImageSize,
        channels: int,
        num_classes: int,
        value_range: Sequence[float] | None = (0.0, 1.0),
        latent_dim: int = 100,
    ) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.from_z, self.from_y = nn.Linear(latent_dim, 200), nn.Linear(num_classes, 1000)
        self.joint = nn.Sequential(
            nn.ReLU(), NoiseDropout(0.5), nn.Linear(200 + 1000, 1200),
            nn.ReLU(), NoiseDropout(0.5), *image_layers(1200, image_size, channels, value_range),
        )  # fmt: skip
        uniform_(self, 0.05)

    def forward(self, z: Tensor, y: Tensor) -> Tensor:
        y_hot = one_hot(y, self.num_classes).to(z.dtype)
        return self.joint(torch.cat([self.from_z(z), self.from_y(y_hot)], dim=1))


class MLPDiscriminator(nn.Module):
    """MNIST discriminator of Mirza & Osindero 2014, section 4.1: image, y (N,) -> scores (N,).

    x -> maxout 240 x 5 and y -> maxout 50 x 5 in parallel, then maxout 240 x 4. Dropout with probability .5 on the
    hidden units; weights U(-.005, .005) as in the 2014 code.
    """

    def __init__(self, image_size: ImageSize, channels: int, num_classes: int) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.from_x, self.from_y = Maxout(channels * area(image_size), 240, 5), Maxout(num_classes, 50, 5)
        self.joint = nn.Sequential(
            nn.Dropout(0.5), Maxout(240 + 50, 240, 4), nn.Dropout(0.5), nn.Linear(240, 1)
        )
        uniform_(self, 0.005)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        y_hot = one_hot(y, self.num_classes).to(x.dtype)
        return self.joint(torch.cat([self.from_x(x.flatten(1)), self.from_y(y_hot)], dim=1)).flatten()
