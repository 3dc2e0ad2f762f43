"""The networks of the least squares GAN's code: parameters by hand, labels, initial weights, where norms are."""

import math
from collections.abc import Callable

import pytest
import torch
from helpers import count_on_meta
from torch import nn

from gan_cli.networks import lsgan


def test_scene_networks() -> None:
    """vgg.py at 112 pixels, z of 1024: weights, biases and two numbers a channel for each batch normalization."""
    g = 1025 * 7 * 7 * 256 + 4 * (256 * 256 * 9 + 256) + 256 * 128 * 9 + 128 + 128 * 64 * 9 + 64 + 64 * 3 * 9 + 3
    g += 2 * (256 * 5 + 128 + 64)
    d = 25 * (3 * 64 + 64 * 128 + 128 * 256 + 256 * 512) + 64 + 3 * (128 + 256 + 512) + 7 * 7 * 512 + 1
    assert count_on_meta(lambda: lsgan.Generator(112, 3)) == g == 15_591_427
    assert count_on_meta(lambda: lsgan.Discriminator(112, 3)) == d == 4_333_441


def test_scene_maps() -> None:
    shapes = []
    generator = lsgan.Generator(112, 3, latent_dim=4, width=2)
    for layer in generator.layers:
        layer.register_forward_hook(lambda m, i, o: shapes.append(tuple(o.shape[1:])))
    x = generator(torch.randn(2, 4))
    order = [s for s, layer in zip(shapes, generator.layers, strict=True) if isinstance(layer, nn.ConvTranspose2d)]
    sides = [(8, 14), (8, 14), (8, 28), (8, 28), (4, 56), (2, 112), (3, 112)]
    assert order == [(channels, side, side) for channels, side in sides]
    assert x.shape == (2, 3, 112, 112) and lsgan.Discriminator(112, 3, width=2)(x).shape == (2,)


def test_character_networks() -> None:
    """mcgan.py, 3740 classes, labels of 256."""
    label = 3741 * 256
    g = label + 1281 * 6272 + 2 * 6272 + 128 * 128 * 25 + 128 + 2 * 128 + 128 * 25 + 1
    d = label + 257 * 25 + 257 + 513 * 320 * 25 + 3 * 320 + (320 * 49 + 257) * 1024 + 2 * 1024 + 1281
    assert count_on_meta(lambda: lsgan.CharacterGenerator(28, 1, 3740)) == g == 9_417_857
    assert count_on_meta(lambda: lsgan.CharacterDiscriminator(28, 1, 3740)) == d == 21_392_155


def test_both_networks_depend_on_the_label() -> None:
    torch.manual_seed(0)
    generator = lsgan.CharacterGenerator(8, 1, 4, latent_dim=8).eval()
    discriminator = lsgan.CharacterDiscriminator(8, 1, 4).eval()
    z, y = torch.randn(1, 8).repeat(4, 1), torch.arange(4)
    x = generator(z, y)
    assert x.shape == (4, 1, 8, 8) and x.min() >= 0 and x.max() <= 1
    assert all(not torch.equal(x[0], x[k]) for k in (1, 2, 3))
    scores = discriminator(x[:1].expand(4, -1, -1, -1), y)
    assert scores.shape == (4,) and len(set(scores.tolist())) == 4


def test_the_label_joins_at_three_places() -> None:
    """A label of ones: with every weight but one way in at zero, the score tells that way."""
    discriminator = lsgan.CharacterDiscriminator(4, 1, 2, label_dim=3).eval()
    inputs = [discriminator.second[0], discriminator.third[0], discriminator.score]
    assert [layer.weight.shape[1] for layer in inputs] == [4 + 3, 67 + 3, 1024 + 3]
    x, y = torch.zeros(2, 1, 4, 4), torch.tensor([0, 1])
    for layer in inputs:
        for p in discriminator.parameters():
            p.data.zero_()
        discriminator.label.weight.data[:, 1] = 1.0
        for norm in (discriminator.second[1], discriminator.third[1]):
            norm.weight.data.fill_(1.0)
        for way in inputs[inputs.index(layer) :]:
            way.weight.data.fill_(0.01)
        for way in inputs[inputs.index(layer) + 1 :]:
            way.weight.data[:, -3:] = 0.0  # later ways in are closed
        scores = discriminator(x, y)
        assert scores[0] == 0 and scores[1] > 0


