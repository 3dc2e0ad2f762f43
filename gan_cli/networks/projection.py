"""The projection discriminator (Miyato & Koyama 2018, arXiv 1802.05637) with the layers of DCGAN."""

from torch import Tensor, nn
from torch.nn.functional import one_hot

from gan_cli.networks import dcgan
from gan_cli.networks.init import normal_
from gan_cli.networks.norm import normalize_weights_
from gan_cli.utils.image_size import ImageSize


class Projection(nn.Module):
    """Score y^T V phi + psi(phi) of eq. 3: features phi (N, features), y (N,) int64 -> scores (N,), y being one-hot.

    V has a row per class and psi is linear, so that the score is the sum of a conditional and a marginal part.
    """

    def __init__(self, features: int, num_classes: int) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.V, self.psi = nn.Linear(num_classes, features, bias=False), nn.Linear(features, 1)

    def forward(self, phi: Tensor, y: Tensor) -> Tensor:
        y_V = self.V(one_hot(y, self.num_classes).to(phi.dtype))
        return (y_V * phi).sum(dim=1) + self.psi(phi).flatten()


class Discriminator(nn.Module):
    """Discriminator: image, y (N,) -> scores (N,).

    phi: the hidden layers of a DCGAN discriminator, summed over the pixels of the last map; section 5 uses a residual
    network. norm: see norm_layer; the paper has spectral, on V and psi too. Weights N(0, .02).
    """

    def __init__(
        self, image_size: ImageSize, channels: int, num_classes: int, width: int = 64, norm: str = "spectral"
    ) -> None:
        super().__init__()
        # The last layer of DCGAN's discriminator is replaced by the projection of its input.
        *hidden, last = dcgan.Discriminator(image_size, channels, width, norm).layers
        assert isinstance(last, nn.Conv2d)
        self.phi, self.projection = nn.Sequential(*hidden), Projection(last.in_channels, num_classes)
        normal_(self.projection)
        normalize_weights_(self.projection, norm)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return self.projection(self.phi(x).sum(dim=(2, 3)), y)
