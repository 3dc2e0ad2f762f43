"""Pictures in more tar archives than memory, or even the disk, can hold.

The library `webdataset` reads such archives as streams. Its maintainers hold that a stream which several processes read
cannot be taken up again where it broke off, and advise to draw anew (github.com/webdataset/webdataset, issues 177, 234
and 271). Here a run that was killed must end with the same bits, so a batch is a function of seed and position, and the
archives, whose layout stays theirs, are looked things up in. For that Python's own `tarfile` is enough.
"""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import torch
from PIL.Image import Image
from torch import Tensor

from gan_cli.data import image_files
from gan_cli.data.base import Images
from gan_cli.data.image_files import Files
from gan_cli.data.lazy_images import DrawnImages
from gan_cli.data.tar_shards import Shards, cache_folder, expand
from gan_cli.data.url_cache import Mirror


class WebDataset(DrawnImages):
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
        super().__init__(image_size, channels, num_classes, value_range, flip)
        kind = label if num_classes is not None else None
        mirror = Mirror(cache_folder() / "files", round(cache_gb * 1e9))
        self._train = Shards(expand(root, "root"), kind, 2 * max(shuffle_shards, 1), mirror)
        self._test = Shards(expand(test_shards, "test_shards"), kind, 4, mirror) if test_shards else self._train
        self.count(self._train.counts, self._test.counts, shuffle_shards)
        self._check_labels()
        self._check_room(2 * shuffle_shards, cache_gb)

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
        return super().train_batch(seed, start, count)

    def pictures(self, where: Tensor, held_out: bool) -> tuple[list[Callable[[], Image]], list[int]]:
        shards = self._test if held_out else self._train
        opened = {number: shards.open(number) for number in where[:, 0].unique().tolist()}
        drawn = [(opened[number], sample) for number, sample in where.tolist()]
        labels = [int(shard.rows[sample, 2]) for shard, sample in drawn]
        return [partial(shard.read, sample, self.channels) for shard, sample in drawn], labels

    def fingerprint(self) -> str:
        parts = [self._train, *([self._test] if self._test is not self._train else [])]
        return image_files.fingerprint(*(_files(shards) for shards in parts))


def _files(shards: Shards) -> Files:
    """Names and bytes of the archives, as of images in a folder."""
    names = tuple(Path(source).name for source in shards.sources)
    return Files(Path(), names, tuple(shards.sizes.tolist()), ())
