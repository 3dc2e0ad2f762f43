"""Words of version 0.1 on the command line, answered once more with the word of today.

Config groups and keys come from the migration that renames them in stored runs; here are the words that no file keeps.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from gan_cli.config.migrations.names_of_0_1 import CHOICES, DIRECTIONS, GONE, KEYS
from gan_cli.utils.errors import GanError

VERBS = {"edit": "web"}
OPTIONS = {
    "translate": {"sheet": "contact_sheet", "size": "resize"},
    "compare": {"where": "filter", "width": "bin_width"},
    "search": {"slots": "workers"},
    "bench": {
        "sides": "variants",
        "draws": "gradient_checks",
        "rounds": "repeats",
        "against": "versus",
        "until": "ready_text",
        "peer": "baseline",
    },
}
"""Verb -> its options."""
VARIANTS = {"ours": "default", "no_kernels": "no_fast_paths", "peer": "baseline"}
"""Values of variants= of `gan bench`."""


def refuse(verb: str, words: Iterable[str]) -> None:
    """Raise GanError for the first word of a verb that was renamed or removed, with the word that replaces it."""
    for word in words:
        key, equals, value = word.lstrip("+~").partition("=")
        key = key.removeprefix("space.") if verb == "search" else key
        if not equals:
            continue
        if key in OPTIONS.get(verb, {}):
            raise _renamed(key, OPTIONS[verb][key])
        if key in GONE:
            raise GanError(f"{key} was removed: omit it")
        for old, new in KEYS.items():
            if key == old or key.startswith(f"{old}."):
                raise _renamed(old, new)
        name = key.removeprefix("metric.").partition(".")[0]
        if key.startswith("metric.") and name in CHOICES["metric"]:
            raise _renamed(f"metric.{name}", f"metric.{CHOICES['metric'][name]}")
        if key == "direction" and value in DIRECTIONS:
            raise _renamed(word, f"direction={DIRECTIONS[value]}")
        for variant in value.split(",") if (verb, key) == ("bench", "variants") else ():
            name = variant.partition("+")[0]
            if name in VARIANTS:
                raise _renamed(f"variants={name}", f"variants={VARIANTS[name]}")
        if verb != "compare":  # whose metric= also takes the values of metrics, which kept their names
            _refuse_choice(key, re.findall(r"[\w.-]+", value))


def choice(group: str, name: str) -> str | None:
    """Today's name of a file of a config group, if it was renamed."""
    return CHOICES.get(group, {}).get(name)


def _refuse_choice(group: str, names: Sequence[str]) -> None:
    for name in names:
        new = choice(group, name)
        if new:
            raise _renamed(f"{group}={name}", f"{group}={new}")


def _renamed(old: str, new: str) -> GanError:
    return GanError(f"{old} was renamed to {new}")
