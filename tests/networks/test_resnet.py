"""WGAN-GP's residual networks: parameters counted layer by layer, the blocks' equations, initial weights, cadence."""

from collections.abc import Callable

import pytest
import torch
from helpers import composed, count_on_meta
from torch import Tensor, nn

from gan_cli.networks import wgan_gp_resnet as resnet
from gan_cli.networks import wgan_gp_resnet64 as resnet64
from gan_cli.networks.conditional_norm import ConditionalBatchNorm2d
from gan_cli.training import build


def conv(channels: int, out: int, taps: int = 9, bias: bool = True) -> int:
    return channels * out * taps + (out if bias else 0)


# -- CIFAR-10's networks, gan_cifar_resnet.py

UP = 2 * 256 + 2 * conv(128, 128) + conv(128, 128, taps=1)  # two batch norms, two 3x3, the shortcut
G = (128 * 2048 + 2048) + 3 * UP + 256 + conv(128, 3)
FIRST = conv(3, 128) + conv(128, 128) + conv(3, 128, taps=1)
D = FIRST + (2 * conv(128, 128) + conv(128, 128, taps=1)) + 2 * 2 * conv(128, 128) + 129


@pytest.mark.parametrize(
    ("network", "by_layer", "total"),
    [
        (lambda: resnet.Generator(32, 3), G, 1_204_483),
        (lambda: resnet.Discriminator(32, 3), D, 1_053_825),
        (lambda: resnet.ClassifyingDiscriminator(32, 3, 10), D + 1290, 1_055_115),
        # six norms with 10 rows for one; the last norm sees no label
        (lambda: resnet.Generator(32, 3, num_classes=10), G + 6 * 9 * 256, 1_218_307),
    ],
)
def test_cifar_parameter_counts(network: Callable[[], nn.Module], by_layer: int, total: int) -> None:
    assert count_on_meta(network) == by_layer == total


def test_cifar_maps() -> None:
    """G: 4, 8, 16, 32 pixels; D: 16, 8, 8, 8 pixels of 128 channels, then the mean."""
    generator, discriminator = resnet.Generator(32, 3), resnet.Discriminator(32, 3)
    shapes: list[tuple[int, ...]] = []
    for block in (*generator.blocks, *discriminator.trunk[:4]):
        block.register_forward_hook(lambda m, i, o: shapes.append(tuple(o.shape[1:])))
    discriminator(generator(torch.randn(1, 128)))
    sides = [8, 16, 32, 16, 8, 8, 8]
    assert shapes == [(128, side, side) for side in sides]
    assert [type(block) for block in discriminator.trunk[:4]] == [
        resnet.FirstBlock, resnet.DownBlock, resnet.ResidualBlock, resnet.ResidualBlock,
    ]  # fmt: skip
    assert not any(isinstance(m, (nn.BatchNorm2d, nn.GroupNorm)) for m in discriminator.modules())


@pytest.mark.parametrize(("size", "last"), [(8, 4), (16, 8), (28, 14), (32, 8), (64, 8)])
def test_other_sizes(size: int, last: int) -> None:
    x = resnet.Generator(size, 1, latent_dim=5, width=4)(torch.randn(2, 5))
    assert x.shape == (2, 1, size, size) and x.abs().max() <= 1
    discriminator = resnet.Discriminator(size, 1, width=4)
    assert discriminator(x).shape == (2,)
    assert discriminator.trunk[:-3](x).shape == (2, 4, last, last)


def test_refused() -> None:
    for build_ in (resnet.Generator, resnet.Discriminator):
        with pytest.raises(ValueError, match=r"image_size 48.*32 and 56"):
            build_(48, 3)
    with pytest.raises(ValueError, match=r"norm 'bath'.*spectral"):
        resnet.Discriminator(32, 3, norm="bath")
    for build_ in (resnet64.Generator, resnet64.Discriminator):
        with pytest.raises(ValueError, match="multiples of 16; nearest: 32 and 48"):
            build_(40, 3)


