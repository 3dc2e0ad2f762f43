"""Palettes of label maps: one index is one class, so that it must have one color in all maps."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from gan_cli.data.image_files import opened

Palette = dict[int, tuple[Path, tuple[int, ...]]]
"""Index -> the first map that has it, and its color."""


def check_palettes(files: Sequence[Path], read: Callable[[Path], object]) -> None:
    """Read the maps, each of which check_palette then checks, unless their headers show that their palettes agree.

    Raises ValueError for an index of two colors and for broken files.
    """
    palettes: set[bytes | None] = set()
    for file in files:
        with opened(file) as image:
            if image.mode == "P":
                # The attribute holds the palette of the header; the method would decode the image.
                header = image.palette
                palettes.add(bytes(header.palette) if header and header.rawmode == "RGB" else None)
    known = {palette for palette in palettes if palette is not None}
    longest = max(known, key=len, default=b"")
    # A program may write only the colors that an image needs.
    if None in palettes or not all(longest.startswith(palette) for palette in known):
        for file in files:
            read(file)


def check_palette(file: Path, ids: np.ndarray, colors: list[int], palette: Palette) -> None:
    """Add the colors of the map's indices to `palette`. ValueError if it has another color for one of them."""
    for index in np.unique(ids).tolist():
        color = tuple(colors[3 * index : 3 * index + 3])
        first, known = palette.setdefault(index, (file, color))
        if known != color:
            raise ValueError(
                f"{file}: index {index} has the color {color} in its palette, and {known} in that of {first}, so it "
                "may be another class; save the maps with one palette, or as grayscale with the class of each pixel"
            )
