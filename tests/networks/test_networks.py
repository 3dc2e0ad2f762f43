"""Published parameter counts, shapes at every legal size, receptive fields, initial weights and gradients."""

import math
from collections.abc import Callable

import pytest
import torch
from helpers import count
from torch import Tensor, nn

from gan_cli.networks import conditional, dcgan, infogan, mlp, patchgan, resnet, wgan_gp
from gan_cli.networks.norm import norm_layer
from gan_cli.networks.output import bounded
from gan_cli.networks.sizes import doublings


@pytest.mark.parametrize(
    ("network", "parameters"),
    [
        (lambda: dcgan.Generator(64, 3), 3_576_704),
        (lambda: dcgan.Discriminator(64, 3), 2_765_568),
        (lambda: resnet.ResNetGenerator(256, 3, blocks=9), 11_378_179),
        (lambda: resnet.ResNetGenerator(128, 3), 7_837_699),
        (lambda: patchgan.Discriminator(256, 3), 2_764_737),
    ],
)
def test_published_parameter_counts(network: Callable[[], nn.Module], parameters: int) -> None:
    assert count(network()) == parameters


@pytest.mark.parametrize(
    ("size", "of_dcgan", "of_wgan_gp"),
    [
        (8, [4, 3], [3]),
        (14, [4, 3], [4, 3]),
        (16, [8, 4, 3], [4, 3]),
        (28, [8, 4, 3], [8, 4, 3]),
        (32, [16, 8, 4, 3], [8, 4, 3]),
        (56, [16, 8, 4, 3], [16, 8, 4, 3]),
        (64, [32, 16, 8, 4, 3], [16, 8, 4, 3]),
    ],
)
def test_channels_at_all_sizes(size: int, of_dcgan: list[int], of_wgan_gp: list[int]) -> None:
    """Channels after each transposed convolution of G; D has the same hidden maps in reverse order."""
    for part, channels in ((dcgan, of_dcgan), (wgan_gp, of_wgan_gp)):
        generator, discriminator = part.Generator(size, 3, latent_dim=10, width=4), part.Discriminator(size, 3, width=4)
        up = [layer for layer in generator.layers if isinstance(layer, nn.ConvTranspose2d)]
        down = [layer for layer in discriminator.layers if isinstance(layer, nn.Conv2d)]
        assert [layer.out_channels for layer in up] == channels
        assert [layer.in_channels for layer in down][: len(channels)] == channels[::-1]
        x = generator(torch.randn(2, 10))
        assert x.shape == (2, 3, size, size) and x.abs().max() <= 1 and discriminator(x).shape == (2,)


def test_dcgan_at_28_starts_from_7() -> None:
    layers = dcgan.Generator(28, 1).layers
    assert layers[0](torch.zeros(1, 100, 1, 1)).shape == (1, 128, 7, 7)


