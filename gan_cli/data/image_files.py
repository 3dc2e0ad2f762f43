"""Image files: decoding to 8 or 16 bits, and resizing."""

import io
import logging
import math
import os
import struct
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from gan_cli.data import bands
from gan_cli.data.bands import Bands
from gan_cli.data.listing import FORMATS
from gan_cli.data.notes import say_once
from gan_cli.data.zip_folders import ZipPath
from gan_cli.utils.errors import GanError
from gan_cli.utils.image_size import ImageSize, sides

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
    """Decode an image file to uint8 (channels, H, W). ValueError if it is broken."""
    return to_tensor(read(file, channels, window=window))


def to_tensor(image: Image.Image | Bands) -> Tensor:
    """Convert what `read` returns to uint8 or, of 16 bits, uint16 (C, H, W)."""
    if isinstance(image, Bands):
        return image.tensor()
    pixels = torch.from_numpy(np.array(image))
    return pixels[None] if pixels.ndim == 2 else pixels.permute(2, 0, 1).contiguous()


@contextmanager
def opened(name: Path | str, source: IO[bytes] | None = None) -> Iterator[Image.Image]:
    """Open an image for the block, in which every error that means a broken image becomes a ValueError with its name.

    source: the content of the image if it is not a file of its own; `name` is then only its name in messages.
    """
    try:
        if isinstance(name, ZipPath):
            source = source or name.open()
        elif source is None and not Path(name).is_file() and Path(name).exists():
            raise ValueError("not a regular file")  # opening a pipe might never return
        with Image.open(source or name, formats=FORMATS) as image:
            yield image
    except _BROKEN as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        if isinstance(error, Image.UnidentifiedImageError) or not reason:
            size = Path(name).stat().st_size if source is None else source.seek(0, os.SEEK_END)
            reason = "not an image" if size else "empty file"
        raise ValueError(f"{name}: {' '.join(reason.split())}") from error


def read(
    file: Path | str, channels: int, content: bytes | None = None, window: Window = None, depth: int = 8
) -> Image.Image:
    """Read an image as `convert` returns it. Of a file with several frames, the first is read.

    content: the bytes of the image if it is not a file of its own; `file` is then only its name in messages. The name
    NAME_b* stands for the files NAME_b1, NAME_b2, ..., one for each channel. A TIFF file may hold as many channels or
    gray pages as are asked for; tifffile reads what Pillow cannot. Raises ValueError if the image is broken, and for
    values outside `window`.
    """
    if content is None and (parts := bands.band_files(file, channels)):
        return bands.joined([read(part, 1, window=window, depth=depth) for part in parts])
    if content is None and isinstance(file, ZipPath):
        content = _unzipped(file)
    try:
        with opened(file, None if content is None else io.BytesIO(content)) as image:
            if image.format != "TIFF" or bands.fits_pillow(image, channels, depth):
                # A photograph in the format MPO has previews as further frames.
                if image.format != "MPO" and getattr(image, "is_animated", False):
                    say_once("note: of images with several frames, such as animations, the first frame is used")
                return convert(image, channels, window, depth)
            pages = bands.tiff_pages(image, channels)
    except ValueError as error:
        if not (isinstance(error.__cause__, Image.UnidentifiedImageError) and bands.is_tiff(file, content)):
            raise
        pages = None
    try:
        planes = bands.tiff_planes(io.BytesIO(content) if content else Path(file)) if pages is None else pages
        if len(planes) != channels:
            raise bands.wrong_count(len(planes), channels)
        return bands.as_pil([_scaled(plane, window) for plane in planes], depth)
    except _BROKEN as error:
        raise ValueError(f"{file}: {' '.join(str(error).split())}") from error


def _unzipped(file: ZipPath) -> bytes:
    """The content of a file in an archive. ValueError, which names it, if that is damaged."""
    try:
        return file.read_bytes()
    except OSError as error:
        raise ValueError(f"{file}: {error}") from error


