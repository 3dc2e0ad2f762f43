"""Image sizes that a stack of doublings can make."""

from collections.abc import Collection


def doublings(image_size: int) -> tuple[int, int]:
    """(start, k) with image_size = start * 2^k, start 4 or 7 and k >= 1: 32 -> (4, 3), 28 -> (7, 2).

    ValueError naming the nearest such sizes.
    """
    legal = {start * 2**k: (start, k) for k in range(1, 10) for start in (4, 7)}
    if image_size not in legal:
        nearest = _nearest(image_size, legal)
        raise ValueError(f"image_size {image_size}: this network works at 4*2^k or 7*2^k pixels; {nearest}")
    return legal[image_size]


def multiple(image_size: int, of: int, least: int) -> int:
    """image_size, if it is a multiple of `of` and at least `least`; else ValueError naming the nearest such
    sizes.
    """
    if image_size % of or image_size < least:
        legal = {max(least, size) for size in (image_size // of * of, -(-image_size // of) * of)}
        nearest = _nearest(image_size, legal)
        raise ValueError(f"image_size {image_size}: this network works at multiples of {of}; {nearest}")
    return image_size


def halvings(image_size: int) -> int:
    """k with image_size = 2^k, 3 <= k <= 10: how often it can be halved. ValueError naming the nearest such sizes."""
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
