"""Decoded images in one file, so that only the first run of a data set decodes it.

The files lie in $GAN_CACHE, ~/.cache/gan/decoded without it; each may be deleted at any time.
"""

import errno
import fcntl
import hashlib
import os
import shutil
import time
import uuid
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
from gan_cli.data.image_files import Files

VERSION = 1  # of decoding and resizing
IN_MEMORY = 10**9  # bytes up to which a set is read into memory; a larger one is mapped
CHUNK = 256  # images in the hands of the threads


class DecodeJob(NamedTuple):
    """Decode `files` to (channels, size, size) with the rule `fit`, such as images.resize_crop; what it refuses by a
    ValueError counts as broken."""

    files: Files
    channels: int
    size: int
    fit: Callable[[Image.Image, int], Image.Image]

    @property
    def shape(self) -> tuple[int, int, int, int]:
        return len(self.files.names), self.channels, self.size, self.size

    @property
    def nbytes(self) -> int:
        return len(self.files.names) * self.channels * self.size**2

    @property
    def name(self) -> str:
        """Of the cache file. The root counts: files of an archive may have one time, and bitmaps one size."""
        what = (VERSION, self.shape, self.fit.__name__, str(self.files.root.resolve()), *self.files[1:])
        return hashlib.blake2b(repr(what).encode(), digest_size=16).hexdigest() + ".u8"


def load(*jobs: DecodeJob) -> list[Tensor]:
    """uint8 (N, C, size, size) for each job, from the cache or decoded and put there, or else in memory only.

    ValueError names the broken files of all jobs, and nothing is kept.
    """
    folder = Path(os.environ.get("GAN_CACHE") or "~/.cache/gan/decoded").expanduser()
    try:
        if not all(_whole(folder, job) for job in jobs):
            with exclusive(folder, "*.part"):
                _write(folder, [job for job in jobs if not _whole(folder, job)])
        return [_read(folder, job) for job in jobs]
    except OSError as error:
        print(f"note: {folder}: {error.strerror or error}; decoded images stay in memory only", flush=True)
    stores = [np.empty(job.shape, np.uint8) for job in jobs]
    for number, index, pixels in _decode(jobs):
        stores[number][index] = pixels
    return [torch.from_numpy(store) for store in stores]


@contextmanager
def exclusive(folder: Path, stale: str, quiet: bool = False) -> Iterator[None]:
    """Make `folder` and hold it alone; what matches `stale` in it is left from a killed process, and goes.

    The lock dies with its process. A folder that cannot be locked is not cleaned; names in use are unique. quiet: wait
    for another process without a word.
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
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        if not quiet:
            print(f"waiting for another process that fills {folder}", flush=True)
        fcntl.flock(handle, fcntl.LOCK_EX)
    except OSError:  # some network file systems
        return False
    return True


def remove(path: Path) -> None:
    """A file, a link or a folder with all in it; no error if it is not there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _whole(folder: Path, job: DecodeJob) -> bool:
    path = folder / job.name
    return path.is_file() and path.stat().st_size == job.nbytes


def _read(folder: Path, job: DecodeJob) -> Tensor:
    """Mapped copy-on-write, which torch takes without a warning; nothing writes to it."""
    store = torch.from_numpy(np.memmap(folder / job.name, np.uint8, mode="c", shape=job.shape))
    return store.clone() if job.nbytes <= IN_MEMORY else store


def _write(folder: Path, jobs: Sequence[DecodeJob]) -> None:
    """Decode into files of temporary names; they get their names when all are whole."""
    need = sum(job.nbytes for job in jobs)
    if need > shutil.disk_usage(folder).free:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    parts = [folder / f"{job.name}.{uuid.uuid4().hex}.part" for job in jobs]
    try:
        with ExitStack() as stack:
            files = [stack.enter_context(open(part, "wb")) for part in parts]
            for number, _, pixels in _decode(jobs):
                files[number].write(pixels.data)
            for file in files:
                file.flush()
                os.fsync(file.fileno())
        for job, part in zip(jobs, parts):
            os.replace(part, folder / job.name)
        if jobs:
            print(f"decoded images are kept in {folder} ({need / 1e6:.0f} MB)", flush=True)
    finally:
        for part in parts:
            part.unlink(missing_ok=True)


def _decode(jobs: Sequence[DecodeJob]) -> Iterator[tuple[int, int, np.ndarray]]:
    """(number of the job, index in it, uint8 (C, size, size)) of every image in order, decoded by threads.

    A ValueError at the end names the broken ones.
    """
    progress = DecodeProgress("decoded", sum(len(job.files.names) for job in jobs), "images")
    broken: dict[str, None] = {}  # two jobs may read one file
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        for number, job in enumerate(jobs):
            for start in range(0, len(job.files.names), CHUNK):
                names = job.files.names[start : start + CHUNK]
                for index, pixels in enumerate(pool.map(partial(_pixels, job), names), start):
                    progress.step()
                    if isinstance(pixels, str):
                        broken[pixels] = None
                    else:
                        yield number, index, pixels
    if broken:
        raise ValueError(
            f"broken images, {len(broken)} in all, to be repaired or removed: {'; '.join(list(broken)[:3])}"
            + ("; ..." if len(broken) > 3 else "")
        )


def _pixels(job: DecodeJob, name: str) -> np.ndarray | str:
    """One image, or what is wrong with it."""
    file = job.files.root / name
    try:
        picture = image_files.read(file, job.channels)
    except ValueError as error:
        return str(error)
    try:
        return image_files.to_tensor(job.fit(picture, job.size)).numpy()
    except ValueError as error:
        return f"{file}: {error}"


class DecodeProgress:
    """A line every five seconds of work: `verb 1200 of 2661 unit, 12 s left`."""

    def __init__(self, verb: str, total: int, unit: str) -> None:
        self.verb, self.total, self.unit, self.done = verb, total, unit, 0
        self.start = self.printed = time.perf_counter()

    def step(self, count: int = 1) -> None:
        self.done += count
        now = time.perf_counter()
        if now - self.printed > 5:
            self.printed = now
            left = (self.total - self.done) * (now - self.start) / self.done
            print(f"{self.verb} {self.done} of {self.total} {self.unit}, {left:.0f} s left", flush=True)