def upright_size(file: Path) -> tuple[tuple[int, int], bool]:
    """Width and height of an image file as it is shown, and whether it is stored otherwise; from its header.

    ValueError if it is broken.
    """
    file = next(iter(bands.band_files(file, 1)), file)
    try:
        with opened(file) as image:
            # The base class's method, because that of PNG would decode the image to find a tag behind the pixels.
            orientation = Image.Image.getexif(image).get(ORIENTATION, 1)
            if image.format == "TIFF":  # whether its size is the upright one depends on the version of Pillow
                return ImageOps.exif_transpose(image).size, orientation != 1
            return image.size[::-1] if orientation in (5, 6, 7, 8) else image.size, orientation in range(2, 9)
    except ValueError as error:
        height, width = _stack(file, error).shape[1:]
        return (width, height), False


def tiff_stack(file: Path) -> np.ndarray | None:
    """The channels (C, H, W) of a TIFF file that Pillow refuses, in the type of the file; None for other images.

    ValueError if it is broken.
    """
    is_stack = False
    try:
        with opened(file) as image:
            is_stack = image.format == "TIFF" and not bands.fits_pillow(image, bands.samples(image), 8)
            if is_stack:
                image.load()  # Pillow recognizes more arrangements of channels than it decodes
            return None
    except ValueError as error:
        return _stack(file, error, is_stack)


def _stack(file: Path, error: ValueError, is_stack: bool = False) -> np.ndarray:
    """The channels of a TIFF file that Pillow refuses with `error`, which is raised again for other files."""
    content = _unzipped(file) if isinstance(file, ZipPath) else None
    is_stack = is_stack or isinstance(error.__cause__, Image.UnidentifiedImageError)
    if not (is_stack and bands.is_tiff(file, content)):
        raise error
    try:
        return bands.tiff_planes(io.BytesIO(content) if content else file)
    except _BROKEN as reason:
        raise ValueError(f"{file}: {' '.join(str(reason).split())}") from reason


def is_deep(file: Path) -> bool:
    """Whether an image file has grayscale of more than 8 bits; False if it cannot be read."""
    try:
        with opened(file) as image:
            return image.mode.startswith(("I", "F"))
    except ValueError:
        return False


def is_gray(file: Path) -> bool:
    """Whether an image file is grayscale without transparency; False if it cannot be read."""
    try:
        with opened(file) as image:
            return image.mode.startswith(("1", "L", "I", "F")) and image.mode != "LA"
    except ValueError:
        return False


