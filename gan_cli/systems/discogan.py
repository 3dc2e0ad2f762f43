"""DiscoGAN (Kim, Cha, Kim, Lee, Kim 2017, arXiv 1703.05192) and the two models that the paper compares it with,
with the loss terms and weights of the authors' code (image_translation.py). Domain A is the batch's x, domain B its y.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Protocol

import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from gan_cli.data.base import Domains
from gan_cli.losses.critic import CachedCritic
from gan_cli.losses.objective import Objective
from gan_cli.systems.base import System, Terms, Turn


class RateSchedule(Protocol):
    """A weight of the reconstruction that depends on the iteration."""

    def __call__(self, iteration: int) -> float:
        """The weight in iteration `iteration`, in [0, 1]."""


@dataclass(frozen=True)
class Curriculum(RateSchedule):
    """Weight r of the reconstruction: `first` in the first `length` iterations, then `then`.

    In the authors' code these are starting_rate, gan_curriculum and default_rate. ValueError for a weight outside
    [0, 1].
    """

    first: float = 0.01
    length: int = 10000
    then: float = 0.5

    def __post_init__(self) -> None:
        if not (0 <= self.first <= 1 and 0 <= self.then <= 1):
            raise ValueError(f"a rate of the reconstruction lies in [0, 1], not {self.first} and {self.then}")

    def __call__(self, iteration: int) -> float:
        return self.first if iteration < self.length else self.then


def mean_feature_matching(real: tuple[Tensor, ...], fake: tuple[Tensor, ...]) -> Tensor:
    """L_FM = sum over layers of  mean (mean_batch f_real - mean_batch f_fake)^2,  f (N, ...).

    The term is in the authors' code (get_fm_loss), not in the paper's formulas.
    """
    return torch.stack([mse_loss(f.mean(0), r.mean(0)) for r, f in zip(real, fake, strict=True)]).sum()


class OneWayGAN(System[Domains]):
    """The first baseline (`gan` in the code): one generator x_A -> G_AB(x_A) and one discriminator, no reconstruction.

        L_G = a L_GAN_B + b L_FM_B,    L_D = L_D_B / 2,    a = lambda_adversarial,  b = lambda_features.

    The paper's L_GAN_B alone is a = 1, b = 0. In iterations that are a multiple of `update_interval` the discriminators
    are trained, in all others the generators. A generator maps image -> image, or point -> point; a discriminator
    returns networks.discogan.DiscriminatorOutput (score, features). ValueError for an update_interval below 2, which
    would never train the generators.
    """

    batch_type: ClassVar[type] = Domains
    sampling_networks: ClassVar[tuple[str, ...]] = ("G_AB",)
    discriminators: ClassVar[tuple[str, ...]] = ("D_B",)
    directions: ClassVar[tuple[str, ...]] = ("AtoB",)
    equal_channels = ""
    headings: ClassVar[Mapping[str, str]] = {
        "A": "x_A", "A_to_B": "x_AB", "A_to_B_to_A": "x_ABA", "B": "x_B", "B_to_A": "x_BA", "B_to_A_to_B": "x_BAB",
    }  # fmt: skip

    def __init__(
        self,
        G_AB: nn.Module,
        D_B: nn.Module,
        objective: Objective,
        lambda_adversarial: float = 0.1,
        lambda_features: float = 0.9,
        update_interval: int = 3,
    ) -> None:
        super().__init__()
        if update_interval < 2:
            raise ValueError(f"update_interval {update_interval}: only 2 or more trains both D and G")
        self.G_AB, self.D_B = G_AB, D_B
        self.objective, self.update_interval = objective, update_interval
        self.lambda_adversarial, self.lambda_features = lambda_adversarial, lambda_features
        self.batch_term = "compares mean features of the batch (model.lambda_features)" if lambda_features else ""

    def turns(self) -> list[Turn[Domains]]:
        """The discriminators' and the generators' turn, one of which has 0 steps."""
        d_iteration = self.iteration % self.update_interval == 0
        d_steps = self.objective.steps_at(self.iteration) if d_iteration else 0
        return [
            Turn("D", self.discriminators, self.d_loss, d_steps, self.constrain),
            Turn("G", self.sampling_networks, self.g_loss, 0 if d_iteration else 1),
        ]

    def d_loss(self, batch: Domains) -> Terms:
        return self.discriminator_terms(self.D_B, batch.y, self.G_AB(batch.x), "B")

    def g_loss(self, batch: Domains) -> Terms:
        return self.generator_terms(self.D_B, self.G_AB(batch.x), batch.y, "B")

    def discriminator_terms(self, D: nn.Module, real: Tensor, fake: Tensor, domain: str) -> Terms:
        """Half of the discriminator's loss, as in the authors' code."""
        terms = self.objective.d_loss(lambda x: D(x).score, real, fake)
        return {f"{domain}_{name}": term / 2 for name, term in terms.items()}

    def generator_terms(self, D: nn.Module, fake: Tensor, real: Tensor, domain: str, weight: float = 1.0) -> Terms:
        """weight (a L_GAN + b L_FM) of one generator's images `fake`, which D compares with `real`."""
        judge = CachedCritic(D, fake, real)  # its scores and its features come from one forward pass
        adversarial = self.objective.g_loss(lambda x: judge(x).score, fake, real)["adversarial"]
        terms = {f"{domain}_adversarial": weight * self.lambda_adversarial * adversarial}
        if self.lambda_features:
            features = mean_feature_matching(judge(real).features, judge(fake).features)
            terms[f"{domain}_features"] = weight * self.lambda_features * features
        return terms

    def constrain(self) -> None:
        for name in self.discriminators:
            self.objective.constrain(self.get_submodule(name))

    def translate(self, image: Tensor, direction: str = "AtoB") -> Tensor:
        """G_AB(image) for AtoB, G_BA(image) for BtoA."""
        return self.get_submodule({"AtoB": "G_AB", "BtoA": "G_BA"}[direction])(image)

    def sample(self, batch: Domains) -> dict[str, Tensor]:
        """x_AB = G_AB(x_A) and its source x_A. The translation comes first: of points only the first batch is shown."""
        return {"A_to_B": self.G_AB(batch.x), "A": batch.x}


