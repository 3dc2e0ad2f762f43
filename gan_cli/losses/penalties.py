"""Penalties on a critic: (critic, real, fake) -> weighted scalar, added to the critic's loss.

A penalty creates its own leaf tensors, so it works whether or not `real` and `fake` have a graph, and keeps the graph
of its gradient (double backward). A penalty on the critic's layers lists their types in `watches`; their outputs for
both batches are the critic's `activations` (gan_cli.losses.critic).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

import torch
from torch import Tensor, nn

from gan_cli.utils.autograd import ConstantSlopes
from gan_cli.utils.random import uniform

Critic = Callable[[Tensor], Tensor]


class Penalty(Protocol):
    """A term of a critic's loss; real and fake are batches of the same shape.

    batch_term: what makes it more than a mean over samples, as the end of a sentence; trainer.accumulate needs a mean.
    """

    batch_term: ClassVar[str] = ""

    def __call__(self, critic: Critic, real: Tensor, fake: Tensor) -> Tensor:
        """The weighted penalty, a scalar."""


def input_gradient(critic: Critic, x: Tensor) -> Tensor:
    """d critic(x_i) / d x_i, one row per sample, (N, values of a sample), differentiable in the critic's weights.

    Of a critic that returns a map of scores, this is the gradient of the map's sum. The critic must not mix the samples
    (no batch normalization).
    """
    x = x.detach().requires_grad_()
    with ConstantSlopes():
        scores = critic(x)
    (gradient,) = torch.autograd.grad(scores.sum(), x, create_graph=True)
    return gradient.flatten(1)


def between(real: Tensor, fake: Tensor) -> Tensor:
    """x^ = eps x + (1 - eps) G(z),  one eps ~ U[0, 1] per sample."""
    eps = uniform(len(real), *[1] * (real.dim() - 1), device=real.device)
    return eps * real + (1 - eps) * fake


@dataclass(frozen=True)
class GradientPenalty(Penalty):
    """Gulrajani et al. 2017 (arXiv 1704.00028), eq. 3 and Algorithm 1:  weight * E (||grad f(x^)||_2 - target)^2.

    x^ = eps x + (1 - eps) G(z) with one eps ~ U[0, 1] per sample. The norm is over all values of a sample, and the
    penalty two-sided.
    """

    weight: float = 10.0
    target: float = 1.0

    def __call__(self, critic: Critic, real: Tensor, fake: Tensor) -> Tensor:
        norm = input_gradient(critic, between(real, fake)).norm(dim=1)
        return self.weight * (norm - self.target).square().mean()


@dataclass(frozen=True)
class WassersteinDivergence(Penalty):
    """Wu et al. 2018 (arXiv 1712.01026), eq. 7:  weight * E ||grad f(x^)||_2 ^ power,  k = 2 and p = 6.

    x^ lies between a real and a fake, as in WGAN-GP. There is no target norm: f need not be Lipschitz. The released
    code has the power 6 and weight 10 (wgan_div.py:54 and 413).
    """

    weight: float = 2.0
    power: float = 6.0

    def __call__(self, critic: Critic, real: Tensor, fake: Tensor) -> Tensor:
        squares = input_gradient(critic, between(real, fake)).square().sum(1)
        return self.weight * squares.pow(self.power / 2).mean()


@dataclass(frozen=True)
class DRAGAN(Penalty):
    """Kodali et al. 2017 (arXiv 1705.07215):  weight * E (||grad f(x + delta)||_2 - target)^2, near real samples only.

    As in the authors' notebook: delta = alpha * scale * std * u, where u ~ U[0, 1) has the shape of the samples, alpha
    ~ U[0, 1) is one number per sample, and std is over all values of the batch. The paper's delta is N(0, c I).
    """

    weight: float = 10.0
    target: float = 1.0
    scale: float = 0.5
    batch_term = "scales its noise by the standard deviation of the batch"

    def __call__(self, critic: Critic, real: Tensor, fake: Tensor) -> Tensor:
        noise = self.scale * real.std(correction=0) * uniform(*real.shape, device=real.device)
        alpha = uniform(len(real), *[1] * (real.dim() - 1), device=real.device)
        norm = input_gradient(critic, real + alpha * noise).norm(dim=1)
        return self.weight * (norm - self.target).square().mean()


@dataclass(frozen=True)
class R1(Penalty):
    """Mescheder et al. 2018 (arXiv 1801.04406), eq. 9:  gamma / 2 * E ||grad f(x)||_2^2 at real samples."""

    gamma: float = 10.0

    def __call__(self, critic: Critic, real: Tensor, fake: Tensor) -> Tensor:
        return self.gamma / 2 * input_gradient(critic, real).square().sum(1).mean()


@dataclass(frozen=True)
class SumPenalty(Penalty):
    """Several penalties on one critic."""

    parts: Sequence[Penalty]

    @property
    def watches(self) -> tuple[type[nn.Module], ...]:
        """Types of the critic's layers that one of the parts uses."""
        return tuple({layer: None for part in self.parts for layer in getattr(part, "watches", ())})

    @property
    def batch_term(self) -> str:  # type: ignore[override]
        """That of the first part that has one."""
        return next(filter(None, (getattr(part, "batch_term", "") for part in self.parts)), "")

    def __call__(self, critic: Critic, real: Tensor, fake: Tensor) -> Tensor:
        return torch.stack([part(critic, real, fake) for part in self.parts]).sum()
