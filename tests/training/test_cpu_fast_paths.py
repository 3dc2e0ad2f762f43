"""The fast CPU convolutions against direct convolutions in float64, and their rounding against float32's own."""

import copy
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, instance_norm

from gan_cli.networks.norm import normalize_weights_
from gan_cli.networks.resnet import ResNetGenerator
from gan_cli.networks.unet import UNet
from gan_cli.training import cpu_fast_paths
from gan_cli.training.cpu_fast_paths import (
    SplitConv2d,
    TinyConv2d,
    TinyConvTranspose2d,
    Winograd,
    WinogradConv2d,
    install,
)


def test_winograd_matrices_by_hand() -> None:
    """F(4, 3) of d = 1, ..., 6 and g = (1, 10, 100): y_i = d_i + 10 d_(i+1) + 100 d_(i+2)."""
    At, G, Bt = cpu_fast_paths.winograd_matrices()
    d = torch.arange(1.0, 7.0, dtype=torch.float64)
    g = torch.tensor([1.0, 10.0, 100.0], dtype=torch.float64)
    assert torch.allclose(At @ ((G @ g) * (Bt @ d)), torch.tensor([321.0, 432.0, 543.0, 654.0], dtype=torch.float64))


def convolution(*sizes: int, **options: int | bool) -> nn.Module:
    return nn.Conv2d(*sizes, **options)  # type: ignore[arg-type]


def transposed(*sizes: int, **options: int | bool) -> nn.Module:
    return nn.ConvTranspose2d(*sizes, **options)  # type: ignore[arg-type]


CASES = {  # name: the layer, the shape of its input, the class that it gets
    "winograd": (convolution(128, 128, 3), (1, 128, 26, 34), WinogradConv2d),
    "winograd, padded, no bias": (convolution(128, 136, 3, padding=1, bias=False), (3, 128, 16, 12), WinogradConv2d),
    "winograd, no multiple of 4": (convolution(128, 128, 3, padding=1), (1, 128, 27, 24), WinogradConv2d),
    "split": (convolution(16, 3, 7), (2, 16, 20, 13), SplitConv2d),
    "tiny": (convolution(128, 128, 4, stride=2, padding=1), (2, 128, 8, 6), TinyConv2d),
    "tiny, to one pixel": (convolution(512, 40, 4, stride=2, padding=1, bias=False), (1, 512, 2, 2), TinyConv2d),
    "tiny, too large": (convolution(128, 128, 4, stride=2, padding=1), (5, 128, 8, 8), TinyConv2d),
    "tiny transposed": (transposed(128, 128, 4, stride=2, padding=1), (2, 128, 3, 5), TinyConvTranspose2d),
    "tiny transposed, from noise": (transposed(100, 200, 4, bias=False), (6, 100, 1, 1), TinyConvTranspose2d),
}


def gradients(network: nn.Module, x: Tensor, direction: Tensor) -> list[Tensor]:
    """Of <network(x), direction>: the output, and the gradients for x and for the weights."""
    torch.manual_seed(1)  # the U-Net's dropout
    x = x.clone().requires_grad_()
    y = network(x)
    return [y.detach(), *torch.autograd.grad(y, [x, *network.parameters()], direction)]


def errors(got: Sequence[Tensor], exact: Sequence[Tensor]) -> list[float]:
    """Relative ones; of those alone that are not zero but for rounding, as of a bias before a normalization."""
    largest = max(float(e.norm()) for e in exact)
    return [float((g.double() - e).norm() / e.norm()) for g, e in zip(got, exact) if e.norm() > 1e-6 * largest]


def of_a_product(terms: int) -> float:
    """The relative error of one row times a matrix: some processors' libraries add so few rows up in plain order."""
    row, matrix = torch.randn(1, terms), torch.randn(40, terms)
    return errors([row @ matrix.T], [row.double() @ matrix.double().T])[0]


