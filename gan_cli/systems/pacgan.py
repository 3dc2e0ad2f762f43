"""PacGAN (Lin et al. 2018, arXiv 1712.04086): the discriminator classifies packs of several samples."""

from torch import Tensor, nn

from gan_cli.data.base import Images
from gan_cli.losses.objective import Objective
from gan_cli.systems.base import Terms
from gan_cli.systems.shared_fakes import SharedFakesGAN
from gan_cli.utils.random import Prior, normal


class PacGAN(SharedFakesGAN):
    """A GAN on packs of `packing` samples, all real or all generated (section 2): packs of a generator that lacks
    modes lack variety, which D can detect.

    discriminator: pack (N, packing * C, H, W) -> scores (N,). A penalty applies to packs, too. ValueError for a batch
    that does not divide into packs.
    """

    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        objective: Objective,
        latent_dim: int = 100,
        noise: Prior = normal,
        share_fakes: bool = True,
        packing: int = 2,
    ) -> None:
        super().__init__(generator, discriminator, objective, latent_dim, noise, share_fakes)
        if packing < 1:
            raise ValueError(f"packing is at least 1, not {packing}")
        self.pack_size = packing

    def d_loss(self, batch: Images) -> Terms:
        fake = self.detached_fakes(len(batch.image))
        return self.objective.d_loss(self.discriminator, self.pack(batch.image), self.pack(fake))

    def g_loss(self, batch: Images) -> Terms:
        fake = self.fakes(len(batch.image))
        return self.objective.g_loss(self.discriminator, self.pack(fake), self.pack(batch.image))

    def pack(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N / packing, packing * C, H, W): the channels of consecutive samples stacked."""
        if len(x) % self.pack_size:
            raise ValueError(
                f"{len(x)} samples do not divide into packs of {self.pack_size}; change trainer.batch_size"
            )
        return x.reshape(-1, self.pack_size * x.shape[1], *x.shape[2:])
