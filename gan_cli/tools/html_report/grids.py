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
    """The images of `paths` in about `budget` bytes, and those that cannot be read, with the reason."""
    found, problems = [], []
    progress = Progress(len(paths), "sample grids")
    for path in paths:
        try:
            found.append(_frame(path, budget // len(paths)))
        except (ValueError, OSError) as error:
            problems.append(f"{path.name}: {str(error).removeprefix(f'{path}: ')}")
        progress.advance()
    return found, problems


def _frame(path: Path, most: int) -> Frame:
    if path.stat().st_size > LARGEST_FILE:
        raise ValueError(f"larger than {LARGEST_FILE:,} bytes")
    with opened(path) as image:
        if image.width * image.height > LARGEST:
            raise ValueError(f"more than {LARGEST:,} pixels")
        gray = image.mode in ("1", "L", "I;16", "I")
        image = image.convert("L" if gray else "RGB")
    content = _encoded(image, "PNG", optimize=True) if max(image.size) <= SIDES[0][0] else b""
    if 0 < len(content) <= most:
        return Frame(int(path.stem), _uri("png", content), *image.size, True)
    for side, quality in SIDES:
        small = image.copy()
        small.thumbnail((side, side), Image.Resampling.LANCZOS)
        content = _encoded(small, "JPEG", quality=quality, subsampling=0, optimize=True)
        if len(content) <= most:
            break
    return Frame(int(path.stem), _uri("jpeg", content), *small.size, False)


def _encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def _uri(kind: str, content: bytes) -> Markup:
    return Markup(f"data:image/{kind};base64,{base64.b64encode(content).decode()}")
