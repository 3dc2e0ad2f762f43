"""What a metric looks at: samples of a generator beside real ones, and what a network sees in both."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple, Protocol

import torch
from torch import Tensor

from gan_cli.data.base import Images


class Samples:
    """`size` samples in batches, the same ones at each pass.

    split: `generated`, `train`, `test` or where they come from; part of every printed protocol. key: names real
    samples in the cache of their features; None: they are not kept. Images are float32 in [-1, 1], (N, C, H, W), on
    the device; points are (N, d, 1, 1) as they are. `used`: the largest number that a metric has looked at.
    """

    def __init__(
        self, split: str, size: int, batches: Callable[[], Iterator[Images]], key: str | None = None
    ) -> None:
        self.split, self.size, self.key, self._batches = split, size, key, batches
        self.used = 0

    def __len__(self) -> int:
        return self.size

    def __iter__(self) -> Iterator[Images]:
        seen = 0
        for batch in self._batches():
            seen += len(batch.image)
            self.used = max(self.used, seen)
            yield batch

    def take(self, count: int | None = None) -> Images:
        """The first `count` (all, if left out) as one batch on the CPU. ValueError when there are fewer."""
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
    """values: float32 (N, d); logits: float32 (N, K) of a classifier, or None; label: int64 (N,) of the samples, if
    they have one. On the CPU."""

    values: Tensor
    logits: Tensor | None = None
    label: Tensor | None = None


class Extractor(Protocol):
    """A network that turns images in [-1, 1] into features.

    name: such as `inception` or `classifier:mnist`. hash: hexadecimal, of weights and preprocessing (resize too).
    """

    name: str
    hash: str

    def prepare(self, data: Any, device: torch.device) -> None:
        """Make ready for samples of the data set `data` (None: folders): load, fetch or train the network.
        Sets `name` and `hash`. ValueError, naming the remedy, when that is not possible."""

    def __call__(self, images: Tensor) -> Features:
        """(N, C, H, W) in [-1, 1] -> features on the CPU."""


class FeatureStore(Protocol):
    """Features kept from one evaluation to the next (metrics/store.py)."""

    def get(self, key: str) -> Features | None: ...

    def put(self, key: str, features: Features) -> None: ...


class EvaluationData:
    """All that metrics may ask for. `game` and `data` are None when two folders are compared.

    generated: the samples to score. train, test: real ones; test are held out. extractor: prepared at first use.
    folder: where a metric may leave pictures.
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
        system: Any = None,
        data: Any = None,
        seed: int = 0,
        folder: Path | None = None,
    ) -> None:
        self.generated, self.train, self.test = generated, train, test
        self.system, self.data, self.seed, self.folder = system, data, seed, folder
        self.device = device or torch.device("cpu")
        self._extractor, self._store, self._prepared = extractor, store, False
        self._memory: dict[Samples, Features] = {}

    @property
    def extractor(self) -> Extractor:
        """The feature extractor, ready. ValueError when there is none for these samples."""
        if self._extractor is None:
            raise ValueError("this metric looks at images through a network, and no extractor was chosen")
        if not self._prepared:
            self._extractor.prepare(self.data, self.device)
            self._prepared = True
        return self._extractor

    @property
    def extractor_used(self) -> Extractor | None:
        """The extractor, if a metric has looked through it."""
        return self._extractor if self._prepared else None

    def features(self, samples: Samples) -> Features:
        """What the extractor sees in all of `samples`; computed once, and for real ones kept on disk."""
        extractor = self.extractor
        if samples not in self._memory:
            key = samples.key and f"{samples.key}-{samples.size}-{extractor.hash}"
            found = self._store.get(key) if key and self._store is not None else None
            if found is None:
                found = _extract(extractor, samples)
                if key and self._store is not None:
                    self._store.put(key, found)
            samples.used = max(samples.used, len(found.values))
            self._memory[samples] = found
        return self._memory[samples]

    def named(self, name: str) -> str:
        """`FID` through the Inception network; through any other extractor `FID[classifier:mnist:ab12]`."""
        extractor = self.extractor
        return name if extractor.name == "inception" else f"{name}[{extractor.name}:{extractor.hash[:4]}]"


def _extract(extractor: Extractor, samples: Samples) -> Features:
    parts = [extractor(batch.image)._replace(label=batch.label) for batch in samples]
    if not parts:
        raise ValueError(f"there are no {samples.split} samples to score; see n=")
    logits = [part.logits for part in parts if part.logits is not None]
    labels = [part.label.cpu() for part in parts if part.label is not None]
    values = torch.cat([part.values for part in parts])
    if not values.isfinite().all():
        raise ValueError(f"the {samples.split} samples hold NaN or infinite values: there is nothing to score")
    return Features(values, torch.cat(logits) if logits else None, torch.cat(labels) if labels else None)


class Metric(ABC):
    """Scores evidence. Subclasses are dataclasses whose fields are the protocol's settings. Called without gradients,
    the game in evaluation mode and its random numbers from the evaluation's seed.

    better: the names of its values (without `[extractor]`), the main one first, and which way is good; a value that
    is neither is None.
    """

    better: ClassVar[Mapping[str, Literal["higher", "lower"] | None]]

    def check(self, system: Any, data: Any) -> None:
        """ValueError, naming the remedy, if `game` and `data` (None: folders) cannot be scored. Cheap."""
        return

    @abstractmethod
    def __call__(self, evidence: EvaluationData) -> dict[str, float]:
        """Named values, `evidence.named(name)` where they depend on the extractor. ValueError when the samples do
        not suffice."""
