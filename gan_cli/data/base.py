"""Data sets and their batches.

A training batch depends only on the seed of the stream and on the position in it. A resumed run therefore continues
with the same samples without any saved state, and several processes can read shares of one stream.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, ClassVar, NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor

from gan_cli.utils.image_size import ImageSize

if TYPE_CHECKING:
    from gan_cli.data.listing import Files


class Images(NamedTuple):
    """Images: float32 (N, C, H, W) in the data set's range; label: int64 (N,), or None if the data have no labels."""

    image: Tensor
    label: Tensor | None = None


class Pairs(NamedTuple):
    """Paired images: source and target are float32 (N, C, H, W); source[i] should be translated to target[i]."""

    source: Tensor
    target: Tensor


class Domains(NamedTuple):
    """Unpaired images of two domains: x and y are float32 (N, C, H, W); x[i] and y[i] are unrelated."""

    x: Tensor
    y: Tensor


class SemiSupervised(NamedTuple):
    """Unlabeled images beside labeled ones: image and labeled are float32 (N, C, H, W); target: int64 (N,).

    target[i] is the class of labeled[i]; image[i] is unrelated to both.
    """

    image: Tensor
    labeled: Tensor
    target: Tensor

    @property
    def label(self) -> None:
        """The label of `image`, which is unknown."""


class LabelMaps(NamedTuple):
    """Label maps and the images that they describe: maps are int64 (N, 2, H, W), image is float32 (N, C, H, W).

    maps[:, 0] is the class of each pixel and maps[:, 1] the id of the instance that it belongs to. Where instances are
    not annotated, the second map equals the first.
    """

    maps: Tensor
    image: Tensor

    @property
    def label(self) -> None:
        """None, because an image with many classes has no single label."""


Batch = Images | Pairs | Domains | SemiSupervised | LabelMaps
TRAINING = "none, the training images are used"


class Dataset(ABC):
    """A stream of training batches and a set of held-out samples.

    batch_type: type of the training batches; held-out batches have the same type, except that a SemiSupervised data
    set holds out Images. image_size: pixels per side, or (height, width) if they differ. value_range: smallest and
    largest pixel value; None for points. num_classes: None if the batches have no labels. size, test_size: number of
    training and of held-out samples.
    validation_size: number of samples that are neither, for choices such as a bandwidth; most data sets have none.
    class_names: of the classes 0, 1, ..., if they have names.
    window: the values that become black and white in image files of more than 8 bits; None: the limits of their type.
    depth: bits per channel to which files are read. source_channels: those of the source of a translation, or of x;
    None if they are those of all images.
    files: those of which the fingerprint depends on names and sizes only, if it does.
    """

    batch_type: ClassVar[type] = Images
    class_names: tuple[str, ...] = ()
    image_size: ImageSize
    channels: int
    num_classes: int | None
    value_range: tuple[float, float] | None
    size: int
    test_size: int
    validation_size: int = 0
    holds_out: bool = True  # False if the data have no samples for tests, and the training samples are used
    window: tuple[float, float] | None = None
    depth: int = 8
    source_channels: int | None = None
    files: "Sequence[Files]" = ()

    @abstractmethod
    def train_batch(self, seed: int, start: int, count: int) -> Batch:
        """Return the augmented samples start .. start + count - 1 of the endless shuffled stream `seed`."""

    @abstractmethod
    def test_batch(self, start: int, count: int) -> Batch:
        """Return the held-out samples start .. start + count - 1 in a fixed order, which repeats after the last one."""

    def validation_batch(self, start: int, count: int) -> Batch:
        """Return the validation samples start .. start + count - 1 in a fixed order, of `validation_size`."""
        raise ValueError("this data set withholds no samples for validation")

    @abstractmethod
    def fingerprint(self) -> str:
        """Return a short name of the content, which is equal for equal data wherever they are stored."""

    def describe(self) -> str:
        """Say in words how many training and held-out samples there are."""
        validation = f"{self.validation_size:,} for validation, " if self.validation_size else ""
        held_out = f"{self.test_size:,} held out" if self.holds_out else f"held out: {TRAINING}"
        return f"{self.size:,} training samples, {validation}{held_out}"

    def to(self, device: torch.device) -> "Dataset":
        """Move the data that are in memory to `device`, where the batches are then made, and return the data set."""
        return self


