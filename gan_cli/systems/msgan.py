"""MSGAN (Mao et al. 2019, arXiv 1903.05628) on the conditional GAN: one label, two noises, two images that must differ.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from gan_cli.data.base import Images
from gan_cli.draw import normal
from gan_cli.objective import Objective, Terms
from gan_cli.regularizers import mode_seeking
from gan_cli.systems.conditional_gan import ConditionalGAN
from gan_cli.systems.sums import total


class MSGAN(ConditionalGAN):
    """The conditional GAN with  lambda_ms / (d_I(G(z1|y), G(z2|y)) / d_z(z1, z2))  in G's loss.

    Both images go to D and both count for G, so D counts each real twice. lambda_ms 0: the same game without the term;
    the baseline with a single image is model=cgan. Differs: G's turn draws its own noise; the code shows G the fakes
    of D's turn again.
    """

    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        objective: Objective,
        num_classes: int | None,
        latent_dim: int = 100,
        noise: Callable[..., Tensor] = normal,
        lambda_ms: float = 1.0,
    ) -> None:
        super().__init__(generator, discriminator, objective, num_classes, latent_dim, noise)
        self.lambda_ms = lambda_ms

    def d_loss(self, batch: Images) -> Terms:
        x, y = batch.image, batch.label
        _, fakes = self.pairs(y)
        return total(self.objective.d_loss(self.critic(y), x, fake) for fake in fakes)

    def g_loss(self, batch: Images) -> Terms:
        x, y = batch.image, batch.label
        z, fakes = self.pairs(y)
        terms = total(self.objective.g_loss(self.critic(y), fake, x) for fake in fakes)
        if self.lambda_ms:
            terms["mode_seeking"] = self.lambda_ms * mode_seeking(fakes[0], fakes[1], z[0], z[1])
        return terms

    def pairs(self, y: Tensor | None) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        """Labels (n,) -> (z1, z2), (G(z1|y), G(z2|y)), made in one pass."""
        assert y is not None
        z = self.prior(2 * len(y))
        return z.chunk(2), self.generator(z, torch.cat([y, y])).chunk(2)
