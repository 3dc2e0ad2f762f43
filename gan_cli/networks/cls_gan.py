"""The critic of CLS-GAN, which is a classifier (Qi 2017, arXiv 1701.06264; clsgan.lua)."""

from torch import Tensor, nn

from gan_cli.networks.init import normal_
from gan_cli.networks.sizes import doublings
from gan_cli.utils.image_size import ImageSize


class Discriminator(nn.Module):
    """Critic: image, y (N,) int64 -> scores (N,), log softmax_y(a(x)), so that L(x, y) = -score is a cross-entropy.

    As in clsgan.lua at 32 pixels, each 4x4 convolution of stride 2 is followed by a 3x3 one with as many channels.
    Batch normalization after all but the first, leaky ReLU, no biases, weights N(0, .02).
    """

    def __init__(self, image_size: ImageSize, channels: int, num_classes: int, width: int = 64) -> None:
        super().__init__()
        start, k = doublings(image_size)
        layers: list[nn.Module] = []
        narrow = channels
        for i in range(k):
            wide = width * 2**i
            layers += [nn.Conv2d(narrow, wide, 4, 2, 1, bias=False), nn.BatchNorm2d(wide), nn.LeakyReLU(0.2)]
            layers += [nn.Conv2d(wide, wide, 3, 1, 1, bias=False), nn.BatchNorm2d(wide), nn.LeakyReLU(0.2)]
            narrow = wide
        del layers[1]  # no batch normalization after the first layer
        self.layers = nn.Sequential(*layers, nn.Conv2d(narrow, num_classes, start, bias=False), nn.Flatten())
        normal_(self)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return self.layers(x).log_softmax(dim=1).gather(1, y[:, None]).flatten()
