"""Files that one evaluation writes and later ones reuse: features of real samples, and trained classifiers.

They are in the folder $GAN_CACHE (~/.cache/gan if it is not set). Each may be deleted at any time.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gan_cli.metrics.base import Features
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
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except OSError:  # missing, or without the permission to read it
        return None
    except Exception:  # torch.load raises many types of errors for a broken file
        path.unlink(missing_ok=True)
        return None


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
        if isinstance(parts, dict) and set(parts) == {*Features._fields, "sum"}:
            checksum = parts.pop("sum")
            if checksum == _checksum(key, parts):
                return Features(**parts)
        if parts is not None:
            path.unlink(missing_ok=True)
        return None

    def put(self, key: str, features: Features) -> None:
        """Cache `features`, unless they are larger than 500 MB. Prints a note if they cannot be written."""
        if sum(part.nbytes for part in features if part is not None) > LARGEST:
            return
        try:
            save_whole({**features._asdict(), "sum": _checksum(key, features._asdict())}, self.path(key))
        except OSError as error:
            print(f"note: {self.folder}: {error.strerror or error}; features are not cached", flush=True)


def _checksum(key: str, parts: dict[str, Any]) -> str:
    return digest(((name, part) for name, part in parts.items() if isinstance(part, Tensor)), key)
