"""Several batches in one pass of a network: where it is allowed, that it is the same, and what CycleGAN makes of it."""

import copy

import pytest
import torch
from torch import Tensor, nn

from gan_cli.data.base import Domains
from gan_cli.losses.adversarial import LeastSquares
from gan_cli.losses.critic import forward_together, is_samplewise
from gan_cli.losses.objective import Objective
from gan_cli.networks.dcgan import Discriminator as BatchNormed
from gan_cli.networks.norm import normalize_weights_
from gan_cli.networks.patchgan import Discriminator
from gan_cli.networks.resnet import ResNetGenerator
from gan_cli.systems.cyclegan import CycleGAN
from gan_cli.training import cpu_fast_paths
from gan_cli.utils import random


class Counted(nn.Module):
    """Says how many samples each pass had; `layers` computes."""

    def __init__(self, layers: nn.Module) -> None:
        super().__init__()
        self.layers = layers
        self.passes: list[int] = []

    def forward(self, x: Tensor) -> Tensor:
        self.passes.append(len(x))
        y: Tensor = self.layers(x)
        return y


def spectral(layer: nn.Module) -> nn.Module:
    network = nn.Sequential(layer)
    normalize_weights_(network, "spectral")
    return network


class Statistics(nn.Module):
    """A leaf that nobody knows: it appends the spread of the batch, as minibatch discrimination does."""

    def forward(self, x: Tensor) -> Tensor:
        return x + x.std(0, keepdim=True)


@pytest.mark.parametrize(
    "layers",
    [
        nn.BatchNorm2d(4),
        nn.BatchNorm2d(4, track_running_stats=False),
        nn.InstanceNorm2d(4, track_running_stats=True),
        nn.Dropout(0.5),
        spectral(nn.Conv2d(4, 4, 3)),
        Statistics(),
    ],
    ids=["batch", "batch, untracked", "instance, tracked", "dropout", "spectral", "unknown"],
)
def test_never_joined(layers: nn.Module) -> None:
    network = Counted(nn.Sequential(nn.Conv2d(4, 4, 3), layers))
    x, y = torch.randn(2, 4, 8, 8), torch.randn(3, 4, 8, 8)
    forward_together(network, x, y)
    assert network.passes == [2, 3]


def test_joined_is_the_same_and_split_as_it_came() -> None:
    torch.manual_seed(0)
    network = Counted(ResNetGenerator(16, 3, width=4, blocks=1).double())
    x, y, z = (torch.randn(n, 3, 16, 16, dtype=torch.float64) for n in (1, 3, 2))
    together = forward_together(network, x, y, z)
    assert network.passes == [6]
    for batch, result in zip((x, y, z), together, strict=True):
        assert torch.allclose(result, network(batch), rtol=1e-12, atol=1e-14)


def test_other_shapes_closures_and_single_batches_are_passes_of_their_own() -> None:
    network = Counted(nn.Conv2d(1, 1, 3))
    forward_together(network, torch.zeros(1, 1, 8, 8), torch.zeros(1, 1, 9, 8))
    forward_together(lambda x: network(x), torch.zeros(1, 1, 8, 8), torch.zeros(2, 1, 8, 8))
    forward_together(network, torch.zeros(4, 1, 8, 8))
    assert network.passes == [1, 1, 1, 2, 4]


