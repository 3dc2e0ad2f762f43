"""Stacked MNIST: images of three digits, and the modes of samples by a classifier of single digits."""

import math
from types import SimpleNamespace

import pytest
import torch
from helpers import TEST, TRAIN, write_mnist
from torch import Tensor, nn

from gan_cli.data.base import Images, order
from gan_cli.data.stacked_mnist import StackedMNIST
from gan_cli.metrics.base import EvaluationData, Features, Samples
from gan_cli.metrics.stacked_modes import StackedModes, from_uniform, triples
from gan_cli.networks.stacked import Discriminator, Generator, SmallDiscriminator, SmallGenerator


@pytest.fixture
def root(tmp_path) -> str:
    """Image i of a split is filled with i (held-out ones with 100 + i); its label is i % 10."""
    return str(write_mnist(tmp_path))


def numbers(image: Tensor) -> Tensor:
    """(N, 3, H, W) in [-1, 1] -> the fill of each channel, (N, 3)."""
    assert (image == image[:, :, :1, :1]).all()
    return ((image[:, :, 0, 0] + 1) * 127.5).round().long()


# the data set


def test_channels_hold_three_digits_and_the_label_reads_them(root) -> None:
    data = StackedMNIST(root, num_classes=1000, size=500)
    image, label = data.train_batch(0, 0, 500)
    assert image.shape == (500, 3, 28, 28) and image.dtype == torch.float32 and image.is_contiguous()
    digits = numbers(image) % 10
    assert label.tolist() == [int("".join(map(str, triple))) for triple in digits.tolist()]
    assert numbers(image).max() < TRAIN
    held_out = data.test_batch(0, 300)
    fill = numbers(held_out.image)
    assert fill.min() >= 100 and fill.max() < 100 + TEST
    assert torch.equal(held_out.label, ((fill - 100) % 10) @ torch.tensor([100, 10, 1]))
    assert StackedMNIST(root).test_batch(0, 2).label is None


def test_digits_are_drawn_evenly_and_independently(root) -> None:
    fill = numbers(StackedMNIST(root, size=20_000).train_batch(0, 0, 20_000).image)
    for a, b in ((0, 1), (0, 2), (1, 2)):
        cells = torch.bincount(fill[:, a] * TRAIN + fill[:, b], minlength=TRAIN**2)
        chi2 = ((cells - 50.0) ** 2 / 50).sum()
        assert 300 < chi2 < 520  # 399 degrees of freedom: mean 399, standard deviation 28


def test_held_out_images_are_drawn_anew(root) -> None:
    """Both splits have evenly many digits, so that the same random numbers would show in their parity."""
    data = StackedMNIST(root, size=2000)
    train = torch.empty(2000, 3, dtype=torch.int64)
    train[order(0, 0, 2000, 2000)] = numbers(data.train_batch(0, 0, 2000).image)
    agree = (train % 2 == numbers(data.test_batch(0, 2000).image) % 2).float().mean()
    assert abs(agree - 0.5) < 0.03


def test_the_stream_is_pure_splits_and_passes_through_the_same_images(root) -> None:
    data = StackedMNIST(root, num_classes=1000, size=40)
    whole = data.train_batch(4, 5, 90)
    parts = [data.train_batch(4, start, count) for start, count in ((5, 1), (6, 50), (56, 39))]
    for at in (0, 1):
        assert torch.equal(torch.cat([part[at] for part in parts]), whole[at])
    first, second, other = (data.train_batch(seed, start, 40).label for seed, start in ((4, 0), (4, 40), (5, 0)))
    assert not torch.equal(first, second) and not torch.equal(first, other)
    assert torch.equal(first.sort().values, second.sort().values)
    assert torch.equal(first.sort().values, other.sort().values)
    assert torch.equal(data.test_batch(26_000, 3).image, data.test_batch(0, 3).image)


