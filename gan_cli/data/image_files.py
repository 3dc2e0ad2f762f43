"""Image files: the listing of a folder, decoding to 8 bits, and resizing to squares."""

import hashlib
import io
import logging
import math
import os
import struct
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np
import torch
from PIL import Image, ImageOps, features
from torch import Tensor

from gan_cli.data.notes import say_once
from gan_cli.utils.errors import GanError

OPTIONAL = tuple(name for name in ("webp", "avif") if name in features.modules and features.check(name))
AVIF = (".avif",) if "avif" in OPTIONAL else ()  # not in every Pillow
SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm",
            ".pbm", ".pnm", ".jpe", ".jfif", ".gif", *AVIF)  # fmt: skip
# What Pillow may take a file for, whatever its name: for others it starts programs, such as Ghostscript for EPS.
FORMATS = ("PNG", "JPEG", "BMP", "DIB", "TIFF", "PPM", "GIF", *map(str.upper, OPTIONAL))
ORIENTATION = 0x0112  # the EXIF tag
STRIP = 512  # rows
# The exceptions that Pillow raises on broken files.
_BROKEN = (OSError, SyntaxError, ValueError, TypeError, LookupError, EOFError, ArithmeticError, AttributeError,
           AssertionError, RuntimeError, struct.error, Image.DecompressionBombError)  # fmt: skip
# What Pillow says of broken files does not name them; the errors raised here do.
warnings.filterwarnings("ignore", module=r"PIL\.")
logging.getLogger("PIL").addHandler(logging.NullHandler())

Window = tuple[float, float] | None
"""The values that become black and white in images of more than 8 bits; None: the limits of their type."""


class Files(NamedTuple):
    """The images below `root`: sorted names relative to it, with /; sizes in bytes; times of change in nanoseconds."""

    root: Path
    names: tuple[str, ...]
    sizes: tuple[int, ...]
    times: tuple[int, ...]

    def pick(self, rows: Sequence[int]) -> "Files":
        """Return the files with these numbers, in this order."""
        names = tuple(self.names[i] for i in rows)
        return Files(self.root, names, tuple(self.sizes[i] for i in rows), tuple(self.times[i] for i in rows))


class Listing(NamedTuple):
    """The images of a folder, and in words what was skipped in it; hidden files are not mentioned."""

    files: Files
    skipped: str


def list_images(root: Path, *, subfolders: bool = True) -> Listing:
    """List the image files in `root` and its subfolders, except hidden ones. Links are followed.

    subfolders: False to skip them. Raises ValueError if there are no images, or if a folder cannot be read.
    """
    files, skipped = _walk(root, subfolders)
    entries = sorted((file.relative_to(root).as_posix(), file.stat()) for file in files)
    if not entries:
        also = f" (skipped: {skipped})" if skipped else ""
        raise ValueError(f"no images in {root}: files that count end in {', '.join(SUFFIXES)}{also}")
    names, stats = zip(*entries)
    return Listing(Files(root, names, tuple(s.st_size for s in stats), tuple(s.st_mtime_ns for s in stats)), skipped)


def scan(root: Path) -> Files:
    """List the images below `root` as list_images does, and print once what was skipped."""
    files, skipped = list_images(root)
    if skipped:
        say_once(f"note: {root}: skipped {skipped}")
    return files


def _walk(root: Path, subfolders: bool) -> tuple[list[Path], str]:
    """Return the images below `root`, and in words what else there is."""
    files: list[Path] = []
    visited: set[str] = set()  # a link may lead to a folder above it
    others: Counter[str] = Counter()  # suffixes
    irregular = ignored = 0

    def refuse(error: OSError) -> None:
        # A folder may disappear while the tree is read; any other error would silently hide images.
        if not isinstance(error, (FileNotFoundError, NotADirectoryError)):
            raise ValueError(f"{error.filename}: {error.strerror}") from error

    for folder, inner, names in os.walk(root, onerror=refuse, followlinks=True):
        visited.add(os.path.realpath(folder))
        inner[:] = [
            name
            for name in inner
            if not name.startswith((".", "__MACOSX")) and os.path.realpath(Path(folder, name)) not in visited
        ]
        paths = [Path(folder, name) for name in names if not name.startswith(".")]
        images = [path for path in paths if path.suffix.lower() in SUFFIXES]
        others.update(path.suffix.lower() or "no suffix" for path in paths if path.suffix.lower() not in SUFFIXES)
        # Opening a device or a pipe might never return.
        regular = [path for path in images if path.is_file()]
        files += regular
        irregular += len(images) - len(regular)
        if not subfolders:
            ignored += len(inner)
            inner[:] = []
    return files, _skipped(others, irregular, ignored)


