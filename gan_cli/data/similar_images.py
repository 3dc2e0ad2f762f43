"""Equal and nearly equal images among many, by the hash of their bytes and by a small fingerprint of their pixels."""

from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from PIL import Image

HASH_DISTANCE = 6  # of 64 bits: below, two images may be nearly equal
GRAY_DISTANCE = 6.0  # of 255: mean difference of two images of 16 x 16 pixels, below which they are
FLAT = 2.0  # of 255: standard deviation of such an image, below which it looks like all others of its kind
MOST = 40_000  # images of which all pairs are compared
BLOCK = 100  # images that are compared at a time


class Look(NamedTuple):
    """How an image looks: gray of 16 x 16 pixels, uint8 (256,), and its difference hash, a number of 64 bits."""

    gray: np.ndarray
    bits: int


def look(image: Image.Image) -> Look:
    """Return the look of an image of any size and mode that converts to gray.

    The difference hash (dHash) says of 8 x 8 pixels whether each is brighter than its right neighbor.
    """
    gray = image.convert("L")
    small = np.asarray(gray.resize((16, 16), Image.Resampling.BOX)).reshape(-1)
    row = np.asarray(gray.resize((9, 8), Image.Resampling.BOX)).astype(np.int16)
    return Look(small, int.from_bytes(np.packbits(row[:, 1:] < row[:, :-1]).tobytes(), "big"))


def equal(digests: Sequence[bytes]) -> list[list[int]]:
    """Return the groups of two or more equal digests, by their numbers."""
    groups = defaultdict(list)
    for number, digest in enumerate(digests):
        groups[digest].append(number)
    return [group for group in groups.values() if len(group) > 1]


def representatives(keys: Sequence[object]) -> list[int]:
    """Return the number of the first of each group of equal keys."""
    return list({key: number for number, key in reversed([*enumerate(keys)])}.values())[::-1]


def nearly_equal(looks: Sequence[Look]) -> list[tuple[int, int]]:
    """Return pairs of images, i < j, that differ by at most HASH_DISTANCE bits and GRAY_DISTANCE; images of one color
    are in no pair. Of more than MOST images, only those of one hash are compared.
    """
    if len(looks) < 2:
        return []
    grays = np.stack([one.gray for one in looks]).astype(np.float32)
    bits = np.array([one.bits for one in looks], dtype=np.uint64)
    vivid = np.flatnonzero(grays.std(axis=1) >= FLAT)
    pairs: list[tuple[int, int]] = []
    if len(vivid) > MOST:
        candidates = [(i, j) for group in equal([bits[i].tobytes() for i in vivid]) for i, j in pairwise(group)]
        pairs = [(int(vivid[i]), int(vivid[j])) for i, j in candidates]
    else:
        for start in range(0, len(vivid), BLOCK):
            rows = vivid[start : start + BLOCK]
            near = _bit_count(bits[rows, None] ^ bits[None, vivid[start:]]) <= HASH_DISTANCE
            first, second = np.nonzero(near)
            pairs += [(int(vivid[start + i]), int(vivid[start + j])) for i, j in zip(first, second) if i < j]
    return [(i, j) for i, j in pairs if np.abs(grays[i] - grays[j]).mean() <= GRAY_DISTANCE]


_COUNTS = np.array([number.bit_count() for number in range(1 << 16)], dtype=np.uint8)


def _bit_count(values: np.ndarray) -> np.ndarray:
    """The number of ones in each of uint64 values (N, M)."""
    parts = np.ascontiguousarray(values).view(np.uint16).reshape(*values.shape, 4)
    return _COUNTS[parts].sum(axis=-1)
