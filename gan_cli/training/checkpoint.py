"""Checkpoints: written whole or not at all, read without running anybody's code."""

import os
from pathlib import Path
from typing import Any

import torch

from gan_cli.config import migrations
from gan_cli.utils.errors import GanError

FORMAT = migrations.VERSION  # a checkpoint is brought up to date by its own format, whatever its run's is


def save(path: Path, state: dict[str, Any]) -> None:
    """Write `state` (tensors, plain values) to a temporary file, sync, rename: `path` is always whole."""
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        with open(temporary, "wb") as file:
            torch.save({"format": FORMAT, **state}, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except (OSError, RuntimeError) as error:  # torch wraps a failed write in a RuntimeError
        temporary.unlink(missing_ok=True)
        reason = getattr(error, "strerror", None) or _cause(error)
        kept = "the one before it is untouched" if path.exists() else "nothing is left behind"
        raise GanError(
            f"cannot write checkpoint {path}: {reason}; {kept}; free space or fix the folder, "
            f"then `gan resume {path.parent.parent}`"
        ) from error
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _cause(error: BaseException) -> str:
    while error.__cause__ or error.__context__:
        error = error.__cause__ or error.__context__  # type: ignore[assignment]
        if isinstance(error, OSError):
            return error.strerror or str(error)
    return str(error).splitlines()[0]


def load(path: Path, mmap: bool = False) -> dict[str, Any]:
    """The state of `save`, on the CPU and in today's form; with `mmap` its tensors are read when they are used.

    GanError when it is missing, cut short, foreign or of a newer format.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=mmap)
    except FileNotFoundError:
        raise GanError(f"no checkpoint {path}") from None
    except OSError as error:
        raise GanError(f"cannot read checkpoint {path}: {error.strerror}") from error
    except Exception as error:  # zip, pickle and runtime errors of every kind, by torch's version
        raise GanError(
            f"{path} is not a whole checkpoint of gan (cut short, or another program's): "
            "use another of this run's checkpoints, or train anew"
        ) from error
    if not isinstance(state, dict) or "format" not in state:
        raise GanError(f"{path} was not written by gan: its keys are not those of a run's checkpoint")
    if state["format"] not in range(1, FORMAT + 1):
        raise GanError(
            f"{path} has checkpoint format {state['format']}; this version reads formats up to {FORMAT}: "
            "use the version of gan that provenance.json names"
        )
    return migrations.checkpoint(state, state["format"])


def iteration(path: Path) -> int:
    """Of which iteration the checkpoint is, without reading its tensors; 0 where there is none."""
    return int(load(path, mmap=True)["iteration"]) if path.exists() else 0


def keep_newest(folder: Path, count: int, every: int = 0) -> None:
    """Delete all numbered checkpoints (NNNNNN.pt) in `folder` but the newest `count` and the multiples of `every`."""
    numbered = sorted((p for p in folder.glob("*.pt") if p.stem.isdigit()), key=lambda p: int(p.stem))
    for path in numbered[: len(numbered) - count]:
        if not every or int(path.stem) % every:
            path.unlink(missing_ok=True)
