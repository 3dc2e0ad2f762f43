"""Batches as images: histograms and scatter plots of points, PNG files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn.functional import pad

from gan_cli.utils.errors import GanError
from gan_cli.utils.files import replacing

if TYPE_CHECKING:
    from PIL.Image import Image as PILImage

Range = tuple[float, float] | None

STRIP = 512  # rows that are converted at once


def to_uint8(images: Tensor, value_range: tuple[float, float]) -> Tensor:
    """(N, C, H, W) in `value_range` -> uint8, clamped, on the CPU."""
    low, high = value_range
    return ((images.float() - low) / (high - low) * 255).round().clamp(0, 255).to(torch.uint8).cpu()


def to_uint16(images: Tensor, value_range: tuple[float, float]) -> Tensor:
    """(N, C, H, W) in `value_range` -> uint16, clamped, on the CPU."""
    low, high = value_range
    return ((images.float() - low) / (high - low) * 65535).round().clamp(0, 65535).int().cpu().to(torch.uint16)


def visible(images: Tensor, value_range: tuple[float, float]) -> Tensor:
    """(N, C, H, W) in `value_range` -> uint8 with C = 1 or 3 (see `shown_channels`)."""
    return to_uint8(shown_channels(images), value_range)


def shown_channels(images: Tensor) -> Tensor:
    """The channels (N, 1|3, H, W) that can be looked at: the first three, or of fewer the first."""
    return images[:, : 3 if images.shape[1] >= 3 else 1]


def displayable(image: Tensor) -> Tensor:
    """uint8 or uint16 (C, H, W) -> uint8 with C = 1 or 3."""
    part = shown_channels(image[None])[0]
    return part if part.dtype == torch.uint8 else (part.float() / 257).round().to(torch.uint8)


def plot_points(*batches: Tensor, size: int = 384, extent: float | None = None) -> Tensor:
    """Plots of points side by side, uint8 (1, size, n (size + 2) - 2): histograms of points with one dimension,
    otherwise scatter plots of the first two.

    batches: n batches (N, d, 1, 1) or (N, d). All plots have the same axes: from -1.5 to 1.5 or wider, and the bars of
    all histograms the same scale. Points that are not finite are omitted. extent: the axes are from -extent to extent,
    and points beyond lie on their border.
    """
    points = [batch.flatten(1)[:, :2].float().cpu() for batch in batches]
    points = [rows[rows.isfinite().all(1)] for rows in points]
    if extent is None:
        extent = max([1.5, *(1.1 * float(rows.abs().max()) for rows in points if len(rows))])
    points = [rows.clamp(-extent, extent) for rows in points]
    plots = torch.full((len(points), size, size + 2), 128, dtype=torch.uint8)  # a gray line between two plots
    one_dimension = all(rows.shape[1] == 1 for rows in points)
    plots[..., :size] = (histograms if one_dimension else scatter)(points, extent, size)
    return plots.permute(1, 0, 2).reshape(1, size, -1)[..., :-2]


def scatter(batches: Sequence[Tensor], extent: float, size: int) -> Tensor:
    """Scatter plots of points (N, d), d at most 2, uint8 (n, size, size): each point darkens its pixels."""
    counts = torch.zeros(len(batches), size, size)
    for count, points in zip(counts, batches):
        plane = pad(points, (0, 2 - points.shape[1]))
        pixels = ((plane / extent + 1) / 2 * (size - 1)).round().long().clamp(1, size - 2)
        for dx in (-1, 0, 1):
            for dy in (-1, 0, 1):
                weight = torch.full((len(pixels),), 1.0 if dx == dy == 0 else 0.4)
                count.index_put_((size - 1 - (pixels[:, 1] + dy), pixels[:, 0] + dx), weight, accumulate=True)
    return (255 * torch.exp(-counts)).to(torch.uint8)


def histograms(batches: Sequence[Tensor], extent: float, size: int, bars: int = 64) -> Tensor:
    """Histograms of points (N, 1), uint8 (n, size, size): a bar's height is its share of the batch, relative to the
    largest share in all batches; a bar with a single point is at least one pixel high.
    """
    shares = torch.stack([torch.histc(rows, bars, -extent, extent) / max(len(rows), 1) for rows in batches])
    heights = (shares / shares.max().clamp(min=1e-9) * 0.95 * size).ceil()
    bar = torch.arange(size) * bars // size
    first = bar != bar.roll(1)  # a white column before each bar
    filled = (size - 1 - torch.arange(size))[:, None] < heights[:, None, bar]
    return torch.where(filled & ~first, 64, 255).to(torch.uint8)


def to_pil(image: Tensor) -> PILImage:
    """uint8 (1|2|3|4, H, W) -> PIL image of mode L, LA, RGB or RGBA."""
    from PIL import Image

    channels, height, width = image.shape
    result = Image.new({1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}[channels], (width, height))
    for top in range(0, height, STRIP):  # a large image at once would be in memory twice more, for the conversion
        array = image[:, top : top + STRIP].permute(1, 2, 0).contiguous().numpy()
        result.paste(Image.fromarray(array[..., 0] if channels == 1 else array), (0, top))
    return result


def from_pil(image: PILImage) -> Tensor:
    """PIL image of mode RGB -> uint8 (3, H, W)."""
    pixels = torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8)
    return pixels.view(image.height, image.width, 3).permute(2, 0, 1)


def save(path: Path, image: Tensor) -> None:
    """Write uint8 (1|3|4, H, W) as a PNG file, atomically. GanError if it cannot be written."""
    try:
        with replacing(path) as temporary:
            to_pil(image).save(temporary, format="PNG")
    except OSError as error:
        raise GanError(f"cannot write image {path}: {error.strerror or error}") from error
