"""Sheets of images with a title, headings over the columns and beside the rows, and lines between columns."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from torch import Tensor

from gan_cli.utils.images import from_pil, to_pil, visible
from gan_cli.utils.tables import shortened

if TYPE_CHECKING:
    from PIL.ImageFont import FreeTypeFont
    from PIL.ImageFont import ImageFont as BitmapFont

    Font = FreeTypeFont | BitmapFont

LEAST = 96  # pixels of a cell's longer side: smaller images are enlarged by a whole factor, so that headings fit
SMALLEST = 48  # the same where no heading needs more
SIZE, GAP, BLOCK = 12, 4, 16  # of the font, between two cells, and between two blocks of columns
SIDE, TITLE = 200, 480  # pixels that headings of rows may take, and to which a title may widen a sheet
CLASSES = 16  # a table has a column for each class up to this many
RED = (200, 0, 0)


def labeled_grid(
    cells: Sequence[Sequence[Tensor | None]],
    columns: Sequence[str] = (),
    rows: Sequence[str] = (),
    title: str = "",
    lines: Sequence[int] = (),
    *,
    captions: Sequence[Sequence[str]] = (),
    block: int = 0,
    least: int = LEAST,
) -> Tensor:
    """One image, uint8 (3, H, W), of images uint8 (1|3, h, w) in rows; a cell that is None stays empty.

    All cells have the size of the largest image. columns, rows: headings, which may have several lines; a long line is
    broken before "=", or shortened to the cell's width, or for rows to SIDE pixels. title: broken into lines of the
    sheet's width. lines: numbers of the columns before which a vertical line is drawn. captions: of each row, one line
    above each cell. block: number of columns after which there is a wider gap; 0: none. least: images whose longer side
    has fewer pixels are enlarged by a whole factor.
    """
    from PIL import Image, ImageDraw, ImageFont

    font, step = ImageFont.load_default(SIZE), SIZE + GAP
    shapes = [image.shape[1:] for row in cells for image in row if image is not None]
    factor = max(1, math.ceil(least / max(map(max, shapes))))
    height, width = (factor * max(sides) + GAP for sides in zip(*shapes, strict=True))
    heads, sides = ([_fitted(text, most, font) for text in texts] for texts, most in ((columns, width), (rows, SIDE)))
    left = max((math.ceil(font.getlength(line)) for text in sides for line in text.split("\n")), default=-GAP) + GAP
    count = max(map(len, cells))
    starts = [left + column * width + column // (block or count) * BLOCK for column in range(count)]
    grid = starts[-1] + width - GAP
    above = _wrapped(_safe(title), max(grid, TITLE), font)
    under_title = step * len(above)
    top = under_title + step * max((text.count("\n") + 1 for text in heads), default=0)
    tops = [top + row * (height + step * bool(captions)) + step * bool(captions) for row in range(len(cells))]
    widest = max([grid, *(math.ceil(font.getlength(line)) for line in above)])
    page = Image.new("RGB", (widest, tops[-1] + height - GAP), "white")
    pen = ImageDraw.Draw(page)
    texts = [(0, 0, "\n".join(above))]
    texts += [(x, under_title, text) for x, text in zip(starts, heads)]
    for y, row in zip(tops, captions):
        texts += [(x, y - step, _fitted(text, width, font)) for x, text in zip(starts, row)]
    for y, text in zip(tops, sides):  # beside the middle of its cells
        texts.append((0, y + (height - GAP - step * (text.count("\n") + 1)) // 2, text))
    for x, y, text in texts:
        pen.multiline_text((x, y), text, fill="black", font=font, spacing=GAP)
    for y, images in zip(tops, cells):
        for x, image in zip(starts, images):
            if image is not None:
                page.paste(to_pil(image.repeat_interleave(factor, 1).repeat_interleave(factor, 2)), (x, y))
    for column in lines:
        x = starts[column] - GAP // 2
        pen.line([(x, under_title), (x, page.height)], fill=RED, width=2)
    return from_pil(page)


def sample_grid(
    named: Mapping[str, Tensor],
    value_range: tuple[float, float],
    title: str,
    headings: Mapping[str, str] | None = None,
    classes: Sequence[str] = (),
) -> Tensor:
    """One image, uint8 (3, H, W), of batches (N, C, H, W): a column per batch and a row per sample.

    headings: of the columns, by the names of the batches; the names if omitted. A single batch becomes a square. If it
    has `classes`, the name of each sample's class, which repeat in the order of a table, it becomes a table with a
    column per class; if they are in no such order, or too many, each sample has the name of its class above it. Many
    rows of several batches are broken into blocks side by side.
    """
    from PIL import ImageFont

    font = ImageFont.load_default(SIZE)
    batches = [visible(batch, value_range) for batch in named.values()]
    heads = [(headings or {}).get(name, name.replace("_", " ")) for name in named]
    captions: list[Sequence[str]] = []
    block = len(batches)
    if block > 1:
        columns = block * max(1, round(math.sqrt(len(batches[0]) / block)))
    elif _is_table(classes):
        columns, heads = len(set(classes)), list(dict.fromkeys(classes))
    else:
        columns, heads = math.ceil(math.sqrt(len(batches[0]))), []
        captions = [classes[start : start + columns] for start in range(0, len(classes), columns)]
    images = [image for row in zip(*batches, strict=True) for image in row]
    texts = [*heads, *(text for row in captions for text in row)]
    least = min(LEAST, max([SMALLEST, *(math.ceil(font.getlength(_safe(text))) for text in texts)]))
    return labeled_grid(
        [images[start : start + columns] for start in range(0, len(images), columns)],
        heads * (columns // len(heads)) if heads else (), title=title, captions=captions, least=least,
        block=block if 1 < block < columns else 0,
    )  # fmt: skip


def _is_table(classes: Sequence[str]) -> bool:
    """Whether `classes` repeats the same few names in the same order."""
    count = len(set(classes))
    return 0 < count <= CLASSES and all(name == classes[i % count] for i, name in enumerate(classes))


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