# -- blocks, with 3x3 kernels that only weigh the center


def centered(network: nn.Module, weights: list[float]) -> nn.Module:
    """One channel; convolution i multiplies by weights[i]; no biases."""
    convolutions = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d)]
    for layer, weight in zip(convolutions, weights, strict=True):
        nn.init.zeros_(layer.weight)
        layer.weight.data[..., layer.kernel_size[0] // 2, layer.kernel_size[1] // 2] = weight
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
    return network


def image(*values: float) -> Tensor:
    side = int(len(values) ** 0.5)
    return torch.tensor(values, dtype=torch.float32).view(1, 1, side, side)


def test_first_block_has_no_relu_before() -> None:
    """conv1 by -1, conv2 by 2, shortcut by 3: 3 mean(x) + 2 mean(relu(-x));  x = (1, -2, 3, -6): -3 + 2 * 2."""
    block = centered(resnet.FirstBlock(1, 1), [-1, 2, 3])
    assert block(image(1, -2, 3, -6)).tolist() == [[[[3 * -1.0 + 2 * 2.0]]]]


def test_down_block_has_one() -> None:
    """3 mean(x) + 2 mean(relu(.5 relu(x))) = -3 + 2 * .5; and nothing but the shortcut passes a negative conv1."""
    x = image(1, -2, 3, -6)
    assert centered(resnet.DownBlock(1, 1), [0.5, 2, 3])(x).tolist() == [[[[3 * -1.0 + 2 * 0.5]]]]
    assert centered(resnet.DownBlock(1, 1), [-1, 2, 3])(x).tolist() == [[[[-3.0]]]]


def test_plain_block() -> None:
    """x + 2 relu(.5 relu(x)); the block does not change its input."""
    x = image(1, -2, 3, -6)
    assert centered(resnet.ResidualBlock(1), [0.5, 2])(x).flatten().tolist() == [2.0, -2.0, 6.0, -6.0]
    assert x.flatten().tolist() == [1.0, -2.0, 3.0, -6.0]


def test_up_block() -> None:
    """Each pixel four times: 3 x + 2 relu(.5 relu(norm(x))), with norm(x) = x + 1 before the first and nothing
    before the second convolution."""

    class Shift(nn.Module):
        def __init__(self, channels: int) -> None:
            super().__init__()
            self.by = len(made)
            made.append(self)

        def forward(self, x: Tensor) -> Tensor:
            return x + 1 - self.by

    made: list[nn.Module] = []
    y = centered(resnet.UpBlock(1, 1, Shift), [0.5, 2, 3])(image(1, -2, 3, -6))
    rows = [[5.0, 5.0, -6.0, -6.0], [5.0, 5.0, -6.0, -6.0], [13.0, 13.0, -18.0, -18.0], [13.0, 13.0, -18.0, -18.0]]
    assert y[0, 0].tolist() == rows


def test_initial_weights() -> None:
    """Variance 4 / (fan_in + fan_out) in 3x3 convolutions, 2 / (...) in shortcuts, linear layers and G's last one."""
    torch.manual_seed(0)
    generator, discriminator = resnet.Generator(32, 3), resnet.Discriminator(32, 3)
    block = generator.blocks[0]
    for weight, variance in [
        (block.conv1.weight, 4 / (2 * 128 * 9)),
        (block.conv2.weight, 4 / (2 * 128 * 9)),
        (block.shortcut.weight, 2 / (2 * 128)),
        (generator.project[0].weight, 2 / (128 + 2048)),
        (generator.image[2].weight, 2 / (128 * 9 + 3 * 9)),
        (discriminator.trunk[0].conv1.weight, 4 / (3 * 9 + 128 * 9)),
        (discriminator.trunk[0].shortcut.weight, 2 / (3 + 128)),
        (discriminator.score.weight, 2 / 129),
    ]:
        error = 4 / weight.numel() ** 0.5  # a uniform variable's sample variance errs by .9 / sqrt(n)
        assert weight.var().item() == pytest.approx(variance, rel=error)
        assert weight.abs().max() <= (3 * variance) ** 0.5
    biases = [b for n, b in [*generator.named_parameters(), *discriminator.named_parameters()] if n.endswith("bias")]
    assert not any(bias.any() for bias in biases)


# -- labels


def test_labels_reach_the_blocks_only() -> None:
    torch.manual_seed(0)
    generator = resnet.Generator(32, 3, width=4, num_classes=3)
    norms = [m for m in generator.modules() if isinstance(m, ConditionalBatchNorm2d)]
    assert len(norms) == 6 and isinstance(generator.image[0], nn.BatchNorm2d)
    generator.eval()
    z = torch.randn(1, 128).repeat(3, 1)
    same = generator(z, torch.tensor([0, 1, 2]))
    assert torch.equal(same[0], same[1])  # all classes start alike
    norms[0].gamma.weight.data[1] = 2.0
    other = generator(z, torch.tensor([0, 1, 2]))
    assert torch.equal(other[0], same[0]) and not torch.equal(other[1], same[1])
    scores, logits = resnet.ClassifyingDiscriminator(32, 3, 3, width=4)(other)
    assert scores.shape == (3,) and logits.shape == (3, 3)


# -- the 64-pixel networks


def test_wide_parameter_counts() -> None:
    def up(wide: int, narrow: int) -> int:
        norms = 2 * wide + 2 * narrow
        return norms + conv(wide, narrow, bias=False) + conv(narrow, narrow) + conv(wide, narrow, taps=1)

    def down(narrow: int, wide: int) -> int:
        return 4 * narrow + conv(narrow, narrow, bias=False) + conv(narrow, wide) + conv(narrow, wide, taps=1)

    g = 129 * 8192 + up(512, 512) + up(512, 256) + up(256, 128) + up(128, 64) + 128 + conv(64, 3)
    d = conv(3, 64) + down(64, 128) + down(128, 256) + down(256, 512) + down(512, 512) + 8193
    assert count_on_meta(lambda: resnet64.Generator(64, 3)) == g == 8_540_483
    assert count_on_meta(lambda: resnet64.Discriminator(64, 3)) == d == 7_491_841


def test_wide_networks_do_not_mix_samples_in_the_critic() -> None:
    torch.manual_seed(0)
    x = resnet64.Generator(16, 3, latent_dim=6, width=2)(torch.randn(3, 6))
    critic = resnet64.Discriminator(16, 3, width=2)
    assert x.shape == (3, 3, 16, 16) and critic(x).shape == (3,)
    torch.testing.assert_close(critic(x)[:1], critic(x[:1]))
    assert sum(isinstance(m, nn.GroupNorm) for m in critic.modules()) == 8
    bare = resnet64.Discriminator(16, 3, width=2, norm="none")
    assert not any(isinstance(m, nn.GroupNorm) for m in bare.modules())


# -- the experiment


def test_cadence_and_decay_of_the_experiment() -> None:
    """Five critic steps on `batch_size` fakes, one of G on twice as many; the rate falls by its 100,000th each time."""
    small = ["dataset.image_size=8", "model.generator.width=2", "model.discriminator.width=2", "trainer.batch_size=2"]
    overrides = ["experiment=wgan_gp_cifar10_resnet", "dataset=shapes", "~dataset.dequantize", *small]
    cfg = composed(*overrides)
    system, data = build.system(cfg), build.dataset(cfg)
    trainer = build.trainer(cfg, system, data)
    fakes: list[int] = []
    system.generator.register_forward_hook(lambda m, i, o: fakes.append(len(o)))
    rates = []
    for _ in range(2):
        trainer.iterate()
        rates.append(trainer.optimizers["generator"].param_groups[0]["lr"])
    assert fakes == ([2] * 5 + [4]) * 2
    assert rates == pytest.approx([2e-4, 2e-4 * (1 - 1e-5)], rel=1e-12)
    assert trainer.optimizers["discriminator"].param_groups[0]["betas"] == (0.0, 0.9)
