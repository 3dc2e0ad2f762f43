"""Contact sheets: pages with an input and its outputs side by side in each row."""

import math
from pathlib import Path

import torch
from torch import Tensor

from gan_cli.inference.tiling import resize_image
from gan_cli.utils import images

ROWS_PER_PAGE = 12
THUMBNAIL, GAP = 256, 4
"""Pixels of the longer side of a thumbnail, and between two of them."""


def thumbnail(image: Tensor) -> Tensor:
    """uint8 (1|3, H, W) -> uint8 (3, h, w), at most THUMBNAIL pixels on the longer side."""
    height, width = image.shape[-2:]
    scale = min(1.0, THUMBNAIL / max(height, width))
    shape = (max(1, round(height * scale)), max(1, round(width * scale)))
    return resize_image(image[None].float(), shape)[0].round().to(torch.uint8).expand(3, -1, -1)


def save(folder: Path, rows: list[list[Tensor]]) -> int:
    """Write rows of thumbnails to sheet.png, or to sheet_1.png, sheet_2.png, ...; returns the number of pages."""
    pages = math.ceil(len(rows) / ROWS_PER_PAGE)
    for page in range(pages):
        name = f"sheet_{page + 1}.png" if pages > 1 else "sheet.png"
        images.save(folder / name, _page(rows[page * ROWS_PER_PAGE : (page + 1) * ROWS_PER_PAGE]))
    return pages


def _page(rows: list[list[Tensor]]) -> Tensor:
    """One page, uint8 (3, H, W); all cells have the size of the largest thumbnail."""
    height, width = (max(image.shape[side] for row in rows for image in row) + GAP for side in (1, 2))
    page = torch.full((3, len(rows) * height - GAP, len(rows[0]) * width - GAP), 255, dtype=torch.uint8)
    for top, row in enumerate(rows):
        for left, image in enumerate(row):
            _, h, w = image.shape
            page[:, top * height : top * height + h, left * width : left * width + w] = image
    return page
