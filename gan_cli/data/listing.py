"""Listing of folders of images: which files count, in which order, and what was skipped."""

import hashlib
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from PIL import features

from gan_cli.data.notes import say_once
from gan_cli.data.zip_folders import ZipPath


def _registered() -> bool:
    """Let Pillow read HEIF files, if pillow-heif is installed, which turns them upright itself."""
    try:
        from pillow_heif import register_heif_opener
    except ImportError:
        return False
    register_heif_opener(thumbnails=False)
    return True


OPTIONAL = tuple(name for name in ("webp", "avif") if name in features.modules and features.check(name))
AVIF = (".avif",) if "avif" in OPTIONAL else ()  # not in every Pillow
PHONES = (".heic", ".heif")  # of photographs of iPhones
HEIC = _registered()
SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm",
            ".pbm", ".pnm", ".jpe", ".jfif", ".gif", *AVIF, *(PHONES if HEIC else ()))  # fmt: skip
# What Pillow may take a file for, whatever its name: for others it starts programs, such as Ghostscript for EPS.
FORMATS = ("PNG", "JPEG", "BMP", "DIB", "TIFF", "PPM", "GIF", *map(str.upper, OPTIONAL), *(["HEIF"] if HEIC else []))
INSTALL = "pip install 'gan-cli[heic]'"
KNOWN = ("dataset.json",)  # files that are no images and belong there; see folder_labels


class Files(NamedTuple):
    """The images below `root`: sorted names relative to it, with /; sizes in bytes; times of change in nanoseconds."""

    root: Path
    names: tuple[str, ...]
    sizes: tuple[int, ...]
    times: tuple[int, ...]

    def pick(self, rows: Sequence[int]) -> "Files":
        """Return the files with these numbers, in this order."""
        names = tuple(self.names[i] for i in rows)
        return Files(self.root, names, tuple(self.sizes[i] for i in rows), tuple(self.times[i] for i in rows))


class Listing(NamedTuple):
    """The images of a folder, and in words what was skipped in it; hidden files are not mentioned."""

    files: Files
    skipped: str


def list_images(root: Path, *, subfolders: bool = True) -> Listing:
    """List the image files in `root` and its subfolders, except hidden ones. Links are followed.

    subfolders: False to skip them. Raises ValueError if there are no images, or if a folder cannot be read.
    """
    files, skipped = _walk(root, subfolders)
    entries = sorted((file.relative_to(root).as_posix(), file.stat()) for file in files)
    if not entries:
        also = f" (skipped: {skipped})" if skipped else ""
        raise ValueError(f"no images in {root}: files that count end in {', '.join(SUFFIXES)}{also}")
    names, stats = zip(*entries)
    return Listing(Files(root, names, tuple(s.st_size for s in stats), tuple(s.st_mtime_ns for s in stats)), skipped)


def scan(root: Path) -> Files:
    """List the images below `root` as list_images does, and print once what was skipped."""
    files, skipped = list_images(root)
    if skipped:
        say_once(f"note: {root}: skipped {skipped}")
    return files


def _walk(root: Path, subfolders: bool) -> tuple[list[Path], str]:
    """Return the images below `root`, and in words what else there is."""
    files: list[Path] = []
    visited: set[str] = set()  # a link may lead to a folder above it
    others: Counter[str] = Counter()  # suffixes
    irregular = ignored = 0

    def refuse(error: OSError) -> None:
        # A folder may disappear while the tree is read; any other error would silently hide images.
        if not isinstance(error, (FileNotFoundError, NotADirectoryError)):
            raise ValueError(f"{error.filename}: {error.strerror}") from error

    walk = root.walk() if isinstance(root, ZipPath) else os.walk(root, onerror=refuse, followlinks=True)
    for where, inner, names in walk:
        folder = where if isinstance(where, ZipPath) else Path(where)
        visited.add(os.path.realpath(folder))
        inner[:] = [
            name
            for name in inner
            if not name.startswith((".", "__MACOSX")) and os.path.realpath(folder / name) not in visited
        ]
        paths = [folder / name for name in names if not name.startswith(".")]
        images = [path for path in paths if path.suffix.lower() in SUFFIXES]
        others.update(
            path.suffix.lower() or "no suffix"
            for path in paths
            if path.suffix.lower() not in SUFFIXES and path.name not in KNOWN
        )
        # Opening a device or a pipe might never return.
        regular = [path for path in images if path.is_file()]
        files += regular
        irregular += len(images) - len(regular)
        if not subfolders:
            ignored += len(inner)
            inner[:] = []
    return files, _skipped(others, irregular, ignored)


def _skipped(others: Counter[str], irregular: int, folders: int) -> str:
    """Such as `12 non-image files (.heic, .txt), 1 subfolder`."""
    kinds = ", ".join(sorted(others, key=lambda kind: (-others[kind], kind))[:3]) + (", ..." if len(others) > 3 else "")
    phones = sum(others[suffix] for suffix in PHONES)
    parts = {f"non-image file{{}} ({kinds})": others.total(), "irregular file{}": irregular, "subfolder{}": folders}
    text = ", ".join(f"{n:,} {noun.format('s' * (n > 1))}" for noun, n in parts.items() if n)
    return text + (f"; {INSTALL} reads the {phones:,} of {' and '.join(PHONES)}" if phones else "")


def fingerprint(*folders: Files, window: tuple[float, float] | None = None) -> str:
    """Return 16 hexadecimal digits that depend on the names and sizes of the files, and on a window.

    They do not depend on the roots and times, because a copy of a folder holds the same data.
    """
    text = repr([(files.names, files.sizes) for files in folders]) + (repr(window) if window else "")
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
