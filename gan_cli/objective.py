"""What the two players of an adversarial game minimise, and how often the critic moves: conf/loss builds
it.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from gan_cli.losses import AdversarialLoss
from gan_cli.penalties import Critic, Penalty

Terms = dict[str, Tensor]
"""Named, weighted scalar terms of one loss: their sum is minimised, the dict is logged."""


@dataclass(frozen=True)
class Objective:
    """An adversarial loss with what a paper adds to it.

    adversarial: formulas over scores. penalty: a term of the critic's loss. constraint: applied to the
    critic after each of its steps. critic_steps: steps of the critic per generator step, a number or a
    function of the iteration.
    """

    adversarial: AdversarialLoss
    penalty: Penalty | None = None
    constraint: Callable[[nn.Module], None] | None = None
    critic_steps: int | Callable[[int], int] = 1

    def d_loss(self, critic: Critic, real: Tensor, fake: Tensor) -> Terms:
        """Terms "adversarial" and, if there is one, "penalty"; real and fake are batches of the same shape.
        """
        terms = {"adversarial": self.adversarial.d_loss(critic(real), critic(fake))}
        if self.penalty is not None:
            terms["penalty"] = self.penalty(critic, real, fake)
        return terms

    def g_loss(self, critic: Critic, fake: Tensor) -> Terms:
        """Term "adversarial"."""
        return {"adversarial": self.adversarial.g_loss(critic(fake))}

    def steps_at(self, iteration: int) -> int:
        """Critic steps of this iteration."""
        return self.critic_steps(iteration) if callable(self.critic_steps) else self.critic_steps

    def constrain(self, critic: nn.Module) -> None:
        """Put the critic back into its feasible set; called after each of its steps."""
        if self.constraint is not None:
            self.constraint(critic)


@dataclass(frozen=True)
class WeightClip:
    """Arjovsky et al. 2017, Algorithm 1, line 7:  w <- clip(w, -c, c) for every parameter of the critic."""

    limit: float = 0.01

    @torch.no_grad()
    def __call__(self, critic: nn.Module) -> None:
        for w in critic.parameters():
            w.clamp_(-self.limit, self.limit)


@dataclass(frozen=True)
class WarmUp:
    """Critic steps of the WGAN code (main.py): `high` in the first `first` iterations and in every
    `every`-th, else `low`.
    """

    low: int = 5
    high: int = 100
    first: int = 25
    every: int = 500

    def __call__(self, iteration: int) -> int:
        return self.high if iteration < self.first or iteration % self.every == 0 else self.low
