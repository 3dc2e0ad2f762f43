"""Spectral normalization: singular values, gradients, when it iterates, precision, a bit-exact resume."""

import copy
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from helpers import composed
from torch import Tensor, nn

from gan_cli.losses.penalties import GradientPenalty
from gan_cli.networks import dcgan, sngan, wgan_gp, wgan_gp_resnet
from gan_cli.networks.norm import SpectralNorm, normalize_weights_
from gan_cli.training import build, precision
from gan_cli.utils import random

LAYERS = (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)


def layers(network: nn.Module) -> list[Any]:
    return [layer for layer in network.modules() if isinstance(layer, LAYERS)]


def largest(layer: Any) -> float:
    """The largest singular value of the weight as a matrix of one row per output."""
    weight = layer.weight.detach().double()
    rows = weight.transpose(0, 1) if isinstance(layer, nn.ConvTranspose2d) else weight
    return torch.linalg.svdvals(rows.flatten(1)).max().item()


def norms(network: nn.Module) -> list[SpectralNorm]:
    return [m for m in network.modules() if isinstance(m, SpectralNorm)]


@pytest.mark.parametrize(
    ("critic", "size", "channels"),
    [
        (lambda: dcgan.Discriminator(16, 3, width=8, norm="spectral"), 16, 3),
        (lambda: wgan_gp.Discriminator(16, 3, width=8, norm="spectral"), 16, 3),
        (lambda: wgan_gp_resnet.Discriminator(16, 3, width=8, norm="spectral"), 16, 3),
        (lambda: wgan_gp_resnet.ClassifyingDiscriminator(16, 3, 10, width=8, norm="spectral"), 16, 3),
        (lambda: sngan.Discriminator(16, 3, width=8), 16, 3),
        (lambda: sngan.PointDiscriminator(1, 2, widths=(32, 32)), 1, 2),
    ],
)
def test_largest_singular_value_is_1(critic: Callable[[], nn.Module], size: int, channels: int) -> None:
    torch.manual_seed(0)
    network = critic()
    assert len(norms(network)) == len(layers(network)) > 2
    assert not any(isinstance(m, (nn.BatchNorm2d, nn.GroupNorm)) for m in network.modules())
    x = torch.randn(1, channels, size, size)
    for _ in range(150):
        network(x)
    network.eval()
    for layer in layers(network):
        assert 0.9999 < largest(layer) < 1.01  # power iteration comes from below


def test_transposed_convolutions_too() -> None:
    torch.manual_seed(0)
    generator = dcgan.Generator(8, 1, latent_dim=6, width=4, norm="spectral")
    for _ in range(300):
        generator(torch.randn(2, 6))
    generator.eval()
    assert [largest(layer) for layer in layers(generator)] == pytest.approx([1, 1], abs=2e-3)
    assert layers(generator)[0].bias is not None  # no batch normalization to stand for it


def test_value_and_gradient_are_those_of_the_singular_value() -> None:
    """W / sigma(W) and its derivative against the singular value decomposition, float64."""
    torch.manual_seed(0)
    weight = torch.randn(4, 3, 2, 2, dtype=torch.float64)
    norm = SpectralNorm(weight).double()
    for _ in range(300):
        norm(weight)
    probe = torch.randn(4, 3, 2, 2, dtype=torch.float64)
    gradients = []
    for function in (norm.eval(), lambda w: w / torch.linalg.svdvals(w.flatten(1))[0]):
        w = weight.clone().requires_grad_()
        value = function(w)
        gradients.append(torch.autograd.grad((value * probe).sum(), w)[0])
        torch.testing.assert_close(torch.linalg.svdvals(value.flatten(1))[0].item(), 1.0)
    torch.testing.assert_close(*gradients)


def test_one_step_of_power_iteration_per_use_in_training_only() -> None:
    """Algorithm 1, step 1, by hand: W = diag(3, 4), u = (1, 0) -> v = (1, 0), u = (1, 0), sigma 3; from (.6, .8):
    W^T u = (1.8, 3.2)."""
    norm = SpectralNorm(torch.eye(2))
    weight = torch.diag(torch.tensor([3.0, 4.0]))
    norm.u.copy_(torch.tensor([1.0, 0.0]))
    torch.testing.assert_close(norm(weight), weight / 3)
    norm.u.copy_(torch.tensor([0.6, 0.8]))
    norm(weight)
    v = torch.tensor([1.8, 3.2]) / torch.tensor([1.8, 3.2]).norm()
    u = weight @ v / (weight @ v).norm()
    torch.testing.assert_close((norm.v, norm.u), (v, u))
    norm.eval()
    torch.testing.assert_close(norm(weight), weight / (u @ weight @ v))
    torch.testing.assert_close((norm.v, norm.u), (v, u))


