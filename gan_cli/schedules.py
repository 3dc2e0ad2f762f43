"""Learning-rate schedules: pure functions of the iteration, so there is nothing to save."""

from dataclasses import dataclass
from typing import Protocol


class Schedule(Protocol):
    def __call__(self, iteration: int, iterations: int) -> float:
        """Factor on every learning rate at `iteration` (0-based) of `iterations`."""


@dataclass(frozen=True)
class LinearDecay:
    """Constant until the fraction `begin` of the run, then linearly to zero at its end.

    begin 0.5 is CycleGAN's rule (Zhu et al. 2017, section 4: 100 epochs constant, 100 epochs to zero), taken by
    iteration rather than by epoch; begin 0 is WGAN-GP's for its CIFAR-10 ResNet.
    """

    begin: float = 0.5

    def __post_init__(self) -> None:
        if not 0 <= self.begin < 1:
            raise ValueError(f"begin is a fraction of the run in [0, 1), not {self.begin}")

    def __call__(self, iteration: int, iterations: int) -> float:
        begin = self.begin * iterations
        return 1.0 if iteration < begin else max(0.0, (iterations - iteration) / (iterations - begin))
