"""The trials in a sweep's folder, which are recognized by their settings, not by the names of their folders."""

from __future__ import annotations

import copy
import hashlib
import inspect
import json
import shutil
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from omegaconf import DictConfig, OmegaConf

from gan_cli.config import migrations, schema
from gan_cli.config.composer import slug
from gan_cli.config.targets import target
from gan_cli.experiments.experiment import is_monitoring_key
from gan_cli.training import checkpoint, run_history
from gan_cli.training.find_runs import DEPTH, contains_run, is_resumable
from gan_cli.utils.errors import GanError, one_line
from gan_cli.utils.files import read_json

State = Literal["new", "unfinished", "done", "failed"]


@dataclass(frozen=True)
class Trial:
    """One run of a sweep. number: its position in the sweep. An unfinished one is to be resumed."""

    number: int
    folder: Path
    overrides: list[str]
    state: State


def read_record(file: Path, lists: Collection[str]) -> dict[str, Any]:
    """What a sweep or a search has recorded in a JSON file. lists: keys of lists of texts. GanError for another."""
    try:
        facts = read_json(file)
        if not isinstance(facts, dict):
            raise ValueError("it holds no keys")
        for key in lists:
            texts = facts.get(key)
            if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
                raise ValueError(f"its '{key}' is not a list of texts")
    except (OSError, ValueError) as error:
        raise GanError(f"{file} cannot be read: {one_line(error)}; remove it and start again") from error
    return facts


def settings_hash(cfg: DictConfig, swept: Collection[str] = ()) -> str:
    """16 hexadecimal digits that identify what a run learns: the hash of its resolved config.

    Keys that only change where a run is computed and how it is monitored do not count, except those in `swept`, in
    which the trials of a sweep differ, and the seed. An argument that a class has got since counts with its default.
    """
    cfg = copy.deepcopy(cfg)
    schema.complete(cfg)
    settings = run_history.flat(_with_defaults(OmegaConf.to_container(cfg, resolve=True)))
    relevant = {
        key: value
        for key, value in settings.items()
        if not is_monitoring_key(key) or any(f"{key}.".startswith(f"{name}.") for name in ("seed", *swept))
    }
    return hashlib.sha256(json.dumps(relevant, sort_keys=True).encode()).hexdigest()[:16]


def _with_defaults(node: Any) -> Any:
    """The same nodes with the arguments that they omit, as far as these are plain values."""
    if not isinstance(node, dict):
        return node
    filled = {key: _with_defaults(value) for key, value in node.items()}
    if "_target_" in node:
        try:
            parameters = inspect.signature(target(node["_target_"])).parameters
        except (GanError, ValueError):  # a module of the user's, or a class of before; it has what the config says
            return filled
        for name, parameter in parameters.items():
            if isinstance(parameter.default, (bool, int, float, str, tuple, type(None))):
                default = parameter.default
                filled.setdefault(name, list(default) if isinstance(default, tuple) else default)
    return filled


class ExistingTrials:
    """The trials that `folder` holds. Their paths are not compared, so the folder may have been moved.

    swept: the keys in which the trials of the sweep differ.
    """

    def __init__(self, folder: Path, swept: Collection[str]) -> None:
        self.folder, self.swept = folder, swept
        self.by_settings: dict[str, Path] = {}
        self.by_overrides: dict[tuple[str, ...], Path] = {}  # those that failed before their config was written
        for run in trial_folders(folder):
            try:
                self.by_settings.setdefault(settings_hash(_config(run), swept), run)
            except GanError:
                failure = run_history.failure(run)
                if failure:
                    self.by_overrides[tuple(migrations.overrides(failure.get("overrides", ())))] = run

    def holds(self, cfg: DictConfig) -> bool:
        """Whether a trial with these settings has begun."""
        return settings_hash(cfg, self.swept) in self.by_settings

    def place(self, number: int, label: str, overrides: list[str], cfg: DictConfig | None, retry: bool) -> Trial:
        """The trial with these settings, in the folder that it has or in a new one.

        cfg: None if the overrides cannot be composed. retry: run a trial that has failed again.
        """
        key = settings_hash(cfg, self.swept) if cfg is not None else ""
        run = self.by_settings.get(key) or self.by_overrides.get(tuple(overrides))
        if run is None:
            run = self._new_folder(number, "-".join(map(slug, label.split(",")))[:200] if label else "default")
            self.by_settings[key or run.name] = run
            return Trial(number, run, overrides, "new")
        state: State = "done" if _is_done(run, cfg) else "unfinished" if is_resumable(run) else "new"
        if run_history.failure(run) and not retry:
            state = "failed"
        if state == "new":
            _clear(run)
        return Trial(number, run, overrides, state)

    def _new_folder(self, number: int, name: str) -> Path:
        """NUMBER-NAME, or if another trial has that folder, the same name with the lowest number above all others."""
        taken = {*self.by_settings.values(), *self.by_overrides.values()}
        run = self.folder / f"{number}-{name}"
        if run in taken or is_resumable(run):
            numbers = [run.name.partition("-")[0] for run in taken]
            run = self.folder / f"{1 + max(int(text) for text in numbers if text.isdigit())}-{name}"
        _clear(run)
        return run


def trial_folders(folder: Path) -> list[Path]:
    """The folders below that of a sweep in which a trial has begun, or has failed before it could, by number."""
    names = ("config.yaml", run_history.FAILURE)
    runs = {file.parent for depth in range(1, DEPTH) for name in names for file in folder.glob("*/" * depth + name)}
    return sorted((run for run in runs if run.name != ".hydra"), key=lambda run: run_history.by_number(run.name))


def iterations(run: Path) -> tuple[int, int]:
    """Iterations done, as the last checkpoint has them, and in all. GanError for a config that cannot be read."""
    return checkpoint.iteration(run / "checkpoints" / "last.pt"), int(_config(run).trainer.iterations)


def _is_done(run: Path, cfg: DictConfig | None) -> bool:
    try:
        done, total = iterations(run)
    except GanError:
        return False
    return done >= (total if cfg is None else cfg.trainer.iterations)


def _clear(run: Path) -> None:
    """Remove what a trial that did not begin has left behind: training refuses a folder that seems to hold a run."""
    for name in ("config.yaml", run_history.FAILURE):
        (run / name).unlink(missing_ok=True)
    if not contains_run(run):
        for name in ("checkpoints", "samples"):  # at most half files
            shutil.rmtree(run / name, ignore_errors=True)


def _config(run: Path) -> DictConfig:
    cfg = run_history.config(run)
    if "trainer" not in cfg:
        raise GanError(f"{run}: its config.yaml is not a run's")
    return cfg
