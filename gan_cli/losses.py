"""Adversarial losses: formulas over raw scores (logits; no sigmoid is ever applied by a network), all
minimised.

Every function takes scores of any shape and returns a scalar, the mean over samples (and over patches).
Conventions of the factor 1/2: the sigmoid games have none, D's loss is the sum of its two halves
(Goodfellow et al. 2014, Algorithm 1; the DCGAN code); least squares has the 1/2 of Mao et al. (`scale`).
"""

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor
from torch.nn.functional import softplus


class AdversarialLoss(Protocol):
    """A two-player game over scores: each method is what its player minimises."""

    def d_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        """The discriminator's loss, given its scores of real and of generated samples."""

    def g_loss(self, fake: Tensor) -> Tensor:
        """The generator's loss, given the discriminator's scores of generated samples."""


class Minimax:
    """Goodfellow et al. 2014, eq. 1, zero-sum: min_G max_D  E log D(x) + E log(1 - D(G(z))),  D =
    sigmoid(score).

    log D = -softplus(-score) and log(1 - D) = -softplus(score), which neither overflow nor lose the gradient.
    """

    def d_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        return softplus(-real).mean() + softplus(fake).mean()

    def g_loss(self, fake: Tensor) -> Tensor:
        return -softplus(fake).mean()


class NonSaturating(Minimax):
    """Goodfellow et al. 2014, section 3: the same D; G maximises E log D(G(z)), whose gradient lives when D
    wins.
    """

    def g_loss(self, fake: Tensor) -> Tensor:
        return softplus(-fake).mean()


@dataclass(frozen=True)
class MaximumLikelihood(Minimax):
    """Goodfellow 2016 (arXiv 1701.00160): the same D; G minimises -E exp(score) = -E D / (1 - D).

    For an optimal D the expected gradient is that of KL(p_data || p_G). Scores are clamped at `limit`
    before the exponential, so a sample scored above it gives no gradient (it would give exp(limit) or
    more).
    """

    limit: float = 20.0

    def g_loss(self, fake: Tensor) -> Tensor:
        return -fake.clamp(max=self.limit).exp().mean()


@dataclass(frozen=True)
class LeastSquares:
    """Mao et al. 2017 (arXiv 1611.04076), eq. 2: D's labels are a for fakes and b for reals; G wants c.

    Defaults are the 0-1 coding; (a, b, c) = (-1, 1, 0) gives the Pearson chi2 divergence. `scale` is the
    paper's 1/2; CycleGAN's equations have 1 there.
    """

    a: float = 0.0
    b: float = 1.0
    c: float = 1.0
    scale: float = 0.5

    def d_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        return self.scale * (real - self.b).square().mean() + self.scale * (fake - self.a).square().mean()

    def g_loss(self, fake: Tensor) -> Tensor:
        return self.scale * (fake - self.c).square().mean()


class Wasserstein:
    """Arjovsky et al. 2017 (arXiv 1701.07875), eq. 3: the critic maximises E f(x) - E f(G(z)).

    Minus d_loss estimates the earth mover's distance up to the critic's Lipschitz constant. The authors'
    code writes f with the opposite sign.
    """

    def d_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        return fake.mean() - real.mean()

    def g_loss(self, fake: Tensor) -> Tensor:
        return -fake.mean()
