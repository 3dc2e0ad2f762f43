"""Contact sheets: pages with an input and its outputs side by side in each row."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from gan_cli.inference.tiling import resize_image
from gan_cli.utils import images
from gan_cli.utils.labels import labeled_grid

ROWS_PER_PAGE = 12
THUMBNAIL = 256
"""Pixels of the longer side of a thumbnail."""


def thumbnail(image: Tensor) -> Tensor:
    """uint8 or uint16 (C, H, W) -> uint8 (3, h, w), at most THUMBNAIL pixels on the longer side."""
    image = images.displayable(image)
    height, width = image.shape[-2:]
    scale = min(1.0, THUMBNAIL / max(height, width))
    shape = (max(1, round(height * scale)), max(1, round(width * scale)))
    return resize_image(image[None], shape, encode=Tensor.float)[0].round().to(torch.uint8).expand(3, -1, -1)


class ContactSheets:
    """Pages sheet_1.png, sheet_2.png, ... in `folder`, each written when it is full; sheet.png if one is enough for
    `most` rows. headings: of the columns.
    """

    def __init__(self, folder: Path, most: int, headings: Sequence[str]) -> None:
        self.folder, self.numbered, self.headings = folder, most > ROWS_PER_PAGE, headings
        self.rows: list[list[Tensor]] = []
        self.names: list[str] = []
        self.pages = 0

    def add(self, name: str, row: list[Tensor]) -> None:
        """Add a row of thumbnails, headed by `name`."""
        self.names.append(name)
        self.rows.append(row)
        if len(self.rows) == ROWS_PER_PAGE:
            self.save()

    def save(self) -> int:
        """Write the rows that are on no page yet; returns the number of pages."""
        if self.rows:
            self.pages += 1
            page = labeled_grid(self.rows, self.headings, self.names)
            images.save(self.folder / (f"sheet_{self.pages}.png" if self.numbered else "sheet.png"), page)
            self.rows, self.names = [], []
        return self.pages
