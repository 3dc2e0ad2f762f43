"""`gan data check`: what a folder of images holds, what is wrong with it, and what a model will see of it."""

import hashlib
import math
import os
from collections import Counter
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from gan_cli.data import image_files, paired, preprocess
from gan_cli.data.bands import INSTALL
from gan_cli.data.decoded_cache import Fit
from gan_cli.data.folders import find_folder
from gan_cli.data.layouts import MODELS, Layout, recognize
from gan_cli.data.listing import Files
from gan_cli.data.similar_images import (
    GRAY_DISTANCE,
    HASH_DISTANCE,
    Look,
    equal,
    look,
    nearly_equal,
    representatives,
)
from gan_cli.tools.data.beside import not_read
from gan_cli.tools.data.deep import Limits, dark_notes, limits
from gan_cli.utils import images, labels
from gan_cli.utils.commands import command
from gan_cli.utils.errors import GanError, one_line, reading
from gan_cli.utils.image_size import ImageSize, sides, simplified, words
from gan_cli.utils.progress import Progress

SIZES = {"unpaired_folder": 256, "paired_folder": 256, "image_folder": 64}
"""image_size of the data sets, if omitted."""
ROWS, SHEET, LARGEST = 8, 48, 256  # images per column, images of one column, and pixels per side, of the sheet
NAMED, FEW = 10, 100  # findings of a kind that are named; images below which a set is small


class Seen(NamedTuple):
    """What was found out about an image: width and height as shown, kind of pixels, whether it is stored turned, a
    digest of its bytes, and its look. limits: of values of more than 8 bits. error: why it cannot be read; the rest is
    missing then.
    """

    name: str
    part: str
    size: tuple[int, int] = (0, 0)
    kind: str = ""
    turned: bool = False
    digest: bytes = b""
    look: Look | None = None
    limits: Limits | None = None
    error: str = ""

    @property
    def is_broken(self) -> bool:
        return bool(self.error) and INSTALL not in self.error

    @property
    def channels(self) -> int:
        """dataset.channels for such images."""
        count = self.kind.split(" channel")[0]
        return int(count) if count.isdecimal() else 1 if self.kind == "gray" else 3

    @property
    def is_training(self) -> bool:
        """Whether it is in a part such as trainA, A/train or train."""
        return self.part.split("/")[-1].startswith("train")


def check(folder: str, *, image_size: Sequence[int] | None = None, out: str | None = None) -> None:
    """Print what a folder or a zip archive of images holds, and write a sheet of what a model sees of it.

    image_size: pixels per side, or height and width; that of the data set if omitted. out: the sheet, a PNG file;
    NAME_check.png in the current folder if omitted, NAME_zip_check.png of an archive. Raises GanError if there are no
    images.
    """
    _, layout = find(folder)
    size = as_size(image_size, SIZES[layout.datasets[0]])
    seen = _look_at_all(layout)
    print(f"{folder}: {layout.words}")
    for part in layout.parts:
        _print_part(part, [one for one in seen if one.part == part])
    for line in not_read(layout):
        print(f"  {line}")
    if len(layout.datasets) > 1:
        print("  equal names need not mean partners: those that cameras give, such as IMG_0001.jpg, coincide by chance")
    whole = [one for one in seen if not one.error]
    if not whole:
        raise GanError(f"{folder}: none of {len(seen):,} images can be read; first: {seen[0].error}")
    _print_findings("broken", [one.error for one in seen if one.is_broken])
    _print_findings("not read without an extra", [one.error for one in seen if one.error and not one.is_broken])
    _print_doubles(whole)
    deep = {one.name: one.limits for one in whole if one.limits}
    for line in [*_views(layout, whole, size), *dark_notes(list(deep.values()), "dataset.window")]:
        print(line)
    sheet = Path(out or _sheet_name(folder))
    replaces = ", in the place of an earlier file" if sheet.exists() else ""
    images.save(sheet, _sheet(layout, size, folder, deep))
    print(f"what the model sees at image_size={words(size)} is in {sheet}{replaces}")
    counts = Counter(one.channels for one in whole)
    if len(counts) > 1 and max(counts) > 3:
        text = ", ".join(f"dataset.channels={number} reads {n:,}" for number, n in counts.most_common())
        print(f"training needs images of one number of channels: {text}")
    for line in train_lines(layout, folder, size, counts.most_common(1)[0][0] if max(counts) > 3 else max(counts)):
        print(line)
    if any(one.is_broken for one in seen):
        print(f"training refuses broken images; {_prepare(folder, size)} leaves them out")


