"""Data sets that are folders of images."""

import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor

from gan_cli.data import decoded_cache, image_files
from gan_cli.data.base import Dataset, Domains, Images, as_range, mix, order, scale, uniform
from gan_cli.data.decoded_cache import DecodeJob
from gan_cli.data.download import fetch
from gan_cli.data.image_files import Files

SPLIT = 2014  # the seed that holds images out: the same ones in every run
AUGMENT = 0  # the stream of random numbers


class ImageFolder(Dataset):
    """The images of `root` and its subfolders, centre cropped to squares and resized.

    channels: 3, or 1 for grey. num_classes: if given, the subfolders are that many classes, by name; null: no
    labels. flip: mirror half of the training images. Held out are the images of `test_root` where given, else
    the part `test_fraction` of `root`, drawn once for all; where that is none, the training images.
    Raises FileNotFoundError without the folder, ValueError for settings that do not fit or broken images.
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
        test_root: str | None = None,
        test_fraction: float = 0.1,
    ) -> None:
        check_shape(image_size, channels)
        if not 0 <= test_fraction < 1:
            raise ValueError(f"test_fraction {test_fraction}: it must lie in [0, 1)")
        self.image_size, self.channels, self.num_classes = image_size, channels, num_classes
        self.value_range, self.flip = as_range(value_range), flip
        folders = [find_folder(root, "root"), *([find_folder(test_root, "test_root")] if test_root else [])]
        self._files = [image_files.scan(folder) for folder in folders]
        self._labels = _labels(self._files, num_classes)
        self._train, self._test = self._split(test_fraction)
        self.size, self.test_size = len(self._train), len(self._test)
        jobs = [DecodeJob(files, channels, image_size, image_files.resize_crop) for files in self._files]
        self._stores = decoded_cache.load(*jobs)

    def _split(self, fraction: float) -> tuple[Tensor, Tensor]:
        """Indices of the training images and of those held out."""
        sizes = [len(files.names) for files in self._files]
        everything = torch.arange(sizes[0])
        if len(sizes) == 2:
            return everything, torch.arange(sizes[1])
        held_out = min(max(1, round(fraction * sizes[0])), sizes[0] - 1) if fraction else 0
        if not held_out:
            return everything, everything
        drawn = order(SPLIT, 0, sizes[0], sizes[0])
        return drawn[held_out:].sort().values, drawn[:held_out].sort().values

    def train_batch(self, seed: int, start: int, count: int) -> Images:
        index = self._train[order(seed, start, count, self.size)]
        corner = torch.zeros(count, dtype=torch.int64)
        mirror = uniform(seed, torch.arange(start, start + count), AUGMENT) < 0.5 * self.flip
        pixels = cut(self._stores[0], index, corner, corner, mirror, self.image_size)
        return self._images(pixels, index, 0)

    def test_batch(self, start: int, count: int) -> Images:
        index = self._test[torch.arange(start, start + count) % self.test_size]
        return self._images(take(self._stores[-1], index), index, -1)

    def _images(self, pixels: Tensor, index: Tensor, folder: int) -> Images:
        labels = self._labels[folder][index].to(pixels.device) if self._labels else None
        return Images(scale(pixels, self.value_range), labels)

    def fingerprint(self) -> str:
        return image_files.fingerprint(*self._files)

    def to(self, device: torch.device) -> "ImageFolder":
        self._stores = to_device(self._stores, device)
        return self


class UnpairedFolder(Dataset):
    """Two domains of images in the folders trainA (x) and trainB (y), held-out ones in testA and testB.

    As in the code of Zhu et al. 2017 (CycleGAN), training images are resized to a square of `load_size` (by
    default 286 / 256 of image_size), cropped at random to image_size, and mirrored half of the time (`flip`).
    Each domain is shuffled by itself; differs: their code draws y at random, here each y comes once an epoch.
    Held-out images are resized to image_size; a domain without a test folder holds out its training images.
    root: the folder of the four, or one with a single such folder in it. url: a zip archive that makes `root`
    when it does not exist. Raises FileNotFoundError and ValueError like ImageFolder.
    """

    batch_type: ClassVar[type] = Domains
    value_range: tuple[float, float]

    def __init__(
        self,
        root: str,
        image_size: int = 256,
        channels: int = 3,
        num_classes: None = None,
        value_range: Sequence[float] = (-1.0, 1.0),
        load_size: int | None = None,
        flip: bool = True,
        url: str | None = None,
    ) -> None:
        check_shape(image_size, channels)
        load_size = round(image_size * 286 / 256) if load_size is None else load_size
        if load_size < image_size:
            raise ValueError(f"load_size {load_size}: it must be at least image_size, which is {image_size}")
        self.image_size, self.channels, self.num_classes = image_size, channels, num_classes
        self.value_range, self.flip, self._spare = as_range(value_range), flip, load_size - image_size
        folder = _domains(find_folder(root, "root", url))
        names = [name if (folder / name).is_dir() else f"train{name[-1]}" for name in ("testA", "testB")]
        self._files = [image_files.scan(folder / name) for name in ("trainA", "trainB", *names)]
        sizes = (load_size, load_size, image_size, image_size)
        jobs = [DecodeJob(files, channels, size, image_files.stretch) for files, size in zip(self._files, sizes)]
        self._stores = decoded_cache.load(*jobs)
        self.size = max(len(store) for store in self._stores[:2])
        self.test_size = max(len(store) for store in self._stores[2:])

    def train_batch(self, seed: int, start: int, count: int) -> Domains:
        seeds = (seed, int(mix(torch.tensor([seed]), stream=SPLIT)[0]))
        return Domains(*(self._augmented(store, s, start, count) for store, s in zip(self._stores, seeds)))

    def _augmented(self, store: Tensor, seed: int, start: int, count: int) -> Tensor:
        position = torch.arange(start, start + count)
        draws = uniform(seed, 3 * position + torch.arange(3)[:, None], AUGMENT)  # three for each sample
        top, left = (draws[:2] * (self._spare + 1)).long()
        mirror = draws[2] < 0.5 * self.flip
        index = order(seed, start, count, len(store))
        return scale(cut(store, index, top, left, mirror, self.image_size), self.value_range)

    def test_batch(self, start: int, count: int) -> Domains:
        position = torch.arange(start, start + count)
        return Domains(*(scale(take(s, position % len(s)), self.value_range) for s in self._stores[2:]))

    def fingerprint(self) -> str:
        return image_files.fingerprint(*self._files)

    def to(self, device: torch.device) -> "UnpairedFolder":
        self._stores = to_device(self._stores, device)
        return self


def check_shape(image_size: int, channels: int) -> None:
    if image_size < 1:
        raise ValueError(f"image_size {image_size}: it must be at least 1")
    if channels not in (1, 3):
        raise ValueError(f"channels {channels}: images have 1 (grey) or 3 (colour)")


def find_folder(path: str, key: str, url: str | None = None) -> Path:
    """The folder `path`, downloaded if it is not there and there is a `url`."""
    root = Path(path).expanduser()
    if not root.exists() and url:
        fetch(url, root)
    if root.is_dir():
        return root
    if root.exists():
        raise ValueError(f"{root} is a file; dataset.{key} is a folder of images (unpack an archive first)")
    beside = [p.name for p in root.parent.iterdir() if p.is_dir()] if root.parent.is_dir() else []
    near = difflib.get_close_matches(root.name, beside, n=1)
    guess = f"; did you mean {root.parent / near[0]}?" if near else f"; set dataset.{key}=FOLDER"
    raise FileNotFoundError(f"there is no folder {root}{guess}")


def _domains(root: Path) -> Path:
    """`root`, or its only subfolder, with trainA and trainB."""
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


def _labels(folders: list[Files], num_classes: int | None) -> list[Tensor]:
    """int64 labels for each folder: the numbers of the subfolders of the first, by name."""
    if num_classes is None:
        return []
    named = [[name.split("/")[0] if "/" in name else "" for name in files.names] for files in folders]
    classes = sorted({name for name in named[0] if name})
    if len(classes) != num_classes:
        some = ", ".join(classes[:5]) + (", ..." if len(classes) > 5 else "")
        raise ValueError(
            f"num_classes {num_classes}, but {folders[0].root} has {len(classes)} subfolders with images "
            f"({some or 'none'}); set dataset.num_classes={len(classes) or 'null'}"
        )
    for files, names in zip(folders, named):
        for name in set(names) - set(classes):
            where = f"subfolder {name}, which is no class of {folders[0].root}" if name else "no subfolder"
            raise ValueError(f"images of {files.root} lie in {where}; or set dataset.num_classes=null")
    return [torch.tensor([classes.index(name) for name in names]) for names in named]


def take(store: Tensor, index: Tensor) -> Tensor:
    return store[index.to(store.device)]


def cut(store: Tensor, index: Tensor, top: Tensor, left: Tensor, mirror: Tensor, size: int) -> Tensor:
    """uint8 (N, C, size, size): of each image `index`, the window at (top, left), mirrored where asked."""
    rows = zip(index.tolist(), top.tolist(), left.tolist(), mirror.tolist())
    windows = [(store[i, :, y : y + size, x : x + size], flip) for i, y, x, flip in rows]
    return torch.stack([window.flip(2) if flip else window for window, flip in windows])


def to_device(stores: list[Tensor], device: torch.device) -> list[Tensor]:
    """The stores on a GPU, if they take at most half of its free memory; else where they are."""
    if device.type != "cuda":
        return stores
    need = sum(store.nbytes for store in stores)
    fits = need <= torch.cuda.mem_get_info(device)[0] // 2
    return [store.to(device) for store in stores] if fits else stores
