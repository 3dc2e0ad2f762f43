"""Schedules of learning rate and momentum: pure functions of the iteration, so that checkpoints need not hold them."""

from dataclasses import dataclass
from typing import Protocol


class Schedule(Protocol):
    def __call__(self, iteration: int, iterations: int) -> float:
        """The factor on every learning rate, or the momentum, at `iteration` (0-based) of `iterations`."""


@dataclass(frozen=True)
class LinearDecay(Schedule):
    """Constant until the fraction `begin` of the run, then linear to zero at its end.

    begin 0.5 is CycleGAN's rule (Zhu et al. 2017, section 4: 100 epochs constant, 100 epochs to zero), applied per
    iteration rather than per epoch; begin 0 is WGAN-GP's for its CIFAR-10 ResNet. Raises ValueError unless begin is in
    [0, 1).
    """

    begin: float = 0.5

    def __post_init__(self) -> None:
        if not 0 <= self.begin < 1:
            raise ValueError(f"begin is a fraction of the run in [0, 1), not {self.begin}")

    def __call__(self, iteration: int, iterations: int) -> float:
        begin = self.begin * iterations
        return 1.0 if iteration < begin else max(0.0, (iterations - iteration) / (iterations - begin))


@dataclass(frozen=True)
class ExponentialDecay(Schedule):
    """max(factor^-t, floor) at iteration t: the learning rate is divided by `factor` after each iteration.

    Goodfellow et al. 2014 (mnist.yaml): .1 / 1.000004^t, not below 1e-6, which is floor 1e-5. Mirza & Osindero 2014:
    1.00004. Raises ValueError for a rate that would grow, or a floor outside [0, 1].
    """

    factor: float = 1.000004
    floor: float = 1e-5

    def __post_init__(self) -> None:
        if not (self.factor >= 1 and 0 <= self.floor <= 1):
            raise ValueError(f"factor is at least 1 and floor in [0, 1], not {self.factor} and {self.floor}")

    def __call__(self, iteration: int, iterations: int) -> float:
        return max(self.factor**-iteration, self.floor)


@dataclass(frozen=True)
class MomentumRamp(Schedule):
    """A momentum that rises linearly from `start` to `end` in the first `length` iterations and stays there.

    Goodfellow et al. 2014 (mnist.yaml): .5 in epoch 1, .7 from epoch 250 on, that is 249 epochs of 500 updates; their
    code raises it once per epoch. Raises ValueError for a momentum outside (0, 1).
    """

    start: float = 0.5
    end: float = 0.7
    length: int = 249 * 500

    def __post_init__(self) -> None:
        if not (0 < self.start < 1 and 0 < self.end < 1 and self.length >= 1):
            raise ValueError(
                f"start and end lie in (0, 1) and length is at least 1, not {self.start}, {self.end} and {self.length}"
            )

    def __call__(self, iteration: int, iterations: int) -> float:
        return self.start + (self.end - self.start) * min(1.0, iteration / self.length)


@dataclass(frozen=True)
class Step(Schedule):
    """`before` in the iterations 0 .. at - 1, and `after` from iteration `at` on.

    GMMN (Li, Swersky, Zemel 2015; train.py): a tenth of the rate from iteration 10,000 on, and momentum .99 for .9.
    Raises ValueError for a negative number.
    """

    before: float = 1.0
    after: float = 0.1
    at: int = 10_000

    def __post_init__(self) -> None:
        if min(self.before, self.after, self.at) < 0:
            raise ValueError(f"before, after and at are 0 or more, not {self.before}, {self.after} and {self.at}")

    def __call__(self, iteration: int, iterations: int) -> float:
        return self.before if iteration < self.at else self.after


@dataclass(frozen=True)
class EpochDecay(Schedule):
    """1 - max(0, k - start) / length in epoch k = 1 .. epochs of the run: constant, then one step down per epoch.

    The two implementations of CycleGAN differ, for 100 + 100 epochs: pytorch-CycleGAN-and-pix2pix steps its scheduler
    at the start of an epoch and has start 99, length 101, so that the factor is below 1 in epoch 100 already and 0 in
    epoch 200; the Torch code (and pix2pixHD) has start 101, length 100, so that it is .01 in epoch 200. Raises
    ValueError unless epochs and length are 1 or more and start is 0 or more.
    """

    epochs: int = 200
    start: int = 99
    length: int = 101

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.start < 0 or self.length < 1:
            raise ValueError(
                f"epochs and length are 1 or more and start is 0 or more, not {self.epochs}, {self.length} and "
                f"{self.start}"
            )

    def __call__(self, iteration: int, iterations: int) -> float:
        epoch = iteration * self.epochs // iterations + 1
        return max(0.0, 1 - max(0, epoch - self.start) / self.length)


@dataclass(frozen=True)
class Stages(Schedule):
    """Two schedules in sequence: `first` in the iterations 0 .. length - 1, then `second`, each as if it were a run.

    pix2pixHD trains its enhancer after its global generator, and lets the rate fall in each stage. Raises ValueError
    unless length is 1 or more.
    """

    first: Schedule
    second: Schedule
    length: int

    def __post_init__(self) -> None:
        if self.length < 1:
            raise ValueError(f"length is the number of the first stage's iterations, 1 or more, not {self.length}")

    def __call__(self, iteration: int, iterations: int) -> float:
        if iteration < self.length:
            return self.first(iteration, self.length)
        return self.second(iteration - self.length, iterations - self.length)
