"""The cells of a sweep: a grid, all of it or drawn at random, and what tells one cell from another."""

from __future__ import annotations

import copy
import hashlib
import json
import math
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf

from gan_cli.config import migrations, schema
from gan_cli.config.composer import Composer, slug, swept_values
from gan_cli.config.targets import bind
from gan_cli.experiments.experiment import is_monitoring_key, key_of
from gan_cli.training import checkpoint, run_history
from gan_cli.training.find_runs import DEPTH, is_resumable
from gan_cli.utils.errors import GanError, one_line

State = Literal["new", "half", "done", "failed"]


@dataclass(frozen=True)
class SweepSettings:
    """The keys `sweep.*`.

    sample: how many trials of the grid, chosen at random, or all. seed: random seed of that choice. workers: how many
    trials run in parallel; auto: one per GPU, or one without GPUs. retry: run failed trials again. base, grid: from
    conf/sweep. params: Hydra's own. Raises ValueError for a number out of range.
    """

    sample: int | str = "all"
    seed: int = 0
    workers: int | str = "auto"
    retry: bool = False
    base: list = field(default_factory=list)
    grid: dict = field(default_factory=dict)
    params: dict = field(default_factory=dict)

    def __post_init__(self) -> None:
        for key, word in (("sample", "all"), ("workers", "auto")):
            value = getattr(self, key)
            if value != word and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
                raise ValueError(f"sweep.{key} must be {word} or a whole number above 0, not {value!r}")


def settings(node: DictConfig) -> SweepSettings:
    """The settings in `hydra.sweeper`; GanError for a wrong one."""
    found: Any = OmegaConf.to_container(node, resolve=True)
    found.pop("_target_")
    try:
        bind("sweep", SweepSettings, found)
        return SweepSettings(**found)
    except ValueError as error:
        raise GanError(one_line(error)) from error


@dataclass(frozen=True)
class Choice:
    """One value of an axis: its name, such as `nLayerG=2`, and the overrides that it stands for."""

    label: str
    overrides: tuple[str, ...]


@dataclass(frozen=True)
class SweepGrid:
    """The product of `axes`, the last one fastest; `fixed` are the overrides that all cells share."""

    fixed: tuple[str, ...]
    axes: tuple[tuple[Choice, ...], ...]

    def __len__(self) -> int:
        return math.prod(map(len, self.axes))

    def swept(self) -> set[str]:
        """The keys that the cells differ in."""
        return {key_of(override) for axis in self.axes for choice in axis for override in choice.overrides}

    def cell(self, index: int) -> tuple[str, list[str]]:
        """Label and overrides of the cell at `index`."""
        chosen = []
        for axis in reversed(self.axes):
            index, place = divmod(index, len(axis))
            chosen.append(axis[place])
        return self._cell(chosen[::-1])

    def subsample(self, sample: int | str, seed: int) -> list[int]:
        """Distinct indices: all in order, or the first `sample` of a shuffle by `seed`, so that a larger sample begins
        with the smaller ones. GanError for more than there are."""
        if sample == "all":
            return list(range(len(self)))
        if int(sample) > len(self):
            raise GanError(f"sweep.sample={sample}: the grid has {len(self)} trials")
        order = list(range(len(self)))
        random.Random(seed).shuffle(order)
        return order[: int(sample)]

    def each_value_once(self) -> Iterator[tuple[str, list[str]]]:
        """Each value of each axis once, the others at their first: a sum of cells, not their product."""
        first = [axis[0] for axis in self.axes]
        yield self._cell(first)
        for index, axis in enumerate(self.axes):
            for choice in axis[1:]:
                yield self._cell([*first[:index], choice, *first[index + 1 :]])

    def _cell(self, chosen: Sequence[Choice]) -> tuple[str, list[str]]:
        overrides = [override for choice in chosen for override in choice.overrides]
        return ",".join(choice.label for choice in chosen), [*self.fixed, *overrides]


def grid(overrides: Sequence[str], asked: SweepSettings, composer: Composer) -> SweepGrid:
    """What a command line sweeps. Its own overrides come after `asked.base` and take the place of axes of `asked.grid`
    that set the same keys. GanError for a sweep without values."""
    texts = [*(f"{key}={value}" for key, value in asked.params.items()), *overrides]
    parsed = OverridesParser.create(config_loader=composer.loader).parse_overrides(texts)
    latest = {override.get_key_element().lstrip("+~"): override for override in parsed}
    latest = {key: override for key, override in latest.items() if key != "sweep" and not key.startswith("hydra")}
    axes = [_axis(name, keys) for name, keys in asked.grid.items() if not latest.keys() & set(map(_bare, keys))]
    fixed = [text for text in asked.base if key_of(text) not in latest]
    for override in latest.values():
        if override.is_discrete_sweep():  # an interval has no values to try
            axes.append(_swept(override))
        elif not override.is_sweep_override():
            fixed.append(str(override.input_line))
    return SweepGrid(tuple(fixed), tuple(axes))


def _bare(key: str) -> str:
    return key.lstrip("+~")


def _swept(override: Override) -> tuple[Choice, ...]:
    values = swept_values(override)
    if not values:
        raise GanError(f"'{override.input_line}' matches nothing")
    return tuple(Choice(value, (value,)) for value in values)


