"""Data sets of image folders: single images with or without classes, and two unpaired domains."""

import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor

from gan_cli.data import folder_labels, image_files, listing
from gan_cli.data.band_files import scan_images
from gan_cli.data.base import Dataset, Domains, Images, as_range, held_out, mix, order, scale, uniform
from gan_cli.data.decoded_cache import DecodeJob
from gan_cli.data.download import fetch
from gan_cli.data.pixel_kinds import PixelKind, mark, pixel_kind, two_kinds
from gan_cli.data.preprocess import AUGMENT_STREAM, Geometry, Mode, Part, Store, to_device
from gan_cli.data.zip_folders import as_folder
from gan_cli.utils.image_size import ImageSize, sides, simplified

SPLIT_SEED = 2014  # chooses the held-out images, which must be the same in every run whatever its seed


class ImageFolder(Dataset):
    """The images of `root` and its subfolders, cropped to the central part of image_size's proportions and resized.

    channels: 3, 1 for gray, 4 with transparency, or those of files of more channels (see image_files.read and
    band_files.one_per_image). depth: bits per channel to which files are read, 8 or 16. num_classes: number of
    classes, which are the subfolders in the order of their names, or those of a file dataset.json; None: no labels.
    flip: mirror half of the training images. The held-out images are those of `test_root` if given, or else a random
    part `test_fraction` of `root`, which is the same in every run; with a fraction of 0 the training images are used.
    window: see image_files.Window. stretch: resize whole images, without cropping. preprocess: other modes than this
    resizing, resize_and_crop, see Geometry; there is no load_size. Raises FileNotFoundError if a folder does not exist,
    and ValueError for settings that do not fit the data and for broken images.
    """

    value_range: tuple[float, float]

    def __init__(
        self,
        root: str,
        image_size: ImageSize = 64,
        channels: int = 3,
        num_classes: int | None = None,
        value_range: Sequence[float] = (-1.0, 1.0),
        flip: bool = False,
        test_root: str | None = None,
        test_fraction: float = 0.1,
        window: Sequence[float] | None = None,
        stretch: bool = False,
        preprocess: Mode = "resize_and_crop",
        depth: int = 8,
    ) -> None:
        check_size(image_size)
        kind = pixel_kind(channels, window, depth)
        if not 0 <= test_fraction < 1:
            raise ValueError(f"test_fraction {test_fraction}: it must lie in [0, 1)")
        if stretch and preprocess != "resize_and_crop":
            raise ValueError(f"stretch=true resizes whole images, and so does not go with preprocess={preprocess}")
        self.image_size, self.channels, self.num_classes = simplified(image_size), channels, num_classes
        self.value_range, self.flip, self.window, self.depth = as_range(value_range), flip, kind.window, depth
        folders = [find_folder(root, "root"), *([find_folder(test_root, "test_root")] if test_root else [])]
        self.files = [scan_images(folder, channels) for folder in folders]
        self._labels, self.class_names, self._label_mark = folder_labels.labels(self.files, num_classes)
        self._train, self._test = self._split(test_fraction)
        self.size, self.test_size = len(self._train), len(self._test)
        self._geometry = Geometry(preprocess, image_size, enlarge=1)
        default = preprocess == "resize_and_crop"
        fit = image_files.resize_crop if default and not stretch else image_files.stretch
        # Without a margin, held-out images and training images are decoded alike, so that one folder serves both.
        jobs = [DecodeJob(files, channels, image_size, fit, *kind[1:]) for files in self.files]
        self._stores = self._geometry.load(*map(Part, jobs))

    def _split(self, fraction: float) -> tuple[Tensor, Tensor]:
        """Return the indices of the training images and of the held-out images."""
        sizes = [len(files.names) for files in self.files]
        all_images = torch.arange(sizes[0])
        if len(sizes) == 2:
            return all_images, torch.arange(sizes[1])
        count = min(max(1, round(fraction * sizes[0])), sizes[0] - 1) if fraction else 0
        self.holds_out = count > 0
        if not count:
            return all_images, all_images
        shuffled = order(SPLIT_SEED, 0, sizes[0], sizes[0])
        return shuffled[count:].sort().values, shuffled[:count].sort().values

    def train_batch(self, seed: int, start: int, count: int) -> Images:
        index = self._train[order(seed, start, count, self.size)]
        top, left, _ = self._geometry.windows(self._stores[0], index, seed, start, self.flip)
        mirror = uniform(seed, torch.arange(start, start + count), AUGMENT_STREAM) < 0.5 * self.flip
        return self._images(self._geometry.crop(self._stores[0], index, (top, left, mirror)), index, 0)

    def test_batch(self, start: int, count: int) -> Images:
        index = self._test[torch.arange(start, start + count) % self.test_size]
        return self._images(self._geometry.held_out(self._stores[-1], index), index, -1)

    def _images(self, pixels: Tensor, index: Tensor, folder: int) -> Images:
        labels = self._labels[folder][index].to(pixels.device) if self._labels else None
        return Images(scale(pixels, self.value_range), labels)

    def fingerprint(self) -> str:
        files = listing.fingerprint(*self.files, window=self.window)
        kind = mark(PixelKind(self.channels, self.window, self.depth))
        return files + self._geometry.fingerprint() + kind + self._label_mark

    def to(self, device: torch.device) -> "ImageFolder":
        self._stores = to_device(self._stores, device)
        return self


