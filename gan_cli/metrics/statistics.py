"""Files of the mean and covariance of features, `.npz` as pytorch-fid and clean-fid write and read them.

Keys: mu (d,) and sigma (d, d). Files that are written here also have extractor (`name:hash`) and samples, which other
readers ignore.
"""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from typing import IO

import numpy
import torch
from torch import Tensor

from gan_cli.metrics.base import Samples, Statistics
from gan_cli.metrics.feature_cache import digest
from gan_cli.utils.errors import one_line
from gan_cli.utils.files import open_regular, replacing

SUFFIX = ".npz"
WIDEST = 4096  # features; Inception has 2048, and the covariance of 4096 takes 134 MB
HEADER = 10_000  # bytes of the description of an array, of which numpy reads any number before it counts them
TEXT = 800  # bytes of the extractor's name and hash, 200 characters
NOT_SYMMETRIC = 1e-5  # of the largest entry; a covariance that was computed in float32 is symmetric to 1e-7
TORCH = (
    "torch-fidelity's cache holds NumPy arrays in a pickle, whose loading may run code, and is not read; "
    "numpy.savez('stats.npz', **torch.load(FILE, weights_only=False)) converts a file that you trust"
)


def is_statistics(name: str) -> bool:
    """Whether a source that the user typed is a file of statistics (`.npz`, or `.pt` of torch-fidelity)."""
    return Path(name).suffix in (SUFFIX, ".pt") and not Path(name).is_dir()


def statistics_samples(name: str) -> Samples:
    """The file `name` as a source, whose images are unknown. OSError or ValueError as for `read_statistics`."""
    statistics = read_statistics(Path(name))

    def batches() -> None:
        raise ValueError(f"{name} holds the mean and covariance of features, which only metric=fid can use")

    return Samples(name, statistics.size or 0, batches, statistics=statistics)  # type: ignore[arg-type]


def read_statistics(path: Path) -> Statistics:
    """Read mu and sigma without running code in the file. OSError if it cannot be opened.

    ValueError, which names the file, if the arrays are missing, too large, of wrong shapes, or not those of a Gaussian.
    """
    if path.suffix == ".pt":
        raise ValueError(f"{path}: {TORCH}")
    try:
        with open(path, "rb", opener=open_regular) as file, zipfile.ZipFile(file) as archive:
            mu, sigma = (
                torch.from_numpy(_array(archive, key, "f", axes).astype(numpy.float64))
                for key, axes in (("mu", 1), ("sigma", 2))
            )
            extractor, size = _optional(archive, "extractor", "U"), _optional(archive, "samples", "iu")
    except (ValueError, EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError) as error:
        raise ValueError(f"{path} is no file of statistics: {one_line(error)}") from error
    _check(path, mu, sigma)
    if size is not None and size < 1:
        raise ValueError(f"{path}: it counts {int(size)} samples")
    name = None if extractor is None else str(extractor)
    return Statistics(mu, sigma, name, None if size is None else int(size), digest([("mu", mu), ("sigma", sigma)]))


def write_statistics(path: Path, mean: Tensor, covariance: Tensor, extractor: str, size: int) -> None:
    """Write the file atomically. OSError if it cannot be written."""
    mu, sigma = mean.numpy(), covariance.numpy()
    with replacing(path) as temporary, open(temporary, "wb") as file:
        numpy.savez_compressed(
            file, mu=mu, sigma=sigma, extractor=numpy.array(extractor), samples=numpy.array(size)
        )


def _check(path: Path, mu: Tensor, sigma: Tensor) -> None:
    """ValueError unless mu and sigma are the mean and covariance of a distribution."""
    if not len(mu) or sigma.shape != (len(mu), len(mu)):
        raise ValueError(f"{path}: mu has shape {tuple(mu.shape)} and sigma {tuple(sigma.shape)}, not (d,) and (d, d)")
    if not (mu.isfinite().all() and sigma.isfinite().all()):
        raise ValueError(f"{path}: mu or sigma holds NaN or infinite values")
    if (sigma - sigma.T).abs().max() > NOT_SYMMETRIC * sigma.abs().max() or sigma.diagonal().min() < 0:
        raise ValueError(f"{path}: sigma is no covariance: it is not symmetric, or has a negative variance")


def _optional(archive: zipfile.ZipFile, key: str, kinds: str) -> numpy.ndarray | None:
    return _array(archive, key, kinds, 0) if f"{key}.npy" in archive.namelist() else None


def _array(archive: zipfile.ZipFile, key: str, kinds: str, axes: int) -> numpy.ndarray:
    """The array `key`, of one of numpy's `kinds`. ValueError if there is none, or none of these bounds.

    Its header is compared with the bounds first, because numpy allocates what a header declares.
    """
    if f"{key}.npy" not in archive.namelist():
        raise ValueError(f"it holds no array '{key}'")
    with archive.open(f"{key}.npy") as file:
        start = file.read(12)
    length = int.from_bytes(start[8:10] if start[6:7] == b"\x01" else start[8:12], "little")
    if length > HEADER:
        raise ValueError(f"its array '{key}' has a header of {length:,} bytes")
    with archive.open(f"{key}.npy") as file:
        shape, dtype = _header(file)
    if dtype.kind not in kinds or len(shape) != axes:
        raise ValueError(f"its array '{key}' is of type {dtype} and shape {shape}")
    if max(shape, default=0) > WIDEST or dtype.itemsize > TEXT:
        raise ValueError(f"its array '{key}' of shape {shape} is too large; {WIDEST:,} features are the most")
    with archive.open(f"{key}.npy") as file:
        array: numpy.ndarray = numpy.lib.format.read_array(file, allow_pickle=False)
    return array


def _header(file: IO[bytes]) -> tuple[tuple[int, ...], numpy.dtype]:
    """The shape and the type that the header of an array declares."""
    version = numpy.lib.format.read_magic(file)
    read = numpy.lib.format.read_array_header_1_0 if version == (1, 0) else numpy.lib.format.read_array_header_2_0
    shape, _, dtype = read(file)
    return shape, dtype
