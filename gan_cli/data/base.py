"""What a data set is: a stream of batches that depends on nothing but the seed and the position in it."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import lru_cache
from typing import ClassVar, NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor


class Images(NamedTuple):
    """image: float32 (N, C, H, W) in the data set's range; label: int64 (N,), or None where there are none."""

    image: Tensor
    label: Tensor | None = None


class Pairs(NamedTuple):
    """source, target: float32 (N, C, H, W); target[i] is the picture that source[i] should become."""

    source: Tensor
    target: Tensor


class Domains(NamedTuple):
    """x, y: float32 (N, C, H, W) of two domains; x[i] and y[i] have nothing to do with each other."""

    x: Tensor
    y: Tensor


class SemiSupervised(NamedTuple):
    """image, labelled: float32 (N, C, H, W); target: int64 (N,), the classes of labelled[i], which has nothing to do
    with image[i].
    """

    image: Tensor
    labelled: Tensor
    target: Tensor

    @property
    def label(self) -> None:
        """That of `image`: it is not told."""


class LabelMaps(NamedTuple):
    """maps: int64 (N, 2, H, W), each pixel's class and the number of the instance that it belongs to (the class again,
    where nobody tells instances apart); image: float32 (N, C, H, W), the picture that they describe.
    """

    maps: Tensor
    image: Tensor

    @property
    def label(self) -> None:
        """A picture of many classes has none of its own."""


Batch = Images | Pairs | Domains | SemiSupervised | LabelMaps


class Dataset(ABC):
    """Training stream and held-out samples.

    batch_type: Images, Pairs, Domains, or SemiSupervised, whose held-out batches are Images. image_size: pixels of a
    side. value_range: of the pixels; None for points. num_classes: None when there are no labels. size, test_size:
    number of training and of held-out samples.
    """

    batch_type: ClassVar[type] = Images
    image_size: int
    channels: int
    num_classes: int | None
    value_range: tuple[float, float] | None
    size: int
    test_size: int

    @abstractmethod
    def train_batch(self, seed: int, start: int, count: int) -> Batch:
        """Samples start .. start + count - 1 of the endless shuffled stream `seed`, augmented. A pure function."""

    @abstractmethod
    def test_batch(self, start: int, count: int) -> Batch:
        """Held-out samples start .. start + count - 1 in fixed order, from the beginning again after the last."""

    @abstractmethod
    def fingerprint(self) -> str:
        """A short hexadecimal name of what the data are."""

    def to(self, device: torch.device) -> "Dataset":
        """Move what lies in memory to `device`; batches come out there."""
        return self


@runtime_checkable
class HasModes(Protocol):
    """A data set of points from an even mixture of Gaussians."""

    modes: Tensor
    """Centers of the modes, (K, d)."""
    std: float
    """Standard deviation of each mode."""
    quality_radius: float
    """Points within this many standard deviations of a mode are of high quality."""


@runtime_checkable
class HasDomainModes(Protocol):
    """Two domains of points, each from an even mixture of Gaussians."""

    modes_x: Tensor
    modes_y: Tensor
    """Centers of the modes of each domain, (K, d)."""
    std: float

    def test_modes(self, start: int, count: int) -> Tensor:
        """The mode of x that each held-out point x was sampled from, int64 (count,)."""


@runtime_checkable
class HasLogDensity(Protocol):
    """A data set on the real line whose density is known: a mixture of Gaussians."""

    means: Tensor
    stds: Tensor

    def log_density(self, x: Tensor) -> Tensor:
        """log p(x), elementwise."""


@runtime_checkable
class HasDigits(Protocol):
    """A data set whose color channels show single digits of another data set."""

    digits: Dataset


@runtime_checkable
class HasTestPairs(Protocol):
    """An unpaired data set that knows the true counterpart of each held-out image."""

    def test_pairs(self, start: int, count: int) -> Pairs:
        """Held-out samples start .. start + count - 1, each image of x beside its counterpart in y."""


@runtime_checkable
class Segments(Protocol):
    """A data set of label maps that can recover the map from an image."""

    label_nc: int
    """Number of classes."""

    def segment(self, image: Tensor) -> Tensor:
        """The class of each pixel, (N, C, H, W) -> int64 (N, H, W)."""


def order(seed: int, start: int, count: int, size: int) -> Tensor:
    """Sample numbers at positions start .. of the stream: epoch after epoch a new permutation of 0 .. size - 1."""
    parts = []
    while count > 0:
        epoch, offset = divmod(start, size)
        part = _permutation(seed, epoch, size)[offset : offset + count]
        parts.append(part)
        start, count = start + len(part), count - len(part)
    return torch.cat(parts)


@lru_cache(maxsize=8)
def _permutation(seed: int, epoch: int, size: int) -> Tensor:
    key = int(mix(torch.tensor([seed]), stream=epoch)[0])
    return torch.randperm(size, generator=torch.Generator().manual_seed(key & 0x7FFF_FFFF_FFFF_FFFF))


_GOLDEN, _MIX1, _MIX2 = -0x61C8_8646_80B5_83EB, -0x40A7_B892_E31B_1A47, -0x6B2F_B644_ECCE_EE15


def mix(values: Tensor, stream: int = 0) -> Tensor:
    """int64 -> int64 that looks random: the finaliser of splitmix64 (Steele, Lea, Flood 2014), twice.

    A counter-based generator: number `stream` of sample `values[i]` needs no state and no order.
    """
    z = _finish(values + _GOLDEN)
    return _finish(z + _wrap((stream + 1) * _GOLDEN))


def _finish(z: Tensor) -> Tensor:
    z = (z ^ _shift(z, 30)) * _MIX1
    z = (z ^ _shift(z, 27)) * _MIX2
    return z ^ _shift(z, 31)


def _shift(z: Tensor, bits: int) -> Tensor:
    """Logical right shift; torch's is arithmetic."""
    return (z >> bits) & ((1 << (64 - bits)) - 1)


def _wrap(value: int) -> int:
    return (value + 2**63) % 2**64 - 2**63


def uniform(seed: int, index: Tensor, stream: int) -> Tensor:
    """float32 in [0, 1), one for each int64 of `index`: number `stream` of that sample under `seed`."""
    key = int(mix(torch.tensor([seed]), stream=0x5EED)[0])
    return (_shift(mix(index ^ key, stream), 40)).float() / 2**24


def normal(seed: int, index: Tensor, stream: int) -> Tensor:
    """float32 from N(0, 1) by Box and Muller, from the numbers `stream` and `stream` + 1 of each sample."""
    radius = (-2 * torch.log1p(-uniform(seed, index, stream).double())).sqrt()
    return (radius * torch.cos(2 * torch.pi * uniform(seed, index, stream + 1).double())).float()


def positions(start: int, count: int, device: torch.device) -> Tensor:
    return torch.arange(start, start + count, device=device)


def as_range(value_range: Sequence[float]) -> tuple[float, float]:
    """The range of a config as a tuple; ValueError unless it is one that generators can end in: tanh's or sigmoid's."""
    low, high = tuple(value_range) if len(value_range) == 2 else (0.0, 0.0)
    if (low, high) not in ((-1, 1), (0, 1)):
        raise ValueError(f"value_range is [-1, 1] or [0, 1], not {list(value_range)}")
    return float(low), float(high)


def scale(pixels: Tensor, value_range: tuple[float, float]) -> Tensor:
    """uint8 -> float32 in `value_range`."""
    low, high = value_range
    return pixels.float().mul_((high - low) / 255).add_(low)
