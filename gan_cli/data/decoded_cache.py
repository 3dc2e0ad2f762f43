"""A cache of decoded images on disk, so that only the first run on a data set has to decode it.

Each list of files, decoded at one size, is one file of raw bytes in $GAN_CACHE, or in ~/.cache/gan/decoded if that is
not set. Each ends with a checksum (see checksums). The files may be deleted at any time.
"""

import errno
import fcntl
import hashlib
import math
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from gan_cli.data import image_files
from gan_cli.data.checksums import read_sealed, seal
from gan_cli.data.image_files import Window
from gan_cli.data.listing import Files
from gan_cli.data.notes import say_if_dark, say_once
from gan_cli.utils.distributed import print_once
from gan_cli.utils.files import replacing
from gan_cli.utils.image_size import ImageSize, sides
from gan_cli.utils.progress import Progress

VERSION = 2  # of decoding and resizing: a change of either must not find the files of the version before
IN_MEMORY = 10**9  # bytes up to which a set is read into memory; a larger one is memory-mapped
SAMPLE = 1000  # images of a set in which the brightest pixel is looked for
ENLARGED = 1.2  # factor from which a file counts as enlarged; the margin of random crops is 286 / 256 or less
CHUNK = 256  # images that are queued for the threads at a time, which bounds the memory of decoded images

Fit = Callable[[Image.Image, ImageSize], Image.Image]
"""Resize an image to a size, such as image_files.resize_crop; ValueError for an image that counts as broken."""


class DecodeJob(NamedTuple):
    """Images to decode to (channels, H, W): `files`, resized to `size` by the function `fit`.

    window: see image_files.Window. depth: bits per channel, 8 or 16.
    """

    files: Files
    channels: int
    size: ImageSize
    fit: Fit
    window: Window = None
    depth: int = 8

    @property
    def dtype(self) -> type[np.unsignedinteger]:
        """Type of the result."""
        return np.uint8 if self.depth == 8 else np.uint16

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Shape of the result, (N, channels, H, W)."""
        return len(self.files.names), self.channels, *sides(self.size)

    @property
    def nbytes(self) -> int:
        """Size of the result."""
        return math.prod(self.shape) * self.depth // 8

    @property
    def name(self) -> str:
        """Name of the cache file: a hash of everything that the pixels depend on."""
        # The root is included because names, sizes and times need not tell two folders apart: the files of an archive
        # may all have one time, and uncompressed images all have one size.
        facts = (VERSION, self.shape, self.fit.__name__, self.window, str(self.files.root.resolve()), *self.files[1:])
        return hashlib.blake2b(repr(facts).encode(), digest_size=16).hexdigest() + f".u{self.depth}"


def load(*jobs: DecodeJob) -> list[Tensor]:
    """Return uint8 or uint16 (N, C, H, W) for each job, from the cache if possible.

    What is not in the cache is decoded and added to it. If the cache cannot be written, the images are decoded into
    memory only. Raises ValueError, which names the broken files of all jobs; nothing is added to the cache then.
    """
    folder = Path(os.environ.get("GAN_CACHE") or "~/.cache/gan/decoded").expanduser()
    try:
        found = [_read(folder, job) for job in jobs]
        if any(store is None for store in found):
            with exclusive(folder, "*.part"):
                # Another process may have decoded them while this one waited for the folder.
                found = [_read(folder, job, report=True) if store is None else store for job, store in zip(jobs, found)]
                _write(folder, [job for job, store in zip(jobs, found) if store is None])
                found = [_read(folder, job) if store is None else store for job, store in zip(jobs, found)]
        if any(store is None for store in found):
            raise OSError("what is written there cannot be read back")
        stores = [store for store in found if store is not None]
    except OSError as error:
        print_once(f"note: {folder}: {error.strerror or error}; decoded images stay in memory only")
        stores = [torch.from_numpy(np.empty(job.shape, job.dtype)) for job in jobs]
        for number, row, image in _decode(jobs):
            stores[number][row] = torch.from_numpy(image)
    for job, store in zip(jobs, stores):
        paths = [job.files.root / name for name in job.files.names[:SAMPLE]]
        is_deep = None if job.window else lambda row, paths=paths: image_files.is_deep(paths[row])
        say_if_dark(store[:SAMPLE], job.files.root, is_deep)
    return stores


@contextmanager
def exclusive(folder: Path, stale: str, quiet: bool = False) -> Iterator[None]:
    """Create `folder` and lock it against other processes; delete what matches `stale` in it.

    stale: pattern of the temporary files that a killed process leaves behind. quiet: do not print that another process
    is waited for. The operating system releases the lock when the process ends. A file system without locks is used
    without one; nothing is deleted then, since another process may be writing, and temporary names are unique.
    """
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder, os.O_RDONLY)
    try:
        if _lock(handle, folder, quiet):
            for path in folder.glob(stale):
                remove(path)
        yield
    finally:
        os.close(handle)


def _lock(handle: int, folder: Path, quiet: bool) -> bool:
    """Lock the open folder, waiting if needed. False if the file system has no locks, as some network ones."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        if not quiet:
            print_once(f"waiting for another process that writes to {folder}")
        fcntl.flock(handle, fcntl.LOCK_EX)
    except OSError:
        return False
    return True


