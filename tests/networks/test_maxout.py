"""The 2014 networks: maxout by hand, where dropout acts and how much, parameter counts of the papers' layers."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from helpers import checked, count, write_mnist
from torch import Tensor, nn
from torch.nn.functional import dropout

from gan_cli.networks import conditional, mlp
from gan_cli.networks.maxout import Maxout
from gan_cli.networks.mlp import MarginalGenerator
from gan_cli.networks.noise import NoiseDropout
from gan_cli.systems.gan import GAN
from gan_cli.training import build


def test_maxout_by_hand() -> None:
    """Unit 1: max(2x, -x), unit 2: max(x + 1, 3)."""
    layer = Maxout(1, units=2, pieces=2)
    with torch.no_grad():
        layer.affine.weight.copy_(torch.tensor([[2.0], [-1.0], [1.0], [0.0]]))
        layer.affine.bias.copy_(torch.tensor([0.0, 0.0, 1.0, 3.0]))
    x = torch.tensor([[1.0], [-2.0], [5.0]], requires_grad=True)
    h = layer(x)
    assert h.tolist() == [[2.0, 3.0], [2.0, 3.0], [10.0, 6.0]]
    h.sum().backward()
    assert x.grad is not None and x.grad.flatten().tolist() == [2.0, -1.0, 3.0]  # of the winning pieces alone
    assert layer.affine.weight.grad is not None
    assert layer.affine.weight.grad.flatten().tolist() == [6.0, -2.0, 5.0, -1.0]


@pytest.mark.parametrize(
    ("build", "parameters"),
    [
        (lambda: mlp.Discriminator(28, 1), 784 * 1200 + 1200 + 240 * 1200 + 1200 + 240 + 1),
        (lambda: mlp.Discriminator(32, 3, units=1600), 3072 * 8000 + 8000 + 1600 * 8000 + 8000 + 1600 + 1),
        (lambda: mlp.SigmoidGenerator(32, 3), 100 * 8000 + 8000 + 8000 * 8000 + 8000 + 8000 * 3072 + 3072),
        (
            lambda: conditional.MLPGenerator(28, 1, 10),
            100 * 200 + 200 + 10 * 1000 + 1000 + 1200 * 1200 + 1200 + 1200 * 784 + 784,
        ),
        (
            lambda: conditional.MLPDiscriminator(28, 1, 10),
            784 * 1200 + 1200 + 10 * 250 + 250 + 290 * 960 + 960 + 240 + 1,
        ),
    ],
)
def test_parameters_of_the_papers_layers(build: Callable[[], nn.Module], parameters: int) -> None:
    with torch.device("meta"):
        assert count(build()) == parameters


def test_dropout_of_the_discriminator() -> None:
    """.8 of the pixels pass, times 1.25; half of the units pass, times 2; in evaluation all do, as they are."""
    torch.manual_seed(0)
    network = mlp.Discriminator(28, 1)
    inputs: list[Tensor] = []
    outputs: list[Tensor] = []

    def note(layer: nn.Module, x: tuple[Tensor], h: Tensor) -> None:
        inputs.append(x[0])
        outputs.append(h)

    for layer in network.layers:
        if isinstance(layer, (Maxout, nn.Linear)):
            layer.register_forward_hook(note)
    x = torch.ones(50, 1, 28, 28)
    network(x)
    assert set(inputs[0].unique().tolist()) == {0.0, 1.25}
    assert (inputs[0] > 0).float().mean().item() == pytest.approx(0.8, abs=0.01)
    for units, dropped in zip(outputs, inputs[1:]):
        kept = dropped != 0
        assert kept.float().mean().item() == pytest.approx(0.5, abs=0.02)
        torch.testing.assert_close(dropped[kept], 2 * units[kept])
    inputs.clear()
    outputs.clear()
    network.eval()(x)
    assert torch.equal(inputs[0], x.flatten(1)) and torch.equal(inputs[1], outputs[0])
    assert len(inputs) == 3


@pytest.mark.parametrize("kind", ["Generator", "Discriminator"])
def test_dropout_of_the_conditional_networks(kind: str) -> None:
    """Half of the hidden units of both players, and none of their inputs; G's stays when samples are drawn."""
    torch.manual_seed(0)
    network = getattr(conditional, f"MLP{kind}")(8, 1, 4)
    x = torch.rand(3, 100) if kind == "Generator" else torch.rand(3, 1, 8, 8)
    y = torch.tensor([0, 1, 3])
    drops = NoiseDropout if kind == "Generator" else nn.Dropout
    assert [layer.p for layer in network.modules() if isinstance(layer, drops)] == [0.5, 0.5]
    firsts = [module for name, module in network.named_children() if name.startswith("from")]
    seen: list[Tensor] = []
    for first in firsts:
        first.register_forward_hook(lambda layer, inputs, h: seen.append(inputs[0]))
    assert not torch.equal(network(x, y), network(x, y))
    assert torch.equal(seen[0], x.flatten(1)) and seen[1].tolist() == torch.eye(4)[y].tolist()
    network.eval()
    assert torch.equal(network(x, y), network(x, y)) == (kind == "Discriminator")


