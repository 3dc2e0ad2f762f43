"""Generative moment matching network (Li, Swersky, Zemel 2015, arXiv 1502.02761): a generator without an adversary."""

from torch import Tensor, nn

from gan_cli.data.base import Images
from gan_cli.losses.mmd import MMD
from gan_cli.losses.objective import Objective
from gan_cli.systems.base import System, Terms, Traversal, Turn
from gan_cli.systems.interpolation import interpolation
from gan_cli.utils.random import Prior, uniform


def moment_matching(objective: Objective) -> MMD:
    """The MMD of `objective`; ValueError for parts that a model without a critic cannot use."""
    if not isinstance(objective.adversarial, MMD):
        raise ValueError("a model without a discriminator needs a loss that compares two samples: loss=gmmn")
    if objective.penalty is not None or objective.constraint is not None:
        raise ValueError("loss.penalty and loss.constraint act on a critic, and this model has none: loss=gmmn")
    return objective.adversarial


class GMMN(System[Images]):
    """min_G  MMD(x, G(z)) of the flattened pixels; eq. 2, and its root in section 2.

    generator: z (N, latent_dim) -> image; z ~ U(-1, 1) of dimension 10 in the authors' code.
    """

    batch_term = "compares all pairs of samples of the batch"

    def __init__(
        self,
        generator: nn.Module,
        objective: Objective,
        latent_dim: int = 10,
        noise: Prior = uniform,
    ) -> None:
        super().__init__()
        self.generator, self.latent_dim, self.noise = generator, latent_dim, noise
        self.mmd = moment_matching(objective)

    def turns(self) -> list[Turn[Images]]:
        return [Turn("g", ("generator",), self.g_loss)]

    def g_loss(self, batch: Images) -> Terms:
        return {"adversarial": self.mmd.g_loss(self.generate(len(batch.image)), batch.image)}

    def prior(self, n: int) -> Tensor:
        """z, (n, latent_dim)."""
        return self.noise(n, self.latent_dim, device=self.device)

    def generate(self, n: int, label: Tensor | None = None) -> Tensor:
        """n images. ValueError for a label, as the model is not conditional."""
        if label is not None:
            raise ValueError("this model is not conditional: it takes no label")
        return self.generate_from(self.prior(n))

    def generate_from(self, z: Tensor) -> Tensor:
        """The images of z (N, latent_dim)."""
        return self.generator(z)

    def sample(self, batch: Images) -> dict[str, Tensor]:
        return {"generated": self.generate(len(batch.image))}

    def traverse(self, rows: int) -> dict[str, Traversal]:
        return interpolation(self.generate_from, self.prior, rows)
