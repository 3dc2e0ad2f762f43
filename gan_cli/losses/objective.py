"""What the two players of an adversarial game minimise, and how often the critic moves: conf/loss builds
it.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from gan_cli.losses.adversarial import AdversarialLoss, EnergyMargin, MarginLoss, TwoSampleLoss
from gan_cli.losses.critic import CachedCritic
from gan_cli.losses.penalties import Critic, Penalty

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

    def __post_init__(self) -> None:
        if not callable(self.critic_steps) and self.critic_steps < 1:
            raise ValueError(f"critic_steps is at least 1, not {self.critic_steps}")
        weight = getattr(self.penalty, "weight", 0)
        if weight < 0:
            raise ValueError(f"penalty.weight is 0 or more, not {weight}")

    def d_loss(self, critic: Critic, real: Tensor, fake: Tensor) -> Terms:
        """Terms "adversarial" and, if there is one, "penalty"; real and fake are batches of the same shape.
        """
        seen = CachedCritic(critic, real, fake, watch=getattr(self.penalty, "watches", ()))
        terms = {"adversarial": self.adversarial.d_loss(*seen.outputs)}
        if self.penalty is not None:
            terms["penalty"] = self.penalty(seen, real, fake)
        return terms

    def g_loss(self, critic: Critic, fake: Tensor, real: Tensor) -> Terms:
        """Term "adversarial". The real batch is there for the losses whose generator compares with it."""
        return {"adversarial": self.adversarial.g_loss(critic(fake))}

    def at(self, iteration: int) -> "Objective":
        """The objective of this iteration: itself, unless a part of it is a function of the iteration."""
        return self

    def scalars(self, iteration: int) -> dict[str, float]:
        """Numbers of this iteration that are worth a curve; none here."""
        return {}

    def steps_at(self, iteration: int) -> int:
        """Critic steps of this iteration."""
        return self.critic_steps(iteration) if callable(self.critic_steps) else self.critic_steps

    def constrain(self, critic: nn.Module) -> None:
        """Put the critic back into its feasible set; called after each of its steps."""
        if self.constraint is not None:
            self.constraint(critic)


@dataclass(frozen=True)
class TwoSampleObjective(Objective):
    """An objective whose generator, too, compares the critic's outputs of real and of generated samples."""

    adversarial: TwoSampleLoss  # type: ignore[assignment]

    def g_loss(self, critic: Critic, fake: Tensor, real: Tensor) -> Terms:
        """Term "adversarial"."""
        return {"adversarial": self.adversarial.g_loss(critic(fake), critic(real))}


@dataclass(frozen=True)
class L1Margin:
    """Delta(x, G(z)) of Qi 2017 (arXiv 1701.06264): `weight` times the sum of |x - G(z)| over all values of a
    sample, (N,).

    2e-4 in lsgan.lua, for 64 x 64 images in [-1, 1]: some 1.2.
    """

    weight: float = 2e-4

    def __call__(self, real: Tensor, fake: Tensor) -> Tensor:
        return self.weight * (real - fake).abs().flatten(1).sum(1)


@dataclass(frozen=True)
class MarginObjective(Objective):
    """A critic that must set its scores of the i-th real and the i-th fake apart by a margin that grows with
    their distance.

    No gradient goes through the margin (lsgan.lua): G gets that of its own loss only.
    """

    adversarial: MarginLoss  # type: ignore[assignment]
    margin: Callable[[Tensor, Tensor], Tensor] = L1Margin()

    def d_loss(self, critic: Critic, real: Tensor, fake: Tensor) -> Terms:
        """Terms "adversarial" and, if there is one, "penalty"."""
        margin = self.margin(real, fake).detach()
        terms = {"adversarial": self.adversarial.d_loss(critic(real), critic(fake), margin)}
        if self.penalty is not None:
            terms["penalty"] = self.penalty(critic, real, fake)
        return terms


@dataclass(frozen=True)
class EnergyObjective(Objective):
    """EBGAN's: the margin of its loss may be a function of the iteration. A game that plays with it calls `at`."""

    adversarial: EnergyMargin

    def at(self, iteration: int) -> "EnergyObjective":
        return replace(self, adversarial=self.adversarial.at(iteration))

    def scalars(self, iteration: int) -> dict[str, float]:
        """The margin, an energy."""
        return {"energy/margin": float(self.at(iteration).adversarial.margin)}  # type: ignore[arg-type]


@dataclass(frozen=True)
class LinearMargin:
    """m(t) = start max(0, 1 - t / length) at iteration t: a margin that falls to 0 (Zhao et al. 2017, sections 4.2 and
    appendix E). ValueError unless start >= 0 and length >= 1.
    """

    start: float = 16.0
    length: int = 60000

    def __post_init__(self) -> None:
        if self.start < 0 or self.length < 1:
            raise ValueError(f"start is 0 or more and length at least 1, not {self.start} and {self.length}")

    def __call__(self, iteration: int) -> float:
        return self.start * max(0.0, 1 - iteration / self.length)


@dataclass(frozen=True)
class WeightClip:
    """Arjovsky et al. 2017, Algorithm 1, line 7:  w <- clip(w, -c, c) for every parameter of the critic."""

    limit: float = 0.01

    def __post_init__(self) -> None:
        if not self.limit > 0:
            raise ValueError(f"constraint.limit is a positive number, not {self.limit}")

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
