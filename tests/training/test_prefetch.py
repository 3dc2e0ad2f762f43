"""A thread that makes the next batch changes nothing but the time at which it is made."""

import threading
import time

import pytest
import torch
from helpers import composed

from gan_cli.data.base import Images
from gan_cli.data.gaussians import Ring
from gan_cli.training import build
from gan_cli.training.prefetch import Prefetcher
from gan_cli.training.trainer import Trainer


class Maker:
    """Batches that hold their position; says who made which."""

    def __init__(self) -> None:
        self.made: list[tuple[int, str]] = []

    def __call__(self, position: int) -> Images:
        if position == 30:
            raise ValueError("broken image 30")
        self.made.append((position, threading.current_thread().name))
        return Images(torch.tensor([position]))


def test_the_next_batch_is_made_by_a_thread_before_it_is_asked_for() -> None:
    maker = Maker()
    batches = Prefetcher(maker, step=10, min_seconds=0.0)
    assert batches(0).image.item() == 0
    end = time.monotonic() + 20
    while len(maker.made) < 2 and time.monotonic() < end:
        time.sleep(0.001)
    assert [position for position, _ in maker.made] == [0, 10]
    assert maker.made[1][1] != threading.current_thread().name
    assert batches(10).image.item() == 10
    assert [batches(position).image.item() for position in (50, 20)] == [50, 20]  # as after a resume: any order


def test_an_error_belongs_to_its_batch() -> None:
    batches = Prefetcher(Maker(), step=10, min_seconds=0.0)
    assert batches(20).image.item() == 20
    with pytest.raises(ValueError, match="broken image 30"):
        batches(30)


def test_quick_batches_get_no_thread() -> None:
    maker = Maker()
    batches = Prefetcher(maker, step=10, min_seconds=60.0)
    for position in (0, 10, 20):
        batches(position)
    assert [position for position, _ in maker.made] == [0, 10, 20]
    assert len({name for _, name in maker.made}) == 1


def weights_after(prefetch: bool, monkeypatch: pytest.MonkeyPatch, halfway: bool = False) -> dict[str, torch.Tensor]:
    """The weights of a small model after six iterations; `halfway`: with a new trainer that goes on after three."""
    monkeypatch.setattr(Prefetcher.__init__, "__defaults__", (False, 0.0))
    words = ["dataset=ring", "network=mlp_points", "model=wgan_gp", "trainer.batch_size=8", "trainer.device=cpu"]
    words += [f"trainer.prefetch={str(prefetch).lower()}"]
    words += ["model.generator.widths=[8]", "model.discriminator.widths=[8]"]
    cfg = composed(*words)
    trainer = build.trainer(cfg, build.system(cfg), Ring())
    for _ in range(3):
        trainer.iterate()
    if halfway:
        state, trainer = trainer.state_dict(), build.trainer(cfg, build.system(cfg), Ring())
        trainer.load_state_dict(state)
    for _ in range(3):
        trainer.iterate()
    assert isinstance(trainer._batches, Prefetcher) == prefetch
    return dict(trainer.system.state_dict())


def test_the_same_run_to_the_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = weights_after(False, monkeypatch)
    for states in (weights_after(True, monkeypatch), weights_after(True, monkeypatch, halfway=True)):
        assert all(torch.equal(states[name], value) for name, value in plain.items())


def test_a_trainer_asks_ahead_for_the_position_that_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three critic steps and one generator step an iteration: positions 0, 8, 16, ..., each made once.

    Those of one more iteration are made ahead.
    """
    asked: list[int] = []

    class Recorded(Ring):
        def train_batch(self, seed: int, start: int, count: int) -> Images:
            asked.append(start)
            return super().train_batch(seed, start, count)

    monkeypatch.setattr(Prefetcher.__init__, "__defaults__", (False, 0.0))
    words = ["dataset=ring", "network=mlp_points", "model=wgan_gp", "loss.critic_steps=3", "trainer.batch_size=8"]
    words += ["trainer.device=cpu", "model.generator.widths=[8]", "model.discriminator.widths=[8]"]
    cfg = composed(*words)
    trainer: Trainer = build.trainer(cfg, build.system(cfg), Recorded())
    for _ in range(2):
        trainer.iterate()
    assert asked[:6] == [0, 8, 16, 24, 32, 40] and asked == list(range(0, 8 * len(asked), 8)) and len(asked) <= 9
