"""DualGAN: losses by hand, how often each network is trained, clipped critics, the networks of its code."""

import itertools
from typing import Any

import pytest
import torch
from helpers import Affine, count, values
from torch import Tensor, nn

from gan_cli.data.base import Domains
from gan_cli.losses.adversarial import Wasserstein
from gan_cli.losses.objective import Objective, WeightClip
from gan_cli.losses.penalties import GradientPenalty
from gan_cli.networks.dualgan import Critic, Generator, InstanceNorm
from gan_cli.networks.noise import NoiseDropout
from gan_cli.systems.dualgan import DualGAN
from gan_cli.training.trainer import Trainer


class Mean(Affine):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).flatten(1).mean(1)


BATCH = Domains(torch.full((2, 1, 2, 2), 1.0), torch.full((2, 1, 2, 2), 5.0))


def dual(objective: Objective | None = None, **options: Any) -> DualGAN:
    """G_A doubles, G_B adds one; D_A is thrice the mean, D_B the mean."""
    objective = objective or Objective(Wasserstein())
    return DualGAN(Affine(2.0), Affine(1.0, 1.0), Mean(3.0), Mean(1.0), objective, **options)


def test_losses_by_hand() -> None:
    """G_A(u) = 2, G_B(G_A(u)) = 3; G_B(v) = 6, G_A(G_B(v)) = 12; D_A judges v, D_B judges u."""
    assert values(dual(lambda_U=100.0, lambda_V=200.0).g_loss(BATCH)) == {
        "reconstruction_U": 100 * abs(3.0 - 1),
        "reconstruction_V": 200 * abs(12.0 - 5),
        "A_adversarial": -3 * 2.0,
        "B_adversarial": -6.0,
    }
    assert values(dual().d_loss(BATCH)) == {"A_adversarial": 3 * 2.0 - 3 * 5.0, "B_adversarial": 6.0 - 1.0}


def test_without_reconstruction_only_the_critics_speak() -> None:
    terms = dual(lambda_U=0.0, lambda_V=0.0).g_loss(BATCH)
    assert torch.stack(list(terms.values())).sum().item() == -(3 * 2.0) - 6.0
    same = DualGAN(nn.Identity(), nn.Identity(), Mean(1.0), Mean(1.0), Objective(Wasserstein()))
    terms = values(same.g_loss(BATCH))
    assert terms["reconstruction_U"] == terms["reconstruction_V"] == 0
    with pytest.raises(ValueError, match="0 or more, not -1"):
        dual(lambda_U=-1.0)


def test_both_critics_are_penalised() -> None:
    """The slope of c times the mean over 4 pixels has norm c / 2."""
    terms = values(dual(Objective(Wasserstein(), GradientPenalty(weight=10.0))).d_loss(BATCH))
    assert terms["A_penalty"] == pytest.approx(10 * (1.5 - 1) ** 2)
    assert terms["B_penalty"] == pytest.approx(10 * (0.5 - 1) ** 2)


class Fives:
    size = test_size = 8

    def train_batch(self, seed: int, start: int, count: int) -> Domains:
        return Domains(*(part[:1].expand(count, -1, -1, -1) for part in BATCH))


def test_three_clipped_steps_of_the_critics_then_one_of_the_generators() -> None:
    system = dual(Objective(Wasserstein(), constraint=WeightClip(0.01), critic_steps=3))
    calls: list[str] = []
    for name in ("d_loss", "g_loss"):
        loss = getattr(system, name)
        setattr(system, name, lambda batch, loss=loss, name=name: (calls.append(name), loss(batch))[1])
    optimizers = {name: torch.optim.RMSprop(network.parameters(), 5e-5) for name, network in system.named_children()}
    trainer = Trainer(system, Fives(), optimizers, batch_size=2, iterations=1, seed=0)  # type: ignore[arg-type]
    trainer.iterate()
    assert calls == ["d_loss"] * 3 + ["g_loss"] and trainer.position == 3 * 2
    for critic in (system.D_A, system.D_B):
        assert all(w.abs().max() <= 0.01 for w in critic.parameters())
    assert system.G_A.scale.item() != 2.0 and system.G_B.scale.item() != 1.0
    assert [turn.trains for turn in system.turns()] == [("D_A", "D_B"), ("G_A", "G_B")]


def test_translate_and_noise() -> None:
    system, u = dual(), BATCH.x
    assert torch.equal(system.translate(u), 2 * u) and torch.equal(system.translate(u, "BtoA"), u + 1)
    assert {name: part.flatten()[0].item() for name, part in system.sample(BATCH).items()} == {
        "A": 1, "A_to_B": 2, "A_to_B_to_A": 3, "B": 5, "B_to_A": 6, "B_to_A_to_B": 12,
    }  # fmt: skip
    assert not system.multimodal
    noisy = DualGAN(NoiseDropout(), NoiseDropout(), Mean(1.0), Mean(1.0), Objective(Wasserstein())).eval()
    assert noisy.multimodal
    big = torch.ones(1, 1, 32, 32)
    assert not torch.equal(noisy.translate(big), noisy.translate(big))          # dropout after training, too


