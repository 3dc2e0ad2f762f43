"""Maximum mean discrepancy as an adversarial loss: losses and penalties of critics whose outputs a kernel compares.

A critic's outputs are features (N, d); a single score (N,) counts as one feature, and a map is flattened.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from gan_cli.losses.adversarial import AdversarialLoss
from gan_cli.losses.critic import CachedCritic
from gan_cli.losses.kernels import (
    Kernel,
    biased_mmd2,
    centered_squared_distances,
    off_diagonal_mean,
    root,
    unbiased_mmd2,
    witness,
)
from gan_cli.losses.penalties import Critic, Penalty, between, input_gradient


def rows(h: Tensor) -> Tensor:
    """One row of features per sample: (N,) -> (N, 1), (N, ...) -> (N, d)."""
    return h.reshape(len(h), -1)


@dataclass(frozen=True)
class MMD(AdversarialLoss):
    """The critic maximizes the discrepancy of its features of real and of generated samples, and the generator
    minimizes it: MMD^2, or its square root, which Li, Swersky, Zemel 2015 (arXiv 1502.02761) and Li et al. 2017 prefer.

    The root is that of max(MMD^2, 0), with gradient 0 at 0. ValueError for a root of the unbiased estimate.
    """

    kernel: Kernel
    unbiased: bool = False
    root: bool = False
    needs_real = True
    batch_term = "compares all pairs of samples of the batch"

    def __post_init__(self) -> None:
        if self.unbiased and self.root:
            raise ValueError("the unbiased MMD^2 may be negative and has no root: unbiased=false or root=false")

    def discrepancy(self, real: Tensor, fake: Tensor) -> Tensor:
        estimate = unbiased_mmd2 if self.unbiased else biased_mmd2
        mmd2 = estimate(self.kernel, rows(real), rows(fake))
        return root(mmd2) if self.root else mmd2

    def d_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        return -self.discrepancy(real, fake)

    def g_loss(self, fake: Tensor, real: Tensor) -> Tensor:
        return self.discrepancy(real, fake)


@dataclass(frozen=True)
class Repulsive(MMD):
    """Wang et al. 2019 (arXiv 1812.09916), the code's math_func.py: the critic pushes real samples apart and pulls
    generated ones together,

        L_D = lam mean_{i != j} k(d(x_i), d(x_j)) - (lam - 1) mean k(d(x_i), d(y_j)) - mean_{i != j} k(d(y_i), d(y_j)),

    x real, y generated, and L_G = MMD^2. lam: 1 is the repulsive loss, -1 that of MMD-GAN, which pulls real samples
    together, as any lam < 0 does; the paper's range is not known to us. rep_weights in the code is [1 - lam, -lam].

    In L_D the Gaussian k of bandwidth sigma is bounded, so that neither term grows without limit: a squared distance
    of samples that are pushed apart is clamped to at most `upper`, of samples that are pulled together to at least
    `lower`; between real and generated samples it is not clamped. `kernel` is that of L_G.
    """

    sigma: float = 1.0
    lower: float = 0.25
    upper: float = 4.0
    lam: float = 1.0

    def d_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        x, y = rows(real), rows(fake)
        r2_real, r2_fake = centered_squared_distances(x, x), centered_squared_distances(y, y).clamp(min=self.lower)
        r2_real = r2_real.clamp(min=self.lower) if self.lam < 0 else r2_real.clamp(max=self.upper)
        gamma = -0.5 / self.sigma**2
        loss = self.lam * off_diagonal_mean((gamma * r2_real).exp()) - off_diagonal_mean((gamma * r2_fake).exp())
        if self.lam == 1:
            return loss
        return loss - (self.lam - 1) * (gamma * centered_squared_distances(x, y)).exp().mean()


@dataclass(frozen=True)
class WitnessPenalty(Penalty):
    """Binkowski et al. 2018 (arXiv 1801.01401):  weight * E (||grad_x^ w(x^)||_2 - target)^2,

        w(t) = mean_x k(h(t), h(x)) - mean_y k(h(t), h(y)),

    h the critic, x^ between a real and a fake as in WGAN-GP. kernel: the loss's own.
    """

    kernel: Kernel
    weight: float = 1.0
    target: float = 1.0
    batch_term = "is the slope of means over the batch"

    def __call__(self, critic: Critic, real: Tensor, fake: Tensor) -> Tensor:
        h_real, h_fake = rows(critic(real)), rows(critic(fake))

        def w(t: Tensor) -> Tensor:
            return witness(self.kernel, rows(critic(t)), h_real, h_fake)

        norm = input_gradient(w, between(real, fake)).norm(dim=1)
        return self.weight * (norm - self.target).square().mean()


@dataclass(frozen=True)
class ActivationPenalty(Penalty):
    """The critic's L2 penalty of Binkowski's code: weight * the sum, over real and generated samples and over the
    critic's layers, of the mean square of a layer's activations; the outputs are those of the last layer.

    watches: types of the layers. ValueError for a critic that is a function, as in a conditional GAN: its layers are
    not accessible.
    """

    weight: float = 1.0
    watches: ClassVar = (nn.ReLU, nn.LeakyReLU)

    def __call__(self, critic: Critic, real: Tensor, fake: Tensor) -> Tensor:
        cached = critic if isinstance(critic, CachedCritic) else CachedCritic(critic, real, fake, watch=self.watches)
        # An activation of both batches, from one joint pass, counts twice.
        shares = [len(h) / len(real) for h in cached.activations]
        squares = [share * h.float().square().mean() for share, h in zip(shares, cached.activations, strict=True)]
        return self.weight * torch.stack(squares).sum()
