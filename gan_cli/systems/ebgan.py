"""Energy-based GAN (Zhao, Mathieu, LeCun 2017, arXiv 1609.03126): the discriminator is an autoencoder, and its
reconstruction error the energy.
"""

from collections.abc import Mapping
from typing import ClassVar

from torch import Tensor, nn

from gan_cli.data.base import Images
from gan_cli.losses.critic import CachedCritic
from gan_cli.losses.energy import need_finite_slope
from gan_cli.losses.objective import Objective
from gan_cli.networks.ebgan import AutoEncoder
from gan_cli.systems.base import Terms
from gan_cli.systems.gan import GAN
from gan_cli.utils.random import Prior, normal


def pulling_away(S: Tensor, eps: float = 1e-8) -> Tensor:
    """f_PT = 1 / (N (N - 1)) sum_i sum_{j != i} (S_i . S_j / (|S_i| |S_j|))^2 of codes S (N, ...), in [0, 1] (section
    2.4): 1 for codes of one direction, 0 for orthogonal ones.

    Norms are clamped by eps, so that a code of 0 gives no infinite gradient. With several processes, the term is over
    each process's codes. ValueError for a single code.
    """
    N = len(S)
    if N < 2:
        raise ValueError("the pulling-away term compares the codes of a batch: it needs two samples at least")
    S = S.flatten(1)
    S = S / S.norm(dim=1, keepdim=True).clamp_min(eps)
    squares = (S @ S.T).square()
    return (squares.sum() - squares.diagonal().sum()) / (N * (N - 1))


def need_autoencoder(discriminator: nn.Module) -> None:
    """Raise ValueError if `discriminator` is not an autoencoder."""
    if not isinstance(discriminator, AutoEncoder):
        raise ValueError(
            f"{type(discriminator).__name__} has no energy: the discriminator of this model is an autoencoder, as in "
            "network=ebgan_mlp, ebgan_dcgan, began and mlp_points_autoencoder"
        )


def energies(D: AutoEncoder, generated: Tensor, real: Tensor) -> dict[str, Tensor]:
    """D(x) of both batches, (N,)."""
    return {"energy/real": -D(real), "energy/generated": -D(generated)}


def with_reconstructions(D: AutoEncoder, generated: Tensor, real: Tensor) -> dict[str, Tensor]:
    """Both batches, each followed by its reconstruction by the autoencoder D."""
    return {
        "generated": generated,
        "generated_reconstructed": D.decode(D.encode(generated)),
        "real": real,
        "real_reconstructed": D.decode(D.encode(real)),
    }


class EBGAN(GAN):
    """L_D = D(x) + [m - D(G(z))]_+,  L_G = D(G(z)) + lambda_pt f_PT(Enc(G(z))),  with loss=ebgan; eq. 1, 2 and 4.

    discriminator: an autoencoder with encode, decode and distance; image -> scores, which are minus the energy D(x).
    lambda_pt: weight of the pulling-away term, 0.1 in EBGAN-PT. The scalar energy/V_over_margin is V / m, where V = E
    D(x) + E [m - D(G(z))]_+ is L_D of D's last batch: at a Nash equilibrium V = m, and the ratio is 1 (theorem 1).
    """

    headings: ClassVar[Mapping[str, str]] = {
        "generated_reconstructed": "reconstructed", "real": "data", "real_reconstructed": "reconstructed"
    }  # fmt: skip
    batch_means = ("V",)
    discriminator: AutoEncoder
    V: Tensor | None = None

    def __init__(
        self,
        generator: nn.Module,
        discriminator: AutoEncoder,
        objective: Objective,
        latent_dim: int = 100,
        noise: Prior = normal,
        lambda_pt: float = 0.0,
    ) -> None:
        super().__init__(generator, discriminator, objective, latent_dim, noise)
        need_autoencoder(discriminator)
        need_finite_slope(objective.at(0).adversarial)
        self.lambda_pt = lambda_pt
        self.batch_term = "compares all pairs of codes of the batch (model.lambda_pt)" if lambda_pt else ""

    def d_loss(self, batch: Images) -> Terms:
        x = batch.image
        terms = self.objective.at(self.iteration).d_loss(self.discriminator, x, self.generate(len(x)))
        # Not a buffer: a value for the log is no part of a checkpoint.
        self.V = terms["adversarial"].detach()
        return terms

    def g_loss(self, batch: Images) -> Terms:
        x, fake = batch.image, self.generate(len(batch.image))
        objective = self.objective.at(self.iteration)
        if self.lambda_pt == 0:
            return objective.g_loss(self.discriminator, fake, x)
        D, encode = self.discriminator, CachedCritic(self.discriminator.encode, fake)
        S = encode(fake)  # the energy of the fakes is computed from the same codes
        terms = objective.g_loss(lambda image: -D.distance(D.decode(encode(image)), image), fake, x)
        return {**terms, "pulling_away": self.lambda_pt * pulling_away(S)}

    def sample(self, batch: Images) -> dict[str, Tensor]:
        return with_reconstructions(self.discriminator, self.generate(len(batch.image)), batch.image)

    def histograms(self, batch: Images) -> dict[str, Tensor]:
        return energies(self.discriminator, self.generate(len(batch.image)), batch.image)

    def scalars(self) -> dict[str, float]:
        scheduled = self.objective.scalars(self.iteration)
        m = scheduled.get("energy/margin", 0.0)
        return {**scheduled, "energy/V_over_margin": float(self.V) / m} if m > 0 and self.V is not None else scheduled
