"""Data sets larger than memory: images that are decoded when a batch needs them, and the order of their samples."""

import os
from abc import abstractmethod
from bisect import bisect_right
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import NamedTuple

import torch
from PIL.Image import Image
from torch import Tensor

from gan_cli.data import image_files
from gan_cli.data.base import Dataset, Images, as_range, mix, order, scale, uniform
from gan_cli.data.folders import check_shape
from gan_cli.data.notes import say_if_dark
from gan_cli.data.preprocess import AUGMENT_STREAM

BLOCK_STREAM = 0xB10C  # the stream of random numbers that seeds the order within a block


class Epoch(NamedTuple):
    """The blocks of an epoch: the numbers of the archives of each, and the first position of the epoch after each."""

    blocks: list[Tensor]
    ends: list[int]


class BlockOrder:
    """The order of an endless shuffled stream of samples that are stored in archives.

    Each epoch permutes the archives and splits them into blocks of at most `together`. The samples of a block are
    shuffled among each other and come before those of the next block. A full shuffle would need all archives open at
    once; shuffling within blocks needs those of one block, still uses each sample once per epoch, and the order depends
    only on the seed and the position, so that a run can resume anywhere.

    counts: number of samples of each archive, int64.
    """

    def __init__(self, counts: Tensor, together: int) -> None:
        if together < 1:
            raise ValueError(f"shuffle_shards {together}: it must be at least 1")
        self.counts, self.size = counts, int(counts.sum())
        self._blocks = -(-len(counts) // together)
        self._epoch = lru_cache(maxsize=4)(self._split)

    def __call__(self, seed: int, start: int, count: int) -> Tensor:
        """Return archive and sample at the positions start .. start + count - 1, int64 (count, 2)."""
        parts = []
        while count > 0:
            part = self._within_block(seed, start, count)
            parts.append(part)
            start, count = start + len(part), count - len(part)
        return torch.cat(parts)

    def after(self, seed: int, position: int) -> tuple[int, ...]:
        """Return the archives of the next block if `position` is in the second half of a block, or else none.

        Archives are downloaded that early and no earlier, so that at most two blocks of them take space.
        """
        epoch, offset = divmod(position, self.size)
        plan = self._epoch(seed, epoch)
        block = bisect_right(plan.ends, offset)
        if 2 * (plan.ends[block] - offset) > int(self.counts[plan.blocks[block]].sum()):
            return ()
        last = block + 1 == self._blocks
        return tuple((self._epoch(seed, epoch + 1).blocks[0] if last else plan.blocks[block + 1]).tolist())

    def _within_block(self, seed: int, start: int, count: int) -> Tensor:
        """Return what __call__ does, up to the end of the block at most."""
        epoch, offset = divmod(start, self.size)
        plan = self._epoch(seed, epoch)
        block = bisect_right(plan.ends, offset)
        archives = plan.blocks[block]
        ends = self.counts[archives].cumsum(0)
        total = int(ends[-1])
        first = plan.ends[block] - total
        key = int(mix(mix(torch.tensor([seed]), stream=BLOCK_STREAM + epoch), stream=block)[0])
        rows = order(key, offset - first, min(count, plan.ends[block] - offset), total)
        which = torch.searchsorted(ends, rows, right=True)
        return torch.stack([archives[which], rows - (ends - self.counts[archives])[which]], dim=1)

    def _split(self, seed: int, epoch: int) -> Epoch:
        total = len(self.counts)
        archives = order(seed, epoch * total, total, total)
        blocks = list(archives.tensor_split(self._blocks))
        ends = torch.stack([self.counts[block].sum() for block in blocks]).cumsum(0)
        return Epoch(blocks, ends.tolist())


class LazyImages(Dataset):
    """Base of data sets of images that are decoded when a batch needs them, by as many threads as there are cores.

    The images are stored in parts, such as archives or runs of rows. They are cropped to the central square and
    resized; with `flip` half of the training images are mirrored. A subclass calls `set_counts` in its constructor and
    implements `readers`.
    """

    value_range: tuple[float, float]
    root: str
    """As the user typed it, for messages."""

    def __init__(
        self, image_size: int, channels: int, num_classes: int | None, value_range: Sequence[float], flip: bool,
        window: Sequence[float] | None,
    ) -> None:  # fmt: skip
        check_shape(image_size, channels)
        self.image_size, self.channels, self.num_classes = image_size, channels, num_classes
        self.value_range, self.flip, self.window = as_range(value_range), flip, image_files.as_window(window)
        self._threads = ThreadPoolExecutor(min(8, os.cpu_count() or 1), "decode")

    def set_counts(self, train: Tensor, test: Tensor, together: int) -> None:
        """Set the samples of each training and each held-out part, and how many parts are shuffled together."""
        self._order = BlockOrder(train, together)
        self._ends, self._begins = test.cumsum(0), test.cumsum(0) - test
        self.size, self.test_size = self._order.size, int(test.sum())

    @abstractmethod
    def readers(self, rows: Tensor, held_out: bool) -> tuple[list[Callable[[], Image]], list[int]]:
        """Return a function that reads each image, and the labels. rows: part and sample of each, int64 (n, 2)."""

    def train_batch(self, seed: int, start: int, count: int) -> Images:
        mirror = uniform(seed, torch.arange(start, start + count), AUGMENT_STREAM) < 0.5 * self.flip
        return self._images(*self.readers(self._order(seed, start, count), False), mirror)

    def test_batch(self, start: int, count: int) -> Images:
        index = torch.arange(start, start + count) % self.test_size
        part = torch.searchsorted(self._ends, index, right=True)
        rows = torch.stack([part, index - self._begins[part]], dim=1)
        return self._images(*self.readers(rows, True), torch.zeros(count, dtype=torch.bool))

    def _images(self, readers: Sequence[Callable[[], Image]], labels: list[int], mirror: Tensor) -> Images:
        def pixels(read: Callable[[], Image], flip: bool) -> Tensor:
            image = image_files.to_tensor(image_files.resize_crop(read(), self.image_size))
            return image.flip(2) if flip else image

        image = torch.stack(list(self._threads.map(pixels, readers, mirror.tolist())))
        say_if_dark(image, self.root)
        return Images(scale(image, self.value_range), None if self.num_classes is None else torch.tensor(labels))
