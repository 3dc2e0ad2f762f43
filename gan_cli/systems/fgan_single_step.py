"""The single-step gradient method of f-GAN (Nowozin, Cseke & Tomioka 2016, arXiv 1606.00709, Algorithm 1)."""

from gan_cli.data.base import Images
from gan_cli.systems.base import Terms, Turn
from gan_cli.systems.gan import GAN
from gan_cli.utils.autograd import reverse


class SingleStepGAN(GAN):
    """w <- w + eta grad_w F,  theta <- theta - eta grad_theta F:  both networks are updated from the gradients at the
    same (theta, w), by one back-propagation, without an inner loop.

    F = -d_loss is the whole objective, so G's loss is zero-sum: the objective's g_loss, which may be non-saturating or
    practical, is not used. A penalty contributes to D's gradient only. ValueError for critic steps other than 1.
    """

    def turns(self) -> list[Turn[Images]]:
        if self.objective.steps_at(self.iteration) != 1:
            raise ValueError("the single-step method trains D and G together: it needs loss.critic_steps=1")
        return [Turn("dg", ("discriminator", "generator"), self.dg_loss, after_step=self.constrain)]

    def dg_loss(self, batch: Images) -> Terms:
        fake = reverse(self.generate(len(batch.image)))
        return self.objective.d_loss(self.discriminator, batch.image, fake)
