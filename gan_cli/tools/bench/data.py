"""`gan bench data`: images per second of each way that a batch can take."""

from __future__ import annotations

import os
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from gan_cli.data import decoded_cache, image_files
from gan_cli.data.base import Batch, Dataset, scale
from gan_cli.data.folders import ImageFolder
from gan_cli.data.webdataset import WebDataset
from gan_cli.tools.bench import report
from gan_cli.tools.bench.workload import settings
from gan_cli.training.prefetch import Prefetcher

MADE = 512  # pictures of the folder that is made where none is given, 218 x 178 as CelebA's


def measure(words: Sequence[str], folder: Path, *, rounds: int, root: str | None) -> None:
    """One picture at a time as a reference; the first epoch, which fills the cache; then mapped and in memory."""
    cfg = settings(words)
    size, batch = int(cfg.dataset.image_size), int(cfg.trainer.batch_size)
    rows, records = [], []
    with tempfile.TemporaryDirectory() as scratch:
        source = Path(root) if root else _pictures(Path(scratch, "pictures"))
        total = len(image_files.scan(source).names)
        paths = _paths(source, size, batch, total, Path(scratch, "cache"))
        for name, epoch in paths:
            seconds = [epoch() for _ in range(1 if name.startswith("first") else rounds)]
            told = report.spread(seconds)
            rate = total / told["median"]
            rows.append([name, rate, 1e3 * batch / rate, "noisy: not to be quoted" if told["noisy"] else None])
            about = {"words": list(words), "path": name, "images": total}
            records.append({**about, "seconds": seconds, **told, "rate": rate})
    title = f"data: {total} pictures to {size} pixels, batches of {batch}"
    report.write(folder, "data", title, report.table(("path", "images / s", "ms a batch", ""), rows), records)


def _paths(source: Path, size: int, batch: int, total: int, store: Path) -> Iterator[tuple[str, Callable[[], float]]]:
    """(name, one epoch -> its seconds) of each path; the order matters: the first epoch fills the cache."""
    files = image_files.scan(source)

    def one_by_one() -> float:
        start = time.perf_counter()
        for first in range(0, total, batch):
            pixels = [_picture(source / name, size) for name in files.names[first : first + batch]]
            scale(torch.stack(pixels), (-1.0, 1.0))
        return time.perf_counter() - start

    def first() -> float:
        start = time.perf_counter()
        with _cache(store):
            _epoch(_folder(source, size), batch, total)
        return time.perf_counter() - start

    yield "PIL, one picture at a time", one_by_one
    yield "first epoch: decode into the cache, then as below", first
    with _cache(store, in_memory=0):
        mapped = _folder(source, size)
    with _cache(store):
        held = _folder(source, size)
    yield "mapped cache", lambda: _epoch(mapped, batch, total)
    yield "in memory", lambda: _epoch(held, batch, total)
    yield "in memory, batches made ahead", lambda: _epoch(held, batch, total, ahead=True)
    with _cache(store):
        packed = WebDataset(str(_archive(source, files.names, store / "archives")), image_size=size, flip=True)
    yield "tar archives, decoded each time by as many threads as cores", lambda: _epoch(packed, batch, total)


def _picture(file: Path, size: int) -> Tensor:
    return image_files.to_tensor(image_files.resize_crop(image_files.read(file, 3), size))


def _folder(source: Path, size: int) -> ImageFolder:
    return ImageFolder(str(source), image_size=size, flip=True, test_fraction=0.0)


def _epoch(data: Dataset, batch: int, total: int, ahead: bool = False) -> float:
    def make(position: int) -> Batch:
        return data.train_batch(0, position, batch)

    batches = Prefetcher(make, batch, min_seconds=0.0) if ahead else make
    start = time.perf_counter()
    for position in range(0, total, batch):
        batches(position)
    return time.perf_counter() - start


def _archive(source: Path, names: Sequence[str], folder: Path) -> Path:
    """The pictures in two tar archives, in `folder`."""
    folder.mkdir(parents=True)
    for half in range(2):
        with tarfile.open(folder / f"{half}.tar", "w") as archive:
            for number, name in enumerate(names[half::2]):
                archive.add((source / name).resolve(), f"{number:06d}{Path(name).suffix.lower()}")
    return folder


@contextmanager
def _cache(folder: Path, in_memory: int = decoded_cache.IN_MEMORY) -> Iterator[None]:
    """Decoded images lie in `folder`; sets of up to `in_memory` bytes are read into memory."""
    before, size = os.environ.get("GAN_CACHE"), decoded_cache.IN_MEMORY
    os.environ["GAN_CACHE"], decoded_cache.IN_MEMORY = str(folder), in_memory
    try:
        yield
    finally:
        decoded_cache.IN_MEMORY = size
        os.environ.pop("GAN_CACHE")
        if before is not None:
            os.environ["GAN_CACHE"] = before


def _pictures(folder: Path) -> Path:
    """JPEGs of smooth colours and some noise, of about the bytes of a photograph."""
    folder.mkdir()
    random = np.random.default_rng(0)
    for number in range(MADE):
        coarse = Image.fromarray(random.integers(0, 255, (14, 11, 3), dtype=np.uint8)).resize((178, 218))
        pixels = np.asarray(coarse, dtype=np.int16) + random.integers(-12, 12, (218, 178, 3))
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / f"{number:04d}.jpg", quality=90)
    return folder