class ReconGAN(OneWayGAN):
    """The second baseline (`recongan` in the code): G_BA maps back to A, and there is no discriminator of A.

        L_G = (1 - r) (a L_GAN_B + b L_FM_B) + r |G_BA(G_AB(x_A)) - x_A|^2,    r = rate(iteration).
    """

    sampling_networks: ClassVar[tuple[str, ...]] = ("G_AB", "G_BA")
    directions: ClassVar[tuple[str, ...]] = ("AtoB", "BtoA")

    def __init__(
        self,
        G_AB: nn.Module,
        G_BA: nn.Module,
        D_B: nn.Module,
        objective: Objective,
        rate: RateSchedule = Curriculum(),
        lambda_adversarial: float = 0.1,
        lambda_features: float = 0.9,
        update_interval: int = 3,
    ) -> None:
        super().__init__(G_AB, D_B, objective, lambda_adversarial, lambda_features, update_interval)
        self.G_BA, self.rate = G_BA, rate

    def g_loss(self, batch: Domains) -> Terms:
        x_A, x_B = batch
        r = self.rate(self.iteration)
        x_AB = self.G_AB(x_A)
        terms = self.generator_terms(self.D_B, x_AB, x_B, "B", 1 - r)
        return {**terms, "A_reconstruction": r * mse_loss(self.G_BA(x_AB), x_A)}

    def scalars(self) -> dict[str, float]:
        """r."""
        return {"rate": self.rate(self.iteration)}

    def sample(self, batch: Domains) -> dict[str, Tensor]:
        """x_AB = G_AB(x_A), its source x_A, and x_ABA = G_BA(x_AB)."""
        x_AB = self.G_AB(batch.x)
        return {"A_to_B": x_AB, "A": batch.x, "A_to_B_to_A": self.G_BA(x_AB)}


class DiscoGAN(OneWayGAN):
    """Two generators that are to invert each other, each with a discriminator of its target domain.

        L_G = (1 - r) (a L_GAN_B + b L_FM_B) + r |G_BA(G_AB(x_A)) - x_A|^2  + the same for B -> A -> B,
        L_D = (L_D_A + L_D_B) / 2,    r = rate(iteration).

    a = 0.1 and b = 0.9 in the code. The paper's L_GAN + L_CONST is twice the sum with a = 1, b = 0, r = 1/2; for Adam
    the factor matters through weight decay only.
    """

    sampling_networks: ClassVar[tuple[str, ...]] = ("G_AB", "G_BA")
    discriminators: ClassVar[tuple[str, ...]] = ("D_A", "D_B")
    directions: ClassVar[tuple[str, ...]] = ("AtoB", "BtoA")

    def __init__(
        self,
        G_AB: nn.Module,
        G_BA: nn.Module,
        D_A: nn.Module,
        D_B: nn.Module,
        objective: Objective,
        rate: RateSchedule = Curriculum(),
        lambda_adversarial: float = 0.1,
        lambda_features: float = 0.9,
        update_interval: int = 3,
    ) -> None:
        super().__init__(G_AB, D_B, objective, lambda_adversarial, lambda_features, update_interval)
        self.G_BA, self.D_A, self.rate = G_BA, D_A, rate

    def d_loss(self, batch: Domains) -> Terms:
        x_A, x_B = batch
        terms_A = self.discriminator_terms(self.D_A, x_A, self.G_BA(x_B), "A")
        return terms_A | self.discriminator_terms(self.D_B, x_B, self.G_AB(x_A), "B")

    def g_loss(self, batch: Domains) -> Terms:
        x_A, x_B = batch
        r = self.rate(self.iteration)
        x_AB, x_BA = self.G_AB(x_A), self.G_BA(x_B)
        return {
            **self.generator_terms(self.D_B, x_AB, x_B, "B", 1 - r),
            **self.generator_terms(self.D_A, x_BA, x_A, "A", 1 - r),
            "A_reconstruction": r * mse_loss(self.G_BA(x_AB), x_A),
            "B_reconstruction": r * mse_loss(self.G_AB(x_BA), x_B),
        }

    def scalars(self) -> dict[str, float]:
        """r."""
        return {"rate": self.rate(self.iteration)}

    def sample(self, batch: Domains) -> dict[str, Tensor]:
        """x_AB = G_AB(x_A), its source x_A, x_ABA = G_BA(x_AB), and the same for B."""
        x_A, x_B = batch
        x_AB, x_BA = self.G_AB(x_A), self.G_BA(x_B)
        return {
            "A_to_B": x_AB, "A": x_A, "A_to_B_to_A": self.G_BA(x_AB),
            "B_to_A": x_BA, "B": x_B, "B_to_A_to_B": self.G_AB(x_BA),
        }  # fmt: skip
