"""Generative moment matching network (Li, Swersky, Zemel 2015, arXiv 1502.02761): a generator without an adversary."""

from collections.abc import Callable

from torch import Tensor, nn

from gan_cli.data.base import Images
from gan_cli.losses.mmd import MMD
from gan_cli.losses.objective import Objective
from gan_cli.systems.base import System, Terms, Turn
from gan_cli.systems.gan import COLUMNS, straight_lines
from gan_cli.utils.random import uniform


def moment_matching(objective: Objective) -> MMD:
    """The kernel's discrepancy that `objective` is made of; ValueError for what a game without a critic cannot use."""
    if not isinstance(objective.adversarial, MMD):
        raise ValueError("a game without a discriminator needs a loss that compares two samples: loss=gmmn")
    if objective.penalty is not None or objective.constraint is not None:
        raise ValueError("loss.penalty and loss.constraint act on a critic, and this game has none: loss=gmmn")
    return objective.adversarial


class GMMN(System):
    """min_G  MMD(x, G(z)) of the pixels in a row; eq. 2, and its root in section 2.

    generator: z (N, latent_dim) -> image. z ~ U(-1, 1); the authors' dimension is 10.
    """

    def __init__(
        self,
        generator: nn.Module,
        objective: Objective,
        latent_dim: int = 10,
        noise: Callable[..., Tensor] = uniform,
    ) -> None:
        super().__init__()
        self.generator, self.latent_dim, self.noise = generator, latent_dim, noise
        self.mmd = moment_matching(objective)

    def turns(self) -> list[Turn]:
        return [Turn("g", ("generator",), self.g_loss)]

    def g_loss(self, batch: Images) -> Terms:
        return {"adversarial": self.mmd.g_loss(self.generate(len(batch.image)), batch.image)}

    def prior(self, n: int) -> Tensor:
        """z, (n, latent_dim)."""
        return self.noise(n, self.latent_dim, device=self.device)

    def generate(self, n: int, label: Tensor | None = None) -> Tensor:
        """n images. ValueError for labels: this game has none."""
        if label is not None:
            raise ValueError("this model is not conditional: it takes no label")
        return self.picture(self.prior(n))

    def picture(self, z: Tensor) -> Tensor:
        """G(z), an image."""
        return self.generator(z)

    def sample(self, batch: Images) -> dict[str, Tensor]:
        return {"generated": self.generate(len(batch.image))}

    def traverse(self, rows: int) -> dict[str, Tensor]:
        """{"interpolation": (rows, 10, C, H, W)}: straight lines between two draws of z (figure 4)."""
        z = straight_lines(self.prior(rows), self.prior(rows))
        return {"interpolation": self.picture(z.flatten(0, 1)).unflatten(0, (rows, COLUMNS))}
