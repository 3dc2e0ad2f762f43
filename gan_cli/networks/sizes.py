"""Image sizes that a network can produce by doublings, and errors that name the nearest ones.

A size is the side of a square, or height and width.
"""

import math
from collections.abc import Collection

from gan_cli.utils.image_size import ImageSize, sides, words


def doublings(image_size: ImageSize) -> tuple[ImageSize, int]:
    """Return (start, k) with image_size = start * 2^k and k >= 1: 32 -> (4, 3), 28 -> (7, 2), 64 x 96 -> ((4, 6), 4).

    start is 4 or 7 for a square; otherwise its smaller side is 4, 5, 6 or 7. Raises ValueError, which names the nearest
    such sizes.
    """
    height, width = sides(image_size)
    if height != width:
        k = max((min(height, width) // 4).bit_length() - 1, 1)
        start = divided(image_size, of=2**k, least=4 * 2**k)
        return start, k
    legal = {start * 2**k: (start, k) for k in range(1, 10) for start in (4, 7)}
    if height not in legal:
        nearest = _nearest(height, legal)
        raise ValueError(f"image_size {height}: this network works at 4*2^k or 7*2^k pixels; {nearest}")
    return legal[height]


def multiple(image_size: ImageSize, of: int, least: int) -> None:
    """ValueError, which names the nearest sizes, unless both sides are multiples of `of` and >= `least`."""
    lengths = sides(image_size)
    if any(length % of or length < least for length in lengths):
        # The multiples below and above the size, of which the lower may be too small.
        below, above = ([length // of * of for length in lengths], [-(-length // of) * of for length in lengths])
        legal = sorted({tuple(max(least, length) for length in found) for found in (below, above)})
        nearest = " and ".join(words((height, width)) for height, width in legal)
        raise ValueError(
            f"image_size {words(image_size)}: this network works at multiples of {of}; nearest: {nearest}"
        )


def divided(image_size: ImageSize, of: int, least: int) -> tuple[int, int]:
    """Return height and width divided by `of`. Raises ValueError as `multiple` does."""
    multiple(image_size, of, least)
    height, width = sides(image_size)
    return height // of, width // of


def halvings(image_size: ImageSize) -> int:
    """Return the number of halvings, 3 to 10: k for image_size = 2^k, or as many as both sides of another shape allow.

    Raises ValueError, which names the nearest sizes.
    """
    height, width = sides(image_size)
    if height != width:
        multiple(image_size, of=8, least=8)
        common = math.gcd(height, width, 1024)  # which is a power of two
        return common.bit_length() - 1
    legal = {2**k: k for k in range(3, 11)}
    if height not in legal:
        raise ValueError(f"image_size {height}: this network works at powers of two; {_nearest(height, legal)}")
    return legal[height]


def at_least(image_size: ImageSize, least: int, what: str) -> None:
    """ValueError if a side is smaller than `least` pixels. what: needs them, such as `3 scales need`."""
    if min(sides(image_size)) < least:
        raise ValueError(f"image_size {words(image_size)}: {what} {least} pixels or more")


def _nearest(size: int, legal: Collection[int]) -> str:
    below = max((s for s in legal if s < size), default=None)
    above = min((s for s in legal if s > size), default=None)
    return "nearest: " + " and ".join(str(s) for s in (below, above) if s is not None)
