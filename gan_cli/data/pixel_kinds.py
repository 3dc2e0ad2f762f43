"""What the pixels of a data set are: number of channels, depth, and the values that become black and white."""

from collections.abc import Sequence
from typing import NamedTuple

from gan_cli.data.image_files import Window, as_window
from gan_cli.data.notes import say_once


class PixelKind(NamedTuple):
    """Pixels of a data set, or of one of its sides. window: see image_files.Window. depth: 8 or 16 bits per channel."""

    channels: int
    window: Window
    depth: int


def pixel_kind(channels: int, window: Sequence[float] | None, depth: int) -> PixelKind:
    """Check the settings of a data set. ValueError if they are impossible."""
    if channels < 1:
        raise ValueError(f"channels {channels}: images have 1 (gray), 3 (color) or another positive number")
    if depth not in (8, 16):
        raise ValueError(f"depth {depth}: choose 8 or 16 bits per channel; numbers with a point are read as 16 bits")
    if channels not in (1, 3):
        shown = f"the first 3 of {channels}" if channels > 3 else "the first of 2"
        say_once(f"note: sheets of samples show {shown} channels")
    return PixelKind(channels, as_window(window), depth)


def two_kinds(
    channels: int,
    window: Sequence[float] | None,
    source_channels: int | None,
    source_window: Sequence[float] | None,
    depth: int,
) -> tuple[PixelKind, PixelKind]:
    """Source and target of a data set for translation. None: those of the target. ValueError if they are impossible."""
    target = pixel_kind(channels, window, depth)
    return pixel_kind(source_channels or channels, source_window or target.window, depth), target


def mark(*kinds: PixelKind) -> str:
    """What pixels add to the fingerprint of a data set, besides the window of the target: nothing for 8 bits."""
    depth = f"-{kinds[-1].depth}bits" if kinds[-1].depth > 8 else ""
    return depth + (f"-source{list(kinds[0].window or ())}" if kinds[0].window != kinds[-1].window else "")
