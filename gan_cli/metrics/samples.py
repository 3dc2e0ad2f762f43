"""The samples that metrics compare: those of a model, of a data set, and noise."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import cast

import torch
from torch import Tensor

from gan_cli.data.base import Batch, Dataset, Domains, Images, Pairs, mix
from gan_cli.metrics.base import EvaluationData, Extractor, FeatureStore, Samples
from gan_cli.metrics.pixels import symmetric
from gan_cli.systems.base import Generates, System, Translates, test_mode
from gan_cli.utils.image_size import sides

BATCH = 250  # samples per batch
TRANSLATED = 25  # translations per batch
SHUFFLE = 0  # seed of the order in which training samples serve as the reference


def from_model(
    system: System,
    data: Dataset,
    n: int,
    *,
    seed: int = 0,
    direction: str | None = None,
    extractor: Extractor | None = None,
    store: FeatureStore | None = None,
    folder: Path | None = None,
) -> EvaluationData:
    """`n` generated samples, n training samples, and as many held-out samples as there are, at most n.

    The samples of a translation model are its translations of held-out images in `direction` (its first one if
    omitted); they are compared with real images of the target domain. ValueError if the data are too few.
    """
    n_test = min(n, data.test_size)
    domain = None
    if system.directions:
        direction = direction or system.directions[0]
        source = system.directions.index(direction)
        n, domain = n_test, 1 - source
        generated = Samples(f"translated {direction}", n, lambda: _translated(system, data, n, source, seed))
    else:
        generated = Samples("generated", n, lambda: _generated(system, data, n, seed))
    name = data.fingerprint()
    return EvaluationData(
        generated,
        real(data, "train", min(n, data.size), domain, name),
        real(data, "test", n_test, domain, name),
        extractor=extractor, store=store, device=system.device, system=system, data=data, seed=seed, folder=folder,
        validation=real(data, "validation", data.validation_size, domain, name) if data.validation_size else None,
    )  # fmt: skip


def real(data: Dataset, split: str, n: int, domain: int | None = None, name: str | None = None) -> Samples:
    """The first `n` samples of a split: `train` (shuffled, augmented as for training), `validation` or `test`.

    domain: of the batches of a data set for translation, only this part, 0 or 1. name: of the data set in the feature
    cache; its fingerprint if omitted.
    """
    splits: dict[str, Callable[[int, int], Batch]] = {
        "train": partial(data.train_batch, SHUFFLE), "validation": data.validation_batch, "test": data.test_batch
    }  # fmt: skip

    def batches() -> Iterator[Images]:
        for start in range(0, n, BATCH):
            batch = splits[split](start, min(BATCH, n - start))
            if domain is None:
                assert not isinstance(batch, (Pairs, Domains))
                yield Images(symmetric(batch.image, data.value_range), batch.label)
            else:
                yield Images(symmetric(cast(Tensor, batch[domain]), data.value_range))

    suffix = "" if domain is None else f"-domain{domain}"
    return Samples(split, n, batches, key=f"{name or data.fingerprint()}-{split}{suffix}")


def noise(like: Dataset, n: int, seed: int = 0) -> Samples:
    """Uniform noise of the shape of `like`'s images: every metric must rank it last."""

    def batches() -> Iterator[Images]:
        for start in range(0, n, BATCH):
            generator = torch.Generator().manual_seed(_batch_seed(seed, start))
            shape = (min(BATCH, n - start), like.channels, *sides(like.image_size))
            yield Images(2 * torch.rand(shape, generator=generator) - 1)

    return Samples("noise", n, batches)


def _generated(system: System, data: Dataset, n: int, seed: int) -> Iterator[Images]:
    if not isinstance(system, Generates):
        raise ValueError("this model generates no samples; metric=classification_error scores a ladder network")
    for start in range(0, n, BATCH):
        with test_mode(system, _batch_seed(seed, start)):
            images = system.generate(min(BATCH, n - start))
        yield Images(symmetric(images, data.value_range))


def _translated(system: System, data: Dataset, n: int, source: int, seed: int) -> Iterator[Images]:
    assert isinstance(system, Translates)
    for start in range(0, n, TRANSLATED):
        batch = data.test_batch(start, min(TRANSLATED, n - start))
        with test_mode(system, _batch_seed(seed, start)):
            images = system.translate(cast(Tensor, batch[source]).to(system.device), system.directions[source])
        yield Images(symmetric(images, data.value_range))


def _batch_seed(seed: int, start: int) -> int:
    """A separate seed for each batch, so that a pass over the samples may stop and start anywhere."""
    return int(mix(torch.tensor([seed]), stream=start)[0]) & 0x7FFF_FFFF_FFFF_FFFF
