"""What evaluations keep for the next one: features of real samples, and the networks that see them.

The files lie in $GAN_CACHE, ~/.cache/gan without it; each may be deleted at any time.
"""

from __future__ import annotations

import hashlib
import os
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gan_cli.metrics.base import Features

LARGEST = 500_000_000  # bytes of features that are kept under one key


def cache_dir(kind: str) -> Path:
    """Where files of this kind are kept (`features`, `extractors`). It need not exist yet."""
    return Path(os.environ.get("GAN_CACHE") or "~/.cache/gan").expanduser() / kind


def digest(tensors: Iterable[tuple[str, Tensor]], *facts: object) -> str:
    """16 hexadecimal digits that depend on every number of the named tensors, their shapes and the facts."""
    result = hashlib.sha256(repr(facts).encode())
    for name, tensor in tensors:
        result.update(repr((name, tuple(tensor.shape), str(tensor.dtype))).encode())
        result.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return result.hexdigest()[:16]


def save_whole(value: Any, path: Path) -> None:
    """torch.save that leaves the whole file or none, whoever else writes it. OSError when there is no room."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{uuid.uuid4().hex}.part")
    try:
        with open(part, "wb") as file:
            torch.save(value, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except RuntimeError as error:  # torch's word for a full disk
        raise OSError(f"{path} cannot be written ({error})") from error
    finally:
        part.unlink(missing_ok=True)


def load_whole(path: Path) -> Any:
    """What `save_whole` wrote, tensors on the CPU. None when it is not there; a file that cannot be read goes."""
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except OSError:  # not there, or not ours to read
        return None
    except Exception:  # a pickle or zip that is cut short or strange fails in its own way each time
        path.unlink(missing_ok=True)
        return None


class Store:
    """A FeatureStore in files: values, logits and labels beside the key and a sum that vouches for them."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or cache_dir("features")

    def path(self, key: str) -> Path:
        return self.folder / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.pt"

    def get(self, key: str) -> Features | None:
        """The features kept under `key`. A file that is broken or another's is deleted, and counts as none."""
        path = self.path(key)
        found = load_whole(path)
        if isinstance(found, dict) and set(found) == {*Features._fields, "sum"}:
            proof = found.pop("sum")
            if proof == _sum(key, found):
                return Features(**found)
        if found is not None:
            path.unlink(missing_ok=True)
        return None

    def put(self, key: str, features: Features) -> None:
        """Keep `features`, unless they are larger than 500 MB or the folder cannot take them (said in a line)."""
        if sum(part.nbytes for part in features if part is not None) > LARGEST:
            return
        try:
            save_whole({**features._asdict(), "sum": _sum(key, features._asdict())}, self.path(key))
        except OSError as error:
            print(f"note: {self.folder}: {error.strerror or error}; features are not kept", flush=True)


def _sum(key: str, parts: dict[str, Any]) -> str:
    return digest(((name, part) for name, part in parts.items() if isinstance(part, Tensor)), key)
