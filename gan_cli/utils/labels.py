"""Sheets of images with a title, headings over the columns and beside the rows, and lines between columns."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from gan_cli.utils.images import to_pil
from gan_cli.utils.tables import shortened

if TYPE_CHECKING:
    from PIL.ImageFont import FreeTypeFont
    from PIL.ImageFont import ImageFont as BitmapFont

    Font = FreeTypeFont | BitmapFont

LEAST = 96  # pixels of a cell's longer side: smaller images are enlarged by a whole factor, so that headings fit
SIZE, GAP = 12, 4  # of the font, and between two cells
SIDE, TITLE = 200, 480  # pixels that headings of rows may take, and to which a title may widen a sheet
RED = (200, 0, 0)


def labeled_grid(
    cells: Sequence[Sequence[Tensor | None]],
    columns: Sequence[str] = (),
    rows: Sequence[str] = (),
    title: str = "",
    lines: Sequence[int] = (),
) -> Tensor:
    """One image, uint8 (3, H, W), of images uint8 (1|3, h, w) in rows; a cell that is None stays empty.

    All cells have the size of the largest image. columns, rows: headings, which may have several lines; a long line is
    broken before "=", or shortened to the cell's width, or for rows to SIDE pixels. title: broken into lines of the
    sheet's width. lines: numbers of the columns before which a vertical line is drawn.
    """
    from PIL import Image, ImageDraw, ImageFont

    font, step = ImageFont.load_default(SIZE), SIZE + GAP
    shapes = [image.shape[1:] for row in cells for image in row if image is not None]
    factor = math.ceil(LEAST / max(map(max, shapes)))
    height, width = (max(1, factor) * max(sides) + GAP for sides in zip(*shapes, strict=True))
    heads, sides = ([_fitted(text, most, font) for text in texts] for texts, most in ((columns, width), (rows, SIDE)))
    left = max((math.ceil(font.getlength(line)) for text in sides for line in text.split("\n")), default=-GAP) + GAP
    grid = left + max(map(len, cells)) * width - GAP
    above = _wrapped(_safe(title), max(grid, TITLE), font)
    under_title = step * len(above)
    top = under_title + step * max((text.count("\n") + 1 for text in heads), default=0)
    widest = max([grid, *(math.ceil(font.getlength(line)) for line in above)])
    page = Image.new("RGB", (widest, top + len(cells) * height - GAP), "white")
    pen = ImageDraw.Draw(page)
    texts = [(0, 0, "\n".join(above))]
    texts += [(left + column * width, under_title, text) for column, text in enumerate(heads)]
    for row, text in enumerate(sides):  # beside the middle of its cells
        texts.append((0, top + row * height + (height - GAP - step * (text.count("\n") + 1)) // 2, text))
    for x, y, text in texts:
        pen.multiline_text((x, y), text, fill="black", font=font, spacing=GAP)
    for row, images in enumerate(cells):
        for column, image in enumerate(images):
            if image is not None:
                larger = image.repeat_interleave(max(1, factor), 1).repeat_interleave(max(1, factor), 2)
                page.paste(to_pil(larger), (left + column * width, top + row * height))
    for column in lines:
        x = left + column * width - GAP // 2
        pen.line([(x, under_title), (x, page.height)], fill=RED, width=2)
    pixels = torch.frombuffer(bytearray(page.tobytes()), dtype=torch.uint8)
    return pixels.view(page.height, page.width, 3).permute(2, 0, 1)


def _safe(text: str) -> str:
    """The text with "?" for what cannot be drawn: control characters, and undecodable bytes of a file's name."""
    return "".join(char if char.isprintable() or char == "\n" else "?" for char in text)


def _fitted(text: str, width: int, font: Font) -> str:
    """The text with each of its lines shortened to `width` pixels; a longer name=value becomes two lines."""
    lines: list[str] = []
    whole = _safe(text).split("\n")
    broken = [line if font.getlength(line) <= width else line.replace("=", "\n= ", 1) for line in whole]
    for line in "\n".join(broken).split("\n"):
        sizes = range(len(line), 0, -1)
        short = (shortened(line, most).replace("…", "..") for most in sizes)
        lines.append(next((candidate for candidate in short if font.getlength(candidate) <= width), ""))
    return "\n".join(lines)


def _wrapped(text: str, width: int, font: Font) -> list[str]:
    """The text broken between words into lines of at most `width` pixels; a longer word is shortened."""
    lines: list[str] = []
    for word in text.split():
        if lines and font.getlength(f"{lines[-1]} {word}") <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(_fitted(word, width, font))
    return lines