def _skipped(others: Counter[str], irregular: int, folders: int) -> str:
    """Such as `12 non-image files (.heic, .txt), 1 subfolder`."""
    kinds = ", ".join(sorted(others, key=lambda kind: (-others[kind], kind))[:3]) + (", ..." if len(others) > 3 else "")
    parts = {f"non-image file{{}} ({kinds})": others.total(), "irregular file{}": irregular, "subfolder{}": folders}
    return ", ".join(f"{n:,} {noun.format('s' * (n > 1))}" for noun, n in parts.items() if n)


def fingerprint(*folders: Files, window: Window = None) -> str:
    """Return 16 hexadecimal digits that depend on the names and sizes of the files, and on a window.

    They do not depend on the roots and times, because a copy of a folder holds the same data.
    """
    text = repr([(files.names, files.sizes) for files in folders]) + (repr(window) if window else "")
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def as_window(window: Sequence[float] | None) -> Window:
    """Return the window of a config as a tuple. ValueError unless it is null or two finite numbers that increase."""
    if window is None:
        return None
    low, high = window if len(window) == 2 else (0.0, 0.0)
    if not (low < high and math.isfinite(high - low)):
        raise ValueError(f"window is [LOW, HIGH] with LOW < HIGH, or null, not {list(window)}")
    return float(low), float(high)


@contextmanager
def window_option() -> Iterator[None]:
    """Let ValueErrors of the block name the option `window` of commands on folders instead of `dataset.window`."""
    try:
        yield
    except ValueError as error:
        text = str(error).replace("dataset.window", "window").replace("all images of the data set", "all images")
        raise ValueError(text) from error


def typed_window(words: Sequence[str] | None) -> Window:
    """The window of an option `window=[LOW,HIGH]`. GanError for another form."""
    try:
        return as_window(None if words is None else [float(word) for word in words])
    except ValueError:
        raise GanError(f"window={words}: two numbers that increase are needed, such as window=[0,4095]") from None


def decode(file: Path, channels: int, window: Window = None) -> Tensor:
    """Decode an image file to uint8 (channels, H, W) with 1 or 3 channels. ValueError if it is broken."""
    return to_tensor(read(file, channels, window=window))


def to_tensor(image: Image.Image) -> Tensor:
    """Convert a PIL image of mode L or RGB to uint8 (C, H, W)."""
    pixels = torch.from_numpy(np.array(image))
    return pixels[None] if pixels.ndim == 2 else pixels.permute(2, 0, 1).contiguous()


@contextmanager
def opened(name: Path | str, source: IO[bytes] | None = None) -> Iterator[Image.Image]:
    """Open an image for the block, in which every error that means a broken image becomes a ValueError with its name.

    source: the content of the image if it is not a file of its own; `name` is then only its name in messages.
    """
    try:
        if source is None and not Path(name).is_file() and Path(name).exists():
            raise ValueError("not a regular file")  # opening a pipe might never return
        with Image.open(source or name, formats=FORMATS) as image:
            yield image
    except _BROKEN as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        if isinstance(error, Image.UnidentifiedImageError) or not reason:
            size = Path(name).stat().st_size if source is None else source.seek(0, os.SEEK_END)
            reason = "not an image" if size else "empty file"
        raise ValueError(f"{name}: {' '.join(reason.split())}") from error


def read(file: Path | str, channels: int, content: bytes | None = None, window: Window = None) -> Image.Image:
    """Read an image as mode L (channels 1) or RGB (3): upright, with 8 bits, transparency on white.

    content: the bytes of the image if it is not a file of its own; `file` is then only its name in messages. Of a file
    with several frames, the first is read. Raises ValueError if the image is broken, and for values outside `window`.
    """
    with opened(file, None if content is None else io.BytesIO(content)) as image:
        # A photograph in the format MPO has previews as further frames.
        if image.format != "MPO" and getattr(image, "is_animated", False):
            say_once("note: of images with several frames, such as animations, the first frame is used")
        return convert(image, channels, window)


