"""Turns into updates: cadence, freezing, stopping, schedules, averages."""

import copy
from typing import Any

import pytest
import torch
from helpers import TINY_RING, composed
from torch import Tensor, nn

from gan_cli.data.base import Images
from gan_cli.data.gaussians import Ring
from gan_cli.losses.adversarial import Wasserstein
from gan_cli.losses.objective import Objective, WarmUp, WeightClip
from gan_cli.systems.base import System, Terms, Turn
from gan_cli.systems.gan import GAN
from gan_cli.training import build
from gan_cli.training.schedules import LinearDecay
from gan_cli.training.trainer import Trainer
from gan_cli.utils import random
from gan_cli.utils.errors import Diverged


class Points(nn.Module):
    """z -> points (N, 2, 1, 1), affine."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 2)

    def forward(self, z: Tensor) -> Tensor:
        out: Tensor = self.layer(z)[:, :, None, None]
        return out


def gan(objective: Objective | None = None) -> GAN:
    torch.manual_seed(0)
    critic = nn.Sequential(nn.Flatten(), nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 1))
    return GAN(Points(), critic, objective or Objective(Wasserstein()), latent_dim=4)


def trainer(system: System, **options: Any) -> Trainer:
    optimizers = {
        name: torch.optim.SGD(network.parameters(), lr=0.1)
        for name, network in system.named_children()
        if list(network.parameters())
    }
    return Trainer(system, Ring(), optimizers, **{"batch_size": 8, "iterations": 10, "seed": 0, **options})


class Recorded(Ring):
    """A ring that remembers which positions of the stream were asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[int] = []

    def train_batch(self, seed: int, start: int, count: int) -> Images:
        self.asked.append(start)
        return super().train_batch(seed, start, count)


@pytest.mark.parametrize("steps", [1, 2, 5])
def test_cadence(steps: int) -> None:
    """Each critic step draws a batch of its own; the generator's turn draws none, and has one step."""
    system = gan(Objective(Wasserstein(), critic_steps=steps))
    calls: list[str] = []
    for name in ("d_loss", "g_loss"):

        def counted(batch: Images, name: str = name, loss: Any = getattr(system, name)) -> Terms:  # noqa: B008
            calls.append(name)
            terms: Terms = loss(batch)
            return terms

        setattr(system, name, counted)
    data = Recorded()
    train = trainer(system)
    train.dataset = data
    for _ in range(3):
        train.iterate()
    assert calls == (["d_loss"] * steps + ["g_loss"]) * 3
    assert data.asked == [8 * i for i in range(3 * steps)]
    assert train.position == 8 * 3 * steps


def test_warm_up_cadence_of_wgan() -> None:
    system = gan(Objective(Wasserstein(), critic_steps=WarmUp()))
    train = trainer(system, batch_size=2)
    for iteration, steps in ((0, 100), (24, 100), (25, 5), (499, 5), (500, 100), (501, 5), (1000, 100)):
        train.iteration, before = iteration, train.position
        train.iterate()
        assert (train.position - before) // 2 == steps, iteration


def test_a_turn_changes_only_the_networks_that_it_trains() -> None:
    """After each turn the networks outside its `trains` have the same bits, gradients included."""
    system = gan()
    train = trainer(system)
    for turn in system.turns():
        before = copy.deepcopy(system.state_dict())
        train._step(turn, train._batch(0))
        state = system.state_dict()
        changed = {name.split(".")[0] for name, value in state.items() if not torch.equal(value, before[name])}
        assert changed == set(turn.trains)
        for name, network in system.named_children():
            if name not in turn.trains:
                assert all(not p.requires_grad for p in network.parameters())


def test_no_graph_through_frozen_generator() -> None:
    system = gan()
    seen: list[bool] = []
    system.discriminator.register_forward_hook(
        lambda module, inputs, out: seen.append(inputs[0].requires_grad)
    )
    train = trainer(system)
    train.iterate()
    assert seen == [False, True]  # D(x) and D(G(z)) in D's turn, in one pass; D(G(z)) in G's


