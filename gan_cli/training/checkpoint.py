"""Checkpoints: written completely or not at all, and read without executing code from the file."""

import math
import shlex
from pathlib import Path
from typing import Any

import torch

from gan_cli.config import migrations
from gan_cli.training import checkpoint_file
from gan_cli.training.checkpoint_file import Declared
from gan_cli.utils.errors import GanError, one_line, out_of_memory
from gan_cli.utils.files import replacing

STATISTICS = ("running_mean", "running_var", "num_batches_tracked", "weight_u", "weight_v", ".0._u", ".0._v")
"""How the names of buffers of normalizations end, whatever network has them."""
FORMAT = migrations.VERSION  # a checkpoint is brought up to date by its own format, whatever its run's is


class NotWritten(GanError):
    """A checkpoint could not be written; the one before it is untouched. Exit status 2."""


def save(path: Path, state: dict[str, Any]) -> None:
    """Write `state` (tensors, plain values) atomically and flush it to the disk. Raises NotWritten if that fails."""
    try:
        # Without the flush, a power cut could leave the new name with an empty file: the only checkpoint, lost.
        # A file object, because torch would write the random name of a path into the archive.
        with replacing(path, sync=True) as temporary, open(temporary, "wb") as file:
            torch.save({**state, "format": FORMAT}, file)
    except (OSError, RuntimeError) as error:  # torch wraps a failed write in a RuntimeError
        if not path.parent.exists():
            raise NotWritten(
                f"{path.parent} is gone: if the run was renamed, `gan resume` with its new name continues it"
            ) from error
        previous = "the one before it is untouched" if path.exists() else "no file is left behind"
        raise NotWritten(
            f"cannot write checkpoint {path}: {_reason(error)}; {previous}; free space or fix the folder, "
            f"then `gan resume {shlex.quote(str(path.parent.parent))}`"
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


def load(path: Path) -> dict[str, Any]:
    """The state that `save` wrote, on the CPU, in today's form if an older version wrote it.

    Raises GanError if the file is missing, truncated, foreign, of a newer format, or not of the shape of a checkpoint.
    """
    version = _declared(path)["format"]
    try:
        # weights_only refuses pickles that would execute code.
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # zip, pickle and runtime errors of every kind, depending on torch's version
        if out_of_memory(error):
            raise GanError(f"no memory for checkpoint {path}, which has {path.stat().st_size:,} bytes") from error
        raise _foreign(path, one_line(error)[:200]) from error
    return migrations.checkpoint(state, version)


def iteration(path: Path) -> int:
    """The iteration of a checkpoint, read without its tensors; 0 if there is no such file. GanError as for `load`."""
    return int(_declared(path)["iteration"]) if path.exists() else 0


def weight_counts(path: Path) -> dict[str, int]:
    """Trained network -> number of its weights, without statistics of normalization. GanError as for `load`."""
    state = _declared(path)
    counts: dict[str, int] = {}
    for name, tensor in state["system"].items():
        network, _, weight = name.partition(".")
        if weight and not weight.endswith(STATISTICS) and network in (state["optimizers"] or [network]):
            counts[network] = counts.get(network, 0) + math.prod(tensor.shape)
    return counts


def _declared(path: Path) -> dict[str, Any]:
    """The content of a checkpoint without its tensors, checked, in today's form but for "format". GanError."""
    try:
        content = checkpoint_file.read(path)
    except FileNotFoundError:
        raise GanError(f"no checkpoint {path}") from None
    except OSError as error:
        raise GanError(f"cannot read checkpoint {path}: {error.strerror}") from error
    except ValueError as error:
        raise _foreign(path, one_line(error)) from error
    if not isinstance(content, dict) or "format" not in content:
        raise GanError(f"{path} was not written by gan: its keys are not those of a run's checkpoint")
    version = content["format"]
    if type(version) is not int or not 1 <= version <= FORMAT:
        raise GanError(
            f"{path} has checkpoint format {version!r:.40}; this version reads formats up to {FORMAT}: "
            "use the version of gan that provenance.json names"
        )
    try:
        state = migrations.checkpoint(content, version)
        _check(state)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        reason = f"it has no '{error.args[0]}'" if isinstance(error, KeyError) else one_line(error)
        raise GanError(
            f"{path} is no checkpoint of a run: {reason:.200}; use another of this run's checkpoints, or train anew"
        ) from error
    return {**state, "format": version}


def _foreign(path: Path, reason: str) -> GanError:
    return GanError(
        f"{path} is not a whole checkpoint of gan (truncated, or written by another program: {reason}): "
        "use another of this run's checkpoints, or train anew"
    )


def _check(state: dict[str, Any]) -> None:
    """Raise KeyError or ValueError unless the content has the shape of `Trainer.state_dict`."""
    for key in ("iteration", "position"):
        if type(state[key]) is not int or not 0 <= state[key] < 2**63:
            raise ValueError(f"its {key} is {state[key]!r:.40}, not a whole number from 0 on")
    _tensors(state["system"], "system")
    for name, average in _mapping(state["ema"], "ema").items():
        _tensors(average, f"ema of {name}")
    for name, optimizer in _mapping(state["optimizers"], "optimizers").items():
        for values in _mapping(optimizer["state"], f"state of optimizer {name}").values():
            _mapping(values, f"state of optimizer {name}")
        for group in _list(optimizer["param_groups"], f"groups of optimizer {name}"):
            _list(_mapping(group, f"groups of optimizer {name}")["params"], f"weights of optimizer {name}")
    for process in _list(state["processes"], "processes"):
        random = _mapping(_mapping(process, "state of a process")["random"], "random states")
        _random({"torch": process["torch"], **random})
        _random({} if process["cuda"] is None else {"cuda": process["cuda"]})
        _tensors(process["system"], "state of a process")
    best = state.get("best")
    if best is not None:
        kinds = {"name": (str,), "value": (int, float), "iteration": (int,)}
        if any(type(best[key]) not in kind for key, kind in kinds.items()):
            raise ValueError("its best score is not a name, a value and an iteration")


def _mapping(value: Any, what: str) -> dict[Any, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"its {what} is no mapping")
    return value


def _list(value: Any, what: str) -> list[Any]:
    if not isinstance(value, list) or not value:
        raise ValueError(f"its {what} is no list")
    return value


def _tensors(value: Any, what: str) -> None:
    for name, tensor in _mapping(value, what).items():
        if not isinstance(name, str) or not isinstance(tensor, Declared):
            raise ValueError(f"its {what} holds something else than tensors ({name})")


def _random(states: dict[str, Any]) -> None:
    """Check the states of random generators, which are bytes."""
    for name, state in states.items():
        if not isinstance(state, Declared) or state.kind != "ByteStorage" or len(state.shape) != 1:
            raise ValueError(f"its random state {name} is not one of torch")


def keep_newest(folder: Path, count: int, every: int = 0) -> None:
    """Delete the numbered checkpoints (NNNNNN.pt) in `folder`, except the newest `count` and the multiples of `every`.

    every: 0 keeps no multiples.
    """
    numbered = sorted((p for p in folder.glob("*.pt") if p.stem.isdigit()), key=lambda p: int(p.stem))
    for path in numbered[: len(numbered) - count]:
        if not every or int(path.stem) % every:
            path.unlink(missing_ok=True)
