"""The two-player game of Goodfellow et al. 2014 (arXiv 1406.2661): GAN, DCGAN, LSGAN, WGAN, WGAN-GP."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from gan_cli.data.base import Images
from gan_cli.losses.objective import Objective
from gan_cli.systems.base import System, Terms, Turn
from gan_cli.systems.shared_sample import SharedSample
from gan_cli.utils.random import normal

COLUMNS = 10


def straight_lines(start: Tensor, end: Tensor) -> Tensor:
    """Two draws of z (rows, latent_dim) -> (rows, 10, latent_dim), from the first to the second."""
    t = torch.linspace(0, 1, COLUMNS, device=start.device).view(1, -1, 1)
    return (1 - t) * start.unsqueeze(1) + t * end.unsqueeze(1)


class GAN(System):
    """Algorithm 1: `critic_steps` steps of D, each on a fresh batch, then one of G.

    generator: z (N, latent_dim) -> image; discriminator: image -> scores. noise: the prior of z,
    draw.Normal or draw.Uniform with its bounds. fakes_per_real: G's turn draws so many samples for each image of a
    batch (2 in WGAN-GP's CIFAR-10 code). one_fake: in an iteration with one step of D both turns play on the same
    G(z), as in dcgan.torch; Algorithm 1 draws z anew. ValueError for one_fake with other than one fake per real.
    """

    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        objective: Objective,
        latent_dim: int = 100,
        noise: Callable[..., Tensor] = normal,
        fakes_per_real: int = 1,
        one_fake: bool = False,
    ) -> None:
        super().__init__()
        if fakes_per_real < 1:
            raise ValueError(f"fakes_per_real is at least 1, not {fakes_per_real}")
        if one_fake and fakes_per_real > 1:
            raise ValueError(f"one_fake: the turns cannot share G(z) with fakes_per_real {fakes_per_real}")
        self.generator = generator
        self.discriminator = discriminator
        self.objective = objective
        self.latent_dim = latent_dim
        self.noise = noise
        self.fakes_per_real, self.one_fake = fakes_per_real, one_fake
        self.shared = SharedSample()

    def turns(self) -> list[Turn]:
        steps = self.objective.steps_at(self.iteration)
        return [
            Turn("d", ("discriminator",), self.d_loss, steps, self.constrain),
            Turn("g", ("generator",), self.g_loss),
        ]

    def d_loss(self, batch: Images) -> Terms:
        return self.objective.d_loss(self.discriminator, batch.image, self.fake_for_d(len(batch.image)))

    def g_loss(self, batch: Images) -> Terms:
        return self.objective.g_loss(self.discriminator, self.fake_for_g(len(batch.image)), batch.image)

    def fake_for_d(self, n: int) -> Tensor:
        """n images without a graph, which G's turn plays on too if that is asked for and D takes one step."""
        if self.one_fake and self.objective.steps_at(self.iteration) == 1:
            return self.shared.draw_detached(self.generator, lambda: self.generate(n))
        return self.generate(n)

    def fake_for_g(self, n: int) -> Tensor:
        """The images of D's turn with their graph, or new ones."""
        kept = self.shared.pop()
        return self.generate(self.fakes_per_real * n) if kept is None else kept

    def constrain(self) -> None:
        self.objective.constrain(self.discriminator)

    def prior(self, n: int) -> Tensor:
        """z, (n, latent_dim)."""
        return self.noise(n, self.latent_dim, device=self.device)

    def generate(self, n: int, label: Tensor | None = None) -> Tensor:
        """n images. ValueError for labels: this game has none."""
        if label is not None:
            raise ValueError("this model is not conditional: it takes no label")
        return self.generator(self.prior(n))

    def sample(self, batch: Images) -> dict[str, Tensor]:
        return {"generated": self.generate(len(batch.image))}

    def traverse(self, rows: int) -> dict[str, Tensor]:
        """{"interpolation": (rows, 10, C, H, W)}: straight lines between two draws of z (Radford et al.
        2016, fig. 4).
        """
        z = straight_lines(self.prior(rows), self.prior(rows))
        return {"interpolation": self.generator(z.flatten(0, 1)).unflatten(0, (rows, COLUMNS))}
