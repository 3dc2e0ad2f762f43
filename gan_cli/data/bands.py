"""Images that Pillow has no mode for: more than four channels, and color of 16 bits or of floating-point numbers."""

import io
import logging
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, cast

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

TOP = 65535  # white in the planes of images of 16 bits
LARGEST = 2**31  # bytes of a TIFF file that Pillow cannot read
INSTALL = "pip install 'gan-cli[bands]'"
BITS_PER_SAMPLE, SAMPLES_PER_PIXEL, PLANAR_CONFIGURATION = 258, 277, 284  # TIFF tags
logging.getLogger("tifffile").addHandler(logging.NullHandler())  # the errors raised here name the file


class Bands:
    """An image as one PIL image per channel: mode L for 8 bits, F with values from 0 to 65535 for 16 bits.

    It has those parts of PIL's interface by which images are cropped and resized. Channels are resized independently.
    """

    def __init__(self, planes: Sequence[Image.Image]) -> None:
        self.planes = tuple(planes)
        self.size: tuple[int, int] = self.planes[0].size
        self.width, self.height = self.size

    def crop(self, box: tuple[int, int, int, int]) -> "Bands":
        return self._each(lambda plane: plane.crop(box))

    def resize(
        self,
        size: tuple[int, int],
        resample: Image.Resampling | None = None,
        box: tuple[float, float, float, float] | None = None,
    ) -> "Bands":
        return self._each(lambda plane: plane.resize(size, resample, box))

    def _each(self, function: Callable[[Image.Image], Image.Image]) -> "Bands":
        return Bands([function(plane) for plane in self.planes])

    def tensor(self) -> Tensor:
        """uint8 or uint16 (C, H, W)."""
        result = np.empty((len(self.planes), self.height, self.width), self.dtype)
        for row, plane in zip(result, self.planes):
            # Bicubic filtering of floating-point numbers overshoots at edges; Pillow clamps 8 bits itself.
            row[:] = np.asarray(plane) if plane.mode == "L" else np.asarray(plane).clip(0, TOP).round()
        return torch.from_numpy(result)

    @property
    def dtype(self) -> type[np.unsignedinteger]:
        return np.uint8 if self.planes[0].mode == "L" else np.uint16


