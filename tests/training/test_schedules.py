"""Schedules by hand: the three readings of CycleGAN's 100 + 100 epochs, the rate and the momentum of the 2014 code."""

import math

import pytest
import torch
from omegaconf import OmegaConf
from torch import Tensor, nn

from gan_cli.config.paths import conf_dir
from gan_cli.data.base import Images
from gan_cli.data.gaussians import Ring
from gan_cli.systems.base import System, Turn
from gan_cli.training.schedules import EpochDecay, ExponentialDecay, LinearDecay, MomentumRamp, Step
from gan_cli.training.trainer import Trainer

ITERATIONS = 200 * 7  # 200 epochs of seven images


def rates(schedule: EpochDecay | LinearDecay) -> list[float]:
    """Of each iteration."""
    return [schedule(i, ITERATIONS) for i in range(ITERATIONS)]


def by_epoch(name: str) -> dict[int, float]:
    """Epoch (1, 2, ...) -> its rate, of the schedule in conf."""
    node = dict(OmegaConf.load(conf_dir() / "trainer" / "schedule" / f"{name}.yaml").schedule)
    assert node.pop("_target_") == "gan_cli.training.schedules.EpochDecay"
    found = rates(EpochDecay(**node))
    epochs = [set(found[7 * k : 7 * k + 7]) for k in range(200)]
    assert all(len(values) == 1 for values in epochs)                          # constant within an epoch
    return {k: values.pop() for k, values in enumerate(epochs, start=1)}


def test_the_pytorch_code_starts_in_epoch_100_and_ends_at_0() -> None:
    rate = by_epoch("epochs")
    assert all(rate[k] == 1 for k in range(1, 100))
    assert rate[100] == pytest.approx(100 / 101) and rate[101] == pytest.approx(99 / 101)
    assert rate[199] == pytest.approx(1 / 101) and rate[200] == pytest.approx(0, abs=1e-12)


def test_the_torch_code_starts_after_epoch_101_and_ends_at_a_hundredth() -> None:
    rate = by_epoch("epochs_torch")
    assert all(rate[k] == 1 for k in range(1, 102))
    assert rate[102] == pytest.approx(0.99) and rate[200] == pytest.approx(0.01)


def test_the_paper_falls_in_a_line_from_the_middle() -> None:
    rate = rates(LinearDecay(0.5))
    assert rate[:701] == [1.0] * 701                                           # the line starts at 1
    assert rate[701] == pytest.approx(699 / 700) and rate[1050] == pytest.approx(0.5)
    assert rate[-1] == pytest.approx(1 / 700)


def test_epochs_need_not_divide_the_run() -> None:
    decay = EpochDecay(epochs=3, start=1, length=2)
    assert [decay(i, 4) for i in range(4)] == [1.0, 1.0, 0.5, 0.0]             # epochs 1, 1, 2, 3
    for wrong in ({"epochs": 0}, {"start": -1}, {"length": 0}):
        with pytest.raises(ValueError, match="epochs and length are 1 or more"):
            EpochDecay(**wrong)


def test_the_2014_rate_is_divided_down_to_a_floor() -> None:
    halve = ExponentialDecay(factor=2, floor=0.1)
    assert [halve(i, 5) for i in (0, 1, 3, 4, 1000)] == [1.0, 0.5, 0.125, 0.1, 0.1]
    code = ExponentialDecay()                                                  # .1 / 1.000004^t, not below 1e-6
    assert code(0, 1) == 1 and code(250_000, 1) == pytest.approx(math.exp(-1), rel=1e-5)
    reached = 2_878_237                                                        # log 1e5 / log 1.000004
    assert code(reached - 2, 1) > 1e-5 == code(reached + 2, 1) and code(reached - 2, 1) == pytest.approx(1e-5, rel=1e-4)
    for wrong in ({"factor": 0.9}, {"floor": -0.1}, {"floor": 1.1}):
        with pytest.raises(ValueError, match="factor is at least 1"):
            ExponentialDecay(**wrong)


def test_the_2014_momentum_rises_and_stays() -> None:
    ramp = MomentumRamp(start=0.5, end=0.9, length=4)
    assert [ramp(i, 3) for i in range(7)] == pytest.approx([0.5, 0.6, 0.7, 0.8, 0.9, 0.9, 0.9])
    code = MomentumRamp()                                                      # epochs 1 to 250 of 500 updates
    assert [code(i, 1) for i in (0, 62_250, 124_500, 10**6)] == pytest.approx([0.5, 0.6, 0.7, 0.7])
    for wrong in ({"start": 0.0}, {"end": 1.0}, {"length": 0}):
        with pytest.raises(ValueError, match="start and end lie in"):
            MomentumRamp(**wrong)


class Slope(System):
    """One weight, from 0, whose loss is itself: the gradient is always 1."""

    def __init__(self) -> None:
        super().__init__()
        self.generator = nn.Linear(1, 1, bias=False)
        nn.init.zeros_(self.generator.weight)

    def turns(self) -> list[Turn]:
        return [Turn("g", ("generator",), lambda batch: {"w": self.generator.weight.sum()})]

    def sample(self, batch: Images) -> dict[str, Tensor]:
        return {}


@pytest.mark.parametrize("ramp", [True, False])
def test_the_momentum_and_the_rate_reach_the_optimiser(ramp: bool) -> None:
    """v <- m v + 1, w <- w - lr v, with m = .5, .7, .9, .9 (or .1 throughout) and lr = .8, .4, .2, .2."""
    system = Slope()
    optimizers = {"generator": torch.optim.SGD(system.parameters(), lr=0.8, momentum=0.1)}
    trainer = Trainer(
        system, Ring(), optimizers, batch_size=2, iterations=4, seed=0,
        schedule=ExponentialDecay(factor=2, floor=0.25), momentum_schedule=MomentumRamp(0.5, 0.9, 2) if ramp else None,
    )  # fmt: skip
    found = []
    for _ in range(4):
        trainer.iterate()
        found.append(system.generator.weight.item())
    v = [1, 1.7, 2.53, 3.277] if ramp else [1, 1.1, 1.11, 1.111]
    steps = [rate * speed for rate, speed in zip((0.8, 0.4, 0.2, 0.2), v)]
    assert found == pytest.approx([-sum(steps[: k + 1]) for k in range(4)])


def test_a_step_changes_once() -> None:
    """pyopt/opt.py, ParamSchedule {10000: .2} of GMMN: the first value before iteration 10,000, then the second."""
    momentum = Step(before=0.9, after=0.99, at=3)
    assert [momentum(i, 6) for i in range(6)] == [0.9, 0.9, 0.9, 0.99, 0.99, 0.99]
    with pytest.raises(ValueError, match="at"):
        Step(at=-1)
