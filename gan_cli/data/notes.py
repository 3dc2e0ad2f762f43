"""Notes on data for people: each is printed once per process, however many data sets read the same files."""

from collections.abc import Callable

import torch
from torch import Tensor

from gan_cli.utils.distributed import print_once

DARK = 16  # of 255: the largest value of 12 bits in 16

_SAID: set[object] = set()


def say_once(text: str, about: object = None) -> None:
    """Print a line unless one about the same was printed before, since several data sets may read one folder.

    about: any hashable value; the text if omitted.
    """
    if (about or text) not in _SAID:
        _SAID.add(about or text)
        print_once(text)


def dark(pixels: Tensor) -> Tensor:
    """Whether each of uint8 or uint16 images (N, C, H, W) is all but black, as 12 bits in files of 16: bool (N,)."""
    return _eight_bits(pixels).flatten(1).amax(1) <= DARK


def _eight_bits(pixels: Tensor) -> Tensor:
    return pixels if pixels.dtype == torch.uint8 else pixels.int() // 257


def say_if_dark(
    pixels: Tensor, name: object, is_deep: Callable[[int], bool] | None = None, about: object = None
) -> None:
    """Print a note with a name if uint8 or uint16 images (N, C, H, W) are all but black.

    is_deep: whether the file of an image has more than 8 bits; then some such images among others are counted as well.
    about: the note is printed once per this value; `name` if omitted.
    """
    found = dark(pixels)
    if len(pixels) and found.all():
        what = f"no pixel is brighter than {int(_eight_bits(pixels).max())} of 255"
    elif is_deep and (count := sum(map(is_deep, found.nonzero().flatten().tolist()))):
        what = f"{count:,} of {len(pixels):,} images looked at have no pixel brighter than {DARK} of 255"
    else:
        return
    say_once(
        f"note: {name}: {what}; dataset.window=[LOW,HIGH] names black and white of files of more than 8 bits",
        about=("dark", about or name),
    )
