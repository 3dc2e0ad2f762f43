"""Pages of pictures side by side: an input and its outputs in each row."""

import math
from pathlib import Path

import torch
from torch import Tensor

from gan_cli.inference.tiling import resize
from gan_cli.utils import images

ROWS, CELL, GAP = 12, 256, 4  # rows of a page; pixels of the longer side of a picture, and between two


def cell(picture: Tensor) -> Tensor:
    """uint8 (1|3,H,W) -> uint8 (3,h,w), the longer side CELL pixels at most."""
    height, width = picture.shape[-2:]
    scale = min(1.0, CELL / max(height, width))
    small = resize(picture[None].float(), (max(1, round(height * scale)), max(1, round(width * scale))))[0]
    return small.round().to(torch.uint8).expand(3, -1, -1)


def save(folder: Path, rows: list[list[Tensor]]) -> int:
    """Write rows of cells to sheet.png, or sheet_1.png, sheet_2.png, ...; the number of pages."""
    pages = math.ceil(len(rows) / ROWS)
    for page in range(pages):
        name = f"sheet_{page + 1}.png" if pages > 1 else "sheet.png"
        images.save(folder / name, _paper(rows[page * ROWS : (page + 1) * ROWS]))
    return pages


def _paper(rows: list[list[Tensor]]) -> Tensor:
    high, wide = (max(one.shape[at] for row in rows for one in row) + GAP for at in (1, 2))
    paper = torch.full((3, len(rows) * high - GAP, len(rows[0]) * wide - GAP), 255, dtype=torch.uint8)
    for r, row in enumerate(rows):
        for c, one in enumerate(row):
            paper[:, r * high : r * high + one.shape[1], c * wide : c * wide + one.shape[2]] = one
    return paper
