"""The margin loss of energy-based GANs (Zhao et al. 2017, arXiv 1609.03126)."""

from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor
from torch.nn.functional import relu

from gan_cli.losses.adversarial import AdversarialLoss


class MarginSchedule(Protocol):
    """A margin that depends on the iteration."""

    def __call__(self, iteration: int) -> float:
        """The margin in iteration `iteration`."""


@dataclass(frozen=True)
class LinearMargin(MarginSchedule):
    """m(t) = start max(0, 1 - t / length) at iteration t: a margin that decreases to 0 (sections 4.2 and appendix E).

    ValueError unless start >= 0 and length >= 1.
    """

    start: float = 16.0
    length: int = 60000

    def __post_init__(self) -> None:
        if self.start < 0 or self.length < 1:
            raise ValueError(f"start is 0 or more and length at least 1, not {self.start} and {self.length}")

    def __call__(self, iteration: int) -> float:
        return self.start * max(0.0, 1 - iteration / self.length)


@dataclass(frozen=True)
class EnergyMargin(AdversarialLoss):
    """Eq. 1 and 2, EBGAN:  L_D = E(x) + [m - E(G(z))]_+,  L_G = E(G(z)).

    The energy is E = max(-score, 0); an autoencoder's score is minus the distance to its reconstruction, so E is the
    paper's. D's hinge is written in the score, [m + score]_+, which is the same where E > 0; a logit above 0 keeps its
    slope there, where a clipped energy would have none.

    margin: m, in units of the energy, or a function of the iteration, which `at` evaluates. ValueError for m < 0.
    """

    margin: float | MarginSchedule = 10.0

    def __post_init__(self) -> None:
        if not callable(self.margin) and self.margin < 0:
            raise ValueError(f"margin {self.margin}: an energy's margin is 0 or more")

    def at(self, iteration: int) -> "EnergyMargin":
        """The loss of this iteration, with a number as its margin."""
        return replace(self, margin=self.margin(iteration)) if callable(self.margin) else self

    def scalars(self, iteration: int) -> dict[str, float]:
        """The margin of this iteration."""
        return {"energy/margin": float(self.margin(iteration) if callable(self.margin) else self.margin)}

    def energy(self, score: Tensor) -> Tensor:
        return relu(-score)

    def d_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        if callable(self.margin):
            raise ValueError("this model has no schedule for the margin of its loss: use model=ebgan, or a number")
        return self.energy(real).mean() + relu(self.margin + fake).mean()

    def g_loss(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        return self.energy(fake).mean()


def need_finite_slope(loss: object) -> None:
    """Raise ValueError for a loss whose slope is infinite at the energies of images, which reach hundreds."""
    if not isinstance(loss, AdversarialLoss):  # a loss with a margin between samples grows linearly
        return
    energy = torch.full((2,), 200.0, requires_grad=True)
    (slope,) = torch.autograd.grad(loss.d_loss(-energy, -energy), energy)
    if not slope.isfinite().all():
        name = type(getattr(loss, "divergence", loss)).__name__
        raise ValueError(
            f"the slope of {name} grows like exp(energy), and is infinite for the energies of images: "
            "loss=ebgan, or another divergence, such as loss=fgan_js"
        )
