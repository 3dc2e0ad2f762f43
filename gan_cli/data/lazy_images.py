"""Pictures that are decoded when they are drawn, for data that no memory holds, and the order they come in."""

import os
from abc import abstractmethod
from bisect import bisect_right
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any, NamedTuple

import torch
from PIL.Image import Image
from torch import Tensor

from gan_cli.data import image_files
from gan_cli.data.base import Dataset, Images, as_range, mix, order, scale, uniform
from gan_cli.data.folders import AUGMENT, check_shape

BLOCKS = 0xB10C  # the stream of random numbers that tells blocks apart


class Epoch(NamedTuple):
    """blocks: the numbers of the archives in each. ends: the first position of the epoch after each block."""

    blocks: list[Tensor]
    ends: list[int]


class BlockOrder:
    """Positions of an endless shuffled stream -> (archive, sample in it), of archives with `counts` samples.

    Each epoch permutes the archives and deals them into blocks of at most `together`; a block's samples come in random
    order before those of the next. So each sample comes once in an epoch, the order depends on nothing but the seed and
    the position, and no more than a block's archives are in use.
    """

    def __init__(self, counts: Tensor, together: int) -> None:
        if together < 1:
            raise ValueError(f"shuffle_shards {together}: it must be at least 1")
        self.counts, self.size = counts, int(counts.sum())
        self._blocks = -(-len(counts) // together)
        self._epoch = lru_cache(maxsize=4)(self._deal)

    def __call__(self, seed: int, start: int, count: int) -> Tensor:
        """int64 (count, 2): archive and sample."""
        parts = []
        while count > 0:
            part = self._within_block(seed, start, count)
            parts.append(part)
            start, count = start + len(part), count - len(part)
        return torch.cat(parts)

    def after(self, seed: int, position: int) -> tuple[int, ...]:
        """The archives of the next block, in the second half of one; none in the first half."""
        epoch, offset = divmod(position, self.size)
        plan = self._epoch(seed, epoch)
        block = bisect_right(plan.ends, offset)
        if 2 * (plan.ends[block] - offset) > int(self.counts[plan.blocks[block]].sum()):
            return ()
        last = block + 1 == self._blocks
        return tuple((self._epoch(seed, epoch + 1).blocks[0] if last else plan.blocks[block + 1]).tolist())

    def _within_block(self, seed: int, start: int, count: int) -> Tensor:
        """As __call__, but to the end of the block at most."""
        epoch, offset = divmod(start, self.size)
        plan = self._epoch(seed, epoch)
        block = bisect_right(plan.ends, offset)
        archives = plan.blocks[block]
        ends = self.counts[archives].cumsum(0)
        total = int(ends[-1])
        first = plan.ends[block] - total
        key = int(mix(mix(torch.tensor([seed]), stream=BLOCKS + epoch), stream=block)[0])
        drawn = order(key, offset - first, min(count, plan.ends[block] - offset), total)
        which = torch.searchsorted(ends, drawn, right=True)
        return torch.stack([archives[which], drawn - (ends - self.counts[archives])[which]], dim=1)

    def _deal(self, seed: int, epoch: int) -> Epoch:
        total = len(self.counts)
        archives = order(seed, epoch * total, total, total)
        blocks = list(archives.tensor_split(self._blocks))
        ends = torch.stack([self.counts[block].sum() for block in blocks]).cumsum(0)
        return Epoch(blocks, ends.tolist())


class DrawnImages(Dataset):
    """Pictures in parts (archives, runs of rows): centre cropped to squares and resized, half of the training ones
    mirrored where `flip`. As many threads decode as there are cores.

    A subclass says in its `__init__` what there is, by `count`, and opens it in `pictures`.
    """

    value_range: tuple[float, float]

    def __init__(
        self, image_size: int, channels: int, num_classes: int | None, value_range: Sequence[float], flip: bool
    ) -> None:
        check_shape(image_size, channels)
        self.image_size, self.channels, self.num_classes = image_size, channels, num_classes
        self.value_range, self.flip = as_range(value_range), flip
        self._threads = ThreadPoolExecutor(min(8, os.cpu_count() or 1), "decode")

    def count(self, train: Tensor, test: Tensor, together: int) -> None:
        """How many samples each part of the training and of the held-out pictures has, and how many parts are mixed."""
        self._order = BlockOrder(train, together)
        self._ends, self._begins = test.cumsum(0), test.cumsum(0) - test
        self.size, self.test_size = self._order.size, int(test.sum())

    @abstractmethod
    def pictures(self, where: Tensor, held_out: bool) -> tuple[list[Callable[[], Image]], list[int]]:
        """What reads each picture, and the labels. where: int64 (n, 2), part and sample."""

    def train_batch(self, seed: int, start: int, count: int) -> Images:
        mirror = uniform(seed, torch.arange(start, start + count), AUGMENT) < 0.5 * self.flip
        return self._images(*self.pictures(self._order(seed, start, count), False), mirror)

    def test_batch(self, start: int, count: int) -> Images:
        index = torch.arange(start, start + count) % self.test_size
        part = torch.searchsorted(self._ends, index, right=True)
        where = torch.stack([part, index - self._begins[part]], dim=1)
        return self._images(*self.pictures(where, True), torch.zeros(count, dtype=torch.bool))

    def _images(self, readers: Sequence[Callable[[], Image]], labels: list[int], mirror: Tensor) -> Images:
        def pixels(read: Callable[[], Image], flip: Any) -> Tensor:
            picture = image_files.to_tensor(image_files.resize_crop(read(), self.image_size))
            return picture.flip(2) if flip else picture

        image = scale(torch.stack(list(self._threads.map(pixels, readers, mirror))), self.value_range)
        return Images(image, None if self.num_classes is None else torch.tensor(labels))
