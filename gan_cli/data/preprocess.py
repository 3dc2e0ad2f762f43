"""How image files of any size become images of one size: the modes of the CycleGAN and pix2pix PyTorch code.

Where files are resized to one size, they are decoded once (see decoded_cache). Crops of files of different sizes, or of
more than IN_MEMORY bytes, are decoded whenever a batch needs them, so that memory holds one batch of photographs.
"""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import starmap
from typing import Literal, NamedTuple, TypeVar

import torch
from torch import Tensor

from gan_cli.data import decoded_cache, image_files
from gan_cli.data.base import uniform
from gan_cli.data.decoded_cache import IN_MEMORY, DecodeJob
from gan_cli.utils.image_size import ImageSize, sides

AUGMENT_STREAM = 0  # the stream of random numbers of crops and mirroring
ROUNDING = (4, 32)  # preprocess=none rounds the sides of an image to a multiple in between, a power of two

Mode = Literal["resize_and_crop", "crop", "scale_width", "scale_width_and_crop", "none"]
Windows = tuple[Tensor, Tensor, Tensor]
"""Top and left of a window of each image, and whether it is mirrored, (N,) each."""


class Part(NamedTuple):
    """Files of a data set: `job` with image_size instead of the size before a crop.

    held_out: cropped in the center instead of at random. columns: images side by side in a file, of which `job.fit`
    takes one.
    """

    job: DecodeJob
    held_out: bool = False
    columns: int = 1


class LazyStore:
    """Images that are decoded when they are needed, in `sizes` (height and width, int64 (N, 2)) of their own."""

    nbytes = 0  # in memory

    def __init__(self, job: DecodeJob, sizes: Tensor) -> None:
        self._job, self.sizes = job, sizes
        self._threads = ThreadPoolExecutor(min(8, os.cpu_count() or 1), "decode")

    def __len__(self) -> int:
        return len(self.sizes)

    def to(self, device: torch.device) -> "LazyStore":
        """Return the store itself, whose images are decoded on the CPU."""
        return self

    def windows(self, cut: Callable[[Tensor, int, int], Tensor], index: list[int], *corners: list[int]) -> list[Tensor]:
        """Return cut(image, top, left) of the images `index`. ValueError names a broken file."""

        def window(i: int, *corner: int) -> Tensor:
            pixels = decoded_cache.pixels(self._job._replace(size=tuple(self.sizes[i].tolist())), i)
            return cut(pixels, *corner).contiguous()  # a view would keep the whole image in memory

        return list(self._threads.map(window, index, *corners))


Store = Tensor | LazyStore
"""Images (N, C, H, W) of one size, or of different ones."""
S = TypeVar("S", Tensor, Store)


