"""The adversarial loss of f-GAN, which minimizes an f-divergence (Nowozin, Cseke & Tomioka 2016, arXiv 1606.00709).

D_f(P||Q) = int q f(p/q) dx for a convex f; P is the data, Q the generator. With the conjugate
f*(t) = sup_{u >= 0} ut - f(u), any function T of x gives a lower bound (eq. 4),

    D_f(P||Q)  >=  E_P T(x) - E_Q f*(T(x)),        with equality at  T*(x) = f'(p(x) / q(x)).

T = g_f(V): the activation g_f maps the network's score V to the domain of f*.
"""

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from gan_cli.losses.adversarial import AdversarialLoss


class Divergence(Protocol):
    """A row of the paper's tables 1 to 3 and 6."""

    @property
    def threshold(self) -> float:
        """f'(1): x is classified as real where T(x) exceeds it."""

    def f(self, u: Tensor) -> Tensor:
        """The generator function at u = p/q > 0; f(1) = 0, but for the GAN divergence, where it is -log 4."""

    def f_prime(self, u: Tensor) -> Tensor:
        """T* at u = p/q > 0."""

    def activation(self, v: Tensor) -> Tensor:
        """g_f: score -> dom f*, increasing."""

    def conjugate(self, t: Tensor) -> Tensor:
        """f*(t), +inf outside dom f*; for the theory, not for training: infinities have no gradient."""

    def conjugate_at(self, v: Tensor) -> Tensor:
        """f*(g_f(v)) in a form that keeps value and gradients finite in float32 for scores from -50 to 50."""


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
