"""Folders of photographs with maps of what they show, as pix2pixHD keeps them (Wang et al. 2018, arXiv 1711.11585)."""

import struct
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from gan_cli.data import image_files
from gan_cli.data.base import Dataset, LabelMaps, Pairs, as_range, order, scale, uniform
from gan_cli.data.folders import AUGMENT, check_shape, find_folder
from gan_cli.data.image_files import Files

THING = 1000  # an instance's id is 1000 times its class and its number; ids below are classes
VOID = 255  # of no class (Cityscapes' -1); counts as class 0
STEP = 32  # a height that follows from the pictures is a multiple of it (2^5: four halvings, and one for the enhancer)
WHOLE = ("1", "L", "P", "I", "I;16", "I;16B", "I;16L")  # modes of one whole number a pixel


def read_ids(file: Path) -> Image.Image:
    """An image file of whole numbers, a palette's indices included -> mode I. ValueError names one that is broken, or a
    picture in colours."""
    try:
        with Image.open(file) as image:
            if image.mode not in WHOLE:
                raise ValueError(f"mode {image.mode}: a map has one whole number a pixel, as a greyscale PNG has")
            return Image.fromarray(np.asarray(image).astype(np.int32))
    except (OSError, SyntaxError, ValueError, TypeError, struct.error) as error:
        reason = "not an image" if isinstance(error, Image.UnidentifiedImageError) else " ".join(str(error).split())
        raise ValueError(f"{file}: {reason}") from error


def read_maps(
    label: Path | None, instance: Path | None, label_nc: int, size: tuple[int, int] | None = None
) -> Tensor:
    """Files of class ids and of instance ids -> int64 (2, H, W) as in LabelMaps, by nearest pixels at `size` (W, H).

    One may be None: without instances the classes stand for them; without labels an id of 1000 or more is of class
    id // 1000, and a smaller one is the class. 255 is class 0. ValueError for a class of label_nc or more.
    """
    first = label or instance
    assert first is not None
    found = [read_ids(file) for file in (label or instance, instance or label) if file]
    size = size or found[0].size
    ids, instances = (np.asarray(part.resize(size, Image.Resampling.NEAREST)) for part in found)
    if label is None:
        ids = np.where(ids >= THING, ids // THING, ids)
    if label_nc <= VOID:
        ids = np.where(ids == VOID, 0, ids)
    if ids.min() < 0 or ids.max() >= label_nc:
        raise ValueError(f"{first}: class {ids.max()}, and dataset.label_nc={label_nc} has 0 to {label_nc - 1}")
    return torch.from_numpy(np.stack([ids, instances]).astype(np.int64))


class Photographs(Dataset):
    """What the two sets share: files of several parts, read when they are asked for: at 2048 x 1024 pixels Cityscapes
    would take 19 GB.

    image_size: the width; height: null follows from the first picture, and is the nearest multiple of 32. Every picture
    gets that size (scale_width in the authors' code, whose pictures may differ). flip: mirror half of the training
    pictures. Held out are the files of test_NAME; without that folder, the training files. Raises FileNotFoundError
    without the folders, ValueError for settings that do not fit, and parts that do not fit each other.
    """

    value_range: tuple[float, float]
    required: ClassVar[tuple[str, ...]]
    optional: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self, root: str, image_size: int, height: int | None, channels: int, value_range: Sequence[float], flip: bool
    ) -> None:
        check_shape(image_size, channels)
        if height is not None and height < 1:
            raise ValueError(f"height {height}: it must be at least 1, or null for that of the pictures")
        self.image_size, self.channels, self.num_classes = image_size, channels, None
        self.value_range, self.flip = as_range(value_range), flip
        folder = find_folder(root, "root")
        self._train = self._split(folder, "train")
        held_out = all((folder / f"test_{part}").is_dir() for part in self.required)
        self._test = self._split(folder, "test") if held_out else self._train
        first = self._train[self.required[0]]
        self.size, self.test_size = len(first.names), len(self._test[self.required[0]].names)
        width, tall = _size(first.root / first.names[0])
        self.height = height or max(STEP, round(image_size * tall / width / STEP) * STEP)

    def _split(self, folder: Path, split: str) -> dict[str, Files]:
        """The parts of a split, of equally many files each, in the order of their names."""
        missing = [f"{split}_{part}" for part in self.required if not (folder / f"{split}_{part}").is_dir()]
        if missing:
            raise FileNotFoundError(f"no {' and '.join(missing)} in {folder}: dataset.root holds {self.layout()}")
        there = [part for part in (*self.required, *self.optional) if (folder / f"{split}_{part}").is_dir()]
        found = {part: image_files.scan(folder / f"{split}_{part}") for part in there}
        counts = {f"{split}_{part}": len(files.names) for part, files in found.items()}
        if len(set(counts.values())) > 1:
            text = ", ".join(f"{count} in {name}" for name, count in counts.items())
            raise ValueError(f"{folder}: every picture needs its partners, and there are {text}")
        for names in zip(*(files.names for files in found.values())):
            sizes = {_size(files.root / name) for files, name in zip(found.values(), names)}
            if len(sizes) > 1:
                raise ValueError(f"{folder}: partners are of one size, and {' and '.join(names)} are not")
        return found

    @classmethod
    def layout(cls) -> str:
        """The folders in words."""
        optional = f", and maybe {', '.join(f'train_{part}' for part in cls.optional)}" if cls.optional else ""
        return f"{' and '.join(f'train_{part}' for part in cls.required)}{optional} (test_... likewise)"

    def _photo(self, files: Files, i: int) -> Tensor:
        picture = image_files.read(files.root / files.names[i], self.channels)
        return image_files.to_tensor(picture.resize((self.image_size, self.height), Image.Resampling.BICUBIC))

    def _order(self, seed: int, start: int, count: int) -> list[tuple[int, bool]]:
        """Which files, and which of them mirrored."""
        mirror = uniform(seed, torch.arange(start, start + count), AUGMENT) < 0.5 * self.flip
        return list(zip(order(seed, start, count, self.size).tolist(), mirror.tolist()))

    def _held_out(self, start: int, count: int) -> list[tuple[int, bool]]:
        return [(i % self.test_size, False) for i in range(start, start + count)]

    def fingerprint(self) -> str:
        files = (*self._train.values(), *(self._test.values() if self._test is not self._train else ()))
        return f"{image_files.fingerprint(*files)}-{self.height}"


