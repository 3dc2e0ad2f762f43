"""What metrics compare: generated and real samples, and their features as a network computes them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal, NamedTuple, Protocol, TypeAlias

import torch
from torch import Tensor

from gan_cli.data.base import Dataset, Images
from gan_cli.systems.base import System
from gan_cli.utils.progress import Progress

__all__ = ["Better", "Dataset", "EvaluationData", "Extractor", "FeatureStore", "Features", "Metric",
           "Samples", "Statistics", "System", "finite", "labeled_by"]  # fmt: skip

Better: TypeAlias = Mapping[str, Literal["higher", "lower"] | None]
"""Name of a value (without `[extractor]`) -> the better direction, None for a value that has none."""


@dataclass(frozen=True, eq=False)
class Statistics:
    """The Gaussian of features that a file holds in place of images: mean (d,) and covariance (d, d), float64.

    extractor: `name:hash` of the network, None if the file does not say it. size: number of samples, None if unknown.
    hash: hexadecimal, of the two tensors.
    """

    mean: Tensor
    covariance: Tensor
    extractor: str | None
    size: int | None
    hash: str


@dataclass(eq=False)
class Samples:
    """`size` samples in batches, the same ones at each pass.

    split: `generated`, `train`, `test` or another source; part of every printed protocol. key: identifies real samples
    in the feature cache; None: their features are not cached. Images are float32 in [-1, 1], (N, C, H, W), on the
    device; points are (N, d, 1, 1) with their own coordinates. `used`: the largest number of samples that a metric has
    read. statistics: if there are no images, only what a file knows of their features; `batches` and `take` then raise
    a ValueError.
    """

    split: str
    size: int
    batches: Callable[[], Iterator[Images]]
    key: str | None = None
    used: int = 0
    statistics: Statistics | None = None

    def __len__(self) -> int:
        return self.size

    def __iter__(self) -> Iterator[Images]:
        count = 0
        for batch in self.batches():
            count += len(batch.image)
            self.used = max(self.used, count)
            yield batch

    def take(self, count: int | None = None) -> Images:
        """The first `count` samples (all, if omitted) as one batch on the CPU. ValueError if there are fewer."""
        count = self.size if count is None else count
        if count > self.size:
            raise ValueError(f"{count} {self.split} samples are asked for, and there are {self.size}; see n=")
        parts: list[Images] = []
        missing = count
        for batch in self:
            label = None if batch.label is None else batch.label[:missing].cpu()
            parts.append(Images(batch.image[:missing].cpu(), label))
            missing -= len(parts[-1].image)
            if missing <= 0:
                break
        labels = [part.label for part in parts if part.label is not None]
        return Images(torch.cat([part.image for part in parts]), torch.cat(labels) if labels else None)


class Features(NamedTuple):
    """Features of N samples, on the CPU.

    values: float32 (N, d). logits: float32 (N, K) if the extractor is a classifier. label: int64 (N,) if the samples
    have labels.
    """

    values: Tensor
    logits: Tensor | None = None
    label: Tensor | None = None


class Extractor(Protocol):
    """A network that computes features of images in [-1, 1].

    name: such as `inception` or `classifier:mnist`. hash: hexadecimal, of the weights and the preprocessing.
    """

    name: str
    hash: str

    def prepare(self, data: Dataset | None, device: torch.device) -> None:
        """Load, download or train the network for samples of `data` (None: folders of images).

        Sets `name` and `hash`. ValueError, which names the remedy, if that is not possible.
        """

    def __call__(self, images: Tensor) -> Features:
        """(N, C, H, W) in [-1, 1] -> features on the CPU."""


class FeatureStore(Protocol):
    """Features that one evaluation computes and later ones reuse; see metrics/feature_cache.py."""

    def get(self, key: str) -> Features | None: ...

    def put(self, key: str, features: Features) -> None: ...


class EvaluationData:
    """What a metric can use. `system` and `data` are None if two folders of images are compared.

    generated: the samples to score. train, test: real samples, those of `test` held out. validation: those that are
    neither, None if the data set withholds none. extractor: prepared at its first use. store: where features of real
    samples are cached. folder: where a metric may write images.
    """

    def __init__(
        self,
        generated: Samples,
        train: Samples,
        test: Samples,
        *,
        extractor: Extractor | None = None,
        store: FeatureStore | None = None,
        device: torch.device | None = None,
        system: System | None = None,
        data: Dataset | None = None,
        seed: int = 0,
        folder: Path | None = None,
        validation: Samples | None = None,
    ) -> None:
        self.generated, self.train, self.test, self.validation = generated, train, test, validation
        self.system, self.data, self.seed, self.folder = system, data, seed, folder
        self.device = device or torch.device("cpu")
        self.shows_progress = False
        self._extractor, self._store, self._prepared = extractor, store, False
        self._features: dict[Samples, Features] = {}

    @property
    def extractor(self) -> Extractor:
        """The feature extractor, prepared. ValueError if these samples have none."""
        if self._extractor is None:
            raise ValueError("this metric compares features of images, and no extractor was chosen")
        if not self._prepared:
            self._extractor.prepare(self.data, self.device)
            self._prepared = True
        return self._extractor

    @property
    def extractor_used(self) -> Extractor | None:
        """The extractor, if a metric has used it."""
        return self._extractor if self._prepared else None

    def features(self, samples: Samples) -> Features:
        """Features of all `samples`, computed once; those of real samples are cached on disk."""
        extractor = self.extractor
        if samples not in self._features:
            # Only real samples have a key: generated ones are never the same again.
            key = samples.key and f"{samples.key}-{samples.size}-{extractor.hash}"
            features = self._store.get(key) if key and self._store is not None else None
            if features is None:
                label = f"{extractor.name} of {samples.split}:"
                features = _extract(extractor, samples, self.progress(len(samples), "images", label))
                if key and self._store is not None:
                    self._store.put(key, features)
            samples.used = max(samples.used, len(features.values))
            self._features[samples] = features
        return self._features[samples]

    def progress(self, total: int, unit: str, label: str) -> Progress | None:
        """The progress of long work, as Progress describes it; None in the middle of a training."""
        return Progress(total, unit, label=label) if self.shows_progress else None

    def named(self, name: str) -> str:
        """`FID` for the Inception network, `FID[classifier:mnist:ab12]` for any other extractor."""
        return name if self.extractor.name == "inception" else labeled_by(self.extractor, name)


def labeled_by(extractor: Extractor, name: str) -> str:
    """The name of a value with that of the extractor: `FID[random:8369]`."""
    return f"{name}[{extractor.name}:{extractor.hash[:4]}]"


def _extract(extractor: Extractor, samples: Samples, progress: Progress | None) -> Features:
    parts = []
    for batch in samples:
        parts.append(extractor(batch.image)._replace(label=batch.label))
        if progress:
            progress.advance(len(batch.image))
    if not parts:
        raise ValueError(f"there are no {samples.split} samples to score; see n=")
    logits = [part.logits for part in parts if part.logits is not None]
    labels = [part.label.cpu() for part in parts if part.label is not None]
    values = finite(torch.cat([part.values for part in parts]), samples.split)
    return Features(values, torch.cat(logits) if logits else None, torch.cat(labels) if labels else None)


def finite(values: Tensor, split: str) -> Tensor:
    """`values` themselves. ValueError, which names the samples `split`, if one of them is NaN or infinite."""
    if not values.isfinite().all():
        raise ValueError(f"the {split} samples hold NaN or infinite values: there is nothing to score")
    return values


class Metric(ABC):
    """A score of generated samples. Subclasses are dataclasses whose fields are the settings of the protocol.

    Metrics are called without gradients, with the system in evaluation mode and random numbers from the evaluation's
    seed. better: the metric's values, the main one first. uses_statistics: whether mean and covariance of features can
    stand for samples.
    """

    better: ClassVar[Better]
    uses_statistics: ClassVar[bool] = False

    def check(self, system: System | None, data: Dataset | None) -> None:
        """Cheap check before any work: ValueError, which names the remedy, if these cannot be scored.

        Both are None if folders of images are compared.
        """
        return

    @abstractmethod
    def __call__(self, evaluation: EvaluationData) -> dict[str, float]:
        """Named values, with `evaluation.named(name)` where they depend on the extractor.

        ValueError if the samples do not suffice.
        """