def as_pil(planes: Sequence[np.ndarray], depth: int) -> Image.Image:
    """Planes (H, W) with values from 0 to TOP as Bands of `depth` bits, which functions on PIL images take as well."""
    planes = planes if depth > 8 else [(plane / (TOP // 255)).round().astype(np.uint8) for plane in planes]
    return cast(Image.Image, Bands([Image.fromarray(plane) for plane in planes]))


def joined(images: Sequence[Image.Image]) -> Image.Image:
    """Images of one channel as the channels of one. ValueError if they differ in size."""
    if len({image.size for image in images}) > 1:
        sizes = ", ".join(f"{image.width} x {image.height}" for image in images)
        raise ValueError(f"its channels differ in size: {sizes}")
    return cast(Image.Image, Bands([plane for image in images for plane in planes_of(image)]))


def planes_of(image: Image.Image | Bands) -> Sequence[Image.Image]:
    """The channels of an image as PIL images."""
    return image.planes if isinstance(image, Bands) else image.split()


def wrong_count(given: int, channels: int) -> ValueError:
    """The error for an image of another number of channels than the data set's."""
    plural = "s" if given > 1 else ""
    return ValueError(
        f"{given} channel{plural}, where {channels} are expected (dataset.channels, or source_channels for a source)"
    )


def is_deep_color(image: Image.Image) -> bool:
    """Whether an image that is not loaded yet has color of 16 bits, of which Pillow reads the upper 8."""
    return ";16" in str(getattr(image, "tile", "")) and not image.mode.startswith("I")


def deep_color(image: Image.Image) -> np.ndarray:
    """Color of 16 bits per channel: uint16 (H, W, C), upright, with C = 3, or 4 with transparency.

    ValueError for gray with transparency, which no Pillow reads in 16 bits.
    """
    if image.mode not in ("RGB", "RGBA"):
        raise ValueError("gray of 16 bits with transparency: save it without, or with 8 bits")
    stream = cast(IO[bytes], getattr(image, "fp"))  # noqa: B009 - only images of files have it
    stream.seek(0)
    content = stream.read()
    tiles = str(getattr(image, "tile", ""))
    native = "L" if sys.byteorder == "little" else "B"
    order = native if ";16N" in tiles else "L" if ";16L" in tiles else "B"
    # Pillow unpacks the upper byte of each value: in the other byte order, that is the lower one.
    upper = _decoded(content, f"{image.mode};16{order}")
    lower = _decoded(content, f"{image.mode};16{'B' if order == 'L' else 'L'}")
    return (upper.astype(np.uint16) << 8) | lower


def _decoded(content: bytes, raw_mode: str) -> np.ndarray:
    """An image file decoded as if its pixels were stored in `raw_mode`: uint8 (H, W, C)."""
    with Image.open(io.BytesIO(content)) as image:
        image.tile = [_with_mode(tile, raw_mode) for tile in image.tile]
        return np.asarray(ImageOps.exif_transpose(image))


def _with_mode(tile: tuple, raw_mode: str) -> tuple:
    """A part of a file with another arrangement of its bytes."""
    args = raw_mode if isinstance(tile[3], str) else (raw_mode, *tile[3][1:])
    return getattr(type(tile), "_make", tuple)((*tile[:3], args))  # a plain tuple before Pillow 11


def is_tiff(file: Path | str, content: bytes | None) -> bool:
    """Whether a file, or its content if that is given, begins like a TIFF file."""
    if content is None:
        with open(file, "rb") as stream:
            content = stream.read(4)
    return content[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def samples(image: Image.Image) -> int:
    """The number of values per pixel of an open TIFF file."""
    return int(getattr(image, "tag_v2", {}).get(SAMPLES_PER_PIXEL, 1))


def fits_pillow(image: Image.Image, channels: int, depth: int) -> bool:
    """Whether a TIFF file is an image that Pillow reads as it is, rather than a stack of `channels` channels."""
    tags = getattr(image, "tag_v2", {})
    samples = tags.get(SAMPLES_PER_PIXEL, 1)
    if channels not in (1, 3):
        return image.mode in ("LA", "RGBA") and samples == channels
    separate = samples > 1 and tags.get(PLANAR_CONFIGURATION) == 2 and max(tags.get(BITS_PER_SAMPLE, (8,))) > 8
    stack = depth > 8 and channels == 3 and samples == 1 and getattr(image, "n_frames", 1) == 3
    return not (separate or stack)


def tiff_pages(image: Image.Image, channels: int) -> list[np.ndarray] | None:
    """The pages (H, W) of a TIFF file with a gray page per channel; None for another file."""
    if getattr(image, "n_frames", 1) != channels:
        return None
    planes = []
    for number in range(channels):
        image.seek(number)
        if image.mode not in ("L", "F") and not image.mode.startswith("I"):
            return None
        planes.append(np.asarray(image))
    return planes if len({plane.shape for plane in planes}) == 1 else None


def tiff_planes(source: Path | io.BytesIO) -> np.ndarray:
    """The channels (C, H, W) of a TIFF file, as samples of its pixels or as pages, in the type of the file.

    Other files that it names, as OME-TIFF does, are not read. ValueError if tifffile is not installed, and for a file
    that is none, is too large, or has further dimensions.
    """
    try:
        import tifffile
    except ImportError:
        raise ValueError(f"a TIFF file that needs tifffile: {INSTALL}") from None
    try:
        content = io.BytesIO(_content(source)) if isinstance(source, Path) else source
        # A file of somebody else may name any file of this machine, or a pipe, as the place of its other pages.
        # tifffile opens these and index files only beside a file that it knows the path of.
        with tifffile.TiffFile(content, _multifile=False, is_mmstack=False, is_ndtiff=False) as file:
            series = file.series[0]
            lengths = dict(zip(series.axes, series.shape))
            if series.size > 2 * (Image.MAX_IMAGE_PIXELS or 2**27):  # as Pillow, which refuses larger images
                raise ValueError(f"{series.size:,} values, too many for an image")
            further = [axis for axis in series.axes if axis not in "YX" and lengths[axis] > 1]
            if len(further) > 1 or not {"Y", "X"} <= set(series.axes):
                raise ValueError(f"axes {series.axes} of lengths {series.shape}: an image has Y, X and channels")
            array = series.asarray()
    except (tifffile.TiffFileError, IndexError, KeyError, TypeError, MemoryError) as error:
        raise ValueError(str(error) or "not a TIFF file") from error
    others = [number for number, axis in enumerate(series.axes) if axis not in "YX"]
    array = array.transpose([*others, *map(series.axes.index, "YX")])
    return array.reshape(-1, *array.shape[-2:])


def _content(file: Path) -> bytes:
    """The bytes of a file. ValueError for a pipe or device, and above LARGEST."""
    if not file.is_file():
        raise ValueError("not a regular file")
    if (size := file.stat().st_size) > LARGEST:
        raise ValueError(f"{size:,} bytes, too many for an image")
    return file.read_bytes()


def band_files(file: Path | str, channels: int) -> list[Path]:
    """The files NAME_b1, NAME_b2, ... that NAME_b* stands for; none for another name."""
    path = file if isinstance(file, Path) else Path(file)
    if not path.stem.endswith("_b*"):
        return []
    return [path.with_name(f"{path.stem[:-1]}{number}{path.suffix}") for number in range(1, channels + 1)]
