"""DiscoGAN (Kim, Cha, Kim, Lee, Kim 2017, arXiv 1703.05192) and the two games it is compared with, as the authors' code
(image_translation.py) plays them. A is the batch's x, B its y.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from gan_cli.data.base import Domains
from gan_cli.losses.objective import Objective
from gan_cli.systems.base import System, Terms, Turn


@dataclass(frozen=True)
class Curriculum:
    """The rate r of the reconstruction: `first` in the first `length` iterations, then `then` (the code's
    starting_rate, gan_curriculum and default_rate). ValueError for a rate outside [0, 1]."""

    first: float = 0.01
    length: int = 10000
    then: float = 0.5

    def __post_init__(self) -> None:
        if not (0 <= self.first <= 1 and 0 <= self.then <= 1):
            raise ValueError(f"a rate of the reconstruction lies in [0, 1], not {self.first} and {self.then}")

    def __call__(self, iteration: int) -> float:
        return self.first if iteration < self.length else self.then


def mean_feature_matching(real: tuple[Tensor, ...], fake: tuple[Tensor, ...]) -> Tensor:
    """sum over layers of  mean (mean_batch f_real - mean_batch f_fake)^2;  f (N, ...). Not in the paper's formulas, but
    in its code."""
    return torch.stack([mse_loss(f.mean(0), r.mean(0)) for r, f in zip(real, fake, strict=True)]).sum()


class OneWayGAN(System):
    """The code's `gan`:  L_G = a L_GAN_B + b L_FM_B,  L_D = L_D_B / 2: x_A -> G_AB(x_A), nothing leads back.

    a = lambda_adversarial and b = lambda_features as in the code; the paper's L_GAN_B alone is a = 1, b = 0. In
    iteration i the discriminators move if i is a multiple of `update_interval`, else the generators. Generators map
    image -> image, or point -> point; discriminators return Judged (score, features). ValueError for an interval below
    2, with which one of the players would never move.
    """

    batch_type: ClassVar[type] = Domains
    sampling_networks: ClassVar[tuple[str, ...]] = ("G_AB",)
    discriminators: ClassVar[tuple[str, ...]] = ("D_B",)
    directions: ClassVar[tuple[str, ...]] = ("x2y",)

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
            raise ValueError(f"update_interval {update_interval}: with 2 and more, both players move in their turn")
        self.G_AB, self.D_B = G_AB, D_B
        self.objective, self.update_interval = objective, update_interval
        self.lambda_adversarial, self.lambda_features = lambda_adversarial, lambda_features

    def turns(self) -> list[Turn]:
        """One of the two has steps, the other 0."""
        d_moves = self.iteration % self.update_interval == 0
        steps = self.objective.steps_at(self.iteration) if d_moves else 0
        return [
            Turn("D", self.discriminators, self.d_loss, steps, self.constrain),
            Turn("G", self.sampling_networks, self.g_loss, 0 if d_moves else 1),
        ]

    def d_loss(self, batch: Domains) -> Terms:
        return self.telling(self.D_B, batch.y, self.G_AB(batch.x), "B")

    def g_loss(self, batch: Domains) -> Terms:
        return self.fooling(self.D_B, self.G_AB(batch.x), batch.y, "B")

    def telling(self, D: nn.Module, real: Tensor, fake: Tensor, name: str) -> Terms:
        """Half of D's loss, as in the code."""
        terms = self.objective.d_loss(lambda x: D(x).score, real, fake)
        return {f"{name}_{key}": term / 2 for key, term in terms.items()}

    def fooling(self, D: nn.Module, fake: Tensor, real: Tensor, name: str, share: float = 1.0) -> Terms:
        """share (a L_GAN + b L_FM) of images that are to pass for `real`."""
        seen = D(fake)

        def critic(x: Tensor) -> Tensor:
            return seen.score if x is fake else D(x).score

        adversarial = self.objective.g_loss(critic, fake, real)["adversarial"]
        terms = {f"{name}_adversarial": share * self.lambda_adversarial * adversarial}
        if self.lambda_features:
            features = mean_feature_matching(D(real).features, seen.features)
            terms[f"{name}_features"] = share * self.lambda_features * features
        return terms

    def constrain(self) -> None:
        for name in self.discriminators:
            self.objective.constrain(getattr(self, name))

    def translate(self, image: Tensor, direction: str = "x2y") -> Tensor:
        """G_AB(image) for "x2y", G_BA(image) for "y2x"."""
        return getattr(self, {"x2y": "G_AB", "y2x": "G_BA"}[direction])(image)

    def sample(self, batch: Domains) -> dict[str, Tensor]:
        """x_AB = G_AB(x_A), the first as of points only this is drawn, after its source x_A."""
        return {"AB": self.G_AB(batch.x), "A": batch.x}


