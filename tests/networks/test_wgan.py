"""WGAN's and DRAGAN's fully connected networks, and the norms of WGAN-GP's convolutional discriminator."""

import torch
from helpers import count
from torch import nn

from gan_cli.networks import dragan, wgan_gp, wgan_mlp


def test_wgan_mlp() -> None:
    """models/mlp.py at 64 pixels, --ngf 512: 100 or 12,288 - 512 - 512 - 512 - 12,288 or 1; unbounded outputs."""
    generator, discriminator = wgan_mlp.Generator(64, 3), wgan_mlp.Discriminator(64, 3)
    assert count(generator) == 101 * 512 + 2 * 513 * 512 + 513 * 12288
    assert count(discriminator) == 12289 * 512 + 2 * 513 * 512 + 513
    x = generator(1e4 * torch.randn(3, 100))
    assert x.shape == (3, 3, 64, 64) and x.abs().max() > 1 and discriminator(x).shape == (3,)
    assert sum(isinstance(m, nn.ReLU) for m in generator.modules()) == 3
    assert isinstance(generator.layers[-2], nn.Linear)


def test_dragan_notebook() -> None:
    """100 - 128 - 784 sigmoid and 784 - 128 - 1; weights N(0, sqrt(2 / fan_in)), biases 0."""
    torch.manual_seed(0)
    generator, discriminator = dragan.Generator(28, 1), dragan.Discriminator(28, 1)
    assert count(generator) == 114_064 and count(discriminator) == 100_609
    x = generator(torch.randn(3, 100))
    assert x.shape == (3, 1, 28, 28) and x.min() > 0 and x.max() < 1 and discriminator(x).shape == (3,)
    linear = [m for m in (*generator.modules(), *discriminator.modules()) if isinstance(m, nn.Linear)]
    for layer, fan_in in zip(linear, [100, 128, 784, 128], strict=True):
        error = 4 / (2 * layer.weight.numel()) ** 0.5
        assert abs(layer.weight.std() / (2 / fan_in) ** 0.5 - 1) < error and not layer.bias.any()
    assert generator.layers[0].weight.abs().max() > 0.14 * 2.5  # normal, not uniform


def test_wgan_gp_discriminator_norms() -> None:
    """gan_cifar.py: none under the penalty; in its mode dcgan batch normalization after the 2nd and 3rd convolution."""
    kinds = {
        norm: [type(m).__name__ for m in wgan_gp.Discriminator(32, 3, width=2, norm=norm).layers]
        for norm in ("none", "batch", "layer")
    }
    tail = ["Flatten", "Linear"]
    assert kinds["none"] == ["Conv2d", "LeakyReLU"] * 3 + tail
    assert kinds["batch"] == ["Conv2d", "LeakyReLU"] + ["Conv2d", "BatchNorm2d", "LeakyReLU"] * 2 + tail
    assert kinds["layer"] == ["Conv2d", "LeakyReLU"] + ["Conv2d", "GroupNorm", "LeakyReLU"] * 2 + tail
