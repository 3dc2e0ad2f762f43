"""`gan bench data`: images per second of each way to load a batch."""

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

from gan_cli.data import decoded_cache, image_files, listing
from gan_cli.data.base import Batch, Dataset, scale
from gan_cli.data.folders import ImageFolder
from gan_cli.data.webdataset import WebDataset
from gan_cli.tools.bench import report
from gan_cli.tools.bench.workload import settings
from gan_cli.training.prefetch import Prefetcher

GENERATED = 512  # images of the generated folder, 218 x 178 pixels as in CelebA


def measure(words: Sequence[str], folder: Path, *, repeats: int, root: str | None) -> None:
    """Time epochs with each loader. root: a folder of images; None: images are generated."""
    cfg = settings(words)
    size, batch = int(cfg.dataset.image_size), int(cfg.trainer.batch_size)
    rows, records = [], []
    with tempfile.TemporaryDirectory() as scratch:
        source = Path(root) if root else _generate_images(Path(scratch, "images"))
        total = len(listing.scan(source).names)
        for name, epoch in _loaders(source, size, batch, total, Path(scratch, "cache")):
            seconds = [epoch() for _ in range(1 if name.startswith("first") else repeats)]
            spread = report.spread(seconds)
            rate = total / spread["median"]
            rows.append([name, rate, 1e3 * batch / rate, report.note(spread)])
            setting = {"words": list(words), "path": name, "images": total}
            records.append({**setting, "seconds": seconds, **spread, "rate": rate})
    title = f"data: {total} images resized to {size} pixels, batches of {batch}"
    report.write(folder, "data", title, ("loader", "images / s", "ms per batch", ""), rows, records)


def _loaders(source: Path, size: int, batch: int, total: int, store: Path) -> Iterator[tuple[str, Callable[[], float]]]:
    """The name of each loader, and a function that loads one epoch and returns its seconds.

    The order matters: the first epoch fills the cache for the later ones.
    """
    files = listing.scan(source)

    def one_by_one() -> float:
        start = time.perf_counter()
        for first in range(0, total, batch):
            pixels = [_decode(source / name, size) for name in files.names[first : first + batch]]
            scale(torch.stack(pixels), (-1.0, 1.0))
        return time.perf_counter() - start

    def first() -> float:
        start = time.perf_counter()
        with _cache(store):
            _epoch(_folder(source, size), batch, total)
        return time.perf_counter() - start

    yield "PIL, one image at a time", one_by_one
    yield "first epoch: decode into the cache", first
    with _cache(store, in_memory=0):
        mapped = _folder(source, size)
    with _cache(store):
        loaded = _folder(source, size)
    yield "memory-mapped cache", lambda: _epoch(mapped, batch, total)
    yield "in memory", lambda: _epoch(loaded, batch, total)
    yield "in memory, batches prefetched", lambda: _epoch(loaded, batch, total, prefetch=True)
    with _cache(store):
        packed = WebDataset(str(_archive(source, files.names, store / "archives")), image_size=size, flip=True)
    yield "tar archives, decoded in each epoch by one thread per core", lambda: _epoch(packed, batch, total)


def _decode(file: Path, size: int) -> Tensor:
    return image_files.to_tensor(image_files.resize_crop(image_files.read(file, 3), size))


def _folder(source: Path, size: int) -> ImageFolder:
    return ImageFolder(str(source), image_size=size, flip=True, test_fraction=0.0)


def _epoch(data: Dataset, batch: int, total: int, prefetch: bool = False) -> float:
    """Seconds to load `total` images."""

    def make(position: int) -> Batch:
        return data.train_batch(0, position, batch)

    batches = Prefetcher(make, batch, min_seconds=0.0) if prefetch else make
    start = time.perf_counter()
    for position in range(0, total, batch):
        batches(position)
    return time.perf_counter() - start


def _archive(source: Path, names: Sequence[str], folder: Path) -> Path:
    """Write the images into two tar archives in `folder`."""
    folder.mkdir(parents=True)
    for half in range(2):
        with tarfile.open(folder / f"{half}.tar", "w") as archive:
            for number, name in enumerate(names[half::2]):
                archive.add((source / name).resolve(), f"{number:06d}{Path(name).suffix.lower()}")
    return folder


@contextmanager
def _cache(folder: Path, in_memory: int = decoded_cache.IN_MEMORY) -> Iterator[None]:
    """Use `folder` as the cache of decoded images; read sets of up to `in_memory` bytes into memory."""
    before, size = os.environ.get("GAN_CACHE"), decoded_cache.IN_MEMORY
    os.environ["GAN_CACHE"], decoded_cache.IN_MEMORY = str(folder), in_memory
    try:
        yield
    finally:
        decoded_cache.IN_MEMORY = size
        os.environ.pop("GAN_CACHE")
        if before is not None:
            os.environ["GAN_CACHE"] = before


def _generate_images(folder: Path) -> Path:
    """Write JPEGs of smooth colors and some noise, which are about as large as photographs, into a new folder."""
    folder.mkdir()
    random = np.random.default_rng(0)
    for number in range(GENERATED):
        coarse = Image.fromarray(random.integers(0, 255, (14, 11, 3), dtype=np.uint8)).resize((178, 218))
        pixels = np.asarray(coarse, dtype=np.int16) + random.integers(-12, 12, (218, 178, 3))
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / f"{number:04d}.jpg", quality=90)
    return folder
