"""Contact sheets: pages with an input and its outputs side by side in each row."""

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
    return resize_image(image[None], shape, encode=Tensor.float)[0].round().to(torch.uint8).expand(3, -1, -1)


class ContactSheets:
    """Pages sheet_1.png, sheet_2.png, ... in `folder`, each written when it is full; sheet.png if one is enough for
    `most` rows.
    """

    def __init__(self, folder: Path, most: int) -> None:
        self.folder, self.numbered = folder, most > ROWS_PER_PAGE
        self.rows: list[list[Tensor]] = []
        self.pages = 0

    def add(self, row: list[Tensor]) -> None:
        """Add a row of thumbnails."""
        self.rows.append(row)
        if len(self.rows) == ROWS_PER_PAGE:
            self.save()

    def save(self) -> int:
        """Write the rows that are on no page yet; returns the number of pages."""
        if self.rows:
            self.pages += 1
            images.save(self.folder / (f"sheet_{self.pages}.png" if self.numbered else "sheet.png"), _page(self.rows))
            self.rows = []
        return self.pages


def _page(rows: list[list[Tensor]]) -> Tensor:
    """One page, uint8 (3, H, W); all cells have the size of the largest thumbnail."""
    height, width = (max(image.shape[side] for row in rows for image in row) + GAP for side in (1, 2))
    page = torch.full((3, len(rows) * height - GAP, len(rows[0]) * width - GAP), 255, dtype=torch.uint8)
    for top, row in enumerate(rows):
        for left, image in enumerate(row):
            _, h, w = image.shape
            page[:, top * height : top * height + h, left * width : left * width + w] = image
    return page
