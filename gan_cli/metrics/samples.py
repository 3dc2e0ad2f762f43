"""Where the samples that metrics score come from: a game, a data set, two folders, noise."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gan_cli.data.base import Dataset, Images, mix
from gan_cli.metrics.base import EvaluationData, Extractor, FeatureStore, Samples
from gan_cli.systems.base import System, test_mode

BATCH = 250
SHUFFLE = 0  # the order in which training samples are taken as reference


def from_model(
    system: Any,
    data: Dataset,
    n: int,
    *,
    seed: int = 0,
    direction: str | None = None,
    extractor: Extractor | None = None,
    store: FeatureStore | None = None,
    folder: Path | None = None,
) -> EvaluationData:
    """`n` samples of `game` beside n training samples and as many held-out ones as there are, at most n.

    A game that translates is scored on the held-out sources of `direction` (its first one if left out), beside real
    images of the target domain. ValueError when the data are too few.
    """
    translating = bool(system.directions)
    view = _target_view(system, direction) if translating else _image_view
    n_test = min(n, data.test_size)
    if translating:
        direction = direction or system.directions[0]
        n = n_test
        generated = Samples(f"translated {direction}", n, lambda: _translated(system, data, n, direction, seed))
    else:
        generated = Samples("generated", n, lambda: _generated(system, data, n, seed))
    print_name = data.fingerprint()
    return EvaluationData(
        generated,
        real(data, "train", min(n, data.size), view, print_name),
        real(data, "test", n_test, view, print_name),
        extractor=extractor, store=store, device=system.device, system=system, data=data, seed=seed, folder=folder,
    )


View = Callable[[Any], tuple[Tensor, Tensor | None]]


def real(data: Dataset, split: str, n: int, view: View | None = None, name: str | None = None) -> Samples:
    """The first `n` samples of a data set's split, `train` (in shuffled order, augmented as for training) or `test`."""
    view = view or _image_view

    def batches() -> Iterator[Images]:
        for start in range(0, n, BATCH):
            count = min(BATCH, n - start)
            batch = data.train_batch(SHUFFLE, start, count) if split == "train" else data.test_batch(start, count)
            image, label = view(batch)
            yield Images(_standard(image, data), label)

    suffix = "" if view is _image_view else f"-{getattr(view, 'name', 'view')}"
    return Samples(split, n, batches, key=f"{name or data.fingerprint()}-{split}{suffix}")


def noise(like: Dataset, n: int, seed: int = 0) -> Samples:
    """Uniform noise of the shape of `like`'s images: what every metric must rank last."""

    def batches() -> Iterator[Images]:
        for start in range(0, n, BATCH):
            generator = torch.Generator().manual_seed(_key(seed, start))
            shape = (min(BATCH, n - start), like.channels, like.image_size, like.image_size)
            yield Images(2 * torch.rand(shape, generator=generator) - 1)

    return Samples("noise", n, batches)


def _generated(system: Any, data: Dataset, n: int, seed: int) -> Iterator[Images]:
    if not hasattr(system, "generate"):
        raise ValueError("this game draws no samples that could be scored; metric=classification_error scores a ladder network")
    for start in range(0, n, BATCH):
        with test_mode(system, _key(seed, start)):
            images = system.generate(min(BATCH, n - start))
        yield Images(_standard(images, data))


def _translated(system: Any, data: Dataset, n: int, direction: str, seed: int) -> Iterator[Images]:
    source = system.directions.index(direction)
    for start in range(0, n, BATCH // 10):
        batch: Any = data.test_batch(start, min(BATCH // 10, n - start))
        with test_mode(system, _key(seed, start)):
            images = system.translate(batch[source].to(system.device), direction)
        yield Images(_standard(images, data))


def _image_view(batch: Any) -> tuple[Tensor, Tensor | None]:
    return batch.image, batch.label


def _target_view(system: System, direction: str | None) -> View:
    """The domain that `direction` leads to."""
    at = system.directions.index(direction) if direction else 0

    def view(batch: Any) -> tuple[Tensor, Tensor | None]:
        return batch[1 - at], None

    view.name = f"domain{1 - at}"  # type: ignore[attr-defined]
    return view


def _standard(images: Tensor, data: Dataset) -> Tensor:
    """In [-1, 1], whatever the data set's range; points stay as they are."""
    if data.value_range is None or data.value_range[0] == -1:
        return images
    low, high = data.value_range
    return (images - low) * (2 / (high - low)) - 1


def _key(seed: int, start: int) -> int:
    """A seed of its own for each batch, so that a pass may stop and start anywhere."""
    return int(mix(torch.tensor([seed]), stream=start)[0]) & 0x7FFF_FFFF_FFFF_FFFF
