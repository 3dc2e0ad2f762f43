"""Checkpoints: written completely or not at all, and read without executing code from the file."""

from pathlib import Path
from typing import Any

import torch

from gan_cli.config import migrations
from gan_cli.utils.errors import GanError
from gan_cli.utils.files import replacing

FORMAT = migrations.VERSION  # a checkpoint is brought up to date by its own format, whatever its run's is


def save(path: Path, state: dict[str, Any]) -> None:
    """Write `state` (tensors, plain values) atomically and flush it to the disk. GanError if it cannot be written."""
    try:
        # Without the flush, a power cut could leave the new name with an empty file: the only checkpoint, lost.
        # A file object, because torch would write the random name of a path into the archive.
        with replacing(path, sync=True) as temporary, open(temporary, "wb") as file:
            torch.save({**state, "format": FORMAT}, file)
    except (OSError, RuntimeError) as error:  # torch wraps a failed write in a RuntimeError
        previous = "the one before it is untouched" if path.exists() else "no file is left behind"
        raise GanError(
            f"cannot write checkpoint {path}: {_reason(error)}; {previous}; free space or fix the folder, "
            f"then `gan resume {path.parent.parent}`"
        ) from error


def _reason(error: BaseException) -> str:
    """The operating system's reason, which torch hides below errors of its own."""
    message = str(error).splitlines()[0]
    while not isinstance(error, OSError):
        cause = error.__cause__ or error.__context__
        if cause is None:
            return message
        error = cause
    return error.strerror or str(error)


def load(path: Path, mmap: bool = False) -> dict[str, Any]:
    """The state that `save` wrote, on the CPU, in today's form if an older version wrote it.

    mmap: read tensors when they are used. Raises GanError if the file is missing, truncated, foreign or of a newer
    format.
    """
    try:
        # weights_only refuses pickles that would execute code.
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=mmap)
    except FileNotFoundError:
        raise GanError(f"no checkpoint {path}") from None
    except OSError as error:
        raise GanError(f"cannot read checkpoint {path}: {error.strerror}") from error
    except Exception as error:  # zip, pickle and runtime errors of every kind, depending on torch's version
        raise GanError(
            f"{path} is not a whole checkpoint of gan (truncated, or written by another program): "
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
    """The iteration of a checkpoint, read without its tensors; 0 if there is no such file."""
    return int(load(path, mmap=True)["iteration"]) if path.exists() else 0


def keep_newest(folder: Path, count: int, every: int = 0) -> None:
    """Delete the numbered checkpoints (NNNNNN.pt) in `folder`, except the newest `count` and the multiples of `every`.

    every: 0 keeps no multiples.
    """
    numbered = sorted((p for p in folder.glob("*.pt") if p.stem.isdigit()), key=lambda p: int(p.stem))
    for path in numbered[: len(numbered) - count]:
        if not every or int(path.stem) % every:
            path.unlink(missing_ok=True)
