"""Folders of images in pairs: what an image is, and what it should become."""

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Literal

import torch
from PIL import Image
from torch import Tensor

from gan_cli.data import decoded_cache, image_files
from gan_cli.data.base import Dataset, Pairs, as_range, order, scale, uniform
from gan_cli.data.decoded_cache import DecodeJob
from gan_cli.data.folders import AUGMENT, check_shape, cut, find_folder, take, to_device
from gan_cli.data.image_files import Files

SPLITS = ("train", "val", "test")
LAYOUT = "train/ with pictures A|B side by side, or trainA/ and trainB/, or A/train/ and B/train/"


class PairedFolder(Dataset):
    """Pairs A and B as Isola et al. 2017 (pix2pix) and their code keep them, in one of three layouts of `root`:

    train/NAME with A left and B right in one picture; trainA/NAME and trainB/NAME; A/train/NAME and B/train/NAME,
    where partners have the same name but for its suffix. val and test lie beside train. Held out are the pairs of
    test; where there are none, those of val; else the training pairs.

    direction: AtoB makes A the source and B the target, BtoA the other way round. Both pictures of a training pair
    are resized to a square of `load_size` (by default 286 / 256 of image_size: section 6.2's jitter; image_size: no
    jitter), cropped to image_size at the same random place, and mirrored together half of the time (`flip`).
    root: the folder of the splits, or one with a single such folder in it. url: a zip or tar archive that makes
    `root` when it does not exist. Raises FileNotFoundError without the folders; ValueError for settings that do not
    fit, broken images, a picture of odd width, and names without partners.
    """

    batch_type: ClassVar[type] = Pairs
    value_range: tuple[float, float]

    def __init__(
        self,
        root: str,
        image_size: int = 256,
        channels: int = 3,
        num_classes: None = None,
        value_range: Sequence[float] = (-1.0, 1.0),
        direction: Literal["AtoB", "BtoA"] = "AtoB",
        load_size: int | None = None,
        flip: bool = True,
        url: str | None = None,
    ) -> None:
        check_shape(image_size, channels)
        self._spare = spare(load_size, image_size)
        if direction not in ("AtoB", "BtoA"):
            raise ValueError(f"direction {direction}: choose AtoB or BtoA")
        self.image_size, self.channels, self.num_classes = image_size, channels, num_classes
        self.value_range, self.flip, self.direction = as_range(value_range), flip, direction
        folder = _whole(find_folder(root, "root", url))
        held_out = next(split for split in ("test", "val", "train") if _sides(folder, split))
        self._files, jobs = [], []
        for split, size in (("train", image_size + self._spare), (held_out, image_size)):
            files = _scan(_sides(folder, split))
            fits = (image_files.stretch, image_files.stretch) if len(files) == 2 else (left_half, right_half)
            self._files += files
            jobs += [DecodeJob(part, channels, size, fit) for part, fit in zip((files[0], files[-1]), fits)]
        self._stores = decoded_cache.load(*jobs)
        self.size, self.test_size = len(self._stores[0]), len(self._stores[2])

    def train_batch(self, seed: int, start: int, count: int) -> Pairs:
        index = order(seed, start, count, self.size)
        place = jitter(seed, start, count, self._spare, self.flip)
        return self._pairs(*(cut(store, index, *place, self.image_size) for store in self._stores[:2]))

    def test_batch(self, start: int, count: int) -> Pairs:
        index = torch.arange(start, start + count) % self.test_size
        return self._pairs(*(take(store, index) for store in self._stores[2:]))

    def _pairs(self, a: Tensor, b: Tensor) -> Pairs:
        source, target = (a, b) if self.direction == "AtoB" else (b, a)
        return Pairs(scale(source, self.value_range), scale(target, self.value_range))

    def fingerprint(self) -> str:
        return f"{image_files.fingerprint(*self._files)}-{self.direction}"

    def to(self, device: torch.device) -> "PairedFolder":
        self._stores = to_device(self._stores, device)
        return self


