"""The files that translations and samples are written to: 8 bits, 16 bits, or floating-point numbers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import Tensor

from gan_cli.data.image_files import Window, as_window
from gan_cli.inference.trained_run import TrainedRun
from gan_cli.utils import image_encoders, images
from gan_cli.utils.errors import GanError
from gan_cli.utils.files import replacing

DEPTHS = (8, 16, 32)
TOP = 65535


@dataclass(frozen=True)
class PixelFormat:
    """How images of `channels` channels are written.

    depth 8: PNG of 8 bits. depth 16: PNG of 16 bits, black and white being the limits of `window`, or 0 and 65535 if it
    is None. depth 32: TIFF of floating-point numbers between these limits, or 0 and 1. More than 4 channels are written
    as TIFF files of that many channels, and so are 2 channels of more than 8 bits, and 4 with a window, because PNG
    would take the last one for transparency.
    """

    channels: int
    depth: int = 8
    window: Window = None

    @property
    def suffix(self) -> str:
        """The end of the file names, .png or .tif."""
        deep = self.channels in (1, 3) or (self.channels == 4 and not self.window)
        png = deep if self.depth > 8 else self.channels <= 4
        return ".png" if png and self.depth < 32 else ".tif"

    def quantize(self, batch: Tensor, value_range: tuple[float, float]) -> Tensor:
        """(N, C, H, W) in `value_range` -> uint8 for 8 bits, otherwise uint16 of the full scale, on the CPU."""
        return images.to_uint8(batch, value_range) if self.depth == 8 else images.to_uint16(batch, value_range)

    def save(self, path: Path, pixels: Tensor) -> None:
        """Write an image (C, H, W) as `quantize` gives it, atomically. GanError if it cannot be written."""
        if self.depth == 8 and self.suffix == ".png":
            return images.save(path, pixels)
        values = pixels.numpy()
        low, high = self.window or (0.0, 1.0 if self.depth == 32 else TOP)
        if self.depth > 8 and (low, high) != (0, TOP):
            values = values * ((high - low) / TOP) + low
        kind = {8: np.uint8, 16: np.uint16, 32: np.float32}[self.depth]
        values = (values if self.depth == 32 else values.round()).astype(kind)
        encode = image_encoders.png_16_bits if self.suffix == ".png" else image_encoders.tiff
        try:
            with replacing(path) as temporary:
                temporary.write_bytes(encode(values))
        except OSError as error:
            raise GanError(f"cannot write image {path}: {error.strerror or error}") from error


def output_format(run: TrainedRun, depth: int | None, of_source: bool = False) -> PixelFormat:
    """The format of a run's images.

    depth: None for that of the data that the run was trained on: 8 bits or, with dataset.depth=16, 16 bits, and 32 if
    the window does not fit integers of 16 bits. of_source: the images are of the source's kind, as those of a
    translation back. GanError for an impossible depth.
    """
    data = run.cfg.dataset
    window = as_window(data.get("window"))
    channels = run.channels
    if of_source:
        window = as_window(data.get("source_window")) or window
        channels = data.get("source_channels") or channels
    if depth not in (None, *DEPTHS):
        raise GanError(f"depth={depth}: choose 8, 16 or 32 (floating-point numbers)")
    integers = window is None or (window[0] >= 0 and window[1] <= TOP)
    if depth is None:
        # Data between numbers as close as 0 and 1 are fractions, of which integers would keep nothing.
        narrow = window is not None and window[1] - window[0] < 256
        depth = 8 if data.get("depth", 8) == 8 else 16 if integers and not narrow else 32
    if depth == 16 and not integers:
        raise GanError(f"depth=16: the run's window {list(window or ())} exceeds 0 .. {TOP}; choose depth=32 or 8")
    return PixelFormat(channels, depth, window)