def held_out(files: "Sequence[Files]", counts: Sequence[str]) -> str:
    """Say which images two domains hold out. files: training x, training y, held-out x, held-out y."""
    pairs = list(zip(files[:2], files[2:], strict=True))
    same = [test.root == train.root and not set(test.names).isdisjoint(train.names) for train, test in pairs]
    words = [TRAINING if training else count for training, count in zip(same, counts, strict=True)]
    return TRAINING if all(same) else " and ".join(words)


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
    """Return the sample numbers at the positions start .. start + count - 1 of the stream `seed`, int64 (count,).

    Each epoch of `size` positions is another permutation of 0 .. size - 1.
    """
    parts = []
    while count > 0:
        epoch, offset = divmod(start, size)
        part = _permutation(seed, epoch, size)[offset : offset + count]
        parts.append(part)
        start, count = start + len(part), count - len(part)
    return torch.cat(parts)


@lru_cache(maxsize=8)  # consecutive batches need the same permutation, and two domains have one each
def _permutation(seed: int, epoch: int, size: int) -> Tensor:
    # Seed and epoch are mixed, because generators that are seeded with neighboring numbers may give similar streams.
    key = int(mix(torch.tensor([seed]), stream=epoch)[0])
    return torch.randperm(size, generator=torch.Generator().manual_seed(key & 0x7FFF_FFFF_FFFF_FFFF))


_GOLDEN, _MIX1, _MIX2 = -0x61C8_8646_80B5_83EB, -0x40A7_B892_E31B_1A47, -0x6B2F_B644_ECCE_EE15


def mix(values: Tensor, stream: int = 0) -> Tensor:
    """Hash int64 values to int64 values that look random: the finalizer of splitmix64 (Steele, Lea, Flood 2014), twice.

    This is a counter-based generator: random number `stream` of sample `values[i]` is a function of the two, so that
    no state must be saved and samples can be computed in any order and on any device.
    """
    z = _finish(values + _GOLDEN)
    return _finish(z + _wrap((stream + 1) * _GOLDEN))


def _finish(z: Tensor) -> Tensor:
    z = (z ^ _shift(z, 30)) * _MIX1
    z = (z ^ _shift(z, 27)) * _MIX2
    return z ^ _shift(z, 31)


def _shift(z: Tensor, bits: int) -> Tensor:
    """Shift right and fill with zeros; torch's shift copies the sign bit."""
    return (z >> bits) & ((1 << (64 - bits)) - 1)


def _wrap(value: int) -> int:
    """Reduce an integer modulo 2^64 to the range of int64."""
    return (value + 2**63) % 2**64 - 2**63


def uniform(seed: int, index: Tensor, stream: int) -> Tensor:
    """Return random number `stream` of each sample of `index` (int64) under `seed`: uniform in [0, 1), float32."""
    key = int(mix(torch.tensor([seed]), stream=0x5EED)[0])
    return (_shift(mix(index ^ key, stream), 40)).float() / 2**24  # 24 bits: all that a float32 below 1 can hold


def normal(seed: int, index: Tensor, stream: int) -> Tensor:
    """Return N(0, 1), float32, for each sample of `index`: Box and Muller of its numbers `stream` and `stream` + 1."""
    radius = (-2 * torch.log1p(-uniform(seed, index, stream).double())).sqrt()
    return (radius * torch.cos(2 * torch.pi * uniform(seed, index, stream + 1).double())).float()


def positions(start: int, count: int, device: torch.device) -> Tensor:
    """Return start .. start + count - 1, int64 (count,)."""
    return torch.arange(start, start + count, device=device)


def mean_image(data: Dataset) -> Tensor:
    """The mean (C, H, W) of all training images, float64."""
    batches = (data.train_batch(0, start, min(1000, data.size - start)) for start in range(0, data.size, 1000))
    sums = [batch.image.double().sum(0) for batch in batches if isinstance(batch, Images)]
    return torch.stack(sums).sum(0) / data.size


def as_range(value_range: Sequence[float]) -> tuple[float, float]:
    """Return the range of a config as a tuple. ValueError unless a generator can end in it: by tanh or by a sigmoid."""
    low, high = tuple(value_range) if len(value_range) == 2 else (0.0, 0.0)
    if (low, high) not in ((-1, 1), (0, 1)):
        raise ValueError(f"value_range is [-1, 1] or [0, 1], not {list(value_range)}")
    return float(low), float(high)


def scale(pixels: Tensor, value_range: tuple[float, float]) -> Tensor:
    """Convert pixels from uint8 or uint16 to float32 in `value_range`."""
    low, high = value_range
    return pixels.float().mul_((high - low) / (65535 if pixels.dtype == torch.uint16 else 255)).add_(low)
