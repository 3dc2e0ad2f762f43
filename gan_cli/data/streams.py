"""Pictures in more tar archives than memory, or even the disk, can hold.

The library `webdataset` reads such archives as streams. Its maintainers hold that a stream which several processes read
cannot be taken up again where it broke off, and advise to draw anew (github.com/webdataset/webdataset, issues 177, 234
and 271). Here a run that was killed must end with the same bits, so a batch is a function of seed and position, and the
archives, whose layout stays theirs, are looked things up in. For that Python's own `tarfile` is enough.
"""

import os
from bisect import bisect_right
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from gan_cli.data import images
from gan_cli.data.base import Dataset, Images, as_range, mix, order, scale, uniform
from gan_cli.data.folders import AUGMENT, check_shape
from gan_cli.data.images import Files
from gan_cli.data.mirror import Mirror
from gan_cli.data.shards import Shards, cache_folder, expand

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


class WebDataset(Dataset):
    """The pictures in the tar archives `root`, laid out as for WebDataset: centre cropped to squares and resized.

    root: a folder of *.tar, or a pattern of paths or http(s) URLs such as `shards-{000000..000146}.tar`. test_shards:
    the same for held-out pictures; null: the training pictures are shown. num_classes: how many classes there are, with
    numbers in the file that `label` names (shards.Shards); null: no labels. channels: 3, or 1 for grey. flip: mirror
    half of the training pictures. shuffle_shards: archives whose samples are mixed (BlockOrder). cache_gb: what
    archives behind URLs may take on the disk.

    Memory, whatever the size of the data: a batch, a kilobyte an archive, and 2 x shuffle_shards open archives with 24
    bytes for each sample in them. Pictures are decoded when they are drawn, by as many threads as there are cores.
    Raises FileNotFoundError and ValueError like ImageFolder; a picture whose first bytes are sound but which is cut
    short is found, by a ValueError, when it is drawn.
    """

    value_range: tuple[float, float]

    def __init__(
        self,
        root: str,
        image_size: int = 64,
        channels: int = 3,
        num_classes: int | None = None,
        value_range: Sequence[float] = (-1.0, 1.0),
        flip: bool = False,
        test_shards: str | None = None,
        label: str = "cls",
        shuffle_shards: int = 16,
        cache_gb: float = 100.0,
    ) -> None:
        check_shape(image_size, channels)
        self.image_size, self.channels, self.num_classes = image_size, channels, num_classes
        self.value_range, self.flip = as_range(value_range), flip
        kind = label if num_classes is not None else None
        mirror = Mirror(cache_folder() / "files", round(cache_gb * 1e9))
        self._train = Shards(expand(root, "root"), kind, 2 * max(shuffle_shards, 1), mirror)
        self._test = Shards(expand(test_shards, "test_shards"), kind, 4, mirror) if test_shards else self._train
        self._order = BlockOrder(self._train.counts, shuffle_shards)
        self._check_labels()
        self._check_room(2 * shuffle_shards, cache_gb)
        self._ends = self._test.counts.cumsum(0)
        self.size, self.test_size = self._order.size, int(self._ends[-1])
        self._threads = ThreadPoolExecutor(min(8, os.cpu_count() or 1), "decode")

    def _check_labels(self) -> None:
        highest = max(self._train.highest, self._test.highest)
        if self.num_classes is not None and highest >= self.num_classes:
            raise ValueError(
                f"num_classes {self.num_classes}, but there is a label {highest}; set dataset.num_classes={highest + 1}"
            )

    def _check_room(self, archives: int, cache_gb: float) -> None:
        """ValueError unless the archives behind URLs of two blocks fit into the cache: of one, and of the next."""
        sizes = self._train.sizes[torch.tensor(self._train.remote)].sort(descending=True).values
        need = int(sizes[:archives].sum()) / 1e9
        if need > cache_gb:
            raise ValueError(
                f"cache_gb {cache_gb}: twice shuffle_shards take up to {need:.2g} GB; set dataset.cache_gb or "
                "dataset.shuffle_shards"
            )

    def train_batch(self, seed: int, start: int, count: int) -> Images:
        if any(self._train.remote):
            self._train.fetch_ahead(self._order.after(seed, start))
        mirror = uniform(seed, torch.arange(start, start + count), AUGMENT) < 0.5 * self.flip
        return self._images(self._train, self._order(seed, start, count), mirror)

    def test_batch(self, start: int, count: int) -> Images:
        index = torch.arange(start, start + count) % self.test_size
        which = torch.searchsorted(self._ends, index, right=True)
        where = torch.stack([which, index - (self._ends - self._test.counts)[which]], dim=1)
        return self._images(self._test, where, torch.zeros(count, dtype=torch.bool))

    def _images(self, shards: Shards, where: Tensor, mirror: Tensor) -> Images:
        opened = {number: shards.open(number) for number in where[:, 0].unique().tolist()}
        drawn = [(opened[number], sample) for number, sample in where.tolist()]

        def pixels(index: int) -> Tensor:
            shard, sample = drawn[index]
            picture = images.to_tensor(images.resize_crop(shard.read(sample, self.channels), self.image_size))
            return picture.flip(2) if mirror[index] else picture

        image = scale(torch.stack(list(self._threads.map(pixels, range(len(drawn))))), self.value_range)
        labels = [int(shard.rows[sample, 2]) for shard, sample in drawn]
        return Images(image, None if self.num_classes is None else torch.tensor(labels))

    def fingerprint(self) -> str:
        parts = [self._train, *([self._test] if self._test is not self._train else [])]
        return images.fingerprint(*(_files(shards) for shards in parts))


def _files(shards: Shards) -> Files:
    """Names and bytes of the archives, as of images in a folder."""
    names = tuple(Path(source).name for source in shards.sources)
    return Files(Path(), names, tuple(shards.sizes.tolist()), ())
