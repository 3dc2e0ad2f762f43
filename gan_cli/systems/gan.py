"""The generative adversarial network of Goodfellow et al. 2014 (arXiv 1406.2661)."""

from torch import Tensor, nn

from gan_cli.data.base import Images
from gan_cli.losses.objective import Objective
from gan_cli.systems.base import System, Terms, Traversal, Turn
from gan_cli.systems.interpolation import interpolation
from gan_cli.utils.random import Prior, normal


class GAN(System[Images]):
    """Algorithm 1: `critic_steps` steps of D, each on a new batch and new fakes, then one step of G on new fakes.

    generator: z (N, latent_dim) -> image. discriminator: image -> scores. noise: the prior of z, random.Normal or
    random.Uniform with its bounds.
    """

    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        objective: Objective,
        latent_dim: int = 100,
        noise: Prior = normal,
    ) -> None:
        super().__init__()
        self.generator, self.discriminator = generator, discriminator
        self.objective, self.latent_dim, self.noise = objective, latent_dim, noise

    def turns(self) -> list[Turn[Images]]:
        steps = self.objective.steps_at(self.iteration)
        return [
            Turn("d", ("discriminator",), self.d_loss, steps, self.constrain),
            Turn("g", ("generator",), self.g_loss),
        ]

    def d_loss(self, batch: Images) -> Terms:
        fake = self.generate(len(batch.image))
        return self.objective.d_loss(self.discriminator, batch.image, fake)

    def g_loss(self, batch: Images) -> Terms:
        fake = self.generate(len(batch.image))
        return self.objective.g_loss(self.discriminator, fake, batch.image)

    def constrain(self) -> None:
        self.objective.constrain(self.discriminator)

    def prior(self, n: int) -> Tensor:
        """z, (n, latent_dim)."""
        return self.noise(n, self.latent_dim, device=self.device)

    def generate(self, n: int, label: Tensor | None = None) -> Tensor:
        """n images. ValueError for a label, as the model is not conditional."""
        if label is not None:
            raise ValueError("this model is not conditional: it takes no label")
        return self.generator(self.prior(n))

    def sample(self, batch: Images) -> dict[str, Tensor]:
        return {"generated": self.generate(len(batch.image))}

    def traverse(self, rows: int) -> dict[str, Traversal]:
        return interpolation(self.generator, self.prior, rows)
