"""The size of images: pixels per side of a square, or height and width."""

from collections.abc import Sequence

ImageSize = int | tuple[int, int]
"""Pixels per side of a square, or (height, width); a configuration has a list of the two."""


def sides(size: ImageSize) -> tuple[int, int]:
    """Return height and width."""
    if isinstance(size, Sequence):
        height, width = size
        return height, width
    return size, size  # which is no int but a symbol while torch.export traces a network


def area(size: ImageSize) -> int:
    """Return the number of pixels."""
    height, width = sides(size)
    return height * width


def simplified(size: ImageSize) -> ImageSize:
    """Return the side of a square, however it is written, or (height, width)."""
    height, width = sides(size)
    return height if height == width else (height, width)


def words(size: ImageSize) -> str:
    """Return `64` for a square, and `64 x 96` for height 64 and width 96."""
    height, width = sides(size)
    return str(height) if height == width else f"{height} x {width}"
