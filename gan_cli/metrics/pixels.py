"""What metrics on raw samples share: ranges, distances in blocks, pairs, samples of a label-conditional game."""

from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor

from gan_cli.metrics.base import EvaluationData, Samples
from gan_cli.utils.clustering import squared_distances

BATCH = 250


def symmetric(images: Tensor, value_range: tuple[float, float] | None) -> Tensor:
    """Images in `value_range` -> in [-1, 1]; points (None) stay as they are."""
    if value_range is None:
        return images
    low, high = value_range
    return images if (low, high) == (-1, 1) else (images - low) * (2 / (high - low)) - 1


def unit(images: Tensor) -> Tensor:
    """[-1, 1] -> [0, 1]."""
    return (images + 1) / 2


def need_images(metric: str, data: Any) -> None:
    """ValueError if `data` holds points."""
    if data is not None and data.value_range is None:
        raise ValueError(f"the {metric} metric looks at images, and this data set holds points: metric=modes")


def finite(values: Tensor, split: str) -> Tensor:
    """`values`; ValueError if they are not all finite."""
    if not values.isfinite().all():
        raise ValueError(f"the {split} samples hold NaN or infinite values: there is nothing to score")
    return values


def rows(samples: Samples, count: int | None = None) -> Tensor:
    """The first `count` (all, if left out) as float32 (count, d) on the CPU. ValueError if too few or not finite."""
    return finite(samples.take(count).image.flatten(1), samples.split)


def pick(samples: Samples, index: Tensor) -> Tensor:
    """The images with the numbers `index` (M,), in that order, on the CPU. ValueError if they are not finite."""
    found: list[tuple[Tensor, Tensor]] = []
    start, last = 0, int(index.max())
    for batch in samples:
        at = ((index >= start) & (index < start + len(batch.image))).nonzero()[:, 0]
        found.append((at, batch.image.cpu()[index[at] - start]))
        start += len(batch.image)
        if start > last:
            break
    where = torch.cat([at for at, _ in found])
    return finite(torch.cat([images for _, images in found])[where.argsort()], samples.split)


def pairs(n: int, count: int, seed: int) -> Tensor:
    """(2, count): numbers of two different samples out of n, drawn evenly. ValueError if n < 2."""
    if n < 2:
        raise ValueError(f"a distance between two samples needs two, and there is {n}; see n=")
    generator = torch.Generator().manual_seed(seed)
    first = torch.randint(n, (count,), generator=generator)
    return torch.stack([first, (first + torch.randint(1, n, (count,), generator=generator)) % n])


def nearest(query: Tensor, base: Iterable[Tensor], k: int = 1) -> tuple[Tensor, Tensor]:
    """query (N, d), base in blocks of (M, d) -> L2 distances (N, k), rising, and the numbers (N, k) of those rows.

    In the precision of `query`; blocks move to its device. ValueError if the base has fewer than k rows.
    """
    square = query.new_empty(len(query), 0)
    number = torch.empty(len(query), 0, dtype=torch.int64, device=query.device)
    start = 0
    for block in base:
        block = block.to(query)
        fresh = torch.arange(start, start + len(block), device=query.device).expand(len(query), -1)
        square, best = torch.cat([square, squared_distances(query, block)], 1).topk(
            min(k, square.shape[1] + len(block)), dim=1, largest=False
        )
        number = torch.cat([number, fresh], 1).gather(1, best)
        start += len(block)
    if start < k:
        raise ValueError(f"{k} nearest samples are asked for, and there are {start}; see n=")
    return square.sqrt(), number


def need_labels(metric: str, system: Any, data: Any) -> None:
    """ValueError unless `game` is asked for a class and `data` has classes."""
    if not getattr(system, "needs_labels", False):
        raise ValueError(f"the {metric} metric needs a game that is conditional on labels: model=cgan")
    if data is None or data.num_classes is None:
        raise ValueError(f"the {metric} metric needs a labelled data set, such as dataset=mnist")


def labelled(evidence: EvaluationData, n: int) -> Iterator[tuple[Tensor, Tensor]]:
    """n images of a label-conditional game with the classes that were asked for, in turn: 0, 1, ...

    In batches on the game's device; images in [-1, 1]. ValueError if they are not finite.
    """
    system, data = evidence.system, evidence.data
    evidence.generated.used = max(evidence.generated.used, n)
    for start in range(0, n, BATCH):
        label = torch.arange(start, min(n, start + BATCH), device=evidence.device) % data.num_classes
        images = symmetric(system.generate(len(label), label), data.value_range)
        yield finite(images, "generated"), label