def _axis(name: str, keys: Mapping[str, Any]) -> tuple[Choice, ...]:
    """`nLayerG: {model.generator.layers: [2, 3]}`; `optimD: {KEY: {adam: ...}}` names its values. Several
    keys of a name move together."""
    columns = []
    for key, values in keys.items():
        named = values if isinstance(values, Mapping) else {written(value): value for value in values}
        columns.append([(label, f"{key}={written(value)}") for label, value in named.items()])
    if len(set(map(len, columns))) != 1 or not columns[0]:
        raise GanError(f"sweep.grid.{name}: its keys need equally many values, and at least one")
    return tuple(
        Choice(f"{name}={row[0][0]}", tuple(override for _, override in row)) for row in zip(*columns, strict=True)
    )


def written(value: Any) -> str:
    """A value of YAML as Hydra's command line writes it."""
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{key}:{written(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(written, value)) + "]"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return str(value)


# -- what a sweep's folder holds


@dataclass(frozen=True)
class Trial:
    """number: its place in the sweep. state: new, half (to be resumed), done or failed."""

    number: int
    folder: Path
    overrides: list[str]
    state: State


def digest(cfg: DictConfig, swept: Sequence[str] = ()) -> str:
    """The hash of a run's resolved config, without the keys that change where and how it is watched; of these, those in
    `swept` count, for they tell the cells of that sweep apart. 16 hexadecimal digits."""
    cfg = copy.deepcopy(cfg)
    schema.complete(cfg)
    flat = run_history.flat(OmegaConf.to_container(cfg, resolve=True))
    counts = ("seed", *swept)
    kept = {
        k: v for k, v in flat.items()
        if not is_monitoring_key(k) or any(f"{k}.".startswith(f"{c}.") for c in counts)
    }  # fmt: skip
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()[:16]


class ExistingTrials:
    """The cells that `folder` holds already. Paths inside do not matter, so the folder may have been moved."""

    def __init__(self, folder: Path, swept: Sequence[str]) -> None:
        self.folder, self.swept = folder, swept
        self.begun: dict[str, Path] = {}  # by digest
        self.never: dict[tuple[str, ...], Path] = {}  # by overrides: failed before their config was written
        for run in member_folders(folder):
            try:
                self.begun.setdefault(digest(_config(run), swept), run)
            except GanError:
                note = run_history.failure(run)
                if note:
                    self.never[tuple(migrations.overrides(note.get("overrides", ())))] = run

    def place(self, number: int, label: str, overrides: list[str], cfg: DictConfig | None, retry: bool) -> Trial:
        """The cell with this config, where it is, or a folder of its own. cfg: None where it cannot be composed."""
        key = digest(cfg, self.swept) if cfg is not None else ""
        run = self.begun.get(key) or self.never.get(tuple(overrides))
        if run is None:
            run = self._free(number, "-".join(map(slug, label.split(",")))[:200] if label else "default")
            self.begun[key or run.name] = run
            return Trial(number, run, overrides, "new")
        state: State = "done" if _finished(run, cfg) else "half" if is_resumable(run) else "new"
        if run_history.failure(run):
            state = state if retry else "failed"
        if state == "new":
            _clear(run)
        return Trial(number, run, overrides, state)

    def _free(self, number: int, name: str) -> Path:
        """NUMBER-NAME, or the next number that no member has, if another cell lies there."""
        taken = {*self.begun.values(), *self.never.values()}
        run = self.folder / f"{number}-{name}"
        if run in taken or is_resumable(run):
            number = 1 + max(int(n) for n, _, _ in (r.name.partition("-") for r in taken) if n.isdigit())
            run = self.folder / f"{number}-{name}"
        _clear(run)
        return run


def member_folders(folder: Path) -> list[Path]:
    """The folders below a sweep's one in which a cell began, or failed before it could."""
    names = ("config.yaml", run_history.FAILURE)
    found = {file.parent for depth in range(1, DEPTH) for name in names for file in folder.glob("*/" * depth + name)}
    return sorted((run for run in found if run.name != ".hydra"), key=lambda run: run_history.by_number(run.name))


def progress(run: Path) -> tuple[int, int]:
    """Iterations in the last checkpoint, and those the run was to have. GanError for a config that cannot be read."""
    return checkpoint.iteration(run / "checkpoints" / "last.pt"), int(_config(run).trainer.iterations)


def _finished(run: Path, cfg: DictConfig | None) -> bool:
    try:
        done, total = progress(run)
    except GanError:
        return False
    return done >= (total if cfg is None else cfg.trainer.iterations)


def _clear(run: Path) -> None:
    """What a cell that never began has left behind, so that it can begin."""
    for name in ("config.yaml", run_history.FAILURE):
        (run / name).unlink(missing_ok=True)
    for name in ("checkpoints", "samples"):
        if (run / name).is_dir():
            (run / name).rmdir()


def _config(run: Path) -> DictConfig:
    cfg = run_history.config(run)
    if "trainer" not in cfg:
        raise GanError(f"{run}: its config.yaml is not a run's")
    return cfg