def test_wgan_gp_crops_8_to_7_as_gan_mnist() -> None:
    """gan_mnist.py: 4x4x256 -> 8x8x128 -> 7x7x128 -> 14x14x64 -> 28x28."""
    shapes = []
    generator = wgan_gp.Generator(28, 1, norm="none")
    for layer in generator.layers:
        layer.register_forward_hook(lambda m, i, o: shapes.append(tuple(o.shape[1:])))
    generator(torch.randn(1, 128))
    order = list(dict.fromkeys(shapes))
    assert order == [(4096,), (256, 4, 4), (128, 8, 8), (128, 7, 7), (64, 14, 14), (1, 28, 28)]
    # biases and weights of gan_mnist.py's four layers
    assert count(generator) == 128 * 4096 + 4096 + 25 * (256 * 128 + 128 * 64 + 64) + 128 + 64 + 1


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: dcgan.Generator(33, 3), "image_size 33.*32 and 56"),
        (lambda: dcgan.Discriminator(1, 2), "image_size 1.*nearest: 8"),
        (lambda: wgan_gp.Generator(48, 3), "image_size 48.*32 and 56"),
        (lambda: infogan.Generator(30, 1), "image_size 30.*28 and 32"),
        (lambda: infogan.Trunk(2, 1), "image_size 2.*nearest: 4"),
        (lambda: resnet.ResNetGenerator(34, 3), "image_size 34.*32 and 36"),
        (lambda: resnet.ResNetGenerator(32, 3, width=4)(torch.zeros(1, 3, 32, 30)), "image_size 30.*28 and 32"),
        (lambda: patchgan.Discriminator(16, 3), "image_size 16.*24 pixels"),
        (lambda: norm_layer("bath", 3), "norm 'bath'.*batch, layer, none"),
        (lambda: bounded([0, 255]), "value_range"),
    ],
)
def test_invalid_sizes_and_settings_are_refused(build: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build()


def test_doublings() -> None:
    assert [doublings(s) for s in (64, 32, 28, 8, 14)] == [(4, 4), (4, 3), (7, 2), (4, 1), (7, 1)]


@pytest.mark.parametrize(
    ("value_range", "low", "high"), [([-1, 1], -1.0, 1.0), ([0.0, 1.0], 0.0, 1.0), (None, -100.0, 100.0)]
)
def test_output_covers_the_data_range(value_range: list[float] | None, low: float, high: float) -> None:
    out = bounded(value_range)(torch.tensor([-100.0, 100.0]))
    torch.testing.assert_close(out, torch.tensor([low, high]))


def test_networks_for_points_by_hand() -> None:
    """Linear layers with ReLU between them; points are unbounded, and images of one pixel."""
    torch.manual_seed(0)
    generator, critic = mlp.PointGenerator(1, 2, widths=(8, 8, 8)), mlp.PointDiscriminator(1, 2, widths=(8, 8, 8))

    def by_hand(network: nn.Module, x: Tensor) -> Tensor:
        first, *others = [layer for layer in network.modules() if isinstance(layer, nn.Linear)]
        x = x @ first.weight.T + first.bias
        for layer in others:
            x = x.clamp(min=0) @ layer.weight.T + layer.bias
        return x

    z = 10 * torch.randn(5, 2)
    x = generator(z)
    torch.testing.assert_close(x, by_hand(generator, z)[:, :, None, None])
    torch.testing.assert_close(critic(x), by_hand(critic, x.flatten(1))[:, 0])
    assert x.abs().max() > 1


def test_initial_weights_of_gan_toy() -> None:
    """He's before a ReLU, variance 2 / fan_in; 2 / (fan_in + fan_out) in the last layer; uniform, biases 0."""
    torch.manual_seed(0)
    for network, last in ((mlp.PointGenerator(1, 2), 2 / (512 + 2)), (mlp.PointDiscriminator(1, 2), 2 / (512 + 1))):
        layers = [layer for layer in network.modules() if isinstance(layer, nn.Linear)]
        for layer, variance in zip(layers, [2 / 2, 2 / 512, 2 / 512, last], strict=True):
            error = 4 * math.sqrt(0.8 / layer.weight.numel())          # four deviations: a uniform's kurtosis is 1.8
            assert layer.weight.var().item() == pytest.approx(variance, rel=error)
            assert layer.weight.abs().max() <= math.sqrt(3 * variance) and not layer.bias.any()


def test_2014_networks() -> None:
    torch.manual_seed(0)
    generator, discriminator = mlp.Generator(28, 1), mlp.Discriminator(28, 1)
    assert count(generator) == 100 * 1200 + 1200 + 1200 * 1200 + 1200 + 1200 * 784 + 784
    x = generator(torch.randn(3, 100))
    assert x.shape == (3, 1, 28, 28) and discriminator(x).shape == (3,)
    for network, bound in ((generator, 0.05), (discriminator, 0.005)):
        layers = [layer for layer in network.modules() if isinstance(layer, nn.Linear)]
        assert len(layers) == 3
        for layer in layers:
            assert 0.9 * bound < layer.weight.abs().max() <= bound and not layer.bias.any()
            assert layer.weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.15)   # D's last has 240


@pytest.mark.parametrize("kind", ["", "MLP"])
def test_both_conditional_networks_depend_on_the_label(kind: str) -> None:
    torch.manual_seed(0)
    generator = getattr(conditional, kind + "Generator")(28, 1, num_classes=4).eval()
    discriminator = getattr(conditional, kind + "Discriminator")(28, 1, num_classes=4).eval()
    z, y = torch.randn(1, 100).repeat(4, 1), torch.arange(4)
    x = generator(z, y)
    assert x.shape == (4, 1, 28, 28)
    assert all(not torch.equal(x[0], x[k]) for k in (1, 2, 3))
    scores = discriminator(x[:1].expand(4, -1, -1, -1), y)
    assert scores.shape == (4,) and len(set(scores.tolist())) == 4


def test_infogan_networks() -> None:
    codes = {"categorical": [10, 3], "continuous": 1}
    generator, trunk = infogan.Generator(28, 1, noise_dim=5, **codes), infogan.Trunk(28, 1)
    posterior = infogan.Posterior(**codes)
    x = generator(torch.randn(2, 5 + 13 + 1))
    features = trunk(x)
    assert x.shape == (2, 1, 28, 28) and infogan.Discriminator()(features).shape == (2,)
    assert posterior(features).shape == (2, 13 + 2)
    # table 1, without biases before batch normalization, which has two numbers per channel
    norms = 2 * (1024 + 128 * 49 + 64)
    assert count(generator) == 19 * 1024 + 1024 * 128 * 49 + 128 * 64 * 16 + 64 * 16 + 1 + norms
    assert count(trunk) == 64 * 16 + 64 + 64 * 128 * 16 + 128 * 49 * 1024 + 2 * (128 + 1024)
    assert count(infogan.Discriminator()) == 1025 and count(posterior) == 1024 * 128 + 2 * 128 + 129 * 15


