"""The training objective of a GAN, as conf/loss builds it: an adversarial loss with its penalty, constraint and
number of critic steps.
"""

from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from gan_cli.losses.adversarial import AdversarialLoss
from gan_cli.losses.critic import CachedCritic
from gan_cli.losses.penalties import Critic, Penalty

MOST_STEPS = 1000  # of a critic per generator step: ten times the highest number of the literature

Terms = dict[str, Tensor]
"""Named, weighted scalar terms of one loss: their sum is minimized, and each is logged."""


@runtime_checkable
class Scheduled(Protocol):
    """An adversarial loss that depends on the iteration, for example through its margin."""

    def at(self, iteration: int) -> AdversarialLoss:
        """The loss of this iteration."""

    def scalars(self, iteration: int) -> dict[str, float]:
        """The scheduled numbers of this iteration, by their names in the log."""


class Constraint(Protocol):
    """A projection of a critic onto its feasible set."""

    def __call__(self, critic: nn.Module) -> None:
        """Change the critic's weights in place."""


class StepSchedule(Protocol):
    """A number of critic steps that depends on the iteration."""

    def __call__(self, iteration: int) -> int:
        """The number of steps in iteration `iteration`."""


@dataclass(frozen=True)
class Objective:
    """An adversarial loss with what a paper adds to it.

    adversarial: formulas over scores. penalty: a term of the critic's loss. constraint: applied to the critic after
    each of its steps. critic_steps: steps of the critic per generator step, a number or a function of the iteration.
    """

    adversarial: AdversarialLoss
    penalty: Penalty | None = None
    constraint: Constraint | None = None
    critic_steps: int | StepSchedule = 1

    def __post_init__(self) -> None:
        if not callable(self.critic_steps) and not 1 <= self.critic_steps <= MOST_STEPS:
            raise ValueError(f"critic_steps lies in [1, {MOST_STEPS}], not {self.critic_steps}")
        weight = getattr(self.penalty, "weight", 0)  # a penalty may be a plain function
        if weight < 0:
            raise ValueError(f"penalty.weight is 0 or more, not {weight}")

    def d_loss(self, critic: Critic, real: Tensor, fake: Tensor) -> Terms:
        """Terms "adversarial" and, with a penalty, "penalty"; real and fake are batches of the same shape."""
        cached = CachedCritic(critic, real, fake, watch=getattr(self.penalty, "watches", ()))
        terms = {"adversarial": self.adversarial.d_loss(*cached.outputs)}
        if self.penalty is not None:
            terms["penalty"] = self.penalty(cached, real, fake)
        return terms

    def g_loss(self, critic: Critic, fake: Tensor, real: Tensor) -> Terms:
        """Term "adversarial". The critic evaluates the real batch only for a loss that compares with it."""
        fake_scores = critic(fake)
        real_scores = critic(real) if self.adversarial.needs_real else None
        return {"adversarial": self.adversarial.g_loss(fake_scores, real_scores)}  # type: ignore[arg-type]

    def at(self, iteration: int) -> "Objective":
        """The objective of this iteration: itself, unless its adversarial loss is scheduled."""
        loss = self.adversarial
        return replace(self, adversarial=loss.at(iteration)) if isinstance(loss, Scheduled) else self

    def scalars(self, iteration: int) -> dict[str, float]:
        """The scheduled numbers of this iteration, for the log."""
        return self.adversarial.scalars(iteration) if isinstance(self.adversarial, Scheduled) else {}

    def steps_at(self, iteration: int) -> int:
        """Number of critic steps in this iteration."""
        return self.critic_steps(iteration) if callable(self.critic_steps) else self.critic_steps

    def constrain(self, critic: nn.Module) -> None:
        """Project the critic back onto its feasible set; called after each of its steps."""
        if self.constraint is not None:
            self.constraint(critic)


@dataclass(frozen=True)
class WeightClip(Constraint):
    """Arjovsky et al. 2017, Algorithm 1, line 7:  w <- clip(w, -c, c) for every trained weight of the critic."""

    limit: float = 0.01

    def __post_init__(self) -> None:
        if not self.limit > 0:
            raise ValueError(f"constraint.limit is a positive number, not {self.limit}")

    @torch.no_grad()
    def __call__(self, critic: nn.Module) -> None:
        for w in critic.parameters():
            if w.requires_grad:  # trainer.freeze keeps the others
                w.clamp_(-self.limit, self.limit)


@dataclass(frozen=True)
class WarmUp(StepSchedule):
    """Critic steps of the WGAN code (main.py): `high` in the first `first` iterations and in every `every`-th, else
    `low`.
    """

    low: int = 5
    high: int = 100
    first: int = 25
    every: int = 500

    def __post_init__(self) -> None:
        if not (1 <= self.low <= MOST_STEPS and 1 <= self.high <= MOST_STEPS):
            raise ValueError(f"low and high lie in [1, {MOST_STEPS}], not {self.low} and {self.high}")
        if self.first < 0 or self.every < 1:
            raise ValueError(f"first is 0 or more and every at least 1, not {self.first} and {self.every}")

    def __call__(self, iteration: int) -> int:
        return self.high if iteration < self.first or iteration % self.every == 0 else self.low
