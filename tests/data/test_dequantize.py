"""Uniform noise of one gray level on the standard sets, and the Swiss roll."""

import math

import pytest
import torch

from gan_cli.data.mnist_cifar import InMemoryImages
from gan_cli.data.swissroll import SwissRoll


def arrays(dequantize: bool, value_range: tuple[float, float] = (-1, 1), size: int = 4) -> InMemoryImages:
    pixels = torch.arange(size * 3 * 4 * 4).remainder(256).byte().view(size, 3, 4, 4)
    pixels[0, 0, 0] = torch.tensor([0, 255, 128, 1])
    label = torch.arange(size) % 2
    settings = {"image_size": 4, "channels": 3, "num_classes": 2, "value_range": value_range}
    return InMemoryImages((pixels, label), (pixels, label), dequantize=dequantize, **settings)


@pytest.mark.parametrize("value_range", [(-1.0, 1.0), (0.0, 1.0)])
def test_noise_fills_each_gray_level(value_range: tuple[float, float]) -> None:
    """gan_cifar_resnet.py: 2 (p / 256 - 1/2) + U[0, 1/128) in [-1, 1]; p / 256 + U[0, 1/256) in [0, 1]."""
    data, low, high = arrays(True, value_range), *value_range
    step = (high - low) / 256
    noise = data.test_batch(0, 4).image.double() - (low + step * data.test)
    assert noise.min() > -1e-6 and noise.max() < step + 1e-6
    many = torch.cat([data.train_batch(seed, 4 * k, 4).image for seed in range(5) for k in range(20)]).double()
    sent = torch.cat([arrays(False, value_range).train_batch(s, 4 * k, 4).image for s in range(5) for k in range(20)])
    p = ((sent.double() - low) / (high - low) * 255).round()
    u = (many - low) / step - p
    assert u.numel() == 19200
    assert -1e-3 < u.min() < 0.01 and 0.99 < u.max() < 1.001
    assert u.mean().item() == pytest.approx(0.5, abs=4 * math.sqrt(1 / 12 / u.numel()))
    assert u.var().item() == pytest.approx(1 / 12, rel=0.03)
    flat = u.flatten(1)
    assert torch.corrcoef(flat.T).fill_diagonal_(0).abs().max() < 0.3  # 400 samples: 48 x 48 pairs


def test_a_batch_is_a_function_of_seed_and_position() -> None:
    data = arrays(True)
    whole = data.train_batch(3, 6, 8).image
    parts = torch.cat([data.train_batch(3, 6, 3).image, data.train_batch(3, 9, 5).image])
    assert torch.equal(whole, parts)
    assert not torch.equal(whole, data.train_batch(4, 6, 8).image)
    epochs = [data.train_batch(0, 4 * k, 4) for k in range(2)]
    assert not set(epochs[0].image.flatten().tolist()) & set(epochs[1].image.flatten().tolist())  # fresh each time
    assert torch.equal(data.test_batch(0, 4).image, data.test_batch(4, 4).image)  # held-out images stay as they are
    assert torch.equal(data.test_batch(2, 4).image[2:], data.test_batch(0, 2).image)


def test_off_by_default_and_named_in_the_fingerprint() -> None:
    plain, noisy = arrays(False), arrays(True)
    assert plain.test_batch(0, 1).image[0, 0, 0].tolist() == pytest.approx(
        [-1, 1, 128 / 127.5 - 1, 1 / 127.5 - 1], abs=1e-6
    )
    assert plain.fingerprint() != noisy.fingerprint()
    assert plain.train_batch(0, 0, 4).label.tolist() == noisy.train_batch(0, 0, 4).label.tolist()


# -- the Swiss roll


def test_swiss_roll_lies_on_its_spiral() -> None:
    """Without noise |p| = t / 7.5 at the angle t; t is uniform over [1.5 pi, 4.5 pi)."""
    points = SwissRoll(noise=0.0).train_batch(0, 0, 20000).image
    assert points.shape == (20000, 2, 1, 1)
    p = 7.5 * points.flatten(1).double()
    t = p.norm(dim=1)
    torch.testing.assert_close(p, torch.stack([t * t.cos(), t * t.sin()], dim=1), atol=2e-4, rtol=0)
    assert 1.5 * math.pi - 1e-4 < t.min() and t.max() < 4.5 * math.pi + 1e-4
    assert t.mean().item() == pytest.approx(3 * math.pi, abs=0.08)
    assert t.std().item() == pytest.approx(3 * math.pi / math.sqrt(12), rel=0.02)


def test_swiss_roll_noise_and_stream() -> None:
    data, bare = SwissRoll(noise=0.5), SwissRoll(noise=0.0)
    noise = 7.5 * (data.train_batch(1, 0, 20000).image - bare.train_batch(1, 0, 20000).image).flatten(1)
    assert noise.std(0).tolist() == pytest.approx([0.5, 0.5], rel=0.03) and noise.mean(0).abs().max() < 0.02
    assert abs(torch.corrcoef(noise.T)[0, 1]) < 0.03
    assert torch.equal(data.train_batch(1, 5, 4).image, data.train_batch(1, 0, 9).image[5:])
    assert torch.equal(data.test_batch(0, 3).image, data.test_batch(10_000, 3).image)
    assert data.fingerprint() != bare.fingerprint()
    with pytest.raises(ValueError, match="image_size 1 and channels 2"):
        SwissRoll(image_size=2)
    with pytest.raises(ValueError, match="divisor positive"):
        SwissRoll(divisor=0.0)