def _sheet_name(folder: str) -> str:
    """The name of the sheet: photos_check.png of a folder photos, photos_zip_check.png of photos.zip."""
    source = Path(folder).expanduser().resolve()
    name = source.name if source.is_dir() else source.name.replace(".", "_")
    return f"{name or 'images'}_check.png"


def find(folder: str) -> tuple[Path, Layout]:
    """The folder or archive, and its layout. GanError if there is none, or no images."""
    try:
        root = find_folder(folder, "root")
    except (FileNotFoundError, ValueError) as error:
        raise GanError(
            one_line(error).replace("dataset.root is", "DIR is").replace("; set dataset.root=FOLDER", "")
        ) from error
    with reading(folder):
        return root, recognize(root)


def as_size(image_size: Sequence[int] | None, otherwise: int) -> ImageSize:
    """The option image_size. GanError unless it is one or two positive numbers."""
    if image_size is None:
        return otherwise
    if len(image_size) not in (1, 2) or min(image_size) < 1:
        raise GanError(f"image_size={list(image_size)}: one number is needed, or [HEIGHT,WIDTH]")
    return simplified((image_size[0], image_size[-1]))


def is_halved(layout: Layout) -> bool:
    """Whether each image is A|B, two side by side."""
    return layout.datasets == ("paired_folder",) and "train" in layout.parts


def train_lines(layout: Layout, folder: str, size: ImageSize, channels: int = 3) -> list[str]:
    """The commands that train on the folder, whose images have so many channels."""
    dataset = layout.datasets[0]
    height, width = sides(size)
    options = [f"dataset={dataset}", f"dataset.root={folder}"]
    options.append(f"dataset.image_size={height if height == width else f'[{height},{width}]'}")
    options += [f"dataset.channels={channels}"] if channels != 3 else []
    kinds = {"paired_folder": ", if equal names mean partners", "unpaired_folder": ", as two unpaired domains"}
    lines = [
        f"train{kinds[name] if len(layout.datasets) > 1 else ''}: "
        f"{command('train', f'model={MODELS[name]}', f'dataset={name}', *options[1:])}"
        for name in layout.datasets
    ]
    if dataset == "image_folder" and (layout.labeled or len(layout.classes) > 1):
        classes = len(layout.classes) if not layout.labeled else "N"
        labeled = command(
            "train", "model=cgan", "network=conditional_dcgan", *options, f"dataset.num_classes={classes}"
        )
        lines.append(f"with classes: {labeled}")
    return lines


def _prepare(folder: str, size: ImageSize) -> str:
    height, width = sides(size)
    text = str(height) if height == width else f"[{height},{width}]"
    return command("data", "prepare", folder, "out=DIR", f"image_size={text}")


def _look_at_all(layout: Layout) -> list[Seen]:
    jobs = [(part, files, row) for part, files in layout.parts.items() for row in range(len(files.names))]
    progress, seen = Progress(len(jobs), "images", label="checking"), []
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        for one in pool.map(lambda job: _look_at(*job), jobs):
            seen.append(one)
            progress.advance()
    return seen


def _look_at(part: str, files: Files, row: int) -> Seen:
    """Decode one image, a JPEG at an eighth of its size, which reads all of the file as well."""
    file, name = files.root / files.names[row], f"{part}/{files.names[row]}"
    try:
        digest = hashlib.blake2b(file.read_bytes(), digest_size=16).digest()
        if (planes := image_files.tiff_stack(file)) is not None:
            kind = f"{len(planes)} channel{'s' * (len(planes) > 1)}"
            return Seen(name, part, planes.shape[:0:-1], kind, False, digest, look(_shown(planes)))
        size, turned = image_files.upright_size(file)
        with image_files.opened(file) as image:
            kind = _kind(image.mode, "transparency" in image.info)
            image.draft("RGB", (128, 128))
            image.load()
            # Values of more than 8 bits as parts of their range: only their order matters for a look.
            small = image_files.convert(image, 1, _range(image)) if kind == "16-bit" else image_files.convert(image, 1)
            found, values = look(small), limits(image)
    except (ValueError, OSError) as error:
        return Seen(name, part, error=one_line(error))
    return Seen(name, part, size, kind, turned, digest, found, values)


