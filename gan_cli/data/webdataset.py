"""Data sets larger than memory, or even than the disk: images in tar archives.

The library `webdataset` reads such archives as streams. According to its maintainers, a stream that several processes
read cannot be resumed where it stopped; they recommend to resample (github.com/webdataset/webdataset, issues 177, 234
and 271). Here a run that was killed must end bit-identical to an uninterrupted run, so a batch is a function of the
seed and the position, which needs random access to the archives. Their layout is the library's; Python's own `tarfile`
is enough to index them.
"""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import torch
from PIL.Image import Image
from torch import Tensor

from gan_cli.data import listing
from gan_cli.data.base import Images
from gan_cli.data.lazy_images import LazyImages
from gan_cli.data.listing import Files
from gan_cli.data.shard_index import cache_folder
from gan_cli.data.tar_shards import Shards, expand
from gan_cli.data.url_cache import URLCache


class WebDataset(LazyImages):
    """Images in tar archives with the layout of WebDataset, cropped to the central square and resized.

    root: a folder of *.tar, or a pattern of paths or http(s) URLs such as `shards-{000000..000146}.tar`. test_shards:
    the same for the held-out images; None: the training images are used. num_classes: number of classes, whose numbers
    are in the file that `label` names (see tar_shards.Shards); None: no labels. channels: 3, or 1 for gray. flip:
    mirror half of the training images. shuffle_shards: archives whose samples are shuffled together (see BlockOrder).
    cache_gb: disk space for archives behind URLs, in gigabytes. window: see image_files.Window.

    Memory does not depend on the number of images: a batch, a kilobyte per archive, and 2 x shuffle_shards open
    archives with 24 bytes per sample. Raises FileNotFoundError and ValueError like ImageFolder. An image that is
    truncated raises ValueError when it is decoded; only the headers of the images are read before.
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
        window: Sequence[float] | None = None,
    ) -> None:
        super().__init__(image_size, channels, num_classes, value_range, flip, window)
        self.root, self.holds_out = root, bool(test_shards)
        kind = label if num_classes is not None else None
        folder, limit = cache_folder() / "files", round(cache_gb * 1e9)
        # Two blocks: at the border of two blocks a batch has samples of both.
        opened = 2 * max(shuffle_shards, 1)
        self._train = self._test = Shards(expand(root, "root"), kind, opened, URLCache(folder, limit, root))
        if test_shards:
            cache = URLCache(folder, limit, test_shards, "test_shards")
            self._test = Shards(expand(test_shards, "test_shards"), kind, 4, cache)
        parts = [self._train, *([self._test] if test_shards else [])]
        local = [[source for source, remote in zip(part.sources, part.remote) if not remote] for part in parts]
        self.files = [Files(Path(), tuple(sources), (), ()) for sources in local]
        self.set_counts(self._train.counts, self._test.counts, shuffle_shards)
        self._check_labels()
        self._check_room(2 * shuffle_shards, cache_gb)

    def _check_labels(self) -> None:
        highest = max(self._train.highest, self._test.highest)
        if self.num_classes is not None and highest >= self.num_classes:
            raise ValueError(
                f"num_classes {self.num_classes}, but there is a label {highest}; set dataset.num_classes={highest + 1}"
            )

    def _check_room(self, archives: int, cache_gb: float) -> None:
        """ValueError unless the archives of two consecutive blocks fit into the cache, if they are behind URLs."""
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

    def readers(self, rows: Tensor, held_out: bool) -> tuple[list[Callable[[], Image]], list[int]]:
        shards = self._test if held_out else self._train
        opened = {number: shards.open(number) for number in rows[:, 0].unique().tolist()}
        samples = [(opened[number], sample) for number, sample in rows.tolist()]
        labels = [int(shard.rows[sample, 2]) for shard, sample in samples]
        return [partial(shard.read, sample, self.channels, self.window) for shard, sample in samples], labels

    def fingerprint(self) -> str:
        parts = [self._train, *([self._test] if self._test is not self._train else [])]
        return listing.fingerprint(*(_files(shards) for shards in parts), window=self.window)


def _files(shards: Shards) -> Files:
    """Names and sizes of the archives, for the fingerprint."""
    names = tuple(Path(source).name for source in shards.sources)
    return Files(Path(), names, tuple(shards.sizes.tolist()), ())
