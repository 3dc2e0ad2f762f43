"""Images of more than 8 bits that are all but black without a window, and the window that fits them."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, cast

from PIL import Image

from gan_cli.data import image_files
from gan_cli.data.notes import DARK


class Limits(NamedTuple):
    """The smallest and the largest value of an image, and whether its values are floating-point numbers."""

    low: float
    high: float
    is_float: bool

    @property
    def white(self) -> int:
        """The value that becomes white without a window."""
        return 1 if self.is_float else 65535

    @property
    def is_dark(self) -> bool:
        """Whether the image is all but black without a window, as in notes.dark."""
        return round(self.high * 255 / self.white) <= DARK


def limits(image: Image.Image) -> Limits | None:
    """The limits of an open image; None unless it has gray of more than 8 bits."""
    if not image.mode.startswith(("I", "F")):
        return None
    low, high = cast(tuple[float, float], image.getextrema())
    return Limits(float(low), float(high), image.mode.startswith("F"))


def limits_of(file: Path) -> Limits | None:
    """The limits of an image file, as `limits` returns them; None if Pillow cannot read it. ValueError if broken."""
    if image_files.tiff_stack(file) is not None:
        return None
    with image_files.opened(file) as image:
        return limits(image)


def dark_notes(found: Sequence[Limits], option: str) -> list[str]:
    """A line for integers and one for floating-point numbers if such images are all but black.

    found: of all images of more than 8 bits. option: the name of the option that sets black and white.
    """
    lines = []
    for is_float, kind in ((False, "integers"), (True, "floating-point numbers")):
        some = [one for one in found if one.is_float == is_float]
        if dark := sum(one.is_dark for one in some):
            low, high = min(one.low for one in some), max(one.high for one in some)
            fitting = f"{option}=[{low:.9g},{high:.9g}]" if low < high else f"{option}=[LOW,HIGH]"
            lines.append(
                f"note: {dark:,} of {len(some):,} images of {kind} are of more than 8 bits and all but black, which "
                f"{fitting} can change: values are {low:.9g} to {high:.9g}, and without it {some[0].white} is white"
            )
    return lines
