"""The adversarial loss of f-GAN (Nowozin, Cseke & Tomioka 2016, arXiv 1606.00709)."""

from dataclasses import dataclass

from torch import Tensor

from gan_cli.losses.adversarial import AdversarialLoss
from gan_cli.losses.divergences import Divergence


@dataclass(frozen=True)
class FGAN(AdversarialLoss):
    """min_theta max_w  F = E_P g_f(V(x)) - E_Q f*(g_f(V(x))),  eq. 6.

    practical: the generator maximizes E_Q g_f(V) instead (section 3.2), as with the non-saturating loss; otherwise the
    losses are zero-sum.
    """

    divergence: Divergence
    practical: bool = True

    def bound(self, real: Tensor, fake: Tensor) -> Tensor:
        """F, a lower bound of D_f(P||Q) in expectation, from scores of any shape."""
        return self.divergence.activation(real).mean() - self.divergence.conjugate_at(fake).mean()

    def d_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        return -self.bound(real, fake)

    def g_loss(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        value = self.divergence.activation if self.practical else self.divergence.conjugate_at
        return -value(fake).mean()

    def says_real(self, scores: Tensor) -> Tensor:
        """T(x) > f'(1), where T* finds p(x) > q(x) (section 3.2); bool, of the shape of `scores`."""
        return self.divergence.activation(scores) > self.divergence.threshold