class UnpairedFolder(Dataset):
    """Two unpaired domains of images: training images in trainA (x) and trainB (y), held-out ones in testA and testB.

    As in the code of CycleGAN (Zhu et al. 2017), training images are resized to `load_size` (286 / 256 of image_size if
    omitted), cropped at random to image_size, and half of them are mirrored (`flip`). Each domain is shuffled
    separately; differs: the original code samples y with replacement, whereas each y is used once per epoch here.
    Held-out images are resized to image_size; a domain without a test folder uses its training images. preprocess: this
    resizing and cropping, or other modes of that code, see Geometry.

    root: the folder of these folders, or a folder whose only subfolder is such a folder. url: an archive to download if
    `root` does not exist. channels, depth: see ImageFolder. window: see image_files.Window. source_channels,
    source_window: those of x, trainA and testA, if they differ from those of y. Raises FileNotFoundError and ValueError
    like ImageFolder.
    """

    batch_type: ClassVar[type] = Domains
    value_range: tuple[float, float]

    def __init__(
        self,
        root: str,
        image_size: ImageSize = 256,
        channels: int = 3,
        num_classes: None = None,
        value_range: Sequence[float] = (-1.0, 1.0),
        load_size: int | None = None,
        flip: bool = True,
        url: str | None = None,
        window: Sequence[float] | None = None,
        preprocess: Mode = "resize_and_crop",
        source_channels: int | None = None,
        source_window: Sequence[float] | None = None,
        depth: int = 8,
    ) -> None:
        check_size(image_size)
        self._kinds = two_kinds(channels, window, source_channels, source_window, depth)
        self._geometry = Geometry(preprocess, image_size, load_size)
        self.image_size, self.channels, self.num_classes = simplified(image_size), channels, num_classes
        self.value_range, self.flip, self.window, self.depth = as_range(value_range), flip, self._kinds[1].window, depth
        self.source_channels = self._kinds[0].channels
        folder = _domains(find_folder(root, "root", url))
        names = [name if (folder / name).is_dir() else f"train{name[-1]}" for name in ("testA", "testB")]
        sources = [(folder / name, kind) for name, kind in zip(("trainA", "trainB", *names), self._kinds * 2)]
        self.files = [scan_images(path, kind.channels) for path, kind in sources]
        jobs = [
            DecodeJob(files, kind.channels, image_size, image_files.stretch, kind.window, kind.depth)
            for files, (_, kind) in zip(self.files, sources)
        ]
        self._stores = self._geometry.load(*map(Part, jobs, (False, False, True, True)))
        self.size = max(len(store) for store in self._stores[:2])
        self.test_size = max(len(store) for store in self._stores[2:])

    def train_batch(self, seed: int, start: int, count: int) -> Domains:
        # Another seed for y: two domains of one size would otherwise be shuffled and cropped alike.
        seeds = (seed, int(mix(torch.tensor([seed]), stream=SPLIT_SEED)[0]))
        return Domains(*(self._augmented(store, s, start, count) for store, s in zip(self._stores, seeds)))

    def _augmented(self, store: Store, seed: int, start: int, count: int) -> Tensor:
        index = order(seed, start, count, len(store))
        windows = self._geometry.windows(store, index, seed, start, self.flip)
        return scale(self._geometry.crop(store, index, windows), self.value_range)

    def test_batch(self, start: int, count: int) -> Domains:
        position = torch.arange(start, start + count)
        images = (self._geometry.held_out(store, position % len(store)) for store in self._stores[2:])
        return Domains(*(scale(pixels, self.value_range) for pixels in images))

    def fingerprint(self) -> str:
        files = listing.fingerprint(*self.files, window=self.window)
        return files + self._geometry.fingerprint() + mark(*self._kinds)

    def describe(self) -> str:
        x, y, *tests = (f"{len(files.names):,} in {files.root.name}" for files in self.files)
        return f"images: {x} and {y}; held out: {held_out(self.files, tests)}"

    def to(self, device: torch.device) -> "UnpairedFolder":
        self._stores = to_device(self._stores, device)
        return self


