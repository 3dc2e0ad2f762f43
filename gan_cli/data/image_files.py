"""Image files: the listing of a folder, decoding to 8 bits, and resizing to squares."""

import hashlib
import io
import os
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm")
# The exceptions that Pillow raises on broken files.
_BROKEN = (OSError, SyntaxError, ValueError, TypeError, LookupError, EOFError, struct.error)


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


def scan(root: Path) -> Files:
    """List the image files below `root`, except hidden ones. Links are followed.

    Raises ValueError if there are none, or if a folder cannot be read.
    """
    entries = sorted((file.relative_to(root).as_posix(), file.stat()) for file in _walk(root))
    if not entries:
        raise ValueError(f"no images in {root}: files that count end in {', '.join(SUFFIXES)}")
    names, stats = zip(*entries)
    return Files(root, names, tuple(s.st_size for s in stats), tuple(s.st_mtime_ns for s in stats))


def _walk(root: Path) -> list[Path]:
    files: list[Path] = []
    visited: set[str] = set()  # a link may lead to a folder above it

    def refuse(error: OSError) -> None:
        # A folder may disappear while the tree is read; any other error would silently hide images.
        if not isinstance(error, (FileNotFoundError, NotADirectoryError)):
            raise ValueError(f"{error.filename}: {error.strerror}") from error

    for folder, subfolders, names in os.walk(root, onerror=refuse, followlinks=True):
        visited.add(os.path.realpath(folder))
        subfolders[:] = [
            name
            for name in subfolders
            if not name.startswith((".", "__MACOSX")) and os.path.realpath(Path(folder, name)) not in visited
        ]
        paths = [Path(folder, name) for name in names if not name.startswith(".")]
        files += [path for path in paths if path.suffix.lower() in SUFFIXES and path.is_file()]
    return files


def fingerprint(*folders: Files) -> str:
    """Return 16 hexadecimal digits that depend on the names and sizes of the files.

    They do not depend on the roots and times, because a copy of a folder holds the same data.
    """
    text = repr([(files.names, files.sizes) for files in folders])
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def decode(file: Path, channels: int) -> Tensor:
    """Decode an image file to uint8 (channels, H, W) with 1 or 3 channels. ValueError if it is broken."""
    return to_tensor(read(file, channels))


def to_tensor(image: Image.Image) -> Tensor:
    """Convert a PIL image of mode L or RGB to uint8 (C, H, W)."""
    pixels = torch.from_numpy(np.array(image))
    return pixels[None] if pixels.ndim == 2 else pixels.permute(2, 0, 1).contiguous()


def read(file: Path | str, channels: int, content: bytes | None = None) -> Image.Image:
    """Read an image as mode L (channels 1) or RGB (3): upright, with 8 bits, transparency on white.

    content: the bytes of the image if it is not a file of its own; `file` is then only its name in messages. Raises
    ValueError if the image is broken.
    """
    try:
        with Image.open(file if content is None else io.BytesIO(content)) as image:
            return convert(image, channels)
    except (*_BROKEN, Image.DecompressionBombError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        if isinstance(error, Image.UnidentifiedImageError) or not reason:
            reason = "not an image" if content or (content is None and Path(file).stat().st_size) else "empty file"
        raise ValueError(f"{file}: {' '.join(reason.split())}") from error


def convert(image: Image.Image, channels: int) -> Image.Image:
    """Convert a PIL image to mode L (channels 1) or RGB (3): upright, with 8 bits, transparency on white."""
    converted = _on_white(_eight_bits(ImageOps.exif_transpose(image)))
    return converted if channels == 3 else converted.convert("L")


def _eight_bits(image: Image.Image) -> Image.Image:
    """Convert deeper grayscale to 8 bits: integers from 16 bits; floating point from [0, 1], [0, 255] or [0, 65535]."""
    if not image.mode.startswith(("I", "F")):
        return image
    pixels = np.asarray(image, dtype=np.float64)
    low, high = pixels.min(), pixels.max()
    # The format does not say which value is white, so it is the smallest of the usual ones that holds all pixels.
    whites = (1, 255, 65535) if image.mode == "F" else (65535,)
    white = next((white for white in whites if high <= white), None)
    if white is None or not low >= 0:  # "not low >= 0" includes NaN
        raise ValueError(f"pixels from {low:g} to {high:g}: save it with 8 or 16 bits")
    return Image.fromarray((pixels * (255 / white)).round().astype(np.uint8))


def _on_white(image: Image.Image) -> Image.Image:
    """Convert any mode to RGB, with transparent parts on white."""
    if image.mode not in ("RGBA", "LA", "PA", "RGBa", "La") and "transparency" not in image.info:
        return image.convert("RGB")
    image = image.convert("RGBA")
    white = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(white, image).convert("RGB")


def resize_crop(image: Image.Image, size: int) -> Image.Image:
    """Resize the largest central square to (size, size) in one step, by antialiased bicubic filtering."""
    side = min(image.size)
    left, top = (image.width - side) / 2, (image.height - side) / 2
    return image.resize((size, size), Image.Resampling.BICUBIC, box=(left, top, left + side, top + side))


def stretch(image: Image.Image, size: int) -> Image.Image:
    """Resize the whole image to (size, size) by antialiased bicubic filtering, regardless of its proportions."""
    return image.resize((size, size), Image.Resampling.BICUBIC)