def test_lists_of_maps_are_split() -> None:
    class Scales(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Conv2d(1, 1, 1)

        def forward(self, x: Tensor) -> list[Tensor]:
            return [self.layer(x), self.layer(x[..., ::2])]

    first, second = forward_together(Scales(), torch.zeros(2, 1, 4, 4), torch.ones(3, 1, 4, 4))
    assert [tuple(t.shape) for t in (*first, *second)] == [(2, 1, 4, 4), (2, 1, 4, 2), (3, 1, 4, 4), (3, 1, 4, 2)]
    assert not torch.equal(first[0][0], second[0][0])


def test_objective_joins_the_critics_batches() -> None:
    """E (D(x) - 1)^2 + E D(G(z))^2, halved, from one pass; with batch normalization from two, as its statistics ask."""
    torch.manual_seed(0)
    real, fake = torch.randn(4, 3, 32, 32), torch.randn(4, 3, 32, 32)
    for layers, passes in ((Discriminator(32, 3, width=4, n_layers=2), [8]), (BatchNormed(32, 3, width=4), [4, 4])):
        critic = Counted(layers)
        loss = Objective(LeastSquares()).d_loss(critic, real, fake)["adversarial"]
        assert critic.passes == passes
        assert is_samplewise(critic) == (len(passes) == 1)
        expected = LeastSquares().d_loss(layers(real), layers(fake))
        assert torch.allclose(loss, expected, rtol=1e-5)


def cycle_gan(identity: float) -> CycleGAN:
    torch.manual_seed(0)
    G, F = (Counted(ResNetGenerator(32, 3, width=32, blocks=1)) for _ in range(2))
    D_X, D_Y = (Counted(Discriminator(32, 3, width=4, n_layers=2)) for _ in range(2))
    return CycleGAN(G, F, D_X, D_Y, Objective(LeastSquares()), lambda_identity=identity, pool_size=2)


def losses(system: CycleGAN, batch: Domains) -> tuple[dict[str, float], dict[str, Tensor]]:
    """One pass over the turns: all terms, and each turn's gradients of the networks that move in it."""
    random.seed(0)
    terms: dict[str, float] = {}
    found: dict[str, Tensor] = {}
    for turn in system.turns():
        for name, network in system.named_children():
            network.requires_grad_(name in turn.trains)
        system.zero_grad()
        values = turn.loss(batch)
        sum(values.values()).backward()  # type: ignore[union-attr]
        terms |= {f"{turn.name}/{name}": value.item() for name, value in values.items()}
        for name in turn.trains:
            found |= {f"{name}.{k}": p.grad.clone() for k, p in getattr(system, name).named_parameters()}
    return terms, found


def one_by_one(network: nn.Module, *batches: Tensor) -> tuple[Tensor, ...]:
    return tuple(network(x) for x in batches)


@pytest.mark.parametrize("identity", [0.0, 0.5])
def test_cyclegan_at_batch_one_with_every_switch_on(identity: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Float64: terms and gradients are those of separate passes through direct convolutions, to 1e-9, so neither the
    joined passes nor the kernels fall into the trap of torch's instance norm at batch 1."""
    batch = Domains(*(torch.rand(1, 3, 32, 32, dtype=torch.float64) * 2 - 1 for _ in range(2)))
    plain = cycle_gan(identity).double()
    fast = copy.deepcopy(plain)
    for network in fast.children():
        cpu_fast_paths.install(network)
    monkeypatch.setattr(cpu_fast_paths.WinogradConv2d, "forward", _always_winograd)
    got_terms, got = losses(fast, batch)
    assert fast.G.passes == [1 + bool(identity), 1] and fast.F.passes == [2 + bool(identity)]
    assert fast.D_X.passes == [1, 2]
    for module in ("gan_cli.systems.cyclegan", "gan_cli.losses.critic"):
        monkeypatch.setattr(f"{module}.forward_together", one_by_one)
    terms, exact = losses(plain, batch)
    assert plain.G.passes == [1] * (2 + bool(identity)) and plain.D_X.passes == [1, 1, 1]
    assert got_terms.keys() == terms.keys() and got_terms == pytest.approx(terms, rel=1e-9)
    assert got.keys() == exact.keys()
    largest = max(float(g.norm()) for g in exact.values())
    assert all(float((got[k] - exact[k]).norm()) < 1e-9 * max(float(exact[k].norm()), 1e-3 * largest) for k in exact)


def _always_winograd(self: nn.Conv2d, x: Tensor) -> Tensor:
    """At 32 pixels the maps are too small for Winograd to pay."""
    assert self.padding == (0, 0) and self.bias is not None
    return cpu_fast_paths.Winograd.apply(x, self.weight) + self.bias[:, None, None]
