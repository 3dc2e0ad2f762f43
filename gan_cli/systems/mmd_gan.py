"""MMD GAN (Li, Chang, Cheng, Yang, Poczos 2017, arXiv 1705.08584): a critic whose codes must still tell the image."""

from collections.abc import Callable

from torch import Tensor, nn
from torch.nn.functional import mse_loss, relu

from gan_cli.data.base import Images
from gan_cli.losses.objective import Objective
from gan_cli.losses.penalties import Critic
from gan_cli.systems.base import Terms, Turn
from gan_cli.systems.gan import GAN
from gan_cli.utils.random import normal


def rank_hinge(f_x: Tensor, f_y: Tensor) -> Tensor:
    """R = mean relu(E f(y) - E f(x)) over the features of codes (N, d): what E f(x) >= E f(y) lacks."""
    return relu(f_y.mean(0) - f_x.mean(0)).mean()


class MMDGAN(GAN):
    """min_G max_{f,d}  MMD(f(x), f(y)) - lambda_rank R - lambda_ae (|x - d(f(x))|^2 + |y - d(f(y))|^2),    y = G(z),

    as in the authors' mmd_gan.py: R is the rank hinge, squares are means over all values, G's turn leaves the
    reconstructions out.

    generator: z (N, latent_dim) -> image; discriminator: f, the encoder, image -> code (N, d), which alone is
    constrained; decoder: d, code -> image.
    """

    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        decoder: nn.Module,
        objective: Objective,
        latent_dim: int = 128,
        noise: Callable[..., Tensor] = normal,
        lambda_ae: float = 8.0,
        lambda_rank: float = 16.0,
    ) -> None:
        super().__init__(generator, discriminator, objective, latent_dim, noise)
        self.decoder, self.lambda_ae, self.lambda_rank = decoder, lambda_ae, lambda_rank

    def turns(self) -> list[Turn]:
        steps = self.objective.steps_at(self.iteration)
        return [
            Turn("d", ("discriminator", "decoder"), self.d_loss, steps, self.constrain),
            Turn("g", ("generator",), self.g_loss),
        ]

    def d_loss(self, batch: Images) -> Terms:
        x, y = batch.image, self.generate(len(batch.image))
        f_x, f_y = self.discriminator(x), self.discriminator(y)
        errors = mse_loss(self.decoder(f_x), x) + mse_loss(self.decoder(f_y), y)
        return {
            **self.objective.d_loss(self.critic(x, y, f_x, f_y), x, y),
            "rank": self.lambda_rank * rank_hinge(f_x, f_y),
            "reconstruction": self.lambda_ae * errors,
        }

    def g_loss(self, batch: Images) -> Terms:
        x, y = batch.image, self.generate(len(batch.image))
        f_x, f_y = self.discriminator(x), self.discriminator(y)
        return {
            **self.objective.g_loss(self.critic(x, y, f_x, f_y), y, x),
            "rank": -self.lambda_rank * rank_hinge(f_x, f_y),
        }

    def critic(self, x: Tensor, y: Tensor, f_x: Tensor, f_y: Tensor) -> Critic:
        """f, with the codes of x and y at hand: both are looked at once."""
        return lambda t: f_x if t is x else f_y if t is y else self.discriminator(t)
