"""Parse `key=value` words into typed options, and format the help that lists them."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

from gan_cli.cli.options import PARAMETERS, Option
from gan_cli.cli.verbs import VERBS
from gan_cli.config.module_names import module_names
from gan_cli.utils.errors import GanError, suggest


def parse(verb: str, words: Sequence[str]) -> dict[str, Any]:
    """`key=value` words as keyword arguments of the function that does the verb's work; options not given are absent.

    Raises GanError for an unknown or repeated option, a value of the wrong type, and a missing required option.
    """
    options = VERBS[verb].options
    given: dict[str, Any] = {}
    for word in words:
        key, equals, text = word.partition("=")
        if not equals:
            raise GanError(f"'{word}' is not of the form key=value (gan {verb} --help)")
        if VERBS[verb].open and key.startswith(VERBS[verb].open):
            given.setdefault("settings", []).append(word)
            continue
        if key not in options:
            raise GanError(f"gan {verb} has no option '{key}'{suggest(key, options)}")
        parameter = PARAMETERS.get(key, key)
        if parameter in given:
            raise GanError(f"option '{key}' is given twice")
        given[parameter] = _value(key, text, options[key])
    for key, option in options.items():
        if option.required and not given.get(key):
            raise GanError(f"gan {verb} needs {key}=...: {option.help}")
    return given


def _value(key: str, text: str, option: Option) -> Any:
    listed = option.type.startswith("list of")
    if not text.strip() or (listed and not text.strip(" []") and not isinstance(option.default, (list, tuple))):
        raise GanError(f"{key} has no value; give one, or omit {key}=")
    if option.nullable and text in ("null", "none"):
        return None
    if key == "modules":
        return module_names(text)
    if listed:
        items = _list(key, text)
        if option.type == "list of str":
            return items
        if not all(re.fullmatch(r"\d{1,18}", item) for item in items):
            raise GanError(f"{key}={text}: whole numbers, separated by commas, are needed")
        return [int(item) for item in items]
    if option.type == "int":
        if not re.fullmatch(r"[+-]?\d+", text):
            raise GanError(f"{key} must be a whole number, not '{text}'")
        if len(text) > 20 or not -(2**63) <= int(text) < 2**63:
            raise GanError(f"{key} must lie in [-2**63, 2**63), not {text}")
        return int(text)
    if option.type == "bool":
        if text not in ("true", "false"):
            raise GanError(f"{key} must be true or false, not '{text}'")
        return text == "true"
    if option.type == "float":
        if not re.fullmatch(r"\d*\.?\d+([eE][+-]?\d+)?", text) or not 0 < float(text) < math.inf:
            raise GanError(f"{key} must be a finite number above 0, not '{text}'")
        return float(text)
    return text


def _list(key: str, text: str) -> list[str]:
    """Words separated by commas or blanks, in brackets or not."""
    inside = re.sub(r"[\[\]]", " ", text).strip()
    words = re.split(r"\s*,\s*|\s+", inside) if inside else []
    if "" in words:
        raise GanError(f"{key}={text}: one of the values is empty; remove the extra comma")
    return words


def general_help() -> str:
    """The text of `gan --help`."""
    rows = "\n".join(f"  {name:<11} {verb.summary}" for name, verb in VERBS.items())
    return (
        f"usage: gan VERB [RUN_DIR] [key=value] ...\n\nTrain and reproduce GANs.\n\n{rows}\n\n"
        "`gan VERB --help` describes a verb; `gan --version`; GAN_DEBUG=1 shows tracebacks.\n"
        "First steps: gan train; gan list; gan train model=infogan dataset=mnist"
    )


def verb_help(name: str) -> str:
    """The text of `gan VERB --help`."""
    verb = VERBS[name]
    text = f"usage: gan {name} {verb.usage}\n\n{verb.summary[0].upper()}{verb.summary[1:]}."
    if verb.help:
        text += f"\n\n{verb.help}"
    if verb.options:
        width = max(map(len, verb.options))
        text += "\n"
        for key, option in verb.options.items():
            text += f"\n  {key:<{width}}  {option.help}{_default(option)}"
    return text


def _default(option: Option) -> str:
    if option.default in (None, [], ()):
        return ""
    if isinstance(option.default, (list, tuple)):
        return f" [{','.join(map(str, option.default))}]"
    return f" [{str(option.default).lower() if isinstance(option.default, bool) else option.default}]"