def convert(image: Image.Image, channels: int, window: Window = None, depth: int = 8) -> Image.Image:
    """Convert a PIL image, upright, to mode L (channels 1), LA (2), RGB (3) or RGBA (4) of 8 bits, or to Bands.

    Bands, for which annotations name PIL images all the same, hold what has no such mode: 16 bits, if `depth` is 16.
    Transparency is a channel of its own if there are 2 or 4, and lies on white otherwise. ValueError for other numbers.
    """
    if channels not in (1, 2, 3, 4):
        raise bands.wrong_count(len(image.getbands()), channels)
    if bands.is_deep_color(image) and (depth > 8 or window):
        color, alpha = np.split(bands.deep_color(image), [3], axis=2)
        planes = [_scaled(color[..., i], window) for i in range(3)]
        return bands.as_pil(_arranged(planes, alpha[..., 0] if alpha.size else None, channels), depth)
    # exif_transpose copies an image that is upright already, which takes much memory if it is large.
    upright = ImageOps.exif_transpose(image) if image.getexif().get(ORIENTATION, 1) != 1 else image
    if depth > 8 and upright.mode.startswith(("I", "F")):
        return bands.as_pil(_arranged([_scaled(np.asarray(upright), window)], None, channels), depth)
    eight = _eight_bits(upright, window)
    if channels in (2, 4):
        if not eight.has_transparency_data:
            say_once(f"note: images without transparency have an opaque channel {channels}")
        converted = eight.convert("LA" if channels == 2 else "RGBA")
    else:
        converted = _on_white(eight) if channels == 3 else _on_white(eight).convert("L")
    if depth == 8:
        return converted
    return bands.as_pil([np.asarray(plane) * np.float32(bands.TOP // 255) for plane in converted.split()], depth)


def _arranged(planes: list[np.ndarray], alpha: np.ndarray | None, channels: int) -> list[np.ndarray]:
    """Gray or color planes (H, W), from 0 to bands.TOP, as so many channels; see `convert`."""
    if channels in (1, 3) and alpha is not None:
        opacity = alpha / np.float32(bands.TOP)
        planes = [plane * opacity + bands.TOP * (1 - opacity) for plane in planes]
    if channels <= 2 and len(planes) == 3:  # as Pillow: ITU-R 601-2
        planes = [sum(plane * np.float32(weight) for plane, weight in zip(planes, (0.299, 0.587, 0.114)))]
    planes = planes if channels <= 2 or len(planes) == 3 else planes * 3
    opaque = np.full_like(planes[0], bands.TOP) if alpha is None else alpha.astype(np.float32)
    return planes + [opaque] * (channels in (2, 4))


def _limits(pixels: np.ndarray, window: Window) -> tuple[float, float]:
    """The values that become black and white; ValueError if values lie outside or are not finite."""
    # One scale for all images of a data set: with a scale per image, images would differ that are alike.
    low, high = window or ((0.0, 1.0) if pixels.dtype.kind == "f" else (0.0, 65535.0))
    least, most = pixels.min(), pixels.max()
    if not (math.isfinite(least) and math.isfinite(most)):
        raise ValueError("it holds values that are no finite numbers")
    if least < low or most > high:
        raise ValueError(
            f"pixels from {least:g} to {most:g}, and black is {low:g} and white {high:g}: dataset.window=[LOW,HIGH] "
            "sets these for all images of the data set"
        )
    return low, high


def _scaled(pixels: np.ndarray, window: Window) -> np.ndarray:
    """Values (H, W) as float32 from 0 to bands.TOP: those of more than 8 bits by `window`, as in `_eight_bits`."""
    if pixels.dtype.itemsize == 1:
        return pixels * np.float32(bands.TOP if pixels.dtype == bool else bands.TOP // 255)
    low, high = _limits(pixels, window)
    result = np.empty(pixels.shape, dtype=np.float32)
    for rows in _strips(len(pixels)):
        result[rows] = (pixels[rows].astype(np.float64) - low) * (bands.TOP / (high - low))
    return result


def _eight_bits(image: Image.Image, window: Window) -> Image.Image:
    """Convert grayscale of more than 8 bits to 8 by `window`; None: integers from 0 .. 65535, floats from 0 .. 1."""
    if not image.mode.startswith(("I", "F")):
        return image
    pixels = np.asarray(image)
    low, high = _limits(pixels, window)
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


def resize_crop(image: Image.Image, size: ImageSize) -> Image.Image:
    """Resize the largest central part of the proportions of `size` to it in one step, by antialiased bicubic filtering.

    For a square size, that part is the central square.
    """
    height, width = sides(size)
    # Products before quotients: the sides of a square are whole numbers then.
    wide = min(image.width, image.height * width / height)
    high = min(image.height, image.width * height / width)
    left, top = (image.width - wide) / 2, (image.height - high) / 2
    return image.resize((width, height), Image.Resampling.BICUBIC, box=(left, top, left + wide, top + high))


def stretch(image: Image.Image, size: ImageSize) -> Image.Image:
    """Resize the whole image to `size` by antialiased bicubic filtering, regardless of its proportions."""
    return image.resize(sides(size)[::-1], Image.Resampling.BICUBIC)