def test_the_first_iteration_is_right_already() -> None:
    torch.manual_seed(0)
    network = sngan.Discriminator(16, 3, width=16).eval()
    assert all(0.99 < largest(layer) < 1.1 for layer in layers(network))


def test_the_critic_is_1_lipschitz_on_points() -> None:
    torch.manual_seed(0)
    critic = sngan.PointDiscriminator(1, 2, widths=(64, 64))
    with torch.no_grad():
        for layer in layers(critic):
            layer.parametrizations.weight.original.mul_(30)
    for _ in range(300):
        critic(torch.zeros(1, 2, 1, 1))
    x, y = torch.randn(2, 2000, 2, 1, 1)
    slope = (critic(x) - critic(y)).abs() / (x - y).flatten(1).norm(dim=1)
    assert 0.01 < slope.max() < 1.001


def test_real_fake_and_penalty_in_one_backward() -> None:
    """Each use changes u and v; the gradient of the sum is still the sum of the gradients of the three terms."""
    torch.manual_seed(0)
    together = dcgan.Discriminator(8, 1, width=4, norm="spectral")
    apart = copy.deepcopy(together)
    real, fake = torch.randn(2, 3, 1, 8, 8)

    def terms(critic: nn.Module) -> Iterator[Tensor]:
        yield critic(fake).mean()
        yield -critic(real).mean()
        with random.fork(1):  # the same random points for both critics
            yield GradientPenalty()(critic, real, fake)

    torch.stack(list(terms(together))).sum().backward()
    for term in terms(apart):
        term.backward()
    for a, b in zip(together.parameters(), apart.parameters(), strict=True):
        assert a.grad is not None and b.grad is not None and a.grad.any()
        torch.testing.assert_close(a.grad, b.grad)


def test_bfloat16_leaves_the_norm_in_float32() -> None:
    torch.manual_seed(0)
    critic = sngan.PointDiscriminator(1, 2, widths=(16, 16))
    precision.lower(critic, torch.device("cpu"), torch.bfloat16)
    seen: list[Tensor] = []
    norms(critic)[0].register_forward_hook(lambda m, i, o: seen.append(o))
    for _ in range(100):
        scores = critic(torch.randn(3, 2, 1, 1))
    assert scores.dtype == torch.float32 and norms(critic)[0].u.dtype == torch.float32
    assert seen[-1].dtype == torch.float32
    assert torch.linalg.svdvals(seen[-1].double())[0].item() == pytest.approx(1, abs=1e-5)


def test_refused() -> None:
    with pytest.raises(ValueError, match="norm 'spectrum'"):
        normalize_weights_(nn.Linear(2, 2), "spectrum")
    with pytest.raises(ValueError, match="multiples of 8; nearest: 24 and 32"):
        sngan.Discriminator(28, 1)


# -- SN-GAN


def test_standard_cnn_counts() -> None:
    """Layer by layer from table 3: weights and biases."""
    g = 129 * 8192 + (512 * 256 + 256 * 128 + 128 * 64) * 16 + (256 + 128 + 64) * 3 + 64 * 3 * 9 + 3
    widths = [64, 128, 256, 512]
    d = 3 * 64 * 9 + 64 + 8192 + 1
    d += sum(n * n * 16 + n + n * w * 9 + w for n, w in itertools.pairwise(widths))
    assert sum(p.numel() for p in sngan.Generator(32, 3).parameters()) == g == 3_812_355
    assert sum(p.numel() for p in sngan.Discriminator(32, 3).parameters()) == d == 2_935_873
    assert {m.negative_slope for m in sngan.Discriminator(8, 1, 2).modules() if isinstance(m, nn.LeakyReLU)} == {0.1}
    assert sngan.Discriminator(24, 1, 2)(sngan.Generator(24, 1, latent_dim=3, width=2)(torch.randn(2, 3))).shape == (2,)


def trainer() -> Any:
    small = ["model.generator.width=2", "model.discriminator.width=2", "model.latent_dim=4", "trainer.batch_size=4"]
    cfg = composed("model=sngan", "dataset.image_size=8", *small)
    return build.trainer(cfg, build.system(cfg), build.dataset(cfg))


def test_resumes_to_the_bit() -> None:
    whole = trainer()
    for _ in range(2):
        whole.iterate()
    state = copy.deepcopy(whole.state_dict())
    assert sum(key.endswith((".u", ".v")) for key in state["system"]) == 2 * len(layers(whole.system.discriminator))
    whole.iterate()
    resumed = trainer()
    resumed.load_state_dict(state)
    resumed.iterate()
    mine, theirs = whole.system.state_dict(), resumed.system.state_dict()
    assert mine.keys() == theirs.keys() and all(torch.equal(mine[key], theirs[key]) for key in mine)
