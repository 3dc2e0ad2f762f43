"""Folders in which an image is several files, NAME_b1, NAME_b2, ..., with one of its channels each."""

import re
from pathlib import Path
from zlib import crc32

from gan_cli.data.image_files import is_gray
from gan_cli.data.listing import Files, scan
from gan_cli.data.notes import say_once

BAND = re.compile(r"(.*)_b([1-9]\d*)(\.[^./]*)", re.DOTALL)


def scan_images(root: Path, channels: int) -> Files:
    """List the images below `root` as listing.scan does, and as `one_per_image` counts them."""
    return one_per_image(scan(root), channels)


def one_per_image(files: Files, channels: int) -> Files:
    """The images of a listing: NAME_b* stands for NAME_b1 to NAME_b`channels` if all files are such channels.

    For up to four channels only if they are gray, since color images may have such names as well. The size of NAME_b*
    is the sum and its time a checksum of theirs. ValueError for an image of which some channels are missing.
    """
    matches = [BAND.fullmatch(name) for name in files.names]
    if channels == 1 or not all(matches):
        return files
    rows: dict[str, dict[int, int]] = {}  # NAME_b* -> number of a channel -> row
    for row, match in enumerate(matches):
        assert match is not None
        rows.setdefault(f"{match[1]}_b*{match[3]}", {})[int(match[2])] = row
    complete = [set(numbers) == set(range(1, channels + 1)) for numbers in rows.values()]
    if (channels <= 4 and not is_gray(files.root / files.names[0])) or (channels == 3 and not all(complete)):
        return files
    if not all(complete):
        name, numbers = next(item for item, ok in zip(rows.items(), complete) if not ok)
        raise ValueError(
            f"{files.root / name}: {channels} channels are expected, in files that end in _b1 to _b{channels}, and "
            f"there are {', '.join(f'_b{number}' for number in sorted(numbers))}"
        )
    say_once(f"note: {files.root}: {channels} files, such as {files.names[0]}, are the channels of one image")
    groups = [list(numbers.values()) for numbers in rows.values()]
    sizes = tuple(sum(files.sizes[row] for row in group) for group in groups)
    times = tuple(crc32(repr([files.times[row] for row in group]).encode()) for group in groups)
    return Files(files.root, tuple(rows), sizes, times)
