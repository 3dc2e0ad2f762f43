"""Adversarial losses: formulas over raw scores (logits, as no network applies a sigmoid), all to be minimized.

Every function takes scores of any shape and returns a scalar, the mean over samples (and over patches). Factors 1/2:
the losses with a sigmoid have none, so D's loss is the sum of its two halves (Goodfellow et al. 2014, Algorithm 1; the
DCGAN code); least squares has the 1/2 of Mao et al. as `scale`.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor
from torch.nn.functional import relu, softplus


class AdversarialLoss(ABC):
    """A pair of losses over the discriminator's scores (or features), one for each side."""

    needs_real: ClassVar[bool] = False
    """Whether `g_loss` uses the scores of real samples. If not, they are not computed, and `real` is None."""
    batch_term: ClassVar[str] = ""
    """What makes the loss more than a mean over samples, as the end of a sentence: trainer.accumulate needs a mean."""

    @abstractmethod
    def d_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        """The discriminator's loss, given its scores of real and of generated samples."""

    @abstractmethod
    def g_loss(self, fake: Tensor, real: Tensor) -> Tensor:
        """The generator's loss, given the discriminator's scores of generated and of real samples."""


class Minimax(AdversarialLoss):
    """Goodfellow et al. 2014, eq. 1, zero-sum: min_G max_D  E log D(x) + E log(1 - D(G(z))),  D = sigmoid(score).

    log D = -softplus(-score) and log(1 - D) = -softplus(score), which neither overflow nor lose the gradient.
    """

    def d_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        return softplus(-real).mean() + softplus(fake).mean()

    def g_loss(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        return -softplus(fake).mean()


class NonSaturating(Minimax):
    """Goodfellow et al. 2014, section 3: the same D; G maximizes E log D(G(z)), whose gradient does not vanish when D
    rejects all samples.
    """

    def g_loss(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        return softplus(-fake).mean()


@dataclass(frozen=True)
class MaximumLikelihood(Minimax):
    """Goodfellow 2016 (arXiv 1701.00160): the same D; G minimizes -E exp(score) = -E D / (1 - D).

    For an optimal D the expected gradient is that of KL(p_data || p_G). Scores are clamped at `limit` before the
    exponential, so a sample with a higher score gives no gradient (instead of one of exp(limit) or more).
    """

    limit: float = 20.0

    def g_loss(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        return -fake.clamp(max=self.limit).exp().mean()


@dataclass(frozen=True)
class LeastSquares(AdversarialLoss):
    """Mao et al. 2017 (arXiv 1611.04076), eq. 2: D's labels are a for fakes and b for reals; G aims at c.

    The defaults are the 0-1 coding; (a, b, c) = (-1, 1, 0) gives the Pearson chi2 divergence. `scale` is the paper's
    1/2; it is 1 in CycleGAN's equations.
    """

    a: float = 0.0
    b: float = 1.0
    c: float = 1.0
    scale: float = 0.5

    def d_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        return self.scale * (real - self.b).square().mean() + self.scale * (fake - self.a).square().mean()

    def g_loss(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        return self.scale * (fake - self.c).square().mean()


class Wasserstein(AdversarialLoss):
    """Arjovsky et al. 2017 (arXiv 1701.07875), eq. 3: the critic maximizes E f(x) - E f(G(z)).

    Minus d_loss estimates the earth mover's distance up to the critic's Lipschitz constant. The authors' code has f
    with the opposite sign.
    """

    def d_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        return fake.mean() - real.mean()

    def g_loss(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        return -fake.mean()


class Hinge(AdversarialLoss):
    """Lim & Ye 2017 (arXiv 1705.02894): D's loss ignores real scores above 1 and generated ones below -1."""

    def d_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        return relu(1 - real).mean() + relu(1 + fake).mean()

    def g_loss(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        return -fake.mean()


class Relativistic(AdversarialLoss):
    """Jolicoeur-Martineau 2018 (arXiv 1807.00734), RSGAN:  D(x_r, x_f) = sigmoid(C(x_r) - C(x_f)) of the i-th real
    and the i-th fake; G minimizes -E log D(x_f, x_r).
    """

    needs_real = True

    def d_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        return softplus(fake - real).mean()

    def g_loss(self, fake: Tensor, real: Tensor) -> Tensor:
        return softplus(real - fake).mean()


class RelativisticAverage(AdversarialLoss):
    """RaSGAN of the same paper: each score is compared with the mean score of the other kind,
    D(x_r) = sigmoid(C(x_r) - E C(x_f)) and D(x_f) = sigmoid(C(x_f) - E C(x_r)). G's loss exchanges the labels.

    With several processes, the means are over each process's share of the batch.
    """

    needs_real = True
    batch_term = "compares each score with the mean score of the batch"

    def d_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        return softplus(-(real - fake.mean())).mean() + softplus(fake - real.mean()).mean()

    def g_loss(self, fake: Tensor, real: Tensor) -> Tensor:
        return self.d_loss(fake, real)