def upright_size(file: Path) -> tuple[tuple[int, int], bool]:
    """Width and height of an image file as it is shown, and whether it is stored otherwise; from its header.

    ValueError if it is broken.
    """
    with opened(file) as image:
        # The base class's method, because that of PNG would decode the image to find a tag behind the pixels.
        orientation = Image.Image.getexif(image).get(ORIENTATION, 1)
        if image.format == "TIFF":  # whether its size is the upright one depends on the version of Pillow
            return ImageOps.exif_transpose(image).size, orientation != 1
        return image.size[::-1] if orientation in (5, 6, 7, 8) else image.size, orientation in range(2, 9)


def is_deep(file: Path) -> bool:
    """Whether an image file has grayscale of more than 8 bits; False if it cannot be read."""
    try:
        with opened(file) as image:
            return image.mode.startswith(("I", "F"))
    except ValueError:
        return False


def convert(image: Image.Image, channels: int, window: Window = None) -> Image.Image:
    """Convert a PIL image to mode L (channels 1) or RGB (3): upright, with 8 bits, transparency on white."""
    if window and ";16" in str(getattr(image, "tile", "")) and not image.mode.startswith("I"):
        raise ValueError("color of 16 bits, to which dataset.window cannot apply: save it with 8 bits, or as grayscale")
    # exif_transpose copies an image that is upright already, which takes much memory if it is large.
    upright = ImageOps.exif_transpose(image) if image.getexif().get(ORIENTATION, 1) != 1 else image
    converted = _on_white(_eight_bits(upright, window))
    return converted if channels == 3 else converted.convert("L")


def _eight_bits(image: Image.Image, window: Window) -> Image.Image:
    """Convert grayscale of more than 8 bits to 8 by `window`; None: integers from 0 .. 65535, floats from 0 .. 1."""
    if not image.mode.startswith(("I", "F")):
        return image
    # One scale for all images of a data set: with a scale per image, images would differ that are alike.
    low, high = window or ((0.0, 1.0) if image.mode == "F" else (0.0, 65535.0))
    pixels = np.asarray(image)
    least, most = pixels.min(), pixels.max()
    if not (math.isfinite(least) and math.isfinite(most)):
        raise ValueError("it holds values that are no finite numbers")
    if least < low or most > high:
        raise ValueError(
            f"pixels from {least:g} to {most:g}, and black is {low:g} and white {high:g}: dataset.window=[LOW,HIGH] "
            "sets these for all images of the data set"
        )
    eight = np.empty(pixels.shape, dtype=np.uint8)
    for rows in _strips(len(pixels)):
        eight[rows] = ((pixels[rows].astype(np.float64) - low) * (255 / (high - low))).round().astype(np.uint8)
    return Image.fromarray(eight)


def _strips(height: int) -> Iterator[slice]:
    """Rows to convert at once: steps of the conversion of a large image would take several times its memory."""
    yield from (slice(top, min(top + STRIP, height)) for top in range(0, height, STRIP))


def _on_white(image: Image.Image) -> Image.Image:
    """Convert any mode to RGB, with transparent parts on white."""
    if image.mode not in ("RGBA", "LA", "PA", "RGBa", "La") and "transparency" not in image.info:
        return image.convert("RGB")
    result = Image.new("RGB", image.size)
    for rows in _strips(image.height):
        part = image.crop((0, rows.start, image.width, rows.stop)).convert("RGBA")
        white = Image.new("RGBA", part.size, "white")
        result.paste(Image.alpha_composite(white, part).convert("RGB"), (0, rows.start))
    return result


def resize_crop(image: Image.Image, size: int) -> Image.Image:
    """Resize the largest central square to (size, size) in one step, by antialiased bicubic filtering."""
    side = min(image.size)
    left, top = (image.width - side) / 2, (image.height - side) / 2
    return image.resize((size, size), Image.Resampling.BICUBIC, box=(left, top, left + side, top + side))


def stretch(image: Image.Image, size: int) -> Image.Image:
    """Resize the whole image to (size, size) by antialiased bicubic filtering, regardless of its proportions."""
    return image.resize((size, size), Image.Resampling.BICUBIC)
