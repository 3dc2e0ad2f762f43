"""What a run directory knows of its run, for a report: model, state, settings, scores, machine."""

from __future__ import annotations

import functools
import math
import shlex
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from gan_cli.config import groups
from gan_cli.config.composer import Composer, arguments, without_hydra
from gan_cli.training import checkpoint, run_facts, run_history
from gan_cli.training.run_history import Run
from gan_cli.utils.errors import GanError

LONGEST = 1e10  # seconds that a run can have taken
DIVERGED = 3  # the exit status of a run whose values were not finite
PARTS = ("model", "loss", "dataset", "network", "optimizer")
GROUPS = ("experiment", *PARTS)
DEFAULTS = (*PARTS, "trainer", "trainer/schedule", "extractor")  # groups whose choices a run is compared with
UNSHOWN = ("expect", "evaluate", "variants", "metric", "logger")  # sections that change no weight


@dataclass(frozen=True)
class State:
    """How far a run is. word: such as finished; style: a class of page.html; detail: a sentence, or nothing."""

    word: str
    style: str
    detail: str


def state(run: Run, facts: Mapping[str, Any]) -> State:
    """Finished, stopped, diverged, failed, imported, or not finished."""
    failed = run_history.failure(run.path)
    if failed:
        word = "diverged" if failed["status"] == DIVERGED else "failed"
        return State(word, "bad", f"After iteration {run.done:,}: {failed['error']}")
    if facts.get("imported"):
        return State("imported", "good", "The weights were trained by another program.")
    done, total = iterations(run)
    if total is not None and done >= total:
        return State("finished", "good", "")
    of = "" if total is None else f" of {total:,}"
    when = last_change(run.path)
    return State(f"not finished: iteration {done:,}{of}", "open", f"Last logged {when}." if when else "")


def iterations(run: Run) -> tuple[int, int | None]:
    """Iterations done, as log and checkpoint have them, and in all."""
    done, total = run.done, run.iterations
    with suppress(GanError):  # a broken checkpoint; the other facts can still be read
        done = max(done, checkpoint.iteration(run.path / "checkpoints/last.pt"))
    return done, total if isinstance(total, int) else None


def last_change(folder: Path) -> str:
    """The time at which metrics.jsonl was written last, local to the machine of the report."""
    try:
        return datetime.fromtimestamp((folder / "metrics.jsonl").stat().st_mtime).strftime("%Y-%m-%d %H:%M")
    except (OSError, OverflowError, ValueError):
        return ""


def parameters(run: Run) -> dict[str, int]:
    """Network -> number of its weights, as its checkpoint declares them; empty without a checkpoint."""
    try:
        return checkpoint.weight_counts(run.path / "checkpoints/last.pt")
    except GanError:
        return {}


def seconds(run: Run) -> float | None:
    """The time that the iterations took, as far as it was logged."""
    size = run.settings.get("trainer.batch_size")
    spent = run_history.training_seconds(run.path, size) if isinstance(size, int) and 0 < size < 2**31 else None
    return spent if spent and math.isfinite(spent) and 0 < spent < LONGEST else None


def chosen(run: Run) -> Iterator[tuple[str, str, str]]:
    """Group, choice and its line of `gan list`, of the parts that make the run; without a choice the class."""
    for group in GROUPS:
        choice = run.choices.get(group)
        target = str(run.settings.get(f"{group}._target_", "")).rpartition(".")[2]
        if choice and choice not in ("null", "None"):
            yield group, choice, _descriptions(group).get(choice, "")
        elif target:
            yield group, target, ""


@functools.cache
def _descriptions(group: str) -> dict[str, str]:
    return groups.descriptions(group)


def subject(run: Run) -> str:
    """Such as `dcgan on shapes`."""
    parts = {group: choice for group, choice, _ in chosen(run)}
    return " on ".join(parts[group] for group in ("model", "dataset") if group in parts) or "a run"


def changed_settings(run: Run) -> list[tuple[str, Any, Any]] | None:
    """Key, value and default of the settings that differ from those of the chosen model, data set and so on.

    None if these cannot be composed, as those of somebody's own configurations.
    """
    known = groups.groups()
    choices = [(group, run.choices[group]) for group in DEFAULTS if group in run.choices]
    words = [f"{group}={name}" for group, name in choices if name in {file.stem for file in known.get(group, [])}]
    if not words or not run.settings:
        return None
    try:
        typed, defaults = _composed(tuple(words))
    except (GanError, OmegaConfBaseException):
        return None
    changed = []
    for key, value in run.settings.items():
        implied = str(typed.get(key)).removeprefix("${").removesuffix("}")  # such as dataset.image_size
        follows = implied in run.settings and run.settings[implied] == value
        missing = key not in defaults and value in (None, {}, [])
        if key.partition(".")[0] not in UNSHOWN and value != defaults.get(key) and not follows and not missing:
            changed.append((key, value, defaults.get(key)))
    return changed


@functools.cache
def _composed(words: tuple[str, ...]) -> list[dict[str, Any]]:
    """The configuration of choices by flat key, with interpolations as typed, and resolved."""
    cfg = without_hydra(Composer(arguments([])).compose(words))
    return [run_history.flat(OmegaConf.to_container(cfg, resolve=resolve)) for resolve in (False, True)]


def config_text(folder: Path, most: int) -> tuple[str, bool]:
    """The configuration in today's form as YAML, at most `most` characters, and whether that is all of it."""
    try:
        whole = OmegaConf.to_yaml(run_history.config(folder))
    except (GanError, OmegaConfBaseException):
        return "", True
    return whole[:most], len(whole) <= most


def repeat_command(run: Run, facts: Mapping[str, Any]) -> str:
    """The command that trains, or imports, the run again."""
    if facts.get("imported"):
        return shlex.join(["gan", *facts.get("command", [])[1:]])
    words = run.overrides or facts.get("command", [])[2:]
    return shlex.join(["gan", "train", *(word for word in words if not word.lstrip("+").startswith("hydra."))])


def read(folder: Path) -> tuple[Run, dict[str, Any]]:
    """A run, and what its provenance.json holds. GanError if one cannot be read."""
    return run_history.read(folder), run_facts.read(folder)
