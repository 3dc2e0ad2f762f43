"""Batches as images: grids, scatter plots of points, PNG files."""

from __future__ import annotations

import math
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


def to_uint8(images: Tensor, value_range: tuple[float, float]) -> Tensor:
    """(N,C,H,W) in `value_range` -> uint8, clamped, on the CPU."""
    low, high = value_range
    return ((images.float() - low) / (high - low) * 255).round().clamp(0, 255).to(torch.uint8).cpu()


def grid(images: Tensor, value_range: Range, columns: int | None = None) -> Tensor:
    """(N,C,H,W) -> one uint8 image (C', H', W'), C' 1 or 3, by rows; points (N, d, 1, 1) become a scatter plot."""
    if value_range is None:
        return scatter(images)
    tiles = to_uint8(images, value_range)
    if tiles.shape[1] not in (1, 3):
        tiles = tiles[:, :1]
    n, channels, height, width = tiles.shape
    columns = columns or math.ceil(math.sqrt(n))
    rows = math.ceil(n / columns)
    gap = 2
    sheet = torch.full((rows * columns, channels, height + gap, width + gap), 255, dtype=torch.uint8)
    sheet[:n, :, :height, :width] = tiles
    sheet = sheet.view(rows, columns, channels, height + gap, width + gap)
    return sheet.permute(2, 0, 3, 1, 4).reshape(channels, rows * (height + gap), columns * (width + gap))


def scatter(points: Tensor, size: int = 384) -> Tensor:
    """(N,d,1,1) or (N,d) -> uint8 (1, size, size): each point darkens the pixels around it; axes +-1.5 or wider.
    Of more than two dimensions the first two are drawn; of one, the points on the line."""
    points = points.flatten(1)[:, :2].float().cpu()
    points = pad(points, (0, 2 - points.shape[1]))
    points = points[points.isfinite().all(1)]
    extent = max(1.5, 1.1 * float(points.abs().max())) if len(points) else 1.5
    at = ((points / extent + 1) / 2 * (size - 1)).round().long().clamp(1, size - 2)
    counts = torch.zeros(size, size)
    for dx in (-1, 0, 1):
        for dy in (-1, 0, 1):
            weight = torch.full((len(at),), 1.0 if dx == dy == 0 else 0.4)
            counts.index_put_((size - 1 - (at[:, 1] + dy), at[:, 0] + dx), weight, accumulate=True)
    return (255 * torch.exp(-counts)).to(torch.uint8)[None]


def stack(named: dict[str, Tensor], value_range: Range) -> Tensor:
    """Named batches side by side, one column each and a row per sample; a single batch becomes a square grid. Grey
    ones beside coloured ones are shown grey."""
    channels = max(batch.shape[1] for batch in named.values())
    batches = [b.expand(-1, channels, *b.shape[2:]) if b.shape[1] == 1 else b for b in named.values()]
    if value_range is None or len(batches) == 1:
        return grid(batches[0], value_range)
    rows = torch.stack(batches, 1).flatten(0, 1)
    blocks = max(1, round(math.sqrt(len(rows) / len(batches) / len(batches))))
    return grid(rows, value_range, columns=len(batches) * blocks)


def to_pil(image: Tensor) -> PILImage:
    """uint8 (1|3|4, H, W) -> PIL image of mode L, RGB or RGBA."""
    from PIL import Image

    array = image.permute(1, 2, 0).contiguous().numpy()
    return Image.fromarray(array[..., 0] if array.shape[-1] == 1 else array)


def save(path: Path, image: Tensor) -> None:
    """Write uint8 (1|3|4, H, W) as a PNG file, atomically. GanError if it cannot be written."""
    try:
        with replacing(path) as temporary:
            to_pil(image).save(temporary, format="PNG")
    except OSError as error:
        raise GanError(f"cannot write image {path}: {error.strerror or error}") from error
