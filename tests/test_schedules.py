"""Schedules by hand, in the optimiser at given iterations, after a resume, and refused where they make no sense."""

import copy
from typing import Any

import pytest
import torch
from hydra.utils import instantiate
from torch import Tensor, nn

from gan_cli import build
from gan_cli.compose import Composer, arguments
from gan_cli.config import check
from gan_cli.data.base import Images
from gan_cli.data.toy import Ring
from gan_cli.errors import GanError
from gan_cli.hydra_app import without_hydra
from gan_cli.schedules import ExponentialDecay, MomentumRamp
from gan_cli.systems.base import System, Turn
from gan_cli.trainer import Trainer


class Slope(System):
    """One weight w, starting at 0, whose loss w has the gradient 1."""

    def __init__(self) -> None:
        super().__init__()
        self.generator = nn.Linear(1, 1, bias=False)
        nn.init.zeros_(self.generator.weight)

    def turns(self) -> list[Turn]:
        return [Turn("g", ("generator",), lambda batch: {"w": self.generator.weight.sum()})]

    def sample(self, batch: Images) -> dict[str, Tensor]:
        return {}

    @property
    def w(self) -> float:
        return self.generator.weight.item()


def trainer(**schedules: Any) -> Trainer:
    system = Slope()
    optimizers: dict[str, torch.optim.Optimizer] = {
        "generator": torch.optim.SGD(system.generator.parameters(), lr=0.1, momentum=0.9)
    }
    return Trainer(system, Ring(), optimizers, batch_size=2, iterations=10, seed=0, **schedules)


def group(train: Trainer) -> dict[str, Any]:
    return train.optimizers["generator"].param_groups[0]


def compose(*overrides: str) -> Any:
    return without_hydra(Composer(arguments([])).compose(list(overrides)))


def test_exponential_decay_by_hand() -> None:
    schedule = ExponentialDecay(factor=2.0, floor=0.2)
    assert [schedule(t, 100) for t in range(5)] == [1.0, 0.5, 0.25, 0.2, 0.2]
    assert ExponentialDecay(1.5, 0.0)(2, 1) == pytest.approx(1 / 1.5**2, rel=1e-12)


def test_exponential_decay_of_the_papers() -> None:
    """.1 / 1.00004^t reaches 1e-6 after ln(1e5) / ln(1.00004) = 287,829 updates: 576 epochs of 500."""
    schedule = ExponentialDecay(1.00004, 1e-5)
    assert schedule(287_828, 1) > 1e-5 == schedule(287_830, 1)
    assert ExponentialDecay()(500, 1) == pytest.approx(1 - 500 * 4e-6 + (500 * 4e-6) ** 2 / 2, abs=1e-8)
    assert ExponentialDecay()(10**9, 1) == 1e-5


