"""A GAN whose generator is trained on larger batches than its critic, as in WGAN-GP's CIFAR-10 code."""

from torch import nn

from gan_cli.data.base import Images
from gan_cli.losses.objective import Objective
from gan_cli.systems.base import Terms
from gan_cli.systems.gan import GAN
from gan_cli.utils.random import Prior, normal


class ManyFakesGAN(GAN):
    """The GAN with `fakes_per_real` generated images per real image in G's turn.

    The default is GEN_BS_MULTIPLE of gan_cifar_resnet.py (Gulrajani et al. 2017). ValueError if it is below 1.
    """

    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        objective: Objective,
        latent_dim: int = 100,
        noise: Prior = normal,
        fakes_per_real: int = 2,
    ) -> None:
        super().__init__(generator, discriminator, objective, latent_dim, noise)
        if fakes_per_real < 1:
            raise ValueError(f"fakes_per_real is at least 1, not {fakes_per_real}")
        self.fakes_per_real = fakes_per_real

    def g_loss(self, batch: Images) -> Terms:
        fake = self.generate(self.fakes_per_real * len(batch.image))
        return self.objective.g_loss(self.discriminator, fake, batch.image)