def test_the_sum_of_the_terms_is_minimised() -> None:
    class Two(System):
        def __init__(self) -> None:
            super().__init__()
            self.generator = nn.Linear(1, 1, bias=False)
            nn.init.constant_(self.generator.weight, 2.0)

        def turns(self) -> list[Turn]:
            w = self.generator.weight
            return [Turn("g", ("generator",), lambda batch: {"a": w.sum() ** 2, "b": 3 * w.sum()})]

        def sample(self, batch: Images) -> dict[str, Tensor]:
            return {}

    system = Two()
    values = trainer(system).iterate()
    assert {name: float(value) for name, value in values.items()} == {
        "g/a": 4.0,
        "g/b": 6.0,
        "g/grad_norm/generator": 7.0,
    }
    assert system.generator.weight.item() == pytest.approx(2.0 - 0.1 * 7.0)


def test_constraint_after_each_step() -> None:
    system = gan(Objective(Wasserstein(), constraint=WeightClip(0.01)))
    trainer(system).iterate()
    assert max(float(p.abs().max()) for p in system.discriminator.parameters()) <= 0.01
    assert max(float(p.abs().max()) for p in system.generator.parameters()) > 0.01


def test_zero_steps_skip_the_turn() -> None:
    """A schedule may pause D; critic_steps=0 is refused."""
    system = gan(Objective(Wasserstein(), critic_steps=lambda iteration: 0))
    before = copy.deepcopy(system.discriminator.state_dict())
    values = trainer(system).iterate()
    assert all(torch.equal(value, before[name]) for name, value in system.discriminator.state_dict().items())
    assert not any(name.startswith("d/") for name in values)
    with pytest.raises(ValueError, match=r"critic_steps lies in \[1, 1000\], not 0"):
        Objective(Wasserstein(), critic_steps=0)


@pytest.mark.parametrize(
    "where, words",
    [
        ("term", "term 'g/adversarial' is nan"),
        ("gradient", "gradient of network 'generator' in turn 'g' is nan"),
    ],
)
def test_not_finite_names_turn_and_iteration(where: str, words: str) -> None:
    system = gan()
    train = trainer(system)
    train.iterate()
    train.check_finite()

    def broken(batch: Images) -> Terms:
        fake = system.generate(len(batch.image))
        if where == "term":
            return {"adversarial": fake.sum() * float("nan")}
        return {"adversarial": (0 * fake).abs().sqrt().sum()}  # 0, with gradient 0 * inf

    system.g_loss = broken  # type: ignore[method-assign]
    train.iterate()
    with pytest.raises(Diverged, match=f"{words} at iteration 2"):
        train.check_finite()


def test_weights_that_are_not_finite_are_noticed() -> None:
    system = gan()
    train = trainer(system)
    train.check_weights()
    with torch.no_grad():
        system.generator.layer.weight[0, 0] = float("inf")  # type: ignore[union-attr, operator, index]
    with pytest.raises(Diverged, match="weight of network 'generator'"):
        train.check_weights()


def test_linear_decay() -> None:
    schedule = LinearDecay(begin=0.5)
    assert [schedule(i, 10) for i in (0, 4, 5, 6, 9)] == pytest.approx([1, 1, 1, 0.8, 0.2])
    assert LinearDecay(begin=0)(25, 100) == 0.75
    with pytest.raises(ValueError, match="begin"):
        LinearDecay(begin=1.5)


def test_schedule_reaches_every_optimizer() -> None:
    system = gan()
    train = trainer(system, schedule=LinearDecay(begin=0.0))
    for i in range(3):
        train.iterate()
        rates = [optimizer.param_groups[0]["lr"] for optimizer in train.optimizers.values()]
        assert rates == pytest.approx([0.1 * (1 - i / 10)] * 2)


def test_ema_by_hand() -> None:
    """w_ema follows min(decay, (1+i)/(10+i)) and never trains; sampling inside `swapped` uses it."""
    system = gan()
    train = trainer(system, ema_decay=0.15)
    assert train.ema is not None
    average = system.generator.layer.weight.detach().clone()  # type: ignore[union-attr, operator]
    for i in range(3):
        train.iterate()
        decay = min(0.15, (1 + i) / (10 + i))
        average = decay * average + (1 - decay) * system.generator.layer.weight.detach()  # type: ignore
    copy_ = train.ema.copies["generator"]
    torch.testing.assert_close(copy_.layer.weight, average)
    raw = system.generator
    with train.ema.swapped():
        assert system.generator is copy_
    assert system.generator is raw


