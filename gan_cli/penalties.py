"""Penalties on a critic: (critic, real, fake) -> weighted scalar, added to the critic's loss.

A penalty makes its own leaf tensors, so it works whether or not `real` and `fake` carry a graph, and keeps
the graph of the gradient it takes (double backward).
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from gan_cli.draw import uniform

Critic = Callable[[Tensor], Tensor]
Penalty = Callable[[Critic, Tensor, Tensor], Tensor]


def input_gradient(critic: Critic, x: Tensor) -> Tensor:
    """d critic(x_i) / d x_i, one row per sample, shape (N, values of a sample), differentiable in the
    critic's weights.

    A critic that returns a map of scores is differentiated through the map's sum. The samples must not mix
    inside the critic (no batch normalisation).
    """
    x = x.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(critic(x).sum(), x, create_graph=True)
    return gradient.flatten(1)


@dataclass(frozen=True)
class GradientPenalty:
    """Gulrajani et al. 2017 (arXiv 1704.00028), eq. 3 and Algorithm 1:  weight * E (||grad f(x^)||_2 -
    target)^2.

    x^ = eps x + (1 - eps) G(z) with one eps ~ U[0, 1] per sample; the norm is over all values of a sample;
    two-sided.
    """

    weight: float = 10.0
    target: float = 1.0

    def __call__(self, critic: Critic, real: Tensor, fake: Tensor) -> Tensor:
        eps = uniform(len(real), *[1] * (real.dim() - 1), device=real.device)
        x_hat = eps * real + (1 - eps) * fake
        norm = input_gradient(critic, x_hat).norm(dim=1)
        return self.weight * (norm - self.target).square().mean()