def test_instance_norm_by_hand() -> None:
    norm = InstanceNorm(2)
    with torch.no_grad():
        norm.weight.copy_(torch.tensor([2.0, 3.0]))
        norm.bias.copy_(torch.tensor([0.5, -1.0]))
    x = torch.tensor([[1.0, 3.0], [4.0, 4.0]]).view(1, 2, 1, 2)                 # means 2 and 4, deviations 1 and 0
    expected = torch.tensor([[0.5 - 2, 0.5 + 2], [-1.0, -1.0]]).view(1, 2, 1, 2)
    torch.testing.assert_close(norm(x), expected, atol=1e-5, rtol=0)
    x = torch.randn(3, 2, 1, 1, requires_grad=True)                              # a pixel becomes exactly the shift
    assert (norm(x) == torch.tensor([0.5, -1.0]).view(1, 2, 1, 1)).all()
    norm(x).square().sum().backward()
    assert not x.grad.any() and not norm.weight.grad.any() and norm.bias.grad.tolist() == [3.0, -6.0]


def test_networks_of_the_code() -> None:
    """model.py at 256 pixels; every convolution has biases, every norm a scale and a shift."""
    wide = [64, 128, 256, 512, 512, 512, 512, 512]
    down = 25 * 3 * 64 + 64 + sum(9 * a * b + b + 2 * b for a, b in itertools.pairwise(wide))
    decoder = [(512, 512), *[(1024, 512)] * 3, (1024, 256), (512, 128), (256, 64)]
    up = sum(9 * a * b + b + 2 * b for a, b in decoder) + 25 * 128 * 3 + 3
    assert count(Generator(256, 3)) == down + up
    critic = [64, 128, 256, 512, 512]
    trunk = 25 * 3 * 64 + 64 + sum(9 * a * b + b + 2 * b for a, b in itertools.pairwise(critic))
    assert count(Critic(256, 3)) == trunk + 512 * 8 * 8 + 1
    assert count(Critic(256, 3, patch=True)) == trunk + 9 * 512 + 1
    x = torch.rand(1, 3, 64, 32) * 2 - 1
    assert Generator(32, 3, width=2)(x).shape == x.shape
    assert Critic(64, 3, width=2)(torch.rand(2, 3, 64, 64)).shape == (2,)
    assert Critic(256, 1, width=2, patch=True)(torch.rand(1, 1, 256, 256)).shape == (1, 1, 4, 4)
    for network, size in ((Generator, 48), (Critic, 40)):
        with pytest.raises(ValueError, match=f"image_size {size}"):
            network(size, 3)
    with pytest.raises(ValueError, match="multiples of 32"):
        Generator(32, 3, width=2)(torch.rand(1, 3, 32, 40))


def test_dropout_is_the_noise_of_training_and_evaluation() -> None:
    """In the first three decoder layers (d1 to d3 of model.py), without other parameters; none if it is 0."""
    torch.manual_seed(0)
    generator = Generator(64, 3, width=2, dropout=0.5).eval()
    noisy = [any(isinstance(layer, NoiseDropout) and layer.p == 0.5 for layer in up) for up in generator.up]
    assert noisy == [True, True, True, False, False, False]
    x = torch.rand(1, 3, 64, 64)
    assert not torch.equal(generator(x), generator(x))
    plain = Generator(64, 3, width=2).eval()
    plain.load_state_dict(generator.state_dict())
    assert torch.equal(plain(x), plain(x))


def test_initial_weights() -> None:
    generator = Generator(64, 3, width=32)
    down, up = generator.down[3][1].weight, generator.up[1][1].weight
    assert 0.035 < down.abs().max() <= 0.04
    assert down.std().item() == pytest.approx(0.88 * 0.02, rel=0.03)           # of a normal cut at two deviations
    assert up.abs().max() > 0.05 and up.std().item() == pytest.approx(0.02, rel=0.03)
    scale = torch.cat([layer.weight for layer in generator.modules() if isinstance(layer, InstanceNorm)])
    assert scale.mean().item() == pytest.approx(1, abs=0.01) and scale.std().item() == pytest.approx(0.02, rel=0.2)


def test_the_skips_join_maps_of_equal_size() -> None:
    """With the way through the bottleneck cut, only the first skip is left, and it sees the 5 x 5 around a pixel."""
    generator = Generator(32, 1, width=2)
    with torch.no_grad():
        generator.up[-2][1].weight.zero_()
    x = torch.zeros(1, 1, 32, 32)
    y = x.clone()
    y[0, 0, 16, 16] = 1.0
    changed = (generator(x) != generator(y))[0, 0].nonzero()
    assert len(changed) and (changed - 16).abs().max() <= 4
