"""Schedules of the learning rate by hand: the three readings of CycleGAN's 100 + 100 epochs."""

import pytest
from omegaconf import OmegaConf

from gan_cli.config import conf_dir
from gan_cli.schedules import EpochDecay, LinearDecay

ITERATIONS = 200 * 7  # 200 epochs of seven images


def rates(schedule: EpochDecay | LinearDecay) -> list[float]:
    """Of each iteration."""
    return [schedule(i, ITERATIONS) for i in range(ITERATIONS)]


def by_epoch(name: str) -> dict[int, float]:
    """Epoch (1, 2, ...) -> its rate, of the schedule in conf."""
    node = dict(OmegaConf.load(conf_dir() / "trainer" / "schedule" / f"{name}.yaml").schedule)
    assert node.pop("_target_") == "gan_cli.schedules.EpochDecay"
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
