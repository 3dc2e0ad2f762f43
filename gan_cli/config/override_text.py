"""The text of an override `key=value`. Ordinary paths that Hydra's grammar cannot read are taken literally."""

from __future__ import annotations

import functools
import re
import shlex
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import OmegaConf

from gan_cli.utils.errors import GanError


@functools.cache
def _parser() -> OverridesParser:
    return OverridesParser.create()


def quoted(text: str) -> str:
    """A text as a quoted value of an override."""
    # Backslashes count as such only before a quote.
    return "'" + re.sub(r"(\\*)('|$)", lambda found: 2 * found[1] + ("\\'" if found[2] else ""), text) + "'"


def readable(override: str) -> str:
    """The override itself, or with its value in quotes if Hydra's grammar cannot read it: `my photos (1)`, `a#b`.

    GanError if it names no key.
    """
    refuse_nameless(override)
    key, equals, value = override.partition("=")
    try:
        _parser().parse_override(override)
        is_readable = value == value.strip()
    except HydraException:
        is_readable = False
    if not is_readable and equals and value.strip() and re.fullmatch(r"\+{0,2}[\w./@-]+", key):
        return f"{key}={quoted(value)}"
    return override


def refuse_nameless(override: str) -> None:
    if not override.partition("=")[0].strip("+~ "):
        raise GanError(f"'{override}' names no key: write key=value, such as trainer.iterations=5000")


def value(override: str, before: object) -> Any:
    """The one value that `key=value` gives. Raises GanError for a text that is no override, and for several values.

    before: the present value of the key.
    """
    key, equals, text = override.partition("=")
    if not equals:
        raise GanError(f"'{override}' is not an override: write key=value, such as trainer.iterations=5000")
    if not text.strip():
        raise GanError(f"{key} has no value; give one, or {key}=null for none")
    try:
        parsed = _parser().parse_override(readable(override))
    except HydraException as error:
        raise GanError(f"cannot read '{override}': {str(error).splitlines()[0]}") from error
    if parsed.is_sweep_override():
        raise GanError(f"'{override}' holds several values; {' or '.join(['give one', *single(key, text, before)])}")
    return parsed.value()


def single(key: str, text: str, before: object) -> list[str]:
    """How to write a text with commas as one value, if the key, whose present value is `before`, can have such."""
    ways = [f"write {key}=[{text}] for a list"] if before is None or OmegaConf.is_list(before) else []
    return [*ways, *([f"{literally(key, text)} for one text"] if before is None or isinstance(before, str) else [])]


def literally(key: str, text: str) -> str:
    """The word of a command line that gives a text to a key as it is."""
    return shlex.quote(f"{key}={quoted(text)}")