def test_columns_take_few_pixels_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Maps of 260 pixels, 600 at a time: two images and one; output and gradients are those of all at once."""
    torch.manual_seed(0)
    layer = install(convolution(16, 3, 7)).double()
    x = torch.randn(3, 16, 20, 13, dtype=torch.float64)
    direction = torch.randn(3, 3, 14, 7, dtype=torch.float64)
    whole = gradients(layer, x, direction)
    seen: list[int] = []
    monkeypatch.setattr(cpu_fast_paths, "PIXELS", 600)
    monkeypatch.setattr(cpu_fast_paths, "conv2d", lambda x, *rest: seen.append(len(x)) or conv2d(x, *rest))
    for mine, theirs in zip(gradients(layer, x, direction), whole, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-12, atol=1e-12)
    assert seen == [2, 1]


@pytest.mark.parametrize("name", CASES)
def test_kernel_equals_the_direct_convolution(name: str) -> None:
    """In float64 to 1e-12, output and gradients; in float32 at most 3 times the largest of the direct one's errors, or
    that of this machine's matrix product of as many terms, where it is the larger.

    (Winograd's input gradient is 5 times worse than the direct one, which is the best of those.) A gradient in
    channels-last order is the same gradient.
    """
    layer, shape, kind = CASES[name]
    torch.manual_seed(0)
    fast = install(copy.deepcopy(layer))
    assert type(fast) is kind and list(fast.state_dict()) == list(layer.state_dict())
    x = torch.randn(shape)
    direction = torch.randn_like(layer(x).detach())
    exact = gradients(copy.deepcopy(layer).double(), x.double(), direction.double())
    mine = copy.deepcopy(fast).double()
    assert max(errors(gradients(mine, x.double(), direction.double()), exact)) < 1e-12
    turned = direction.double().contiguous(memory_format=torch.channels_last)
    assert max(errors(gradients(mine, x.double().contiguous(memory_format=torch.channels_last), turned), exact)) < 1e-12
    plain, ours = (errors(gradients(network, x, direction), exact) for network in (layer, fast))
    terms = layer.weight.numel() // min(layer.weight.shape[:2])
    assert max(ours) <= 3 * max(*plain, of_a_product(terms)), (ours, plain)


def test_winograd_is_used_and_only_where_it_can_be(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    monkeypatch.setattr(Winograd, "apply", lambda x, weight: calls.append(x.shape) or conv2d(x, weight))
    for name, (layer, shape, kind) in CASES.items():
        if kind is WinogradConv2d:
            install(copy.deepcopy(layer))(torch.zeros(shape))
            assert bool(calls) == ("no multiple" not in name), name
            calls.clear()


@pytest.mark.parametrize("name", ["winograd", "tiny", "tiny transposed", "split"])
def test_double_backward(name: str) -> None:
    """The gradient of |d y / d x|^2 for the weights, as a gradient penalty takes it."""
    layer, shape, _ = CASES[name]
    torch.manual_seed(0)
    x = torch.randn(shape, dtype=torch.float64)
    results = []
    for network in (copy.deepcopy(layer).double(), install(copy.deepcopy(layer)).double()):
        leaf = x.clone().requires_grad_()
        (slope,) = torch.autograd.grad(network(leaf).pow(3).sum(), leaf, create_graph=True)
        results.append(torch.autograd.grad(slope.square().sum(), [leaf, *network.parameters()]))
    assert max(errors(results[1], results[0])) < 1e-10


def test_what_is_left_alone() -> None:
    spectral = nn.Sequential(nn.Conv2d(128, 128, 3))
    normalize_weights_(spectral, "spectral")
    layers = [
        spectral,
        nn.Conv2d(128, 128, 3, stride=2),
        nn.Conv2d(128, 128, 3, groups=2),
        nn.Conv2d(128, 128, 3, dilation=2),
        nn.Conv2d(128, 128, 3, padding=1, padding_mode="reflect"),
        nn.Conv2d(64, 128, 3),
        nn.Conv2d(3, 64, 7),
    ]
    for layer in layers:
        assert not [m for m in install(layer).modules() if type(m).__module__ == cpu_fast_paths.__name__]


def smooth(network: nn.Module) -> nn.Module:
    """ReLUs as softplus: a sign that rounding turns would count more than the rounding that is measured here."""
    for parent in list(network.modules()):
        for name, child in parent.named_children():
            if isinstance(child, (nn.ReLU, nn.LeakyReLU)):
                setattr(parent, name, nn.Softplus())
    return network


@pytest.mark.parametrize("name, count", [("translator", 1), ("translator", 2), ("unet", 1), ("unet", 2)])
def test_whole_network_keeps_the_gradient_rule(name: str, count: int) -> None:
    """Against float64: error at most 3 times plain eager's, for the image, its gradient and each weight's. In training
    mode, and for a batch of one too: torch 2.15's normalizations of one sample are wrong in channels-last order."""
    torch.manual_seed(0)
    size = 64
    make = {"translator": lambda: ResNetGenerator(size, 3, width=32, blocks=2), "unet": lambda: UNet(size, 3, width=32)}
    network = smooth(make[name]())
    fast = install(copy.deepcopy(network))
    x = torch.rand(count, 3, size, size) * 2 - 1
    direction = torch.randn_like(x)
    exact = gradients(copy.deepcopy(network).double(), x.double(), direction.double())
    assert max(errors(gradients(copy.deepcopy(fast).double(), x.double(), direction.double()), exact)) < 1e-10
    rounding = [errors(gradients(n, x, direction), exact) for n in (network, fast)]
    assert max(ours / plain for plain, ours in zip(*rounding, strict=True)) < 3
    used = {type(m).__name__ for m in fast.modules() if type(m).__module__ == cpu_fast_paths.__name__}
    kinds = {"translator": {"WinogradConv2d", "SplitConv2d"}, "unet": {"TinyConv2d", "TinyConvTranspose2d"}}
    assert used == kinds[name]


def test_instance_norm_of_one_sample() -> None:
    """The trap that the kernels must stay out of: torch 2.15's CPU instance norm has a wrong input gradient at batch 1
    when the incoming gradient is in channels-last order. What the layers here hand on is contiguous."""
    torch.manual_seed(0)
    x = torch.randn(1, 128, 32, 32, dtype=torch.float64)
    direction = torch.randn(1, 128, 24, 24, dtype=torch.float64)

    def gradient(second: nn.Module) -> Tensor:
        leaf = x.clone().requires_grad_()
        y = second(instance_norm(leaf))
        found: Tensor = torch.autograd.grad(y, leaf, direction.repeat(1, 1, 2, 2)[..., : y.shape[2], : y.shape[3]])[0]
        return found

    layer = nn.Conv2d(128, 128, 3, padding=1).double()
    fast = install(copy.deepcopy(layer))
    assert torch.allclose(gradient(fast), gradient(layer), rtol=1e-9, atol=1e-12)
    leaf = torch.randn(1, 128, 34, 34, dtype=torch.float64, requires_grad=True)
    turned = torch.randn(1, 128, 32, 32, dtype=torch.float64).contiguous(memory_format=torch.channels_last)
    (handed_on,) = torch.autograd.grad(Winograd.apply(leaf, layer.weight), leaf, turned)
    assert handed_on.is_contiguous() and handed_on.stride()[1] > 1