def test_fresh_images_never_come_again(root) -> None:
    data = StackedMNIST(root, size=50, fresh=True)
    whole = data.train_batch(3, 10, 200).image
    parts = [data.train_batch(3, start, count).image for start, count in ((10, 60), (70, 140))]
    assert torch.equal(torch.cat(parts), whole)
    epochs = [data.train_batch(3, start, 50).image for start in (0, 50)]
    assert (numbers(epochs[0]) == numbers(epochs[1])).all(1).sum() <= 1
    assert (numbers(whole) == numbers(data.train_batch(4, 10, 200).image)).float().mean() < 0.2
    fill = numbers(data.train_batch(0, 0, 20_000).image)
    for a, b in ((0, 1), (0, 2), (1, 2)):
        cells = torch.bincount(fill[:, a] * TRAIN + fill[:, b], minlength=TRAIN**2)
        assert 300 < ((cells - 50.0) ** 2 / 50).sum() < 520
    assert data.fingerprint() != StackedMNIST(root, size=50).fingerprint()


def test_size_range_and_names(root) -> None:
    data = StackedMNIST(root, image_size=32, value_range=[0, 1])
    assert (data.size, data.test_size, data.image_size, data.channels) == (128_000, 26_000, 32, 3)
    image = data.train_batch(0, 0, 50).image
    assert image.shape == (50, 3, 32, 32) and image.min() >= 0 and image.max() <= (TRAIN - 1) / 255
    assert data.digits.channels == 1 and data.digits.num_classes == 10
    assert data.digits.train_batch(0, 0, 2).image.shape == (2, 1, 32, 32)
    names = {StackedMNIST(root, image_size=s, size=n).fingerprint() for s, n in ((28, 500), (32, 500), (28, 501))}
    assert len(names) == 3 and StackedMNIST(root, size=501).fingerprint() in names
    assert data.to(torch.device("cpu")) is data


@pytest.mark.parametrize("wrong", [{"channels": 1}, {"num_classes": 10}, {"size": 0}, {"value_range": [1, -1]}])
def test_wrong_values_are_one_clear_line(wrong, root) -> None:
    with pytest.raises(ValueError) as error:
        StackedMNIST(root, **wrong)
    assert next(iter(wrong)) in str(error.value) and "\n" not in str(error.value)


# the networks


@pytest.mark.parametrize(
    ("generator", "discriminator", "latent", "parameters"),
    [
        # linear, normalization, three transposed convolutions with theirs, one to the image; by hand from model.py
        (
            SmallGenerator, SmallDiscriminator, 256,
            (257 * 1024 + 128 + 9 * (2048 + 512 + 128) + 3 * 56 + 9 * 24 + 3,
             9 * (6 + 8 + 32) + 3 * 14 + 129),
        ),
        (
            Generator, Discriminator, 100,
            (101 * 2048 + 1024 + 25 * (512 * 256 + 256 * 128 + 128 * 64) + 3 * 448 + 25 * 192 + 3,
             25 * 192 + 64 + 25 * (64 * 128 + 128 * 256 + 256 * 512) + 3 * 896 + 2049),
        ),
    ],
)  # fmt: skip
def test_networks_of_pacgans_code(generator, discriminator, latent, parameters) -> None:
    G, D = generator(28, 3), discriminator(28, 3)
    assert tuple(sum(p.numel() for p in net.parameters()) for net in (G, D)) == parameters
    image = G(torch.randn(4, latent))
    assert image.shape == (4, 3, 28, 28) and image.abs().max() <= 1 and D(image).shape == (4,)
    assert abs(G.layers[0].weight.std().item() - 0.02) < 5e-4 and not G.layers[0].bias.any()
    assert discriminator(28, 6)(torch.zeros(2, 6, 28, 28)).shape == (2,)
    with pytest.raises(ValueError, match="28 pixels"):
        generator(32, 3)
    with pytest.raises(ValueError, match="28 pixels"):
        discriminator(32, 3)