@pytest.mark.parametrize(("n_layers", "field"), [(1, 16), (2, 34), (3, 70)])
def test_patchgan_receptive_field(n_layers: int, field: int) -> None:
    """The pixels that reach one score: a square of `field` pixels. Without norms, which see the whole image."""
    network = patchgan.Discriminator(128, 1, width=4, n_layers=n_layers).double()
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.constant_(layer.weight, 0.1)
    plain = nn.Sequential(*[layer for layer in network.layers if not isinstance(layer, nn.InstanceNorm2d)])
    x = torch.ones(1, 1, 128, 128, dtype=torch.float64, requires_grad=True)
    scores = plain(x)
    middle = scores.shape[-1] // 2
    (gradient,) = torch.autograd.grad(scores[0, 0, middle, middle], x)
    rows, columns = gradient[0, 0].nonzero(as_tuple=True)
    assert rows.max() - rows.min() + 1 == field and columns.max() - columns.min() + 1 == field


@pytest.mark.parametrize(
    "build",
    [
        lambda: dcgan.Generator(64, 3),
        lambda: dcgan.Discriminator(64, 3),
        lambda: resnet.ResNetGenerator(128, 3),
        lambda: patchgan.Discriminator(128, 3),
        lambda: infogan.Generator(28, 1),
    ],
)
def test_normal_initial_weights(build: Callable[[], nn.Module]) -> None:
    torch.manual_seed(0)
    for layer in build().modules():
        if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)):
            n = layer.weight.numel()
            assert abs(layer.weight.std() - 0.02) < 0.02 * 4 / math.sqrt(2 * n)
            assert layer.bias is None or not layer.bias.any()
        elif isinstance(layer, (nn.BatchNorm2d, nn.BatchNorm1d)):
            assert abs(layer.weight.mean() - 1) < 0.02 and 0.01 < layer.weight.std() < 0.03 and not layer.bias.any()


def test_infogans_convolutions_are_truncated_at_two_deviations() -> None:
    """A normal cut at 2 std has .880 of its deviation; linear and transposed layers are not cut."""
    torch.manual_seed(0)
    first, second = (layer for layer in infogan.Trunk(28, 1).modules() if isinstance(layer, nn.Conv2d))
    for layer in (first, second):
        assert layer.weight.abs().max() <= 0.04
    assert second.weight.std().item() == pytest.approx(0.880 * 0.02, rel=0.02)
    whole = [*infogan.Trunk(28, 1).modules(), *infogan.Generator(28, 1).modules()]
    for layer in (layer for layer in whole if isinstance(layer, (nn.Linear, nn.ConvTranspose2d))):
        assert layer.weight.numel() < 1e4 or layer.weight.abs().max() > 0.05


def test_wgan_gp_initial_weights() -> None:
    """Stride-2 5x5 convolution 64 -> 128: variance 4 / (64 * 25 + 128 * 25 / 4); its transpose, mirrored."""
    torch.manual_seed(0)
    variance = 4 / (64 * 25 + 128 * 25 / 4)
    down = wgan_gp.Discriminator(32, 3).layers[2].weight
    up = next(m for m in wgan_gp.Generator(32, 3).layers if isinstance(m, nn.ConvTranspose2d) and m.in_channels == 128)
    assert down.var().item() == pytest.approx(variance, rel=0.03)
    assert up.weight.var().item() == pytest.approx(4 / (128 * 25 / 4 + 64 * 25), rel=0.03)
    assert down.abs().max() <= math.sqrt(3 * variance)


def explicit_instance_norm(x: Tensor) -> Tensor:
    mean = x.mean((2, 3), keepdim=True)
    return (x - mean) / ((x - mean).square().mean((2, 3), keepdim=True) + 1e-5).sqrt()


@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize(
    "build",
    [lambda: resnet.ResNetGenerator(16, 2, width=4, blocks=2), lambda: patchgan.Discriminator(32, 2, width=4)],
)
def test_instance_norm_gradients(build: Callable[[], nn.Module], batch: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """torch's instance_norm has given wrong gradients at batch 1 in one memory layout; ours against the formula."""
    torch.manual_seed(0)
    network = build().double()
    x = torch.randn(batch, 2, 32, 32, dtype=torch.float64, requires_grad=True)

    def gradients() -> list[Tensor]:
        return list(torch.autograd.grad(network(x).square().sum(), [x, *network.parameters()]))

    ours = gradients()
    monkeypatch.setattr(nn.InstanceNorm2d, "forward", lambda self, x: explicit_instance_norm(x))
    for a, b in zip(ours, gradients(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-8, atol=1e-10)


def test_translator_gradient_against_finite_differences() -> None:
    torch.manual_seed(0)
    network = resnet.ResNetGenerator(8, 1, width=2, blocks=1).double()
    for p in network.parameters():
        nn.init.normal_(p, std=0.5)
    x = torch.randn(1, 1, 8, 8, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(network, (x,))
