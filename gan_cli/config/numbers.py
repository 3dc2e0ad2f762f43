"""Numbers in a configuration that would fail late, or train something else than is meant."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from gan_cli.utils.errors import GanError

FLOAT32_MAX = 3.4028234663852886e38
LARGEST_SIZE = 2**16  # of a network's widths, depths and counts, whose constructor would otherwise loop for hours
WEIGHT = re.compile(r"lambda_\w+|weights?|gamma|lam")
"""Names of the arguments that weight a term of a loss. No paper has a negative one. Lists have checks of their own."""


def check_range(config: Any) -> None:
    """Refuse numbers that torch cannot represent, of which it complains in its own words, late or never."""
    for path, value in _leaves(config):
        if isinstance(value, float) and not math.isfinite(value):
            raise GanError(f"{path} must be a finite number, not {value}")
        if isinstance(value, float) and abs(value) > FLOAT32_MAX:
            raise GanError(f"{path}={value} does not fit into a float32, whose largest number is 3.4e38")
        if isinstance(value, int) and not -(2**63) <= value < 2**63:
            raise GanError(f"{path}={value} does not fit into 64 bits")


def check_arguments(path: str, given: Mapping[str, Any], module: str) -> None:
    """Refuse negative weights, and sizes of networks without a bound, among the arguments of a class of `module`."""
    plain = {key: value for key, value in given.items() if not (isinstance(value, dict) and "_target_" in value)}
    for key, value in plain.items() if module.startswith("gan_cli.") else ():
        for where, number in _leaves(value, f"{path}.{key}"):
            if not isinstance(number, (int, float)):
                continue
            if WEIGHT.fullmatch(key) and number < 0 and (key == "weights" or not isinstance(value, list)):
                raise GanError(f"{where} is 0 or more, not {number}: a negative weight rewards errors, 0 omits them")
            if module.startswith("gan_cli.networks.") and isinstance(number, int) and number > LARGEST_SIZE:
                raise GanError(f"{where} must be at most {LARGEST_SIZE}, not {number}")


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every value that is neither a mapping nor a list, with its path."""
    if isinstance(value, Mapping):
        for key, child in value.items():
            yield from _leaves(child, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list):
        for index, child in enumerate(value):
            yield from _leaves(child, f"{path}[{index}]")
    else:
        yield path, value
