"""Unpaired domains that are taken from other data sets, as in DiscoGAN's code (dataset.py).

A domain is one half of images A|B, or the photographs that have an attribute. As in that code, images are resized to
squares without cropping or mirroring. Each domain is shuffled separately. Differs: antialiased bicubic filtering, for
cv2.resize there, which is bilinear without antialiasing; pixels differ by .03 of the range on average.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import ClassVar

import torch
from PIL import Image, ImageFilter
from torch import Tensor

from gan_cli.data import decoded_cache, image_files, listing
from gan_cli.data.base import Dataset, Domains, as_range, held_out, mix, order, scale
from gan_cli.data.decoded_cache import DecodeJob
from gan_cli.data.folders import SPLIT_SEED, check_shape, find_folder
from gan_cli.data.listing import Files
from gan_cli.data.notes import say_once
from gan_cli.data.paired import half_width, right_half
from gan_cli.data.preprocess import select, to_device
from gan_cli.utils.image_size import ImageSize

HELD_OUT = 200  # images per domain: n_test of image_translation.py
ATTRIBUTES, PHOTOGRAPHS = "list_attr_celeba.txt", "img_align_celeba"


class UnpairedImages(Dataset):
    """Base of these data sets: two domains of decoded images. jobs: training x, training y, held-out x, held-out y."""

    batch_type: ClassVar[type] = Domains
    value_range: tuple[float, float]

    def __init__(
        self, jobs: Sequence[DecodeJob], image_size: int, channels: int, num_classes: None, value_range: Sequence[float]
    ) -> None:
        self.image_size, self.channels, self.num_classes = image_size, channels, num_classes
        self.value_range = as_range(value_range)
        self.files, self._stores = [job.files for job in jobs], decoded_cache.load(*jobs)
        self.size = max(len(store) for store in self._stores[:2])
        self.test_size = max(len(store) for store in self._stores[2:])

    def train_batch(self, seed: int, start: int, count: int) -> Domains:
        seeds = (seed, int(mix(torch.tensor([seed]), stream=SPLIT_SEED)[0]))
        rows = (order(s, start, count, len(store)) for store, s in zip(self._stores, seeds))
        return self._domains(self._stores[:2], rows)

    def test_batch(self, start: int, count: int) -> Domains:
        position = torch.arange(start, start + count)
        return self._domains(self._stores[2:], (position % len(store) for store in self._stores[2:]))

    def _domains(self, stores: list[Tensor], rows: Iterable[Tensor]) -> Domains:
        return Domains(*(scale(select(s, r), self.value_range) for s, r in zip(stores, rows)))

    def fingerprint(self) -> str:
        return listing.fingerprint(*self.files, window=self.window)

    def describe(self) -> str:
        x, y, *tests = (f"{len(store):,}" for store in self._stores)
        return f"images: {x} of x and {y} of y; held out: {held_out(self.files, tests)}"

    def to(self, device: torch.device) -> "UnpairedImages":
        self._stores = to_device(self._stores, device)
        return self


class HalvesFolder(UnpairedImages):
    """Halves of images A|B in root/train, with held-out ones in root/val (edges2shoes and edges2handbags of pix2pix).

    Without `other_root`, x are the left halves, with thicker edges, of the first half of the training images by name,
    and y are the right halves of the second half, so that no image is in both domains. With `other_root`, x are all
    right halves of `root` and y all right halves of `other_root` (handbags to shoes). url, other_url: archives to
    download if the folders do not exist. Raises FileNotFoundError if a folder does not exist, and ValueError for
    broken images, an odd width, and a single training image.
    """

    def __init__(
        self, root: str, other_root: str | None = None, image_size: int = 64, channels: int = 3,
        num_classes: None = None, value_range: Sequence[float] = (0.0, 1.0), url: str | None = None,
        other_url: str | None = None, window: Sequence[float] | None = None,
    ) -> None:
        check_shape(image_size, channels)
        train, val = _splits(find_folder(root, "root", url))
        if other_root is None:
            middle = len(train.names) // 2
            if not middle:
                raise ValueError(f"{train.root} holds one image: two and more can be halved")
            files = (train.pick(range(middle)), train.pick(range(middle, len(train.names))), val, val)
            fits = (thick_left_half, right_half) * 2
        else:
            other_train, other_val = _splits(find_folder(other_root, "other_root", other_url))
            files, fits = (train, other_train, val, other_val), (right_half,) * 4
        self.window = image_files.as_window(window)
        jobs = [DecodeJob(part, channels, image_size, fit, self.window) for part, fit in zip(files, fits)]
        super().__init__(jobs, image_size, channels, num_classes, value_range)


class AttributeFolder(UnpairedImages):
    """CelebA's aligned faces by attributes: x have `attribute`, and y have `other` or lack `attribute`.

    other: None: y lack `attribute`. keep: attributes that all faces must have (1) or lack (-1), such as {Male: -1}.
    root: the folder of list_attr_celeba.txt and img_align_celeba. The last 200 faces of each domain are held out.
    Raises FileNotFoundError if the files do not exist, and ValueError for an unknown attribute and for a domain of
    fewer than 201 faces.
    """

    def __init__(
        self, root: str, attribute: str = "Male", other: str | None = None, keep: dict[str, int] | None = None,
        image_size: int = 64, channels: int = 3, num_classes: None = None, value_range: Sequence[float] = (0.0, 1.0),
        window: Sequence[float] | None = None,
    ) -> None:
        check_shape(image_size, channels)
        folder = find_folder(root, "root")
        names, table = _attributes(folder / ATTRIBUTES)
        wanted = [attribute, *([other] if other else []), *(keep or {})]
        unknown = [name for name in wanted if name not in names]
        if unknown:
            listed = ", ".join(names)
            raise ValueError(f"no attribute {', '.join(unknown)} in {folder / ATTRIBUTES}; listed are {listed}")
        wanted_values = (keep or {}).items()
        photographs = listing.scan(find_folder(str(folder / PHOTOGRAPHS), "root"))
        if odd := len(table.keys() ^ set(photographs.names)):
            say_once(f"note: {folder}: skipped {odd:,} faces of {ATTRIBUTES} or {PHOTOGRAPHS} alone")
        allowed = {file for file, row in table.items() if all(row[names.index(k)] == v for k, v in wanted_values)}
        files = []
        for name, value in ((attribute, 1), (other or attribute, 1 if other else -1)):
            chosen = {file for file in allowed if table[file][names.index(name)] == value}
            rows = [i for i, file in enumerate(photographs.names) if file in chosen]
            if len(rows) <= HELD_OUT:
                raise ValueError(f"{len(rows)} faces with {name} {value}: {HELD_OUT} are held out, so more are needed")
            files.append(photographs.pick(rows))
        counts = [len(part.names) for part in files]
        train = [part.pick(range(n - HELD_OUT)) for part, n in zip(files, counts)]
        held_out = [part.pick(range(n - HELD_OUT, n)) for part, n in zip(files, counts)]
        self.window = image_files.as_window(window)
        fit = image_files.stretch
        jobs = [DecodeJob(part, channels, image_size, fit, self.window) for part in (*train, *held_out)]
        super().__init__(jobs, image_size, channels, num_classes, value_range)


def thick_left_half(image: Image.Image, size: ImageSize) -> Image.Image:
    """Resize the left half of an image A|B to (size, size), with its dark lines one pixel thicker on every side.

    The minimum over 3 x 3 pixels is what dataset.py computes: it inverts, dilates by 3 x 3 once, and inverts back.
    """
    half = image.crop((0, 0, half_width(image), image.height))
    return image_files.stretch(half.filter(ImageFilter.MinFilter(3)), size)


def _splits(root: Path) -> tuple[Files, Files]:
    """List the images of train and of the first of val, test and train that exists.

    The splits are in `root` or in its only subfolder with a folder train.
    """
    inside = [path for path in sorted(root.iterdir()) if (path / "train").is_dir()]
    folder = inside[0] if len(inside) == 1 and not (root / "train").is_dir() else root
    if not (folder / "train").is_dir():
        raise FileNotFoundError(f"no folder train in {folder}: dataset.root holds train/ and val/ of images A|B")
    held_out = next(name for name in ("val", "test", "train") if (folder / name).is_dir())
    return listing.scan(folder / "train"), listing.scan(folder / held_out)


def _attributes(file: Path) -> tuple[list[str], dict[str, list[int]]]:
    """Read the names of the attributes, and the values of each image file, 1 or -1."""
    if not file.is_file():
        raise FileNotFoundError(f"there is no {file}: dataset.root holds CelebA's {ATTRIBUTES} and {PHOTOGRAPHS}")
    try:
        _, head, *lines = file.read_text().splitlines()
        names, rows = head.split(), (line.split() for line in lines if line.strip())
        table = {name: [int(value) for value in values] for name, *values in rows}
        if any(len(values) != len(names) for values in table.values()):
            raise ValueError("a row of another length")
    except ValueError as error:
        raise ValueError(f"{file}: it is no table of a count, the names of attributes and a row per face") from error
    return names, table