def check_shape(image_size: ImageSize, channels: int) -> None:
    """ValueError unless images can have this size and number of channels."""
    check_size(image_size)
    if channels not in (1, 3):
        raise ValueError(f"channels {channels}: images have 1 (gray) or 3 (color)")


def check_size(image_size: ImageSize) -> None:
    """ValueError unless images can have this size."""
    if min(sides(image_size)) < 1:
        raise ValueError(f"image_size {image_size}: it must be at least 1")


def find_folder(path: str, key: str, url: str | None = None) -> Path:
    """Return the folder `path`, which is downloaded from `url`, if given, when it does not exist.

    key: the setting of `path`, for messages. Raises FileNotFoundError, which suggests a similar name, and ValueError
    if `path` is a file that is no zip archive.
    """
    root = Path(path).expanduser()
    if not root.exists() and url:
        fetch(url, root, key.replace("root", "url"))
    if root.is_dir():
        return root
    if archive := as_folder(root):
        return archive
    is_archive = root.suffix.lower() == ".zip"
    if root.exists():
        problem = "is no valid zip archive" if is_archive else "is a file"
        raise ValueError(f"{root} {problem}; dataset.{key} is a folder of images or a zip archive")
    siblings = list(root.parent.iterdir()) if root.parent.is_dir() else []
    names = [path.name for path in siblings if path.is_dir() or path.suffix.lower() == ".zip"]
    similar = difflib.get_close_matches(root.name, names, n=1)
    guess = f"; did you mean {root.parent / similar[0]}?" if similar else f"; set dataset.{key}=FOLDER"
    raise FileNotFoundError(f"there is no {'file' if is_archive else 'folder'} {root}{guess}")


def _domains(root: Path) -> Path:
    """Return the folder with trainA and trainB: `root`, or its only subfolder that has both."""
    inside = [path for path in sorted(root.iterdir()) if (path / "trainA").is_dir()]
    folder = inside[0] if len(inside) == 1 and not (root / "trainA").is_dir() else root
    missing = [name for name in ("trainA", "trainB") if not (folder / name).is_dir()]
    if missing and len(inside) > 1:
        raise ValueError(f"{root} holds several sets: set dataset.root to {' or '.join(map(str, inside))}")
    if missing:
        raise FileNotFoundError(
            f"no folder {' and '.join(missing)} in {folder}: dataset.root is the folder of trainA and trainB "
            "(testA and testB may be missing)"
        )
    return folder