@pytest.mark.parametrize(("norm", "layers"), [("batch", 3), ("none", 0)])
def test_stability_networks(norm: str, layers: int) -> None:
    """dcgan64.py: BN_G keeps the three batch norms of D, BN_GD has none; G has none in both. z of 1024."""
    generator = lsgan.StabilityGenerator(64, 3, width=2)
    discriminator = lsgan.StabilityDiscriminator(64, 3, width=2, norm=norm)
    assert sum(isinstance(m, nn.BatchNorm2d) for m in discriminator.modules()) == layers
    assert not any(isinstance(m, nn.BatchNorm2d) for m in generator.modules())
    g = 1025 * 8192 + 25 * (512 * 256 + 256 * 128 + 128 * 64 + 64 * 3) + 256 + 128 + 64 + 3
    d = 25 * (3 * 64 + 64 * 128 + 128 * 256 + 256 * 512) + 64 + 128 + 256 + 512 + 8193
    assert count_on_meta(lambda: lsgan.StabilityGenerator(64, 3)) == g == 12_702_851
    norms = 2 * (128 + 256 + 512) if layers else 0
    assert count_on_meta(lambda: lsgan.StabilityDiscriminator(64, 3, norm=norm)) == d + norms
    assert discriminator(generator(torch.randn(2, 1024))).shape == (2,)


def test_initial_weights() -> None:
    """N(0, .02); convolutions cut at two deviations, which leaves .8796 of the deviation."""
    torch.manual_seed(0)
    for network in (lsgan.Generator(16, 3), lsgan.Discriminator(16, 3), lsgan.StabilityGenerator(8, 3)):
        for layer in network.modules():
            if isinstance(layer, (nn.Linear, nn.ConvTranspose2d, nn.Conv2d)):
                std = 0.02 * (0.8796 if isinstance(layer, nn.Conv2d) else 1)
                error = 4 / math.sqrt(2 * layer.weight.numel())
                assert layer.weight.std().item() == pytest.approx(std, rel=error)
                assert layer.bias is not None and not layer.bias.any()
                assert not isinstance(layer, nn.Conv2d) or layer.weight.abs().max() <= 0.04
            if isinstance(layer, nn.BatchNorm2d):
                assert (layer.weight == 1).all() and not layer.bias.any()


def test_ring_networks() -> None:
    """ls.py: 256 - 128 - 128 - 2 and 2 - 128 - 128 - 1, tanh; orthogonal weights of gain 1.4."""
    torch.manual_seed(0)
    generator, discriminator = lsgan.RingGenerator(1, 2), lsgan.RingDiscriminator(1, 2)
    assert sum(p.numel() for p in generator.parameters()) == 257 * 128 + 129 * 128 + 129 * 2
    assert sum(p.numel() for p in discriminator.parameters()) == 3 * 128 + 129 * 128 + 129
    for network in (generator, discriminator):
        kinds = [type(m) for m in network.layers if not isinstance(m, (nn.Flatten, nn.Unflatten))]
        assert kinds == [nn.Linear, nn.Tanh, nn.Linear, nn.Tanh, nn.Linear]
        for layer in network.layers:
            if isinstance(layer, nn.Linear):
                w = layer.weight if layer.weight.shape[0] <= layer.weight.shape[1] else layer.weight.T
                torch.testing.assert_close(w @ w.T, 1.96 * torch.eye(len(w)), atol=1e-5, rtol=0)
    points = generator(torch.randn(5, 256))
    assert points.shape == (5, 2, 1, 1) and discriminator(points).shape == (5,)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: lsgan.Generator(64 + 8, 3), "multiples of 16; nearest: 64 and 80"),
        (lambda: lsgan.Discriminator(8, 3), "multiples of 16; nearest: 16"),
        (lambda: lsgan.CharacterGenerator(30, 1, 5), "multiples of 4; nearest: 28 and 32"),
        (lambda: lsgan.CharacterDiscriminator(30, 1, 5), "multiples of 4; nearest: 28 and 32"),
        (lambda: lsgan.StabilityGenerator(48, 3), "image_size 48"),
        (lambda: lsgan.StabilityDiscriminator(32, 3, norm="bath"), "norm 'bath'"),
        (lambda: lsgan.CharacterGenerator(28, 1, 5, value_range=(0, 255)), "value_range"),
    ],
)
def test_refused(build: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build()
