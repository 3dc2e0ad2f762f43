"""Unrolled GAN (Metz et al. 2017, arXiv 1611.02163): G is trained against D after K further steps."""

from dataclasses import replace

from torch import nn

from gan_cli.data.base import Images
from gan_cli.losses.objective import MOST_STEPS, Objective
from gan_cli.systems.base import Terms
from gan_cli.systems.gan import GAN
from gan_cli.systems.unrolling import Step, gradient_descent, next_steps, unroll
from gan_cli.utils.random import Prior, normal


class UnrolledGAN(GAN):
    """G minimizes f_K(theta_G, theta_D) = f(theta_G, theta_D^K), where theta_D^K is D after K further steps on the same
    samples (eq. 6 to 10); the gradient flows through these steps. D itself is trained as usual; K = 0 is the GAN.

    unroll_steps: K. unroll_lr: learning rate eta of plain gradient steps, as in eq. 7. If None, the steps are those
    that D's own optimizer would take from its present state (Adam's moments and learning rate), as in the authors'
    notebook. zero_sum: f is minus the loss of D without its penalty. As D_K depends on G, so does the term of real
    samples, which penalizes G for each missing mode. False: f is the objective's loss of G. ValueError for unroll_steps
    below 0 or above 1,000.
    """

    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        objective: Objective,
        latent_dim: int = 100,
        noise: Prior = normal,
        unroll_steps: int = 5,
        unroll_lr: float | None = None,
        zero_sum: bool = True,
    ) -> None:
        super().__init__(generator, discriminator, objective, latent_dim, noise)
        if not 0 <= unroll_steps <= MOST_STEPS:
            raise ValueError(f"unroll_steps lies in [0, {MOST_STEPS}], not {unroll_steps}")
        self.unroll_steps, self.unroll_lr, self.zero_sum = unroll_steps, unroll_lr, zero_sum
        self.batch_term = "unrolls steps on the whole batch (model.unroll_steps)" if unroll_steps else ""

    def g_loss(self, batch: Images) -> Terms:
        if not self.unroll_steps:
            return super().g_loss(batch)
        x, fake = batch.image, self.generate(len(batch.image))
        D_K = unroll(self.discriminator, lambda D: self.objective.d_loss(D, x, fake), self.unroll_steps, self._step())
        if self.zero_sum:
            return {"adversarial": -replace(self.objective, penalty=None).d_loss(D_K, x, fake)["adversarial"]}
        return self.objective.g_loss(D_K, fake, x)

    def _step(self) -> Step:
        if self.unroll_lr is not None:
            return gradient_descent(self.unroll_lr)
        return next_steps(self.optimizers["discriminator"], self.discriminator)
