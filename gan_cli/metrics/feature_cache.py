"""Files that one evaluation writes and later ones reuse: features of real samples, and trained classifiers.

They are in the folder $GAN_CACHE (~/.cache/gan if it is not set). Each may be deleted at any time.
"""

from __future__ import annotations

import hashlib
import os
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gan_cli.data.decoded_cache import exclusive
from gan_cli.metrics.base import Features
from gan_cli.utils.distributed import print_once
from gan_cli.utils.files import replacing

LARGEST = 500_000_000  # bytes of features under one key; larger ones are not cached


def cache_dir(kind: str) -> Path:
    """The folder for files of this kind, `features` or `extractors`. It need not exist yet."""
    return Path(os.environ.get("GAN_CACHE") or "~/.cache/gan").expanduser() / kind


def digest(tensors: Iterable[tuple[str, Tensor]], *facts: object) -> str:
    """A hash of 16 hexadecimal digits of the named tensors, their shapes and types, and of the facts."""
    result = hashlib.sha256(repr(facts).encode())
    for name, tensor in tensors:
        result.update(repr((name, tuple(tensor.shape), str(tensor.dtype))).encode())
        result.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return result.hexdigest()[:16]


def save_whole(value: Any, path: Path) -> None:
    """torch.save, atomically: other processes may write the same file. OSError if it cannot be written."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with replacing(path, sync=True) as temporary, open(temporary, "wb") as file:
            torch.save(value, file)
    except RuntimeError as error:  # what torch.save raises for a full disk
        raise OSError(f"{path} cannot be written ({error})") from error


def load_whole(path: Path) -> Any:
    """The value that `save_whole` wrote, with tensors on the CPU; None if there is none. A broken file is deleted."""
    if not path.is_file():  # opening a pipe might never return
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns of what is no file of its own
            return torch.load(path, map_location="cpu", weights_only=True)
    except OSError:  # missing, or without the permission to read it
        return None
    except Exception:  # torch.load raises many types of errors for a broken file
        discard(path)
        return None


def discard(path: Path) -> None:
    """Delete a damaged file, whose content is then computed again."""
    print_once(f"note: {path} is damaged; its content is computed again")
    path.unlink(missing_ok=True)


class FeatureCache:
    """A FeatureStore with one file per key, which holds the features and a checksum of key and features."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or cache_dir("features")

    def path(self, key: str) -> Path:
        return self.folder / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.pt"

    def get(self, key: str) -> Features | None:
        """The features under `key`; None if there are none. A file that is broken, or of another key, is deleted."""
        path = self.path(key)
        parts = load_whole(path)
        whole = isinstance(parts, dict) and set(parts) == {*Features._fields, "sum"}
        if whole and parts.pop("sum") == checksum(key, parts):
            return Features(**parts)
        if parts is not None:
            discard(path)
        return None

    def put(self, key: str, features: Features) -> None:
        """Cache `features`, unless they are larger than 500 MB. Prints a note if they cannot be written."""
        if sum(part.nbytes for part in features if part is not None) > LARGEST:
            return
        try:
            with exclusive(self.folder, "*.part", quiet=True):  # which deletes what a killed process left behind
                save_whole({**features._asdict(), "sum": checksum(key, features._asdict())}, self.path(key))
        except OSError as error:
            print_once(f"note: {self.folder}: {error.strerror or error}; features are not cached")


def checksum(key: str, parts: Mapping[str, Any]) -> str:
    """A hash of the tensors in `parts`, and of the key under which they are cached."""
    return digest(((name, part) for name, part in parts.items() if isinstance(part, Tensor)), key)