def remove(path: Path) -> None:
    """Delete a file, a link, or a folder with its content. A path that does not exist is no error."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _read(folder: Path, job: DecodeJob, report: bool = False) -> Tensor | None:
    """The result of a job; None if it is not cached or damaged. report: print that it is damaged."""
    path = folder / job.name
    try:
        content = read_sealed(path)
    except FileNotFoundError:
        return None
    if content is None or len(content) != job.nbytes:
        if report:
            print_once(f"note: {path} is damaged; the images are decoded again")
        return None
    # A set that is larger than memory stays mapped: the system loads the pages that a batch needs and drops them again,
    # and several processes share them.
    store = torch.from_numpy(content.view(job.dtype).reshape(job.shape))
    return store.clone() if job.nbytes <= IN_MEMORY else store


def _write(folder: Path, jobs: Sequence[DecodeJob]) -> None:
    """Decode the jobs into cache files, which appear only if all images of all jobs could be decoded."""
    need = sum(job.nbytes for job in jobs)
    if need > shutil.disk_usage(folder).free:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    with ExitStack() as replacements, ExitStack() as opened:
        parts = [replacements.enter_context(replacing(folder / job.name, sync=True)) for job in jobs]
        files = [opened.enter_context(open(part, "wb")) for part in parts]
        for number, _, image in _decode(jobs):
            files[number].write(image.data)
        for job, part, file in zip(jobs, parts, files):
            file.close()
            seal(part, job.name)
    if jobs:
        print_once(f"decoded images are cached in {folder} ({need / 1e6:.0f} MB)")


def _decode(jobs: Sequence[DecodeJob]) -> Iterator[tuple[int, int, np.ndarray]]:
    """Yield (number of the job, index in the job, pixels (C, H, W)) for every image in order, decoded by threads.

    Raises ValueError at the end, which names the broken images.
    """
    total = sum(len(job.files.names) for job in jobs)
    files = sum(len(names) for _, names in {(job.files.root, job.files.names) for job in jobs})
    # Such as training images that are held out as well, in another size.
    unit = "images" if files == total else f"images of {files:,} files"
    progress = Progress(total, unit, label="decoding")
    broken: dict[str, None] = {}  # messages without repetition: two jobs may read the same file
    enlarged: set[Path] = set()
    # Pillow releases the global interpreter lock while it decodes, so threads are enough.
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        for number, job in enumerate(jobs):
            for start in range(0, len(job.files.names), CHUNK):
                rows = range(start, min(start + CHUNK, len(job.files.names)))
                for row, image in zip(rows, pool.map(partial(_pixels_or_message, job, enlarged), rows)):
                    progress.advance()
                    if isinstance(image, str):
                        broken[image] = None
                    else:
                        yield number, row, image
    if enlarged:
        some = min(enlarged)
        say_once(
            f"note: {len(enlarged):,} of {files:,} files that were decoded, such as {some}, are smaller than the "
            "images that training takes from them, and so enlarged and blurred"
        )
    if broken:
        raise ValueError(
            f"broken images, {len(broken)} in all, to be repaired or removed: {'; '.join(list(broken)[:3])}"
            + ("; ..." if len(broken) > 3 else "")
        )


def pixels(job: DecodeJob, row: int) -> Tensor:
    """The pixels of image number `row`, uint8 or uint16 (C, H, W). ValueError, which names the file, if broken."""
    return _fitted(job, row, _read_image(job, row))


def _read_image(job: DecodeJob, row: int) -> Image.Image:
    file = job.files.root / job.files.names[row]
    return image_files.read(file, job.channels, window=job.window, depth=job.depth)


def _fitted(job: DecodeJob, row: int, image: Image.Image) -> Tensor:
    try:
        return image_files.to_tensor(job.fit(image, job.size))
    except ValueError as error:
        raise ValueError(f"{job.files.root / job.files.names[row]}: {error}") from error


def _pixels_or_message(job: DecodeJob, enlarged: set[Path], row: int) -> np.ndarray | str:
    """The pixels of one image, or a message if it is broken. A file that is enlarged is added to `enlarged`."""
    try:
        image = _read_image(job, row)
        height, width = sides(job.size)
        if image.width * ENLARGED < width or image.height * ENLARGED < height:
            enlarged.add(job.files.root / job.files.names[row])
        return _fitted(job, row, image).numpy()
    except ValueError as error:
        return str(error)
