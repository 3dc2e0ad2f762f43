"""MSGAN (Mao et al. 2019, arXiv 1903.05628) on the conditional GAN: one label, two noises, two images that must differ.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from gan_cli.data.base import Images
from gan_cli.losses.objective import Objective, Terms
from gan_cli.losses.regularizers import mode_seeking
from gan_cli.systems.conditional_gan import ConditionalGAN
from gan_cli.systems.shared_sample import SharedSample
from gan_cli.systems.terms import total
from gan_cli.utils.random import normal


class MSGAN(ConditionalGAN):
    """The conditional GAN with  lambda_ms / (d_I(G(z1|y), G(z2|y)) / d_z(z1, z2))  in G's loss.

    Both images go to D and both count for G, so D counts each real twice. In an iteration with one step of D both turns
    play on the same images, as in the code. lambda_ms 0: the same game without the term; the baseline with a single
    image is model=cgan.
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
        self.lambda_ms, self.shared_z = lambda_ms, SharedSample()

    def d_loss(self, batch: Images) -> Terms:
        x, y = batch.image, batch.label
        if self.objective.steps_at(self.iteration) == 1:
            z = self.shared_z.draw(lambda: self.prior(2 * len(x)))
            fakes = self.shared.draw_detached(self.generator, lambda: self.twice(z, y))
        else:
            fakes = self.twice(self.prior(2 * len(x)), y)
        return total(self.objective.d_loss(self.critic(y), x, fake) for fake in fakes.chunk(2))

    def g_loss(self, batch: Images) -> Terms:
        x, y = batch.image, batch.label
        z, fakes = self.shared_z.pop(), self.shared.pop()
        if z is None or fakes is None:
            z = self.prior(2 * len(x))
            fakes = self.twice(z, y)
        (z1, z2), (fake1, fake2) = z.chunk(2), fakes.chunk(2)
        terms = total(self.objective.g_loss(self.critic(y), fake, x) for fake in (fake1, fake2))
        if self.lambda_ms:
            terms["mode_seeking"] = self.lambda_ms * mode_seeking(fake1, fake2, z1, z2)
        return terms

    def twice(self, z: Tensor, y: Tensor | None) -> Tensor:
        """z1 and z2 (2 n, latent_dim), labels (n,) -> G(z1|y) and G(z2|y), (2 n, C, H, W), made in one pass."""
        assert y is not None
        return self.generator(z, torch.cat([y, y]))
