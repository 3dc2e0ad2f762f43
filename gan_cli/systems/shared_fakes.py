"""A GAN whose two turns use the same generated images, as in the code of DCGAN, LSGAN and PacGAN."""

from torch import Tensor, nn

from gan_cli.data.base import Images
from gan_cli.losses.objective import Objective
from gan_cli.systems.base import Terms
from gan_cli.systems.gan import GAN
from gan_cli.systems.shared_sample import SharedSample
from gan_cli.utils.random import Prior, normal


class SharedFakesGAN(GAN):
    """The GAN of Goodfellow et al. 2014 with G(z) computed once per iteration, in an iteration with one step of D.

    share_fakes: False, or several steps of D, gives Algorithm 1 of the paper, which draws new z for each turn.
    """

    carried = ("shared",)

    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        objective: Objective,
        latent_dim: int = 100,
        noise: Prior = normal,
        share_fakes: bool = True,
    ) -> None:
        super().__init__(generator, discriminator, objective, latent_dim, noise)
        self.share_fakes, self.shared = share_fakes, SharedSample()

    def d_loss(self, batch: Images) -> Terms:
        fake = self.detached_fakes(len(batch.image))
        return self.objective.d_loss(self.discriminator, batch.image, fake)

    def g_loss(self, batch: Images) -> Terms:
        fake = self.fakes(len(batch.image))
        return self.objective.g_loss(self.discriminator, fake, batch.image)

    def detached_fakes(self, n: int) -> Tensor:
        """n images for D's turn, without a graph; they are stored with their graph if G's turn is to use them."""
        if self.share_fakes and self.objective.steps_at(self.iteration) == 1:
            return self.shared.draw_detached(self.generator, lambda: self.generate(n))
        return self.generate(n)

    def fakes(self, n: int) -> Tensor:
        """n images for G's turn: those of D's turn with their graph, or new ones."""
        stored = self.shared.pop()
        return self.generate(n) if stored is None else stored
