"""Folders of photographs with label maps, or of large pairs (pix2pixHD, Wang et al. 2018, arXiv 1711.11585)."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from gan_cli.data import image_files, listing
from gan_cli.data.base import Dataset, LabelMaps, Pairs, as_range, order, scale, uniform
from gan_cli.data.folders import check_shape, find_folder
from gan_cli.data.image_files import upright_size
from gan_cli.data.listing import Files
from gan_cli.data.notes import dark, say_if_dark, say_once
from gan_cli.data.palettes import Palette, check_palette, check_palettes
from gan_cli.data.partners import matched
from gan_cli.data.preprocess import AUGMENT_STREAM

THING = 1000  # the id of an instance is 1000 times its class plus its number; smaller ids are classes
NO_CLASS = (255, -1)  # pixels without a class, in maps of 8 bits and in maps with a sign
CITYSCAPES = 35  # classes, of which 0 is "unlabeled"
STEP = 32  # a height computed from the images is a multiple of it: 2^5 for four halvings and the enhancer's one
INTEGER_MODES = ("1", "L", "P", "I", "I;16", "I;16B", "I;16L")


def read_ids(file: Path, palette: Palette | None = None) -> Image.Image:
    """Read an image file of integers or palette indices as mode I, upright. ValueError if it is broken or in color.

    palette: that of the maps that were read before (see check_palette); None for maps without classes.
    """
    with image_files.opened(file) as image:
        if image.mode not in INTEGER_MODES:
            raise ValueError(f"mode {image.mode}: a map has one whole number per pixel, as a grayscale PNG has")
        ids = np.asarray(ImageOps.exif_transpose(image))
        if image.mode == "P" and palette is not None:
            check_palette(file, ids, image.getpalette("RGB") or [], palette)
        return Image.fromarray(ids.astype(np.int32))


def read_maps(
    label: Path | None,
    instance: Path | None,
    label_nc: int,
    size: tuple[int, int] | None = None,
    void: int | None = None,
    palette: Palette | None = None,
) -> Tensor:
    """Read class ids and instance ids as int64 (2, H, W), as in LabelMaps, resized to `size` (W, H) by nearest pixels.

    One file may be None. Without instances, the class ids are used as instance ids. Without labels, an instance id of
    1000 or more has class id // 1000, and a smaller one is the class itself. void: the class of pixels without one,
    whose id is 255 or -1; None: 0 of the 35 classes of Cityscapes, and otherwise such pixels are refused. palette: see
    read_ids. Raises ValueError for ids that are no classes, and for files of different sizes.
    """
    first = label or instance
    assert first is not None
    maps = [read_ids(first, palette), read_ids(instance or first)]
    if maps[0].size != maps[1].size:
        raise ValueError(f"partners must have one size, and {label} and {instance} do not")
    size = size or maps[0].size
    ids, instances = (np.asarray(part.resize(size, Image.Resampling.NEAREST)) for part in maps)
    if label is None:
        ids = np.where(ids >= THING, ids // THING, ids)
    return torch.from_numpy(np.stack([_classes(first, ids, label_nc, void), instances]).astype(np.int64))


def _classes(file: Path, ids: np.ndarray, label_nc: int, void: int | None) -> np.ndarray:
    """The ids with `void` for those of pixels without a class. ValueError for ids that are no classes."""
    wrong = (ids < 0) | (ids >= label_nc)
    void = 0 if void is None and label_nc == CITYSCAPES else void
    missing = wrong & np.isin(ids, NO_CLASS)
    if void is not None and missing.any():
        count = f"{int(missing.sum()):,} of {missing.size:,} pixels in {file.name}"
        say_once(f"note: {file.parent}: ids 255 and -1 count as class {void}: {count}", file.parent)
        ids, wrong = np.where(missing, void, ids), wrong & ~missing
    if wrong.any():
        value = int(ids[wrong].flat[0])
        remedy = "dataset.void=CLASS names the class of pixels without one" if value in NO_CLASS else "check the map"
        remedy += ", and a mask of 0 and 255 is to be saved with 0 and 1" * (value == 255)
        raise ValueError(f"{file}: class {value}, and dataset.label_nc={label_nc} has 0 to {label_nc - 1}; {remedy}")
    return ids


class AlignedFolders(Dataset):
    """Base of these data sets: folders train_PART and test_PART, whose files belong together by name.

    Partners are found by partners.matched. Each file is turned by its own EXIF orientation, so that a map must fit the
    photograph as it is shown.

    Images are decoded when a batch needs them; at 2048 x 1024 pixels Cityscapes would take 19 GB of memory.

    image_size: the width. height: if None, that of the first image in proportion, rounded to a multiple of 32. Every
    image is resized to that size; differs: scale_width of the authors' code keeps the proportions of each image. flip:
    mirror half of the training images. window: see image_files.Window. The held-out files are those of test_PART, or
    else the training files. Raises FileNotFoundError if a folder does not exist, and ValueError for settings that do
    not fit, for files without partners, and for partners that differ in size.
    """

    value_range: tuple[float, float]
    image_size: int
    required: ClassVar[tuple[str, ...]]
    optional: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self, root: str, image_size: int, height: int | None, channels: int, value_range: Sequence[float], flip: bool,
        window: Sequence[float] | None,
    ) -> None:  # fmt: skip
        check_shape(image_size, channels)
        if height is not None and height < 1:
            raise ValueError(f"height {height}: it must be at least 1, or null for that of the images")
        self.image_size, self.channels, self.num_classes = image_size, channels, None
        self.value_range, self.flip, self.window = as_range(value_range), flip, image_files.as_window(window)
        folder = find_folder(root, "root")
        self._train = self._split(folder, "train")
        # A test split without all required parts is ignored.
        self.holds_out = all((folder / f"test_{part}").is_dir() for part in self.required)
        self._test = self._split(folder, "test") if self.holds_out else self._train
        self.files = [*self._train.values(), *(self._test.values() if self.holds_out else ())]
        first = self._train[self.required[0]]
        self.size, self.test_size = len(first.names), len(self._test[self.required[0]].names)
        (width, tall), _ = upright_size(first.root / first.names[0])
        self.height = height or max(STEP, round(image_size * tall / width / STEP) * STEP)

    def _split(self, folder: Path, split: str) -> dict[str, Files]:
        """List the files of each part of a split, partners at one position, and check that their sizes are equal."""
        missing = [f"{split}_{part}" for part in self.required if not (folder / f"{split}_{part}").is_dir()]
        if missing:
            raise FileNotFoundError(f"no {' and '.join(missing)} in {folder}: dataset.root holds {self.layout()}")
        names = [part for part in (*self.required, *self.optional) if (folder / f"{split}_{part}").is_dir()]
        parts = dict(zip(names, matched(*(listing.scan(folder / f"{split}_{part}") for part in names))))
        turned = 0
        for row in zip(*(files.names for files in parts.values())):
            sizes, turns = zip(*(upright_size(files.root / name) for files, name in zip(parts.values(), row)))
            turned += len(set(turns)) > 1
            if len(set(sizes)) > 1:
                raise ValueError(f"{folder}: partners must have one size, and {' and '.join(row)} do not")
        if turned:
            say_once(
                f"note: {folder}: EXIF orientation turns a {split} image but not its partner, {turned:,} times: "
                "partners must fit as they are shown"
            )
        return parts

    @classmethod
    def layout(cls) -> str:
        """Describe the folders, for messages."""
        optional = f", and optionally {', '.join(f'train_{part}' for part in cls.optional)}" if cls.optional else ""
        return f"{' and '.join(f'train_{part}' for part in cls.required)}{optional} (test_... likewise)"

    def _photo(self, files: Files, i: int) -> Tensor:
        file = files.root / files.names[i]
        image = image_files.read(file, self.channels, window=self.window)
        pixels = image_files.to_tensor(image.resize((self.image_size, self.height), Image.Resampling.BICUBIC))
        if dark(pixels[None]).all() and image_files.is_deep(file):
            say_if_dark(pixels[None], file, about=files.root)
        return pixels

    def _order(self, seed: int, start: int, count: int) -> list[tuple[int, bool]]:
        """Return the numbers of the files at these positions, and whether each is mirrored."""
        mirror = uniform(seed, torch.arange(start, start + count), AUGMENT_STREAM) < 0.5 * self.flip
        return list(zip(order(seed, start, count, self.size).tolist(), mirror.tolist()))

    def _held_out(self, start: int, count: int) -> list[tuple[int, bool]]:
        return [(i % self.test_size, False) for i in range(start, start + count)]

    def fingerprint(self) -> str:
        return f"{listing.fingerprint(*self.files, window=self.window)}-{self.height}"


def _mirrored(pixels: Tensor, flip: bool) -> Tensor:
    return pixels.flip(-1) if flip else pixels


class LabelMapFolder(AlignedFolders):
    """Photographs in train_img, with class ids in train_label, instance ids in train_inst, or both.

    label_nc, void: see read_maps.
    """

    batch_type: ClassVar[type] = LabelMaps
    required = ("img",)
    optional = ("label", "inst")

    def __init__(
        self, root: str, image_size: int = 1024, channels: int = 3, num_classes: None = None,
        value_range: Sequence[float] = (-1.0, 1.0), label_nc: int = 35, height: int | None = None, flip: bool = True,
        window: Sequence[float] | None = None, void: int | None = None,
    ) -> None:
        if label_nc < 1:
            raise ValueError(f"label_nc {label_nc}: it must be at least 1; dataset=large_pairs has no classes")
        if void is not None and not 0 <= void < label_nc:
            raise ValueError(f"void {void}: it is a class from 0 to {label_nc - 1}, or null")
        super().__init__(root, image_size, height, channels, value_range, flip, window)
        self.label_nc, self.void = label_nc, void
        for split, parts in (("train", self._train), ("test", self._test)):
            if set(parts) == {"img"}:
                folder = parts["img"].root.parent
                missing = f"no {split}_label or {split}_inst in {folder}"
                raise FileNotFoundError(f"{missing}: dataset.root holds {self.layout()}")
        found = [parts.get("label") or parts["inst"] for parts in (self._train, self._test)]
        check_palettes([part.root / name for part in found for name in part.names], partial(read_ids, palette={}))

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
        return read_maps(label, inst, self.label_nc, (self.image_size, self.height), self.void)


class LargePairs(AlignedFolders):
    """Pairs of images of any proportions: sources in train_A, targets in train_B (label_nc 0 in pix2pixHD's code)."""

    batch_type: ClassVar[type] = Pairs
    required = ("A", "B")

    def __init__(
        self, root: str, image_size: int = 1024, channels: int = 3, num_classes: None = None,
        value_range: Sequence[float] = (-1.0, 1.0), height: int | None = None, flip: bool = True,
        window: Sequence[float] | None = None,
    ) -> None:
        super().__init__(root, image_size, height, channels, value_range, flip, window)

    def train_batch(self, seed: int, start: int, count: int) -> Pairs:
        return self._batch(self._train, self._order(seed, start, count))

    def test_batch(self, start: int, count: int) -> Pairs:
        return self._batch(self._test, self._held_out(start, count))

    def _batch(self, parts: dict[str, Files], chosen: list[tuple[int, bool]]) -> Pairs:
        source, target = (
            torch.stack([_mirrored(self._photo(parts[part], i), flip) for i, flip in chosen]) for part in self.required
        )
        return Pairs(scale(source, self.value_range), scale(target, self.value_range))
