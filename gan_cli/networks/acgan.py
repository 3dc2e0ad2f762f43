"""The discriminator of AC-GAN: DCGAN's with an auxiliary classifier (Odena et al. 2017, arXiv 1610.09585)."""

from torch import Tensor, nn

from gan_cli.networks import dcgan
from gan_cli.networks.init import normal_
from gan_cli.networks.norm import normalize_weights_
from gan_cli.networks.sizes import doublings
from gan_cli.utils.image_size import ImageSize


class Discriminator(nn.Module):
    """Discriminator with two heads: image -> scores (N,) of P(S|x), and logits (N, num_classes) of P(C|x).

    norm: see norm_layer. Weights N(0, .02).
    """

    def __init__(
        self, image_size: ImageSize, channels: int, num_classes: int, width: int = 64, norm: str = "batch"
    ) -> None:
        super().__init__()
        start, _ = doublings(image_size)
        # The layers of DCGAN's discriminator are taken apart: the second head sees what its last layer sees.
        *hidden, self.source = dcgan.Discriminator(image_size, channels, width, norm).layers
        assert isinstance(self.source, nn.Conv2d)
        self.hidden = nn.Sequential(*hidden)
        self.classes = nn.Conv2d(self.source.in_channels, num_classes, start, bias=False)
        normal_(self.classes)
        normalize_weights_(self.classes, norm)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        features = self.hidden(x)
        return self.source(features).flatten(), self.classes(features).flatten(1)