def _size(file: Path) -> tuple[int, int]:
    try:
        with Image.open(file) as image:
            return image.size
    except (OSError, SyntaxError, ValueError, struct.error) as error:
        raise ValueError(f"{file}: not an image, or a broken one") from error


def _mirrored(pixels: Tensor, flip: bool) -> Tensor:
    return pixels.flip(-1) if flip else pixels


class LabelMapFolder(Photographs):
    """Photographs in train_img and maps in train_label (class ids) or train_inst (instance ids) or both; see read_maps.
    """

    batch_type: ClassVar[type] = LabelMaps
    required = ("img",)
    optional = ("label", "inst")

    def __init__(
        self, root: str, image_size: int = 1024, channels: int = 3, num_classes: None = None,
        value_range: Sequence[float] = (-1.0, 1.0), label_nc: int = 35, height: int | None = None, flip: bool = True,
    ) -> None:
        if label_nc < 1:
            raise ValueError(f"label_nc {label_nc}: the number of classes; dataset=large_pairs has pictures as sources")
        super().__init__(root, image_size, height, channels, value_range, flip)
        self.label_nc = label_nc
        for split, parts in (("train", self._train), ("test", self._test)):
            if set(parts) == {"img"}:
                folder = parts["img"].root.parent
                none = f"no {split}_label or {split}_inst in {folder}"
                raise FileNotFoundError(f"{none}: dataset.root holds {self.layout()}")

    def train_batch(self, seed: int, start: int, count: int) -> LabelMaps:
        return self._batch(self._train, self._order(seed, start, count))

    def test_batch(self, start: int, count: int) -> LabelMaps:
        return self._batch(self._test, self._held_out(start, count))

    def _batch(self, parts: dict[str, Files], chosen: list[tuple[int, bool]]) -> LabelMaps:
        maps = torch.stack([_mirrored(self._maps(parts, i), flip) for i, flip in chosen])
        photos = torch.stack([_mirrored(self._photo(parts["img"], i), flip) for i, flip in chosen])
        return LabelMaps(maps, scale(photos, self.value_range))

    def _maps(self, parts: dict[str, Files], i: int) -> Tensor:
        label, inst = (
            parts[part].root / parts[part].names[i] if part in parts else None for part in ("label", "inst")
        )
        return read_maps(label, inst, self.label_nc, (self.image_size, self.height))


class LargePairs(Photographs):
    """Pairs of photographs of any proportions: sources in train_A, targets in train_B (label_nc 0 in the code)."""

    batch_type: ClassVar[type] = Pairs
    required = ("A", "B")

    def __init__(
        self, root: str, image_size: int = 1024, channels: int = 3, num_classes: None = None,
        value_range: Sequence[float] = (-1.0, 1.0), height: int | None = None, flip: bool = True,
    ) -> None:
        super().__init__(root, image_size, height, channels, value_range, flip)

    def train_batch(self, seed: int, start: int, count: int) -> Pairs:
        return self._batch(self._train, self._order(seed, start, count))

    def test_batch(self, start: int, count: int) -> Pairs:
        return self._batch(self._test, self._held_out(start, count))

    def _batch(self, parts: dict[str, Files], chosen: list[tuple[int, bool]]) -> Pairs:
        source, target = (
            torch.stack([_mirrored(self._photo(parts[part], i), flip) for i, flip in chosen]) for part in self.required
        )
        return Pairs(scale(source, self.value_range), scale(target, self.value_range))
