"""Folders of paired images: a source and the target that it should be translated to."""

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from gan_cli.data import image_files, listing
from gan_cli.data.band_files import scan_images
from gan_cli.data.base import Dataset, Pairs, as_range, order, scale
from gan_cli.data.decoded_cache import DecodeJob
from gan_cli.data.folders import check_size, find_folder
from gan_cli.data.listing import Files
from gan_cli.data.notes import say_once
from gan_cli.data.partners import matched
from gan_cli.data.pixel_kinds import mark, two_kinds
from gan_cli.data.preprocess import Geometry, Mode, Part, Store, margins, to_device
from gan_cli.utils.image_size import ImageSize, simplified

SPLITS = ("train", "val", "test")
LOOKED_AT = 1000  # pairs whose sizes are compared
LAYOUT = "train/ with images A|B side by side, or trainA/ and trainB/, or A/train/ and B/train/"


class PairedFolder(Dataset):
    """Pairs A and B in the layouts of pix2pix (Isola et al. 2017, and its code).

    `root` has one of three layouts: train/NAME, an image with A in its left half and B in its right half; trainA/NAME
    and trainB/NAME; or A/train/NAME and B/train/NAME. The two images of a pair have one name (see partners.matched).
    The splits val and test are stored like train. The held-out pairs are those of test, or else of val, or else of
    train.

    direction: AtoB makes A the source and B the target; BtoA exchanges them. Both images of a training pair are
    resized to `load_size` (286 / 256 of image_size if omitted, the jitter of section 6.2; the width of image_size for
    no jitter), cropped to image_size at the same random position, and half of the pairs are mirrored (`flip`).
    preprocess: this resizing and cropping, or other modes of the code, see Geometry.

    root: the folder of the splits, or a folder whose only subfolder is such a folder. url: a zip or tar archive to
    download if `root` does not exist. channels, depth: see ImageFolder. window: see image_files.Window.
    source_channels, source_window: those of the source, if they differ from those of the target. Raises
    FileNotFoundError if there are no such folders, and ValueError for settings that do not fit the data, broken images,
    an odd width of A|B, and images without a partner.
    """

    batch_type: ClassVar[type] = Pairs
    value_range: tuple[float, float]

    def __init__(
        self,
        root: str,
        image_size: ImageSize = 256,
        channels: int = 3,
        num_classes: None = None,
        value_range: Sequence[float] = (-1.0, 1.0),
        direction: Literal["AtoB", "BtoA"] = "AtoB",
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
        if direction not in ("AtoB", "BtoA"):
            raise ValueError(f"direction {direction}: choose AtoB or BtoA")
        self.image_size, self.channels, self.num_classes = simplified(image_size), channels, num_classes
        self.value_range, self.flip, self.direction = as_range(value_range), flip, direction
        self.window, self.depth, self.source_channels = self._kinds[1].window, depth, self._kinds[0].channels
        kinds = self._kinds if direction == "AtoB" else self._kinds[::-1]  # of A and of B
        folder = _root_of_splits(find_folder(root, "root", url))
        held_out = next(split for split in ("test", "val", "train") if sides_of(folder, split))
        self.holds_out = held_out != "train"
        self.files, parts = [], []
        for split, is_held_out in (("train", False), (held_out, True)):
            files = _scan(sides_of(folder, split), [kind.channels for kind in kinds])
            fits = (image_files.stretch, image_files.stretch) if len(files) == 2 else (left_half, right_half)
            self.files += files
            for one, fit, kind in zip((files[0], files[-1]), fits, kinds):
                job = DecodeJob(one, kind.channels, image_size, fit, *kind[1:])
                parts.append(Part(job, is_held_out, columns=2 // len(files)))
        self._stores = self._geometry.load(*parts)
        for number in (0, 2):
            _check_sizes(self._stores[number : number + 2], parts[number : number + 2])
        self.size, self.test_size = len(self._stores[0]), len(self._stores[2])

    def train_batch(self, seed: int, start: int, count: int) -> Pairs:
        index = order(seed, start, count, self.size)
        windows = self._geometry.windows(self._stores[0], index, seed, start, self.flip)
        return self._pairs(*(self._geometry.crop(store, index, windows) for store in self._stores[:2]))

    def test_batch(self, start: int, count: int) -> Pairs:
        index = torch.arange(start, start + count) % self.test_size
        return self._pairs(*(self._geometry.held_out(store, index) for store in self._stores[2:]))

    def _pairs(self, a: Tensor, b: Tensor) -> Pairs:
        source, target = (a, b) if self.direction == "AtoB" else (b, a)
        return Pairs(scale(source, self.value_range), scale(target, self.value_range))

    def fingerprint(self) -> str:
        files = listing.fingerprint(*self.files, window=self.window)
        return f"{files}-{self.direction}{self._geometry.fingerprint()}{mark(*self._kinds)}"

    def to(self, device: torch.device) -> "PairedFolder":
        self._stores = to_device(self._stores, device)
        return self


def left_half(image: Image.Image, size: ImageSize) -> Image.Image:
    """Resize the left half of an image A|B to `size`. ValueError for an odd width."""
    return image_files.stretch(image.crop((0, 0, half_width(image), image.height)), size)


def right_half(image: Image.Image, size: ImageSize) -> Image.Image:
    """Resize the right half of an image A|B to `size`. ValueError for an odd width."""
    return image_files.stretch(image.crop((half_width(image), 0, image.width, image.height)), size)


def half_width(image: Image.Image) -> int:
    """Width of one half of an image A|B. ValueError if the width is odd."""
    if image.width % 2:
        raise ValueError(f"{image.width} pixels wide: two images side by side have an even width")
    return image.width // 2


def _check_sizes(stores: Sequence[Store], parts: Sequence[Part]) -> None:
    """ValueError if partners differ in size before a crop, which would show different parts of them."""
    a, b = (margins(store, torch.arange(len(store)), (0, 0)) for store in stores)
    if not torch.equal(a, b):
        row = int((a != b).any(0).nonzero()[0])
        first, second = (part.job.files.root / part.job.files.names[row] for part in parts)
        raise ValueError(
            f"{first} and {second} are partners of different sizes, which cannot be cropped alike: "
            "dataset.preprocess=resize_and_crop resizes them to one size first"
        )


def sides_of(root: Path, split: str) -> list[Path]:
    """Return the folders of a split: one with images A|B, or those of A and of B; none if the split does not exist."""
    for folders in ([root / f"{split}A", root / f"{split}B"], [root / "A" / split, root / "B" / split], [root / split]):
        if all(folder.is_dir() for folder in folders):
            return folders
    return []


def _root_of_splits(root: Path) -> Path:
    """Return the folder with the training pairs: `root`, or its only subfolder that has them."""
    if sides_of(root, "train"):
        return root
    inside = [path for path in sorted(root.iterdir()) if path.is_dir() and sides_of(path, "train")]
    if len(inside) > 1:
        raise ValueError(f"{root} holds several sets: set dataset.root to {' or '.join(map(str, inside))}")
    if not inside:
        raise FileNotFoundError(f"no training pairs in {root}: dataset.root holds {LAYOUT}")
    return inside[0]


def _scan(folders: list[Path], channels: Sequence[int]) -> list[Files]:
    """List the images of a split; those of two folders in the order of their names without suffix.

    channels: those of A and of B, which may be files of their own in two folders.
    """
    first, *others = (scan_images(folder, n if len(folders) == 2 else 1) for folder, n in zip(folders, channels))
    if not others:
        return [first]
    # a.png sorts after a-b.png, but before it without the suffix.
    stems = [Path(name).with_suffix("").as_posix() for name in first.names]
    pairs = matched(first.pick(sorted(range(len(stems)), key=stems.__getitem__)), *others)
    _say_if_sizes_differ(*pairs)
    return pairs


def _say_if_sizes_differ(a: Files, b: Files) -> None:
    """Print once that partners, of which some are looked at, have different sizes: each is resized on its own."""
    for row in np.linspace(0, len(a.names) - 1, min(LOOKED_AT, len(a.names)), dtype=int).tolist():
        try:
            size, other = (image_files.upright_size(files.root / files.names[row])[0] for files in (a, b))
        except ValueError:
            continue  # broken images are all named when they are decoded
        if size != other:
            first, second = (
                f"{files.root / files.names[row]} of {width} x {height} pixels"
                for files, (width, height) in ((a, size), (b, other))
            )
            say_once(
                f"note: {a.root.parent}: partners of different sizes, such as {first} and {second}: each is resized "
                "on its own, regardless of proportions"
            )
            return
