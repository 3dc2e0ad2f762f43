"""Notes on data for people: each is printed once per process, however many data sets read the same files."""

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


def say_if_dark(pixels: Tensor, root: object) -> None:
    """Print a note, once per `root`, if uint8 images are all but black, as are 12 bits in files of 16 bits."""
    if pixels.numel() and (most := int(pixels.max())) <= DARK:
        say_once(
            f"note: {root}: no pixel is brighter than {most} of 255; dataset.window=[LOW,HIGH] names black and white "
            "of files of more than 8 bits",
            about=("dark", root),
        )