class ReconGAN(OneWayGAN):
    """The code's `recongan`:  L_G = (1 - r) (a L_GAN_B + b L_FM_B) + r |G_BA(G_AB(x_A)) - x_A|^2,  r = rate(i): a
    second generator leads back, and no discriminator sees A."""

    sampling_networks: ClassVar[tuple[str, ...]] = ("G_AB", "G_BA")
    capturable = False  # r is a number of the iteration
    directions: ClassVar[tuple[str, ...]] = ("x2y", "y2x")

    def __init__(
        self,
        G_AB: nn.Module,
        G_BA: nn.Module,
        D_B: nn.Module,
        objective: Objective,
        rate: Callable[[int], float] = Curriculum(),
        lambda_adversarial: float = 0.1,
        lambda_features: float = 0.9,
        update_interval: int = 3,
    ) -> None:
        super().__init__(G_AB, D_B, objective, lambda_adversarial, lambda_features, update_interval)
        self.G_BA, self.rate = G_BA, rate

    def g_loss(self, batch: Domains) -> Terms:
        x, y = batch
        r = self.rate(self.iteration)
        AB = self.G_AB(x)
        return {**self.fooling(self.D_B, AB, y, "B", 1 - r), "A_reconstruction": r * mse_loss(self.G_BA(AB), x)}

    def scalars(self) -> dict[str, float]:
        """r."""
        return {"rate": self.rate(self.iteration)}

    def sample(self, batch: Domains) -> dict[str, Tensor]:
        """x_AB = G_AB(x_A), its source x_A, and x_ABA = G_BA(x_AB)."""
        AB = self.G_AB(batch.x)
        return {"AB": AB, "A": batch.x, "ABA": self.G_BA(AB)}


class DiscoGAN(OneWayGAN):
    """L_G = (1 - r) (a L_GAN_B + b L_FM_B) + r |G_BA(G_AB(x_A)) - x_A|^2  + the same for B -> A -> B,  r = rate(i),
    L_D = (L_D_A + L_D_B) / 2.

    a = .1 and b = .9 in the code. The paper writes L_GAN + L_CONST: a = 1, b = 0 and r = 1/2 are half of it, which Adam
    tells from the whole by weight decay only.
    """

    sampling_networks: ClassVar[tuple[str, ...]] = ("G_AB", "G_BA")
    capturable = False  # r is a number of the iteration
    discriminators: ClassVar[tuple[str, ...]] = ("D_A", "D_B")
    directions: ClassVar[tuple[str, ...]] = ("x2y", "y2x")

    def __init__(
        self,
        G_AB: nn.Module,
        G_BA: nn.Module,
        D_A: nn.Module,
        D_B: nn.Module,
        objective: Objective,
        rate: Callable[[int], float] = Curriculum(),
        lambda_adversarial: float = 0.1,
        lambda_features: float = 0.9,
        update_interval: int = 3,
    ) -> None:
        super().__init__(G_AB, D_B, objective, lambda_adversarial, lambda_features, update_interval)
        self.G_BA, self.D_A, self.rate = G_BA, D_A, rate

    def d_loss(self, batch: Domains) -> Terms:
        x, y = batch
        return {**self.telling(self.D_A, x, self.G_BA(y), "A"), **self.telling(self.D_B, y, self.G_AB(x), "B")}

    def g_loss(self, batch: Domains) -> Terms:
        x, y = batch
        r = self.rate(self.iteration)
        AB, BA = self.G_AB(x), self.G_BA(y)
        return {
            **self.fooling(self.D_B, AB, y, "B", 1 - r),
            **self.fooling(self.D_A, BA, x, "A", 1 - r),
            "A_reconstruction": r * mse_loss(self.G_BA(AB), x),
            "B_reconstruction": r * mse_loss(self.G_AB(BA), y),
        }

    def scalars(self) -> dict[str, float]:
        """r."""
        return {"rate": self.rate(self.iteration)}

    def sample(self, batch: Domains) -> dict[str, Tensor]:
        """x_AB, its source x_A, x_ABA, and the same of B."""
        AB, BA = self.G_AB(batch.x), self.G_BA(batch.y)
        return {"AB": AB, "A": batch.x, "ABA": self.G_BA(AB), "BA": BA, "B": batch.y, "BAB": self.G_AB(BA)}