def spare(load_size: int | None, image_size: int) -> int:
    """Pixels that the random crop leaves out; load_size None: 286 / 256 of image_size. ValueError if negative."""
    load_size = round(image_size * 286 / 256) if load_size is None else load_size
    if load_size < image_size:
        raise ValueError(f"load_size {load_size}: it must be at least image_size, which is {image_size}")
    return load_size - image_size


def jitter(seed: int, start: int, count: int, spare: int, flip: bool) -> tuple[Tensor, Tensor, Tensor]:
    """(count,) each, of the samples at these positions: top and left of the crop, 0 .. spare, and whether to mirror."""
    position = torch.arange(start, start + count)
    draws = uniform(seed, 3 * position + torch.arange(3)[:, None], AUGMENT)  # three for each sample
    top, left = (draws[:2] * (spare + 1)).long()
    return top, left, draws[2] < 0.5 * flip


def left_half(image: Image.Image, size: int) -> Image.Image:
    """A of a picture A|B, to (size, size). ValueError for an odd width."""
    return image_files.stretch(image.crop((0, 0, _half(image), image.height)), size)


def right_half(image: Image.Image, size: int) -> Image.Image:
    """B of a picture A|B, to (size, size). ValueError for an odd width."""
    return image_files.stretch(image.crop((_half(image), 0, image.width, image.height)), size)


def _half(image: Image.Image) -> int:
    if image.width % 2:
        raise ValueError(f"{image.width} pixels wide: two pictures side by side have an even width")
    return image.width // 2


def _sides(root: Path, split: str) -> list[Path]:
    """The folders of a split: one of pictures A|B, or those of A and of B; none if it is not there."""
    for folders in ([root / f"{split}A", root / f"{split}B"], [root / "A" / split, root / "B" / split], [root / split]):
        if all(folder.is_dir() for folder in folders):
            return folders
    return []


def _whole(root: Path) -> Path:
    """`root`, or its only subfolder, with the training pairs."""
    if _sides(root, "train"):
        return root
    inside = [path for path in sorted(root.iterdir()) if path.is_dir() and _sides(path, "train")]
    if len(inside) > 1:
        raise ValueError(f"{root} holds several sets: set dataset.root to {' or '.join(map(str, inside))}")
    if not inside:
        raise FileNotFoundError(f"no training pairs in {root}: dataset.root holds {LAYOUT}")
    return inside[0]


def _scan(folders: list[Path]) -> list[Files]:
    """The images of a split; those of two folders in the order of their common names."""
    found = [image_files.scan(folder) for folder in folders]
    return _partnered(*found) if len(found) == 2 else found


def _partnered(a: Files, b: Files) -> list[Files]:
    """Both in one order. ValueError names the images without partner."""
    rows = {files: _by_name(files) for files in (a, b)}
    for files, other in ((a, b), (b, a)):
        lonely = [files.names[number] for name, number in sorted(rows[files].items()) if name not in rows[other]]
        if lonely:
            some = ", ".join(lonely[:3]) + (", ..." if len(lonely) > 3 else "")
            raise ValueError(f"{len(lonely)} images of {files.root} have no partner in {other.root}: {some}")
    return [_pick(files, [number for _, number in sorted(row.items())]) for files, row in rows.items()]


def _by_name(files: Files) -> dict[str, int]:
    """Name without suffix -> number. ValueError for a name that comes twice."""
    row = {Path(name).with_suffix("").as_posix(): number for number, name in enumerate(files.names)}
    if len(row) < len(files.names):
        raise ValueError(f"{files.root} holds images of one name with different suffixes: which is the partner?")
    return row


def _pick(files: Files, index: list[int]) -> Files:
    """The files with these numbers, in that order."""
    return Files(
        files.root,
        tuple(files.names[i] for i in index),
        tuple(files.sizes[i] for i in index),
        tuple(files.times[i] for i in index),
    )
