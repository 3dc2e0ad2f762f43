"""Image sizes that a network can produce by doublings, and errors that name the nearest ones."""

from collections.abc import Collection


def doublings(image_size: int) -> tuple[int, int]:
    """Return (start, k) with image_size = start * 2^k, start 4 or 7 and k >= 1: 32 -> (4, 3), 28 -> (7, 2).

    Raises ValueError, which names the nearest such sizes.
    """
    legal = {start * 2**k: (start, k) for k in range(1, 10) for start in (4, 7)}
    if image_size not in legal:
        nearest = _nearest(image_size, legal)
        raise ValueError(f"image_size {image_size}: this network works at 4*2^k or 7*2^k pixels; {nearest}")
    return legal[image_size]


def multiple(image_size: int, of: int, least: int) -> int:
    """Return image_size. ValueError, which names the nearest sizes, unless it is a multiple of `of` and >= `least`."""
    if image_size % of or image_size < least:
        # The multiples below and above the size, of which the lower may be too small.
        legal = {max(least, size) for size in (image_size // of * of, -(-image_size // of) * of)}
        nearest = _nearest(image_size, legal)
        raise ValueError(f"image_size {image_size}: this network works at multiples of {of}; {nearest}")
    return image_size


def halvings(image_size: int) -> int:
    """Return k with image_size = 2^k, 3 <= k <= 10, the number of halvings. ValueError names the nearest such sizes."""
    legal = {2**k: k for k in range(3, 11)}
    if image_size not in legal:
        raise ValueError(
            f"image_size {image_size}: this network works at powers of two; {_nearest(image_size, legal)}"
        )
    return legal[image_size]


def _nearest(size: int, legal: Collection[int]) -> str:
    below = max((s for s in legal if s < size), default=None)
    above = min((s for s in legal if s > size), default=None)
    return "nearest: " + " and ".join(str(s) for s in (below, above) if s is not None)
