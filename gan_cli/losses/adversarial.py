"""Adversarial losses: formulas over raw scores (logits; no sigmoid is ever applied by a network), all
minimised.

Every function takes scores of any shape and returns a scalar, the mean over samples (and over patches).
Conventions of the factor 1/2: the sigmoid games have none, D's loss is the sum of its two halves
(Goodfellow et al. 2014, Algorithm 1; the DCGAN code); least squares has the 1/2 of Mao et al. (`scale`).
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

from torch import Tensor
from torch.nn.functional import relu, softplus


class AdversarialLoss(Protocol):
    """A two-player game over scores: each method is what its player minimises."""

    def d_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        """The discriminator's loss, given its scores of real and of generated samples."""

    def g_loss(self, fake: Tensor) -> Tensor:
        """The generator's loss, given the discriminator's scores of generated samples."""


class TwoSampleLoss(Protocol):
    """A game whose generator sees the critic's outputs of both samples: scores, or features (N, d)."""

    def d_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        """The critic's loss."""

    def g_loss(self, fake: Tensor, real: Tensor) -> Tensor:
        """The generator's loss."""


class MarginLoss(Protocol):
    """A game in which the i-th real and the i-th fake have a margin (N,) between them."""

    def d_loss(self, real: Tensor, fake: Tensor, margin: Tensor) -> Tensor:
        """The critic's loss."""

    def g_loss(self, fake: Tensor) -> Tensor:
        """The generator's loss."""


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


class Hinge:
    """Lim & Ye 2017 (arXiv 1705.02894); the review's 3.3.1.2: D stops pushing scores that are past +1 and -1."""

    def d_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        return relu(1 - real).mean() + relu(1 + fake).mean()

    def g_loss(self, fake: Tensor) -> Tensor:
        return -fake.mean()


class Relativistic:
    """Jolicoeur-Martineau 2018 (arXiv 1807.00734), RSGAN:  D(x_r, x_f) = sigmoid(C(x_r) - C(x_f)) of the i-th
    real and the i-th fake; G minimises -E log D(x_f, x_r).
    """

    def d_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        return softplus(fake - real).mean()

    def g_loss(self, fake: Tensor, real: Tensor) -> Tensor:
        return softplus(real - fake).mean()


class RelativisticAverage:
    """The same paper, RaSGAN: each score is compared with the mean score of the other kind,
    D(x_r) = sigmoid(C(x_r) - E C(x_f)) and D(x_f) = sigmoid(C(x_f) - E C(x_r)). G plays with the labels exchanged.

    The mean is of this process's share of the batch.
    """

    def d_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        return softplus(-(real - fake.mean())).mean() + softplus(fake - real.mean()).mean()

    def g_loss(self, fake: Tensor, real: Tensor) -> Tensor:
        return self.d_loss(fake, real)


@dataclass(frozen=True)
class LossSensitive:
    """Qi 2017 (arXiv 1701.06264): the loss L(x) of a real is to lie below that of a fake by the margin,

        D:  gamma E L(x) + E C(margin + L(x) - L(G(z))),    G:  E L(G(z)),    C(a) = max(a, slope a).

    slope 0: LS-GAN's hinge; in (-inf, 1]: GLS-GAN (appendix D), where 1 is WGAN and -1 the absolute value.
    L = -score, so that here, too, a high score means real; nonnegative: L = max(-score, 0), as in LS-GAN.
    gamma: weight of the first term (0 in lsgan.lua: the optimum does not need it). ValueError for a slope above 1.
    """

    gamma: float = 0.0
    slope: float = 0.0
    nonnegative: bool = True

    def __post_init__(self) -> None:
        if self.slope > 1:
            raise ValueError(f"slope {self.slope}: C(a) = max(a, slope a) needs a slope of at most 1")

    def L(self, score: Tensor) -> Tensor:
        return relu(-score) if self.nonnegative else -score

    def d_loss(self, real: Tensor, fake: Tensor, margin: Tensor) -> Tensor:
        L_real, L_fake = self.L(real), self.L(fake)
        a = margin.view(-1, *[1] * (real.dim() - 1)) + L_real - L_fake
        return self.gamma * L_real.mean() + a.maximum(self.slope * a).mean()

    def g_loss(self, fake: Tensor) -> Tensor:
        return self.L(fake).mean()


@dataclass(frozen=True)
class EnergyMargin:
    """Zhao et al. 2017 (arXiv 1609.03126), eq. 1 and 2, EBGAN:  L_D = E(x) + [m - E(G(z))]_+,  L_G = E(G(z)).

    The energy is E = max(-score, 0); an autoencoder's score is minus the distance to its reconstruction, so E is the
    paper's. D's hinge is written in the score, [m + score]_+, which is the same where E > 0; a logit above 0 keeps its
    slope there, where a cut energy would have none.

    margin: m, in units of the energy, or a function of the iteration, which `at` evaluates. ValueError for m < 0.
    """

    margin: float | Callable[[int], float] = 10.0

    def __post_init__(self) -> None:
        if not callable(self.margin) and self.margin < 0:
            raise ValueError(f"margin {self.margin}: an energy's margin is 0 or more")

    def at(self, iteration: int) -> "EnergyMargin":
        """The loss of this iteration, its margin a number."""
        return replace(self, margin=self.margin(iteration)) if callable(self.margin) else self

    def energy(self, score: Tensor) -> Tensor:
        return relu(-score)

    def d_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        if callable(self.margin):
            raise ValueError("this game does not move the margin of its loss: use model=ebgan, or give a number")
        return self.energy(real).mean() + relu(self.margin + fake).mean()

    def g_loss(self, fake: Tensor) -> Tensor:
        return self.energy(fake).mean()
