"""Decoded images in one file, so that only the first run of a data set decodes it.

The files lie in $GAN_CACHE, ~/.cache/gan/decoded without it; each may be deleted at any time.
"""

import hashlib
import os
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from gan_cli.data import images
from gan_cli.data.images import Files

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

VERSION = 1  # of decoding and resizing
IN_MEMORY = 10**9  # bytes up to which a set is read into memory; a larger one is mapped
CHUNK = 256  # images in the hands of the threads


class Job(NamedTuple):
    """Decode `files` to (channels, size, size) with the rule `fit`: images.resize_crop or images.stretch."""

    files: Files
    channels: int
    size: int
    fit: Callable[[Image.Image, int], Image.Image]

    @property
    def shape(self) -> tuple[int, int, int, int]:
        return len(self.files.names), self.channels, self.size, self.size

    @property
    def bytes(self) -> int:
        return len(self.files.names) * self.channels * self.size**2

    @property
    def name(self) -> str:
        """Of the cache file. The root counts: archives whose times are all the same and bitmaps of one size exist."""
        what = (VERSION, self.shape, self.fit.__name__, str(self.files.root.resolve()), *self.files[1:])
        return hashlib.blake2b(repr(what).encode(), digest_size=16).hexdigest() + ".u8"


def load(*jobs: Job) -> list[Tensor]:
    """uint8 (N, C, size, size) for each job, from the cache or decoded and put there.

    Without room in the cache, in memory only. ValueError names the broken files of all jobs; nothing is kept then.
    """
    folder = Path(os.environ.get("GAN_CACHE") or "~/.cache/gan/decoded").expanduser()
    try:
        if not all(_whole(folder, job) for job in jobs):
            with exclusive(folder, "*.part"):
                _write(folder, [job for job in jobs if not _whole(folder, job)])
        return [_read(folder, job) for job in jobs]
    except OSError as error:
        print(f"note: decoded images are kept in memory only: {folder}: {error.strerror or error}", flush=True)
    stores = [np.empty(job.shape, np.uint8) for job in jobs]
    for job, index, pixels in _decode(jobs):
        stores[jobs.index(job)][index] = pixels
    return [torch.from_numpy(store) for store in stores]


@contextmanager
def exclusive(folder: Path, stale: str) -> Iterator[None]:
    """Make `folder` and hold it alone; what matches `stale` there is the rest of a killed process and goes.

    A lock dies with its process. Where folders cannot be locked, nothing is removed: names of files at work are unique.
    """
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder, os.O_RDONLY)
    try:
        if _lock(handle, folder):
            for path in folder.glob(stale):
                remove(path)
        yield
    finally:
        os.close(handle)
