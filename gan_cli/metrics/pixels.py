"""Shared parts of the metrics on raw samples: ranges, held-out batches, pairs, nearest samples, conditional samples."""

from collections.abc import Callable, Iterable, Iterator
from typing import cast

import torch
from torch import Tensor

from gan_cli.data.base import Batch, Dataset
from gan_cli.metrics.base import EvaluationData, Samples, finite
from gan_cli.systems.base import Generates, System
from gan_cli.utils.clustering import squared_distances

BATCH = 250  # samples that are generated at once


def symmetric(images: Tensor, value_range: tuple[float, float] | None) -> Tensor:
    """Images in `value_range` -> in [-1, 1]; points (value_range None) are returned as they are."""
    if value_range is None:
        return images
    low, high = value_range
    return images if (low, high) == (-1, 1) else (images - low) * (2 / (high - low)) - 1


def unit(images: Tensor) -> Tensor:
    """[-1, 1] -> [0, 1]."""
    return (images + 1) / 2


def rgb(images: Tensor) -> Tensor:
    """(N, 1 or 3, H, W) -> (N, 3, H, W). ValueError for another number of channels, and so for points."""
    if images.shape[1] not in (1, 3):
        raise ValueError(f"this extractor needs gray or RGB images, not {images.shape[1]} channels: extractor=pixels")
    return images.expand(-1, 3, -1, -1)


def l1_each(a: Tensor, b: Tensor) -> Tensor:
    """Mean absolute difference of each pair, (N, ...) twice -> (N,), in units of their range."""
    return (a.double() - b.double()).abs().flatten(1).mean(1)


def need_images(metric: str, data: Dataset | None) -> None:
    """ValueError if `data` holds points."""
    if data is not None and data.value_range is None:
        raise ValueError(f"the {metric} metric compares images, and this data set holds points: metric=modes")


def need_labels(metric: str, system: System | None, data: Dataset | None) -> None:
    """ValueError unless the model is conditional on labels and `data` has classes."""
    if system is None or not system.needs_labels:
        raise ValueError(f"the {metric} metric needs a model that is conditional on labels: model=cgan")
    if data is None or data.num_classes is None:
        raise ValueError(f"the {metric} metric needs a labeled data set, such as dataset=mnist")


def rows(samples: Samples, count: int | None = None) -> Tensor:
    """The first `count` samples (all, if omitted) as float32 (count, d) on the CPU.

    ValueError if there are too few, or if they are not finite.
    """
    return finite(samples.take(count).image.flatten(1), samples.split)


def pick(samples: Samples, index: Tensor) -> Tensor:
    """The images with the numbers `index` (M,), in that order, on the CPU. ValueError if they are not finite."""
    images: list[Tensor] = []
    places: list[Tensor] = []  # where in `index` these images belong
    start, last = 0, int(index.max())
    for batch in samples:
        place = ((index >= start) & (index < start + len(batch.image))).nonzero()[:, 0]
        images.append(batch.image.cpu()[index[place] - start])
        places.append(place)
        start += len(batch.image)
        if start > last:
            break
    return finite(torch.cat(images)[torch.cat(places).argsort()], samples.split)


def pairs(n: int, count: int, seed: int) -> Tensor:
    """(2, count): the numbers of two different samples out of n, uniformly at random. ValueError if n < 2."""
    if n < 2:
        raise ValueError(f"a distance between two samples needs two, and there is {n}; see n=")
    generator = torch.Generator().manual_seed(seed)
    first = torch.randint(n, (count,), generator=generator)
    return torch.stack([first, (first + torch.randint(1, n, (count,), generator=generator)) % n])


def nearest(query: Tensor, base: Iterable[Tensor], k: int = 1) -> tuple[Tensor, Tensor]:
    """The k nearest rows of `base` for each row of `query`.

    query (N, d), base in blocks of (M, d) -> L2 distances (N, k), ascending, and the numbers (N, k) of those rows. In
    the precision of `query`; blocks are moved to its device. ValueError if the base has fewer than k rows.
    """
    square = query.new_empty(len(query), 0)
    number = torch.empty(len(query), 0, dtype=torch.int64, device=query.device)
    start = 0
    for block in base:
        block = block.to(query)
        candidates = torch.arange(start, start + len(block), device=query.device).expand(len(query), -1)
        square, best = torch.cat([square, squared_distances(query, block)], 1).topk(
            min(k, square.shape[1] + len(block)), dim=1, largest=False
        )
        number = torch.cat([number, candidates], 1).gather(1, best)
        start += len(block)
    if start < k:
        raise ValueError(f"{k} nearest samples are asked for, and there are {start}; see n=")
    return square.sqrt(), number


def held_out(
    evaluation: EvaluationData, size: int, batches: Callable[[int, int], Batch] | None = None
) -> Iterator[tuple[Tensor, Tensor]]:
    """Held-out batches of `size` samples: image and label, x and y, source and target, or label maps and image.

    batches: (start, count) -> batch; the data set's own held-out batches if omitted.
    """
    n = evaluation.test.used = evaluation.test.size
    if batches is None:
        assert evaluation.data is not None
        batches = evaluation.data.test_batch
    return in_batches(batches, n, size)


def in_batches(batches: Callable[[int, int], Batch], n: int, size: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Samples 0 .. n - 1 of `batches`, (start, count) -> batch, in batches of `size` samples with two parts each."""
    for start in range(0, n, size):
        yield cast(tuple[Tensor, Tensor], batches(start, min(size, n - start)))


def class_samples(evaluation: EvaluationData, n: int) -> Iterator[tuple[Tensor, Tensor]]:
    """n images of a label-conditional model with the classes that were asked for, in turn: 0, 1, ...

    In batches on the model's device; images in [-1, 1]. ValueError if they are not finite.
    """
    system, data = evaluation.system, evaluation.data
    assert isinstance(system, Generates) and data is not None and data.num_classes is not None
    evaluation.generated.used = max(evaluation.generated.used, n)
    for start in range(0, n, BATCH):
        label = torch.arange(start, min(n, start + BATCH), device=evaluation.device) % data.num_classes
        images = symmetric(system.generate(len(label), label), data.value_range)
        yield finite(images, "generated"), label
