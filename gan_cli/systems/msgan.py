"""MSGAN (Mao et al. 2019, arXiv 1903.05628) on the conditional GAN: a mode-seeking term against collapsed outputs."""

import torch
from torch import Tensor, nn

from gan_cli.data.base import Images
from gan_cli.losses.objective import Objective
from gan_cli.losses.regularizers import mode_seeking
from gan_cli.systems.base import Terms
from gan_cli.systems.conditional_gan import ConditionalGAN
from gan_cli.systems.shared_sample import SharedSample
from gan_cli.systems.terms import total
from gan_cli.utils.random import Prior, normal


class MSGAN(ConditionalGAN):
    """The conditional GAN with  lambda_ms / (d_I(G(z1|y), G(z2|y)) / d_z(z1, z2))  added to G's loss.

    Two images are generated per label. Both count in D's and in G's loss, so D's loss counts each real image twice. In
    an iteration with one step of D, both turns use the same generated images, as in the authors' code. lambda_ms 0
    removes the term but still generates pairs; the baseline with one image per label is model=cgan.
    """

    batch_term = "divides mean distances of pairs over the batch"

    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        objective: Objective,
        num_classes: int | None,
        latent_dim: int = 100,
        noise: Prior = normal,
        lambda_ms: float = 1.0,
    ) -> None:
        super().__init__(generator, discriminator, objective, num_classes, latent_dim, noise)
        self.lambda_ms = lambda_ms
        self.shared_z, self.shared_fakes = SharedSample(), SharedSample()

    def d_loss(self, batch: Images) -> Terms:
        x, y = batch.image, batch.label
        z = self.prior(2 * len(x))
        if self.objective.steps_at(self.iteration) == 1:
            self.shared_z.draw(lambda: z)
            fakes = self.shared_fakes.draw_detached(self.generator, lambda: self.generate_pair(z, y))
        else:
            fakes = self.generate_pair(z, y)
        return total(self.objective.d_loss(self.critic(y), x, fake) for fake in fakes.chunk(2))

    def g_loss(self, batch: Images) -> Terms:
        x, y = batch.image, batch.label
        z, fakes = self.shared_z.pop(), self.shared_fakes.pop()
        if z is None or fakes is None:
            z = self.prior(2 * len(x))
            fakes = self.generate_pair(z, y)
        (z1, z2), (fake1, fake2) = z.chunk(2), fakes.chunk(2)
        terms = total(self.objective.g_loss(self.critic(y), fake, x) for fake in (fake1, fake2))
        if self.lambda_ms:
            terms["mode_seeking"] = self.lambda_ms * mode_seeking(fake1, fake2, z1, z2)
        return terms

    def generate_pair(self, z: Tensor, y: Tensor | None) -> Tensor:
        """G(z1|y) and G(z2|y), (2 n, C, H, W), in one pass of z1 and z2 (2 n, latent_dim) with the labels y (n,)."""
        assert y is not None
        return self.generator(z, torch.cat([y, y]))
