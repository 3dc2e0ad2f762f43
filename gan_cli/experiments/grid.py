"""The grid of a sweep: its axes, and the trials that they span, all of them or a random sample."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf

from gan_cli.config.composer import Composer
from gan_cli.config.targets import bind
from gan_cli.experiments.experiment import key_of
from gan_cli.experiments.swept_overrides import MOST, bare_key, check_sweepable, listed_values, without_replaced
from gan_cli.utils.errors import GanError, one_line

MOST_SAMPLED = 100 * MOST  # trials of a grid of which a sample is trained; all of them are shuffled


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
    base: list[str] = field(default_factory=list)
    grid: dict[str, dict[str, Any]] = field(default_factory=dict)
    params: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for key, word in (("sample", "all"), ("workers", "auto")):
            value = getattr(self, key)
            if value != word and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
                raise ValueError(f"sweep.{key} must be {word} or a whole number above 0, not {value!r}")


def sweep_settings(node: DictConfig) -> SweepSettings:
    """The settings that `hydra.sweeper` holds. GanError for a wrong one."""
    values: Any = OmegaConf.to_container(node, resolve=True)
    values.pop("_target_")
    try:
        bind("sweep", SweepSettings, values)
        return SweepSettings(**values)
    except ValueError as error:
        raise GanError(one_line(error)) from error


@dataclass(frozen=True)
class Choice:
    """One value of an axis: its label, such as `nLayerG=2`, and the overrides that it stands for."""

    label: str
    overrides: tuple[str, ...]


@dataclass(frozen=True)
class SweepGrid:
    """The product of `axes`, the last one fastest.

    An override that all trials share is an axis of one choice without a label: a trial has its overrides in the order
    in which they were given, because a later one may change what an earlier one has set. notes: what was replaced.
    """

    axes: tuple[tuple[Choice, ...], ...]
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return math.prod(map(len, self.axes))

    def swept_keys(self) -> set[str]:
        """The keys in which the trials differ."""
        choices = [choice for axis in self.axes for choice in axis if choice.label]
        return {key_of(override) for choice in choices for override in choice.overrides}

    def trial(self, index: int) -> tuple[str, list[str]]:
        """Label and overrides of the trial at `index`."""
        return self.joined(self.choices(index))

    def choices(self, index: int) -> tuple[Choice, ...]:
        """The choice of each axis in the trial at `index`."""
        choices = []
        for axis in reversed(self.axes):
            index, place = divmod(index, len(axis))
            choices.append(axis[place])
        return tuple(choices[::-1])

    def subsample(self, sample: int | str, seed: int) -> list[int]:
        """Distinct indices: "all" in order, or the first `sample` of a shuffle by `seed`.

        A larger sample begins with the smaller ones, so that a sweep can be extended. GanError if the grid is smaller,
        or if there are more than MOST trials.
        """
        total = math.prod(map(len, self.axes))  # `len` refuses more than 2**63
        if sample != "all" and int(sample) > total:
            raise GanError(f"sweep.sample={sample}: the grid has {total} trials")
        if total > MOST_SAMPLED or (total if sample == "all" else int(sample)) > MOST:
            raise GanError(
                f"the grid has {total:,} trials: shorten its lists of values, or let sweep.sample=N choose N of them; "
                f"a sweep has at most {MOST:,} trials, chosen from at most {MOST_SAMPLED:,}"
            )
        order = list(range(total))
        if sample == "all":
            return order
        random.Random(seed).shuffle(order)
        return order[: int(sample)]

    def each_value_once(self) -> Iterator[tuple[Choice, ...]]:
        """Trials in which each value of each axis occurs, the other axes at their first value.

        As many as the sum of the axes' lengths, not their product: enough to check every value.
        """
        first = tuple(axis[0] for axis in self.axes)
        yield first
        for index, axis in enumerate(self.axes):
            for choice in axis[1:]:
                yield (*first[:index], choice, *first[index + 1 :])

    def joined(self, choices: Sequence[Choice]) -> tuple[str, list[str]]:
        """Label and overrides of the trial with these choices."""
        overrides = [override for choice in choices for override in choice.overrides]
        return ",".join(choice.label for choice in choices if choice.label), overrides


def build_grid(overrides: Sequence[str], settings: SweepSettings, composer: Composer) -> SweepGrid:
    """The grid that a command line and `settings` describe.

    The overrides come after `settings.base` and replace the axes of `settings.grid` that set the same keys. GanError
    for a swept override whose values cannot be listed.
    """
    parser = OverridesParser.create(config_loader=composer.loader)
    texts = [*(f"{key}={value}" for key, value in settings.params.items()), *overrides]
    typed = [override for override in parser.parse_overrides(texts) if not _of_sweep(override)]
    base = parser.parse_overrides(settings.base)
    kept, notes = without_replaced([*base, *typed])
    given = set(map(bare_key, typed))
    grid = {name: keys for name, keys in settings.grid.items() if not given & {key.lstrip("+~") for key in keys}}
    named = [_named_axis(name, keys) for name, keys in grid.items()]
    axes = [_axis(override, settings.seed) for override in kept]
    begin = sum(any(override is one for one in base) for override in kept)
    return SweepGrid((*axes[:begin], *named, *axes[begin:]), tuple(notes))


def _of_sweep(override: Override) -> bool:
    """Whether it belongs to the sweep as a whole: Hydra's own settings, and the choice of a grid."""
    key = bare_key(override)
    if key == "sweep" and override.is_sweep_override():
        raise GanError(f"{str(override.input_line).lstrip('+')}: a sweep has one grid; start one sweep for each")
    return key == "sweep" or key.startswith("hydra")


def _axis(override: Override, seed: int) -> tuple[Choice, ...]:
    """The axis of an override: `seed=0,1` has two choices, one that is not swept a single one without a label."""
    check_sweepable(override)
    if not override.is_sweep_override():
        return (Choice("", (str(override.input_line),)),)
    return tuple(Choice(value, (value,)) for value in listed_values(override, seed))


def _named_axis(name: str, keys: Mapping[str, Any]) -> tuple[Choice, ...]:
    """The axis of an entry of conf/sweep: `nLayerG: {model.generator.layers: [2, 3]}`.

    A mapping of values, `optimD: {KEY: {adam: ...}}`, names them. Several keys of one axis change together.
    """
    columns = []
    for key, values in keys.items():
        named = values if isinstance(values, Mapping) else {override_value(value): value for value in values}
        columns.append([(label, f"{key}={override_value(value)}") for label, value in named.items()])
    if len(set(map(len, columns))) != 1 or not columns[0]:
        raise GanError(f"sweep.grid.{name}: its keys need equally many values, and at least one")
    return tuple(
        Choice(f"{name}={row[0][0]}", tuple(override for _, override in row)) for row in zip(*columns, strict=True)
    )


def override_value(value: Any) -> str:
    """A YAML value as it is written in an override."""
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{key}:{override_value(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(override_value, value)) + "]"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return str(value)
