"""Image files: which of a folder's files they are, and what pixels they hold."""

import hashlib
import io
import os
import struct
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm")
# what Pillow raises on broken files
_BROKEN = (OSError, SyntaxError, ValueError, TypeError, LookupError, EOFError, struct.error)


class Files(NamedTuple):
    """The images under `root`: names relative to it (with /, sorted), bytes, times of change (ns)."""

    root: Path
    names: tuple[str, ...]
    sizes: tuple[int, ...]
    times: tuple[int, ...]


def scan(root: Path) -> Files:
    """All image files under `root` but hidden ones, links followed. ValueError when there are none, or a folder cannot
    be read."""
    found = sorted((file.relative_to(root).as_posix(), file.stat()) for file in _walk(root))
    if not found:
        raise ValueError(f"no images in {root}: files that count end in {', '.join(SUFFIXES)}")
    names, stats = zip(*found)
    return Files(root, names, tuple(s.st_size for s in stats), tuple(s.st_mtime_ns for s in stats))


def _walk(root: Path) -> list[Path]:
    files: list[Path] = []
    seen: set[str] = set()  # a link may lead back up

    def refuse(error: OSError) -> None:
        if not isinstance(error, (FileNotFoundError, NotADirectoryError)):
            raise ValueError(f"{error.filename}: {error.strerror}") from error

    for folder, subfolders, names in os.walk(root, onerror=refuse, followlinks=True):
        seen.add(os.path.realpath(folder))
        subfolders[:] = [
            name
            for name in subfolders
            if not name.startswith((".", "__MACOSX")) and os.path.realpath(Path(folder, name)) not in seen
        ]
        paths = [Path(folder, name) for name in names if not name.startswith(".")]
        files += [path for path in paths if path.suffix.lower() in SUFFIXES and path.is_file()]
    return files


def fingerprint(*folders: Files) -> str:
    """16 hexadecimal digits of the names and sizes.

    Neither roots nor times count: a copy of a folder, elsewhere and newly written, holds the same data.
    """
    text = repr([(files.names, files.sizes) for files in folders])
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def decode(file: Path, channels: int) -> Tensor:
    """An image file -> uint8 (channels, H, W), channels 1 or 3. ValueError names the file if it is broken."""
    return to_tensor(read(file, channels))


def to_tensor(image: Image.Image) -> Tensor:
    """A picture of mode L or RGB -> uint8 (C, H, W)."""
    pixels = torch.from_numpy(np.array(image))
    return pixels[None] if pixels.ndim == 2 else pixels.permute(2, 0, 1).contiguous()


def read(file: Path | str, channels: int, content: bytes | None = None) -> Image.Image:
    """The picture of mode L (channels 1) or RGB (3), upright, transparency on white, 8 bits.

    content: the bytes of an image that is no file of its own; `file` names it. ValueError if it is broken.
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
    """Any PIL image as mode L (channels 1) or RGB (3): upright, with 8 bits, transparency on white."""
    converted = _on_white(_eight_bits(ImageOps.exif_transpose(image)))
    return converted if channels == 3 else converted.convert("L")


def _eight_bits(image: Image.Image) -> Image.Image:
    """Deeper greyscale to 8 bits: integers have 16 bits; floating point goes to 1, 255 or 65535."""
    if not image.mode.startswith(("I", "F")):
        return image
    pixels = np.asarray(image, dtype=np.float64)
    low, high = pixels.min(), pixels.max()
    units = (1, 255, 65535) if image.mode == "F" else (65535,)
    unit = next((unit for unit in units if high <= unit), None)
    if unit is None or not low >= 0:
        raise ValueError(f"pixels from {low:g} to {high:g}: save it with 8 or 16 bits")
    return Image.fromarray((pixels * (255 / unit)).round().astype(np.uint8))


def _on_white(image: Image.Image) -> Image.Image:
    """Any mode -> RGB, what is transparent on white."""
    if image.mode not in ("RGBA", "LA", "PA", "RGBa", "La") and "transparency" not in image.info:
        return image.convert("RGB")
    picture = image.convert("RGBA")
    white = Image.new("RGBA", picture.size, "white")
    return Image.alpha_composite(white, picture).convert("RGB")


def resize_crop(image: Image.Image, size: int) -> Image.Image:
    """The central square of the shorter side, to (size, size) in one antialiased bicubic step."""
    side = min(image.size)
    left, top = (image.width - side) / 2, (image.height - side) / 2
    return image.resize((size, size), Image.Resampling.BICUBIC, box=(left, top, left + side, top + side))


def stretch(image: Image.Image, size: int) -> Image.Image:
    """The whole picture to (size, size), antialiased bicubic, whatever its proportions."""
    return image.resize((size, size), Image.Resampling.BICUBIC)