def _shown(planes: np.ndarray) -> Image.Image:
    """The first three channels (C, H, W) as color, or the first as gray, with other values than 8 bits as parts of
    their range. ValueError if some are no finite numbers.
    """
    some = planes[: 3 if len(planes) > 2 else 1]
    if some.dtype != np.uint8:
        low, high = float(some.min()), float(some.max())
        if not math.isfinite(high - low):
            raise ValueError("it holds values that are no finite numbers")
        some = ((some - low) * (255 / ((high - low) or 1))).round().astype(np.uint8)
    return Image.merge("RGB" if len(some) == 3 else "L", [Image.fromarray(plane) for plane in some]).convert("RGB")


def _range(image: object) -> tuple[float, float]:
    low, high = image.getextrema()  # type: ignore[attr-defined]
    return float(low), float(high if high > low else low + 1)


def _kind(mode: str, transparent: bool) -> str:
    if mode.startswith(("I", "F")):
        return "16-bit"
    if transparent or mode in ("RGBA", "LA", "PA"):
        return "alpha"
    return "gray" if mode in ("1", "L") else "color"


def _print_part(part: str, seen: Sequence[Seen]) -> None:
    whole = [one for one in seen if not one.error]
    text = f"  {part}: {len(seen):,} images"
    if broken := sum(one.is_broken for one in seen):
        text += f", {broken:,} of them broken"
    if unread := len(seen) - len(whole) - broken:
        text += f", {unread:,} of them not read: {INSTALL}"
    if whole:
        by_area = sorted((one.size for one in whole), key=lambda size: size[0] * size[1])
        picks = by_area[0], by_area[len(by_area) // 2], by_area[-1]
        shown = [f"{width} x {height}" for width, height in dict.fromkeys(picks)]
        text += (
            f"; width x height {shown[0]}" if len(shown) == 1 else f"; width x height from {shown[0]} to {shown[-1]}"
        )
        if len(shown) == 3:
            text += f", median {shown[1]}"
        ratios = sorted(width / height for width, height in by_area)
        text += f"; width / height {ratios[0]:.2f}"
        text += f" to {ratios[-1]:.2f}" if ratios[-1] - ratios[0] > 0.005 else ""
        text += "; " + ", ".join(f"{n:,} {kind}" for kind, n in Counter(one.kind for one in whole).most_common())
        turned = sum(one.turned for one in whole)
        text += f"; {turned:,} turned upright by EXIF" if turned else ""
    print(text)


def _print_findings(what: str, lines: Sequence[str]) -> None:
    if lines:
        print(f"{what}: {len(lines):,}")
        for line in lines[:NAMED]:
            print(f"  {line}")
        if len(lines) > NAMED:
            print(f"  and {len(lines) - NAMED:,} more")


def _print_doubles(seen: Sequence[Seen]) -> None:
    """Print equal and nearly equal images: first those of training and held-out parts, which flatter every score."""
    groups = equal([one.digest for one in seen])
    # Thousands of equal files would be millions of pairs: one of them for training and one held out stand for them.
    firsts = [seen[row] for row in representatives([(one.digest, one.is_training) for one in seen])]
    pairs = nearly_equal([one.look for one in firsts if one.look])
    near = [[firsts[a], firsts[b]] for a, b in pairs if firsts[a].digest != firsts[b].digest]
    for what, sets in (("equal files", [[seen[row] for row in group] for group in groups]), ("nearly equal", near)):
        across, others = list[str](), list[str]()
        for group in sets:
            other = next((one for one in group if one.is_training != group[0].is_training), None)
            more = f" and {len(group) - 2:,} more" if len(group) > 2 else ""
            (across if other else others).append(f"{group[0].name} = {(other or group[1]).name}{more}")
        _print_findings(f"{what}, one for training and one held out", across)
        _print_findings(f"{what}, others", others)
    if groups:
        print("  (equal files: delete all but one of each, first those held out; gan data prepare keeps them)")
    if near:
        print(
            f"  (nearly equal: at most {HASH_DISTANCE} of 64 bits of the difference hash and {GRAY_DISTANCE:g} of 255 "
            "in the mean of 16 x 16 pixels; look at them)"
        )


def _views(layout: Layout, seen: Sequence[Seen], size: ImageSize) -> list[str]:
    """Lines on what resizing and cropping do to the images, and on too few of them."""
    (height, width), columns = sides(size), 2 if is_halved(layout) else 1
    shapes = [(one.size[0] / columns, one.size[1]) for one in seen]
    small = sum(wide < width or high < height for wide, high in shapes)
    lines = [f"at image_size={words(size)}:"]
    if layout.datasets[0] == "image_folder":
        kept = [
            min(wide, high * width / height) * min(high, wide * height / width) / (wide * high) for wide, high in shapes
        ]
        half, most = 1 - median(kept), 1 - min(kept)
        if half >= 0.005:
            lines.append(
                f"  the central part is kept; of half of the images, {half:.0%} or more of the area is cropped off"
            )
        elif most >= 0.005:
            lines.append(f"  the central part is kept; of some images, up to {most:.0%} of the area is cropped off")
    else:
        changes = [max(r, 1 / r) for r in ((wide / high) / (width / height) for wide, high in shapes)]
        change = "which changes none" if max(changes) < 1.01 else f"which change up to {max(changes):.2f}-fold"
        remedy = "; dataset.preprocess=scale_width_and_crop keeps them" if max(changes) > 1.2 else ""
        lines.append(f"  the whole image is resized regardless of its proportions, {change}{remedy}")
    if small:
        lines.append(f"  smaller than that, and so enlarged and blurred: {small:,} of {len(seen):,} images")
    for part in layout.parts:
        count = sum(one.part == part for one in seen)
        if count < FEW and (part == "all" or part.startswith(("train", "A/train", "B/train"))):
            lines.append(
                f"  {part} has {count} images: models learn from hundreds to thousands, and may memorize so few"
            )
    return lines if len(lines) > 1 else []


def fits(layout: Layout) -> tuple[Fit, ...]:
    """How the data set resizes an image file: to one image, or A|B to two."""
    if is_halved(layout):
        return paired.left_half, paired.right_half
    return (image_files.resize_crop if layout.datasets[0] == "image_folder" else image_files.stretch,)


def _sheet(layout: Layout, size: ImageSize, title: str, first: Collection[str]) -> Tensor:
    """Some images of each part, as the data set resizes them, `first` among them."""
    columns: dict[str, list[Tensor]] = {}
    count = SHEET if len(layout.parts) * len(fits(layout)) == 1 else ROWS
    for part, files in layout.parts.items():
        spread = range(0, len(files.names), max(1, len(files.names) // count))
        preferred = [row for row, name in enumerate(files.names) if f"{part}/{name}" in first][: count // 2]
        for row in dict.fromkeys([*preferred, *spread, *range(len(files.names))]):
            names = [part] if len(fits(layout)) == 1 else [f"{part}: A", f"{part}: B"]
            if len(columns.get(names[0], [])) == count:
                break
            try:
                file = files.root / files.names[row]
                planes = image_files.tiff_stack(file)
                image = image_files.read(file, 3) if planes is None or len(planes) == 3 else _shown(planes)
                tiles = [image_files.to_tensor(_reduced(fit(image, size))) for fit in fits(layout)]
            except ValueError:
                continue
            for name, tile in zip(names, tiles):
                columns.setdefault(name, []).append(tile)
    rows = min(map(len, columns.values()), default=0)
    if not rows:
        raise GanError(f"{title}: no image can be shown; see dataset.window for files of more than 8 bits")
    batches = {name: torch.stack(tiles[:rows]).float() / 255 for name, tiles in columns.items()}
    return labels.sample_grid(batches, (0.0, 1.0), f"{title}, {words(size)} pixels")


def _reduced(image: image_files.Image.Image) -> image_files.Image.Image:
    """The image, smaller if it would be too large for a sheet."""
    factor = min(1.0, LARGEST / max(image.size))
    if factor == 1.0:
        return image
    return image.resize((max(1, round(image.width * factor)), max(1, round(image.height * factor))))


def load_size(part: str, layout: Layout, size: ImageSize) -> tuple[int, int]:
    """Height and width to which the data set resizes the images of a part, before a random crop of training images."""
    is_training = "train" in part
    if layout.datasets[0] == "image_folder" or not is_training:
        return sides(size)
    return preprocess.load_sides(None, size)
