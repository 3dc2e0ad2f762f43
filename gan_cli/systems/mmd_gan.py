"""MMD GAN (Li, Chang, Cheng, Yang, Poczos 2017, arXiv 1705.08584): MMD of codes from which images are reconstructed."""

from torch import Tensor, nn
from torch.nn.functional import mse_loss, relu

from gan_cli.data.base import Images
from gan_cli.losses.critic import CachedCritic
from gan_cli.losses.objective import Objective
from gan_cli.systems.base import Terms, Turn
from gan_cli.systems.gan import GAN
from gan_cli.utils.random import Prior, normal


def rank_hinge(f_x: Tensor, f_y: Tensor) -> Tensor:
    """R = mean relu(E f(y) - E f(x)) over the features of codes (N, d): by how much they violate E f(x) >= E f(y)."""
    return relu(f_y.mean(0) - f_x.mean(0)).mean()


class MMDGAN(GAN):
    """min_G max_{f,d}  MMD(f(x), f(y)) - lambda_rank R - lambda_ae (|x - d(f(x))|^2 + |y - d(f(y))|^2),    y = G(z),

    as in the authors' mmd_gan.py: R is the rank hinge, squares are means over all values, and G's loss does not include
    the reconstructions.

    generator: z (N, latent_dim) -> image; discriminator: f, the encoder, image -> code (N, d), which alone is
    constrained; decoder: d, code -> image.
    """

    batch_term = "ranks mean codes of the batch"

    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        decoder: nn.Module,
        objective: Objective,
        latent_dim: int = 128,
        noise: Prior = normal,
        lambda_ae: float = 8.0,
        lambda_rank: float = 16.0,
    ) -> None:
        super().__init__(generator, discriminator, objective, latent_dim, noise)
        self.decoder, self.lambda_ae, self.lambda_rank = decoder, lambda_ae, lambda_rank

    def turns(self) -> list[Turn[Images]]:
        steps = self.objective.steps_at(self.iteration)
        return [
            Turn("d", ("discriminator", "decoder"), self.d_loss, steps, self.constrain),
            Turn("g", ("generator",), self.g_loss),
        ]

    def d_loss(self, batch: Images) -> Terms:
        x, y = batch.image, self.generate(len(batch.image))
        f = CachedCritic(self.discriminator, x, y)  # all terms share one forward pass of x and one of y
        f_x, f_y = f(x), f(y)
        errors = mse_loss(self.decoder(f_x), x) + mse_loss(self.decoder(f_y), y)
        return {
            **self.objective.d_loss(f, x, y),
            "rank": self.lambda_rank * rank_hinge(f_x, f_y),
            "reconstruction": self.lambda_ae * errors,
        }

    def g_loss(self, batch: Images) -> Terms:
        x, y = batch.image, self.generate(len(batch.image))
        f = CachedCritic(self.discriminator, x, y)
        f_x, f_y = f(x), f(y)
        return {**self.objective.g_loss(f, y, x), "rank": -self.lambda_rank * rank_hinge(f_x, f_y)}