class Geometry:
    """From the size of a file to `image_size`; preprocess says how.

    resize_and_crop: resized to load_size regardless of proportions, then cropped at random. crop: cropped at random,
    without resizing. scale_width: resized to the width of image_size. scale_width_and_crop: resized to the width of
    load_size, then cropped at random. none: each side is only rounded to that of image_size, a multiple of 4 up to 32.
    scale_width and none keep the whole image, so that all files must come out in image_size. load_size: the width
    before the crop, whose height is in proportion to image_size; None: both sides of image_size times `enlarge`.

    Held-out images are resized to image_size by resize_and_crop, and cropped in the center by the other modes. Raises
    ValueError for impossible sizes, and for a load_size that has no effect.
    """

    def __init__(
        self, preprocess: Mode, image_size: ImageSize, load_size: int | None = None, enlarge: float = 286 / 256
    ) -> None:
        self.mode, self.size = preprocess, sides(image_size)
        self.load_size = load_sides(load_size, image_size, enlarge)
        if load_size is not None and (
            preprocess in ("crop", "none") or (preprocess == "scale_width" and load_size != self.size[1])
        ):
            remedy = "set dataset.image_size=[HEIGHT,WIDTH]" if preprocess == "scale_width" else "omit it"
            raise ValueError(f"load_size {load_size} has no effect with preprocess={preprocess}: {remedy}")

    def load(self, *parts: Part) -> list[Store]:
        """Return the images of each part. ValueError names files that the mode cannot bring to image_size."""
        sizes = [self._sizes(part) for part in parts]
        if self.mode in ("scale_width", "none"):
            self._check_uniform(parts, sizes)
        stores: dict[int, Store] = {}
        jobs: dict[int, DecodeJob] = {}
        for number, (part, found) in enumerate(zip(parts, sizes)):
            job = part.job._replace(size=found[0])
            large = self.mode == "crop" and job.nbytes > IN_MEMORY
            if large or len(set(found)) > 1:
                stores[number] = LazyStore(job, torch.tensor(found))
            else:
                jobs[number] = job
        stores |= zip(jobs, decoded_cache.load(*jobs.values()))
        return [stores[number] for number in range(len(parts))]

    def fingerprint(self) -> str:
        """Return what a mode adds to the fingerprint of a data set: nothing for resize_and_crop."""
        return "" if self.mode == "resize_and_crop" else f"-{self.mode}"

    def windows(self, store: Store, index: Tensor, seed: int, start: int, flip: bool) -> Windows:
        """Return random windows of the images `index`, which stand at the positions from `start` on."""
        return random_windows(seed, start, len(index), margins(store, index, self.size), flip)

    def crop(self, store: Store, index: Tensor, windows: Windows) -> Tensor:
        """Return uint8 (N, C, H, W): the window of each image `index`."""
        return crop(store, index, *windows, self.size)

    def held_out(self, store: Store, index: Tensor) -> Tensor:
        """Return uint8 (N, C, H, W): the centers of the images `index`."""
        if isinstance(store, Tensor) and store.shape[2:] == self.size:
            return select(store, index)
        top, left = margins(store, index, self.size) // 2
        return crop(store, index, top, left, torch.zeros(len(index), dtype=torch.bool), self.size)

    def _sizes(self, part: Part) -> list[tuple[int, int]]:
        """Height and width of each file after resizing. ValueError names a file that is smaller than the crop."""
        if self.mode == "resize_and_crop":
            return [self.size if part.held_out else self.load_size]
        result = []
        for name in part.job.files.names:
            file = part.job.files.root / name
            width, height = image_files.upright_size(file)[0]
            result.append(self._resized(height, width // part.columns))
            if "crop" in self.mode and (result[-1][0] < self.size[0] or result[-1][1] < self.size[1]):
                larger = "a larger load_size" if self.mode == "scale_width_and_crop" else "a smaller image_size"
                raise ValueError(
                    f"{file}: {_words(result[-1])} to crop from, less than image_size, {_words(self.size)}: choose "
                    f"{larger}, or dataset.preprocess=resize_and_crop"
                )
        return result

    def _resized(self, height: int, width: int) -> tuple[int, int]:
        """Height and width of an image of this size before it is cropped."""
        if self.mode == "crop":
            return height, width
        if self.mode == "none":
            return _rounded(height, self.size[0]), _rounded(width, self.size[1])
        target = self.size[1] if self.mode == "scale_width" else self.load_size[1]
        return max(1, round(target * height / width)), target

    def _check_uniform(self, parts: Sequence[Part], sizes: Sequence[list[tuple[int, int]]]) -> None:
        """ValueError unless all images have image_size."""
        files: dict[tuple[int, int], str] = {}
        for part, found in zip(parts, sizes):
            for name, size in zip(part.job.files.names, found):
                files.setdefault(size, str(part.job.files.root / name))
        if len(files) > 1:
            (one, first), (other, second), *_ = files.items()
            works = "scale_width_and_crop" if self.mode == "scale_width" else "crop"
            raise ValueError(
                f"preprocess={self.mode} keeps whole images, and these differ: {first} becomes {_words(one)}, {second} "
                f"{_words(other)}; dataset.preprocess={works} or resize_and_crop brings them to one size"
            )
        (size, file), *_ = files.items()
        if size != self.size:
            raise ValueError(
                f"preprocess={self.mode}: {file} and all others become {_words(size)}, and image_size is "
                f"{_words(self.size)}; set dataset.image_size=[{size[0]},{size[1]}]"
            )


def load_sides(load_size: int | None, image_size: ImageSize, enlarge: float = 286 / 256) -> tuple[int, int]:
    """Height and width before a random crop. load_size: the width; None: image_size times `enlarge`.

    Raises ValueError if that is less than image_size.
    """
    height, width = sides(image_size)
    if load_size is None:
        return round(height * enlarge), round(width * enlarge)
    if load_size < width:
        whole = "image_size" if height == width else "the width of image_size"
        raise ValueError(f"load_size {load_size}: it must be at least {whole}, which is {width}")
    return round(load_size * height / width), load_size


def margins(store: Store, index: Tensor, size: tuple[int, int]) -> Tensor:
    """Pixels that a crop leaves out of the images `index`: vertically and horizontally, int64 (2, N)."""
    sizes = store.sizes[index] if isinstance(store, LazyStore) else torch.tensor(store.shape[2:]).expand(len(index), 2)
    return (sizes - torch.tensor(size)).T


def random_windows(seed: int, start: int, count: int, margin: Tensor | int, flip: bool) -> Windows:
    """Return a random crop of each sample: top and left, both 0 .. margin, and whether to mirror it, (count,) each.

    margin: of both sides, or those of each sample as `margins` gives them.
    """
    position = torch.arange(start, start + count)
    numbers = uniform(seed, 3 * position + torch.arange(3)[:, None], AUGMENT_STREAM)  # three for each sample
    top, left = (numbers[:2] * (margin + 1)).long()
    return top, left, numbers[2] < 0.5 * flip


def select(store: Tensor, index: Tensor) -> Tensor:
    """Return the images `index` of a store, on the store's device."""
    return store[index.to(store.device)]


def crop(store: Store, index: Tensor, top: Tensor, left: Tensor, mirror: Tensor, size: tuple[int, int]) -> Tensor:
    """Return uint8 (N, C, *size): the window at (top, left) of each image `index`, mirrored where `mirror`."""
    height, width = size

    def cut(image: Tensor, y: int, x: int) -> Tensor:
        return image[:, y : y + height, x : x + width]

    rows = index.tolist(), top.tolist(), left.tolist()
    if isinstance(store, LazyStore):
        windows = store.windows(cut, *rows)
    else:
        # A loop over slices reads only the windows, which matters for a store that is mapped from the disk.
        windows = list(starmap(lambda i, y, x: cut(store[i], y, x), zip(*rows)))
    return torch.stack([window.flip(2) if flip else window for window, flip in zip(windows, mirror.tolist())])


def to_device(stores: Sequence[S], device: torch.device) -> list[S]:
    """Move the stores to a GPU if they take at most half of its free memory; otherwise they stay where they are."""
    if device.type != "cuda":
        return list(stores)
    need = sum(store.nbytes for store in stores)
    fits = need <= torch.cuda.mem_get_info(device)[0] // 2
    return [store.to(device) for store in stores] if fits else list(stores)


def _rounded(length: int, target: int) -> int:
    """`target` if it is the multiple of 4, 8, 16 or 32 next to `length`; otherwise the next multiple of 4."""
    least, most = ROUNDING
    step = min(target & -target, most)  # the largest power of two that divides the target
    if step >= least and abs(length - target) <= step // 2:
        return target
    return max(least, round(length / least) * least)


def _words(size: ImageSize) -> str:
    height, width = sides(size)
    return f"{width} pixels wide and {height} high"
