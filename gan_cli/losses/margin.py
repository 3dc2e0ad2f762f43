"""The loss-sensitive GAN (Qi 2017, arXiv 1701.06264): its loss, its margin and the objective that joins them."""

from dataclasses import dataclass
from typing import ClassVar, Protocol

from torch import Tensor
from torch.nn.functional import relu

from gan_cli.losses.objective import Objective, Terms
from gan_cli.losses.penalties import Critic


class MarginLoss(Protocol):
    """An adversarial loss with a margin (N,) between the i-th real and the i-th fake."""

    needs_real: ClassVar[bool]

    def d_loss(self, real: Tensor, fake: Tensor, margin: Tensor) -> Tensor:
        """The critic's loss."""

    def g_loss(self, fake: Tensor, real: Tensor) -> Tensor:
        """The generator's loss."""


@dataclass(frozen=True)
class LossSensitive(MarginLoss):
    """The loss L(x) of a real is to lie below that of a fake by the margin:

        D:  gamma E L(x) + E C(margin + L(x) - L(G(z))),    G:  E L(G(z)),    C(a) = max(a, slope a).

    slope 0: LS-GAN's hinge; in (-inf, 1]: GLS-GAN (appendix D), where 1 is WGAN and -1 the absolute value.
    L = -score, so that here, too, a high score means real; nonnegative: L = max(-score, 0), as in LS-GAN.
    gamma: weight of the first term (0 in lsgan.lua: the optimum does not need it). ValueError for a slope above 1.
    """

    gamma: float = 0.0
    slope: float = 0.0
    nonnegative: bool = True
    needs_real: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if self.slope > 1:
            raise ValueError(f"slope {self.slope}: C(a) = max(a, slope a) needs a slope of at most 1")

    def L(self, score: Tensor) -> Tensor:
        return relu(-score) if self.nonnegative else -score

    def d_loss(self, real: Tensor, fake: Tensor, margin: Tensor) -> Tensor:
        L_real, L_fake = self.L(real), self.L(fake)
        a = margin.view(-1, *[1] * (real.dim() - 1)) + L_real - L_fake
        return self.gamma * L_real.mean() + a.maximum(self.slope * a).mean()

    def g_loss(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        return self.L(fake).mean()


class Margin(Protocol):
    """The margin Delta between a real and a fake."""

    def __call__(self, real: Tensor, fake: Tensor) -> Tensor:
        """The margin between the i-th samples of both batches, (N,)."""


@dataclass(frozen=True)
class L1Margin(Margin):
    """Delta(x, G(z)): `weight` times the sum of |x - G(z)| over all values of a sample, (N,).

    2e-4 in lsgan.lua, for 64 x 64 images in [-1, 1], gives a margin of about 1.2.
    """

    weight: float = 2e-4

    def __call__(self, real: Tensor, fake: Tensor) -> Tensor:
        return self.weight * (real - fake).abs().flatten(1).sum(1)


@dataclass(frozen=True)
class MarginObjective(Objective):
    """An objective whose critic separates its scores of the i-th real and the i-th fake by a margin that grows with
    their distance.

    No gradient flows through the margin (lsgan.lua): G is trained on its own loss only.
    """

    adversarial: MarginLoss  # type: ignore[assignment]
    margin: Margin = L1Margin()

    def d_loss(self, critic: Critic, real: Tensor, fake: Tensor) -> Terms:
        """Terms "adversarial" and, with a penalty, "penalty"."""
        margin = self.margin(real, fake).detach()
        terms = {"adversarial": self.adversarial.d_loss(critic(real), critic(fake), margin)}
        if self.penalty is not None:
            terms["penalty"] = self.penalty(critic, real, fake)
        return terms