def test_momentum_ramp_by_hand() -> None:
    schedule = MomentumRamp(0.5, 0.7, length=4)
    assert [schedule(t, 100) for t in range(6)] == pytest.approx([0.5, 0.55, 0.6, 0.65, 0.7, 0.7])
    assert MomentumRamp()(249 * 250, 1) == pytest.approx(0.6)  # half of 249 epochs of 500 updates
    assert MomentumRamp()(10**6, 1) == pytest.approx(0.7)
    assert MomentumRamp(0.9, 0.5, 2)(1, 1) == pytest.approx(0.7)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: ExponentialDecay(factor=0.9), "factor is at least 1"),
        (lambda: ExponentialDecay(floor=1.5), r"floor in \[0, 1\]"),
        (lambda: ExponentialDecay(factor=float("nan")), "factor is at least 1"),
        (lambda: MomentumRamp(end=1.0), r"start and end lie in \(0, 1\)"),
        (lambda: MomentumRamp(start=0.0), r"start and end lie in \(0, 1\)"),
        (lambda: MomentumRamp(length=0), "length is at least 1"),
    ],
)
def test_refused(build: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build()


def test_both_schedules_reach_the_steps() -> None:
    """w by hand: v <- m_t v + 1, w <- w - lr_t v, with the optimiser's own momentum of .9 replaced."""
    train = trainer(schedule=ExponentialDecay(2.0, 0.2), momentum=MomentumRamp(0.5, 0.7, length=2))
    w = v = 0.0
    for m, lr in ((0.5, 0.1), (0.6, 0.05), (0.7, 0.025), (0.7, 0.02)):
        train.iterate()
        assert group(train)["momentum"] == pytest.approx(m) and group(train)["lr"] == pytest.approx(lr)
        v = m * v + 1
        w -= lr * v
        assert isinstance(train.system, Slope) and train.system.w == pytest.approx(w, rel=1e-6)


def test_without_a_schedule_the_optimiser_keeps_its_momentum() -> None:
    train = trainer()
    train.iterate()
    assert group(train)["momentum"] == 0.9 and group(train)["lr"] == 0.1


def test_a_resumed_run_goes_on_with_its_momentum() -> None:
    def fresh() -> Trainer:
        return trainer(schedule=ExponentialDecay(1.5, 0.0), momentum=MomentumRamp(0.5, 0.7, length=4))

    whole, first, second = fresh(), fresh(), fresh()
    for _ in range(5):
        whole.iterate()
    for _ in range(2):
        first.iterate()
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    for m in (0.6, 0.65, 0.7):
        second.iterate()
        assert group(second)["momentum"] == pytest.approx(m)
    assert isinstance(whole.system, Slope) and isinstance(second.system, Slope)
    assert whole.system.w == second.system.w


RAMP = "trainer.momentum={_target_: gan_cli.schedules.MomentumRamp, start: 0.5, end: 0.7}"


def test_momentum_needs_an_optimiser_that_has_one() -> None:
    for optimizer in ("sgd", "rmsprop"):
        check(compose(f"optimizer={optimizer}", RAMP))
    with pytest.raises(GanError, match=r"torch\.optim\.Adam has no momentum: optimizer=sgd has one"):
        check(compose("optimizer=adam", RAMP))
    with pytest.raises(GanError, match=r"no key 'trainer\.momentum\.strat'.*did you mean 'start'"):
        check(compose("optimizer=sgd", RAMP.replace("start", "strat")))


@pytest.mark.parametrize(
    ("experiment", "lr", "rate", "half"),
    [
        ("sgan_mnist", 0.1, 0.1 / 1.000004**30_000, 62_250),
        ("cgan_mnist", 0.1, 0.1 / 1.00004**30_000, 62_250),
        ("sgan_cifar10", 0.025, 0.025 / 1.000004**30_000, 49_800),
    ],
)
def test_settings_of_2014(experiment: str, lr: float, rate: float, half: int) -> None:
    """Learning rate at the start, after 30,000 updates and at its floor of 1e-6; momentum .5, .6 and .7."""
    cfg = compose(f"experiment={experiment}")
    check(cfg)
    schedule, momentum = instantiate(cfg.trainer.schedule), instantiate(cfg.trainer.momentum)
    assert cfg.optimizer.lr == lr and cfg.optimizer.momentum == momentum(0, 1) == 0.5
    assert lr * schedule(30_000, 1) == pytest.approx(rate) and lr * schedule(10**8, 1) == pytest.approx(1e-6)
    assert momentum(half, 1) == pytest.approx(0.6) and momentum(2 * half, 1) == pytest.approx(0.7)
    assert cfg.trainer.batch_size == 100 and cfg.trainer.ema_decay == 0


def test_a_run_is_built_with_its_schedules() -> None:
    sizes = ["dataset.image_size=8", "trainer.batch_size=2", "trainer.device=cpu"]
    narrow = ["model.generator.widths=[8,8]", "model.discriminator.units=4"]
    ramp = RAMP.replace("}", ", length: 2}")
    cfg = compose("model=sgan", "optimizer=sgd", "trainer/schedule=exponential", ramp, *sizes, *narrow)
    cfg.trainer.schedule.factor = 1.25
    train = build.trainer(cfg, build.system(cfg), build.dataset(cfg))
    for m, lr in ((0.5, 0.1), (0.6, 0.08), (0.7, 0.064)):
        train.iterate()
        for optimizer in train.optimizers.values():
            assert optimizer.param_groups[0]["momentum"] == pytest.approx(m)
            assert optimizer.param_groups[0]["lr"] == pytest.approx(lr)