def test_fraction_and_norm_of_the_small_discriminator() -> None:
    half = SmallDiscriminator(28, 3, fraction=0.5, norm="none")
    assert [layer.out_channels for layer in half.layers if isinstance(layer, nn.Conv2d)] == [4, 8, 16]
    kinds = [type(layer) for layer in SmallDiscriminator(28, 3).layers]
    assert kinds == [*[nn.Conv2d, nn.BatchNorm2d, nn.LeakyReLU] * 3, nn.Flatten, nn.Linear]
    assert all(layer.negative_slope == 0.3 for layer in half.layers if isinstance(layer, nn.LeakyReLU))


# the metric


class Reader:
    """Reads the digit that fills a channel; `prepare` notes the data that it could learn from."""

    name, hash = "classifier:digits", "0123456789"

    def __init__(self, classes: int = 10) -> None:
        self.classes = classes

    def prepare(self, data: object, device: torch.device) -> None:
        self.digits = data.digits

    def __call__(self, images: Tensor) -> Features:
        assert images.shape[1] == 1
        fill = ((images[:, 0, 0, 0] + 1) * 127.5).round().long()
        logits = torch.nn.functional.one_hot(fill % 10, 10).float()[:, : self.classes]
        return Features(images.flatten(1), logits if self.classes else None)


def evidence(digits: Tensor, extractor: Reader) -> EvaluationData:
    """digits (N, 3) as images."""
    image = (digits.float() / 127.5 - 1)[:, :, None, None].expand(-1, -1, 2, 2)
    generated = Samples("generated", len(image), lambda: (Images(part) for part in image.split(7)))
    return EvaluationData(generated, generated, generated, extractor=extractor, data=SimpleNamespace(digits="mnist"))


def test_modes_and_divergence_of_known_triples() -> None:
    extractor = Reader()
    digits = torch.tensor([[1, 2, 3], [1, 2, 3], [3, 2, 1], [9, 9, 9]])
    values = StackedModes()(evidence(digits, extractor))
    assert extractor.digits == "mnist"
    assert values == {
        "modes[classifier:digits:0123]": 3,
        "KL[classifier:digits:0123]": pytest.approx(0.5 * math.log(500) + 0.5 * math.log(250)),
        "KL_perfect": 999 / 8,
    }
    everything = torch.cartesian_prod(*[torch.arange(10)] * 3)
    values = StackedModes()(evidence(everything, Reader()))
    assert values["modes[classifier:digits:0123]"] == 1000
    assert values["KL[classifier:digits:0123]"] == pytest.approx(0, abs=1e-12)


def test_histogram_and_bounds() -> None:
    counts = triples(torch.tensor([[0, 0, 0], [9, 9, 9], [4, 5, 6]]))
    assert counts.shape == (1000,) and counts.nonzero().flatten().tolist() == [0, 456, 999]
    assert from_uniform(triples(torch.zeros(50, 3, dtype=torch.int64))) == pytest.approx(math.log(1000))


def test_a_perfect_generator_has_the_stated_divergence() -> None:
    torch.manual_seed(0)
    n = 26_000
    found = [from_uniform(triples(torch.randint(10, (n, 3)))) for _ in range(20)]
    assert sum(found) / 20 == pytest.approx(999 / (2 * n), rel=0.03)


def test_what_it_cannot_score_is_said() -> None:
    with pytest.raises(ValueError, match="dataset=stacked_mnist"):
        StackedModes().check(None, SimpleNamespace())
    for classes in (0, 9):
        with pytest.raises(ValueError, match="extractor=classifier"):
            StackedModes()(evidence(torch.zeros(5, 3), Reader(classes)))
    with pytest.raises(ValueError, match="NaN"):
        StackedModes()(evidence(torch.full((5, 3), math.nan), Nothing()))


class Nothing(Reader):
    def __call__(self, images: Tensor) -> Features:
        return Features(images.flatten(1), images.flatten(1))
