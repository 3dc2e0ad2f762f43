"""Sample grids as data URIs: of many the first, the last and some between, recompressed to a given size."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from gan_cli.data.image_files import opened
from gan_cli.tools.html_report.markup import Markup
from gan_cli.utils.progress import Progress

BUDGET = 5 * 2**20  # bytes of all images of a page, before base64 makes a third more of them
FRAMES = 40  # sample grids of a run, at most
LARGEST_FILE, LARGEST = 2**26, 2**26  # bytes of a file, and pixels of an image
SIDES = ((1400, 88), (1100, 84), (900, 82), (720, 78), (560, 74), (420, 70))
"""Longer side in pixels and quality of JPEG, of which the first that is small enough is taken."""


class Frame(NamedTuple):
    """A sample grid. source: a data URI. exact: whether its pixels are those of the file."""

    iteration: int
    source: Markup
    width: int
    height: int
    exact: bool


def files(folder: Path) -> list[Path]:
    """The sample grids of a run by iteration. Only the names that a run gives count."""
    found = [path for path in (folder / "samples").glob("*.png") if re.fullmatch(r"[0-9]{1,12}", path.stem)]
    return sorted(found, key=lambda path: int(path.stem))


def spaced(paths: Sequence[Path], most: int) -> list[Path]:
    """At most `most` of the paths, evenly spaced, the first and the last among them."""
    if len(paths) <= most:
        return list(paths)
    return [paths[round(i * (len(paths) - 1) / (most - 1))] for i in range(most)]


def frames(paths: Sequence[Path], budget: int) -> tuple[list[Frame], list[str]]:
    """The images of `paths` in about `budget` bytes, and those that cannot be read, with the reason.

    All have the size and the quality that suffice for the last one, so that a series does not flicker.
    """
    found: list[Frame] = []
    problems: list[str] = []
    level = -1  # of SIDES; -1: exact
    progress = Progress(len(paths), "sample grids")
    for path in reversed(paths):
        try:
            image, most = _read(path), budget // len(paths)
            level = _level(image, most) if not found else level
            found.append(_frame(int(path.stem), image, level))
        except (ValueError, OSError) as error:
            problems.append(f"{path.name}: {str(error).removeprefix(f'{path}: ')}")
        progress.advance()
    return found[::-1], problems


def _read(path: Path) -> Image.Image:
    """The image as L or RGB. ValueError if it is broken or too large."""
    if path.stat().st_size > LARGEST_FILE:
        raise ValueError(f"larger than {LARGEST_FILE:,} bytes")
    with opened(path) as image:
        if image.width * image.height > LARGEST:
            raise ValueError(f"more than {LARGEST:,} pixels")
        return image.convert("L" if image.mode in ("1", "L", "I;16", "I") else "RGB")


def _level(image: Image.Image, most: int) -> int:
    """-1 if the exact pixels take at most `most` bytes, else the first of SIDES that does, or the last."""
    if max(image.size) <= SIDES[0][0] and len(_encoded(image, "PNG")) <= most:
        return -1
    return next((i for i in range(len(SIDES)) if len(_recompressed(image, i)[0]) <= most), len(SIDES) - 1)


def _frame(iteration: int, image: Image.Image, level: int) -> Frame:
    if level < 0:
        return Frame(iteration, _uri("png", _encoded(image, "PNG")), *image.size, True)
    content, size = _recompressed(image, level)
    return Frame(iteration, _uri("jpeg", content), *size, False)


def _recompressed(image: Image.Image, level: int) -> tuple[bytes, tuple[int, int]]:
    """The image as JPEG, and its size, at a level of SIDES."""
    side, quality = SIDES[level]
    small = image.copy()
    small.thumbnail((side, side), Image.Resampling.BICUBIC)
    return _encoded(small, "JPEG", quality=quality, subsampling=0), small.size


def _encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def _uri(kind: str, content: bytes) -> Markup:
    return Markup(f"data:image/{kind};base64,{base64.b64encode(content).decode()}")
