"""Swept overrides such as `seed=0,1`: which of several for one key count, and the values that one lists."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from typing import Any

from hydra.core.override_parser.types import ChoiceSweep, IntervalSweep, Override, RangeSweep, Sweep

from gan_cli.config.composer import swept_values
from gan_cli.utils.errors import GanError, one_line

MOST = 100_000  # values of a sweep, and trials
SHUFFLED = re.compile(r"^[^='\"]*=[^'\"]*\bshuffle\s*\(")


def bare_key(override: Override) -> str:
    """The key with its package, without the sign before it."""
    return str(override.get_key_element()).lstrip("+~")


def without_replaced(overrides: Sequence[Override]) -> tuple[list[Override], list[str]]:
    """The overrides of which no later one sets the same key, and a note for each swept one that is replaced.

    Mappings are merged and a deletion deletes, as in `gan train`; these replace nothing.
    """
    kept, notes = [], []
    for index, override in enumerate(overrides):
        later = next((one for one in overrides[index + 1 :] if _replaces(one, override)), None)
        if later is None:
            kept.append(override)
        elif override.is_sweep_override() or later.is_sweep_override():
            notes.append(f"note: {override.input_line} is replaced by {later.input_line}, which follows it")
    return kept, notes


def _replaces(later: Override, earlier: Override) -> bool:
    pair = (later, earlier)
    return bare_key(later) == bare_key(earlier) and not any(one.is_delete() or _holds_mapping(one) for one in pair)


def _holds_mapping(override: Override) -> bool:
    return any(isinstance(value, dict) for value in _elements(override))


def _elements(override: Override) -> list[Any]:
    """The values between the commas, or the only one; none of a range or a pattern."""
    value: Any = override.value()
    if isinstance(value, ChoiceSweep):
        return list(value.list)
    return [] if override.is_sweep_override() else [value]


def _holds_sweep(value: object) -> bool:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return isinstance(value, Sweep) or any(map(_holds_sweep, inner))


def check_sweepable(override: Override) -> None:
    """Raise GanError for an override whose values cannot be listed, or would be others each time."""
    text, key, value = override.input_line, bare_key(override), override.value()
    if isinstance(value, IntervalSweep):
        ends = f"{value.start},{value.end}"
        raise GanError(
            f"{text}: an interval has no list of values; list some, such as {key}={ends} or {key}=range(...), or let "
            f"`gan search metric=NAME 'space.{key}=uniform({ends})'` choose them"
        )
    if any(map(_holds_sweep, _elements(override))):
        raise GanError(f"{text}: a value holds a list of values; list the whole values of {key}, separated by commas")
    if override.is_delete() and override.is_sweep_override():
        raise GanError(f"{text}: ~ deletes a key, and cannot be swept; write ~{key}")
    if override.is_sweep_override() and any("${" in str(e) for e in _elements(override) if isinstance(e, str)):
        raise GanError(f"{text}: in a list of values ${{...}} needs quotes: '${{...}}'")
    if not override.is_sweep_override() and SHUFFLED.match(str(text)):
        raise GanError(f"{text}: each trial would shuffle anew; write the order itself")


def _is_short(values: object) -> bool:
    """Whether at most MOST values would be listed; only a range can hold more than are typed."""
    if not isinstance(values, RangeSweep) or not values.step:  # Hydra refuses a step of 0
        return True
    start, stop = values.start or 0, values.stop or 0
    try:
        return (stop - start) / values.step <= MOST  # False for NaN
    except OverflowError:
        return False


def listed_values(override: Override, seed: int) -> list[str]:
    """The overrides, one per value, that a swept override stands for. seed: of the order of `shuffle(...)`.

    GanError if there are none, or more than MOST.
    """
    if not _is_short(override.value()):
        raise GanError(
            f"{override.input_line} is no list of at most {MOST:,} values; choose other ends or another step"
        )
    state = random.getstate()
    random.seed(seed)  # a sweep that is continued must list the values in the same order
    try:
        values = swept_values(override)
    except ValueError as error:
        raise GanError(f"{override.input_line}: {one_line(error)}") from error
    finally:
        random.setstate(state)
    if not values:
        raise GanError(f"'{override.input_line}' matches nothing")
    return values