def test_ema_copies_batch_statistics() -> None:
    """The averaged network normalizes with the current running statistics; those of its initialization are wrong."""
    system = gan()
    system.generator = nn.Sequential(nn.Linear(4, 2), nn.BatchNorm1d(2), nn.Unflatten(1, (2, 1, 1)))
    train = trainer(system, ema_decay=0.9)
    assert train.ema is not None
    for _ in range(2):
        train.iterate()
    network, average = system.generator[1], train.ema.copies["generator"][1]  # type: ignore[index]
    assert float(network.running_mean.abs().sum()) > 0 and int(network.num_batches_tracked) > 0
    assert torch.equal(average.running_mean, network.running_mean)
    assert torch.equal(average.running_var, network.running_var)
    assert torch.equal(average.num_batches_tracked, network.num_batches_tracked)
    assert not torch.equal(average.weight, network.weight)


def test_state_dict_continues_to_the_bit() -> None:
    def fresh() -> Trainer:
        return trainer(gan(Objective(Wasserstein(), critic_steps=2)), ema_decay=0.9)

    whole = fresh()
    for _ in range(6):
        whole.iterate()
    first = fresh()
    for _ in range(3):
        first.iterate()
    state = copy.deepcopy(first.state_dict())
    torch.manual_seed(99)
    random.seed(99)
    second = fresh()
    second.load_state_dict(state)
    for _ in range(3):
        second.iterate()
    for (name, a), b in zip(
        whole.system.state_dict().items(), second.system.state_dict().values(), strict=True
    ):
        assert torch.equal(a, b), name
    assert whole.ema and second.ema
    for a, b in zip(
        whole.ema.copies["generator"].parameters(), second.ema.copies["generator"].parameters(), strict=True
    ):
        assert torch.equal(a, b)


def test_a_resumed_optimizer_has_the_settings_of_its_config() -> None:
    """Momentum buffers come from the checkpoint; lr, betas and the like from the config, which a user may change."""
    first, second = trainer(gan()), trainer(gan())
    for train, betas in ((first, (0.5, 0.9)), (second, (0.1, 0.8))):
        networks = train.system.named_children()
        train.optimizers = {name: torch.optim.Adam(part.parameters(), betas=betas) for name, part in networks}
    first.iterate()
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    for name, optimizer in second.optimizers.items():
        assert optimizer.param_groups[0]["betas"] == (0.1, 0.8)
        moments = zip(optimizer.state.values(), first.optimizers[name].state.values(), strict=True)
        assert all(torch.equal(a["exp_avg"], b["exp_avg"]) for a, b in moments)


def test_whole_numbers_among_the_betas_are_numbers() -> None:
    cfg = composed(*TINY_RING, "optimizer.betas=[0,0.9]")
    for optimizer in build.optimizers(cfg, build.system(cfg)).values():
        assert tuple(optimizer.param_groups[0]["betas"]) == (0.0, 0.9)


def test_shares_of_a_draw_make_the_whole() -> None:
    random.seed(3)
    whole = random.normal(6, 2), random.uniform(6, low=-1), random.randint(6, 10)
    shares = []
    for rank in range(2):
        random.seed(3, rank, 2)
        shares.append((random.normal(3, 2), random.uniform(3, low=-1), random.randint(3, 10)))
    for all_, left, right in zip(whole, *shares, strict=True):
        assert torch.equal(all_, torch.cat([left, right]))


def test_fork_leaves_the_streams_alone() -> None:
    random.seed(1)
    torch.manual_seed(1)
    random.normal(2)
    state, default = random.state_dict(), torch.get_rng_state()
    with random.fork(7):
        a = random.normal(3)
        torch.rand(5)
    with random.fork(7):
        assert torch.equal(a, random.normal(3))
    assert torch.equal(random.state_dict()["cpu"], state["cpu"])
    assert torch.equal(torch.get_rng_state(), default)