def test_conditional_networks_by_hand() -> None:
    """In evaluation mode, from the weights: G is sigmoid of linear of ReLU of linear of [ReLU z, ReLU y], where its
    hidden units are dropped too."""
    torch.manual_seed(0)
    y, hot = torch.tensor([2, 0]), torch.eye(3, dtype=torch.float64)[[2, 0]]
    G = conditional.MLPGenerator(4, 1, 3, latent_dim=5).double().eval()
    z = torch.randn(2, 5, dtype=torch.float64)
    w = {name.removesuffix(".weight"): p for name, p in G.named_parameters() if name.endswith("weight")}
    assert all(not p.any() for name, p in G.named_parameters() if name.endswith("bias"))
    h = torch.cat([(z @ w["from_z"].T).clamp(min=0), (hot @ w["from_y"].T).clamp(min=0)], dim=1)
    torch.manual_seed(1)
    h = dropout((dropout(h) @ w["joint.2"].T).clamp(min=0))
    torch.manual_seed(1)
    torch.testing.assert_close(G(z, y).flatten(1), 1 / (1 + (-(h @ w["joint.5"].T)).exp()))

    D = conditional.MLPDiscriminator(4, 1, 3).double().eval()
    x = torch.rand(2, 1, 4, 4, dtype=torch.float64)
    w = {name.removesuffix(".weight"): p for name, p in D.named_parameters() if name.endswith("weight")}

    def maxout(x: Tensor, name: str, pieces: int) -> Tensor:
        return torch.stack([(x @ w[name + ".affine"].T)[:, j::pieces] for j in range(pieces)]).max(0).values

    h = torch.cat([maxout(x.flatten(1), "from_x", 5), maxout(hot, "from_y", 5)], dim=1)
    assert h.shape == (2, 240 + 50)
    torch.testing.assert_close(D(x, y), (maxout(h, "joint.1", 4) @ w["joint.3"].T)[:, 0])


def test_generator_of_cifar10_by_hand() -> None:
    """ReLU, then sigmoid, then linear; U(-.05, .05), U(-.05, .05), U(-.5, .5)."""
    torch.manual_seed(0)
    network = mlp.SigmoidGenerator(4, 3, latent_dim=7, widths=(30, 40)).double()
    first, second, last = (layer for layer in network.layers if isinstance(layer, nn.Linear))
    z = torch.randn(6, 7, dtype=torch.float64)
    h = 1 / (1 + (-((z @ first.weight.T).clamp(min=0) @ second.weight.T)).exp())
    x = network(z)
    assert x.shape == (6, 3, 4, 4)
    torch.testing.assert_close(x.flatten(1), h @ last.weight.T)
    for layer, bound in ((first, 0.05), (second, 0.05), (last, 0.5)):
        assert 0.95 * bound < layer.weight.abs().max() <= bound and not layer.bias.any()


def test_initial_weights_of_2014() -> None:
    torch.manual_seed(0)
    for network, bound in (
        (mlp.Discriminator(28, 1), 0.005),
        (conditional.MLPDiscriminator(28, 1, 10), 0.005),
        (conditional.MLPGenerator(28, 1, 10), 0.05),
    ):
        for layer in network.modules():
            if isinstance(layer, nn.Linear):
                assert 0.95 * bound < layer.weight.abs().max() <= bound and not layer.bias.any()


def test_the_2014_generator_starts_at_the_mean_training_image(tmp_path: Path) -> None:
    """pylearn2's init_sigmoid_bias_from_marginals: a sigmoid of the output biases is the mean training image."""
    cfg = checked("experiment=sgan_mnist", f"dataset.root={write_mnist(tmp_path)}", "dataset.validation=5")
    data, system = build.dataset(cfg), build.system(cfg)
    assert isinstance(system, GAN)
    build.start_from_data(system, data)
    mean = data.train.double().div(255).mean(0)  # type: ignore[attr-defined]
    bias = [layer for layer in system.generator.modules() if isinstance(layer, nn.Linear)][-1].bias
    torch.testing.assert_close(bias.double().sigmoid(), mean.flatten().clamp(1e-7, 1 - 1e-7), atol=1e-6, rtol=0)
    with pytest.raises(ValueError, match=r"value_range=\[0,1\]"):
        MarginalGenerator(28, 1, (-1.0, 1.0))
