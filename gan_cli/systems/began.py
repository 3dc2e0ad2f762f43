"""Boundary equilibrium GAN (Berthelot, Schumm, Metz 2017, arXiv 1703.10717)."""

import torch
from torch import Tensor, nn

from gan_cli.data.base import Images
from gan_cli.losses.critic import CachedCritic
from gan_cli.losses.objective import Objective
from gan_cli.networks.ebgan import AutoEncoder
from gan_cli.systems.base import Terms, Turn
from gan_cli.systems.ebgan import EBGAN, energies, need_autoencoder, with_reconstructions
from gan_cli.systems.gan import GAN
from gan_cli.utils.random import Prior, normal


class BEGAN(GAN):
    """L_D = L(x) - k_t L(G(z)),  L_G = L(G(z)),  k_{t+1} = k_t + lambda_k (gamma L(x) - L(G(z))) within [0, 1],

    with loss=began; L is the autoencoder's error, minus its score, and k_0 = 0. The update takes L(x) from D's last
    step and L(G(z)) from G's. gamma: the diversity ratio E L(G(z)) / E L(x), which k maintains. lambda_k: learning rate
    of k. The scalar M = L(x) + |gamma L(x) - L(G(z))| is the paper's measure of convergence. k is part of the
    checkpoint; with several processes, each has its own. ValueError unless 0 < gamma <= 1 and lambda_k >= 0.
    """

    headings = EBGAN.headings
    batch_means = ("L_real", "L_fake")
    discriminator: AutoEncoder
    k: Tensor
    L_real: Tensor
    L_fake: Tensor

    def __init__(
        self,
        generator: nn.Module,
        discriminator: AutoEncoder,
        objective: Objective,
        latent_dim: int = 64,
        noise: Prior = normal,
        gamma: float = 0.5,
        lambda_k: float = 0.001,
    ) -> None:
        super().__init__(generator, discriminator, objective, latent_dim, noise)
        need_autoencoder(discriminator)
        if not (0 < gamma <= 1 and lambda_k >= 0):
            raise ValueError(f"gamma lies in (0, 1] and lambda_k is 0 or more, not {gamma} and {lambda_k}")
        self.gamma, self.lambda_k = gamma, lambda_k
        for name in ("k", "L_real", "L_fake"):
            self.register_buffer(name, torch.zeros(()))

    def turns(self) -> list[Turn[Images]]:
        d, g = super().turns()
        return [d, Turn(g.name, g.trains, g.loss, after_step=self.update_k)]

    def d_loss(self, batch: Images) -> Terms:
        x, fake = batch.image, self.generate(len(batch.image))
        D = CachedCritic(self.discriminator, x)
        assign(self.L_real, -D(x).mean())
        return self.objective.d_loss(lambda image: self.k * D(image) if image is fake else D(image), x, fake)

    def g_loss(self, batch: Images) -> Terms:
        x, fake = batch.image, self.generate(len(batch.image))
        D = CachedCritic(self.discriminator, fake)
        assign(self.L_fake, -D(fake).mean())
        return self.objective.g_loss(D, fake, x)

    def update_k(self) -> None:
        """k <- k + lambda_k (gamma L(x) - L(G(z))), clipped to [0, 1]."""
        assign(self.k, (self.k + self.lambda_k * (self.gamma * self.L_real - self.L_fake)).clamp(0, 1))

    def sample(self, batch: Images) -> dict[str, Tensor]:
        return with_reconstructions(self.discriminator, self.generate(len(batch.image)), batch.image)

    def histograms(self, batch: Images) -> dict[str, Tensor]:
        return energies(self.discriminator, self.generate(len(batch.image)), batch.image)

    def scalars(self) -> dict[str, float]:
        M = self.L_real + (self.gamma * self.L_real - self.L_fake).abs()
        return {"began/k": float(self.k), "began/M": float(M)}


@torch.no_grad()
def assign(buffer: Tensor, value: Tensor) -> None:
    """Copy `value` without its graph into `buffer`."""
    buffer.copy_(value)
