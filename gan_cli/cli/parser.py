"""The grammar of the command line: `key=value` words as typed options, and the help that lists them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from gan_cli.cli.options import VERBS, Option
from gan_cli.utils.errors import GanError, suggest


def parse(verb: str, words: Sequence[str]) -> dict[str, Any]:
    """`key=value` words as keyword arguments, typed; options not given are left out.

    Raises GanError on an unknown or doubled option, a value of the wrong type, and a missing one.
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
        if key in given:
            raise GanError(f"option '{key}' is given twice")
        given[key] = _value(key, text, options[key])
    for key, option in options.items():
        if option.required and not given.get(key):
            raise GanError(f"gan {verb} needs {key}=...: {option.help}")
    return given


def _value(key: str, text: str, option: Option) -> Any:
    kind = option.type
    if not text.strip() or (kind is list and not text.strip(" []") and option.default is None):
        raise GanError(f"{key} has no value; leave {key}= out, or name one")
    if kind is list:
        return _list(key, text)
    if kind in (int, float) and option.default is None and text in ("null", "none"):
        return None
    if kind is int:
        if not re.fullmatch(r"[+-]?\d+", text):
            raise GanError(f"{key} must be a whole number, not '{text}'")
        if not -(2**63) <= int(text) < 2**63:
            raise GanError(f"{key} must lie in [-2**63, 2**63), not {text}")
        return int(text)
    if kind is bool:
        if text not in ("true", "false"):
            raise GanError(f"{key} must be true or false, not '{text}'")
        return text == "true"
    if kind is float:
        if not re.fullmatch(r"\d*\.?\d+([eE][+-]?\d+)?", text) or float(text) <= 0:
            raise GanError(f"{key} must be a number above 0, not '{text}'")
        return float(text)
    return text


def _list(key: str, text: str) -> list[str]:
    """Words between commas or blanks, in brackets or not."""
    inside = re.sub(r"[\[\]]", " ", text).strip()
    words = re.split(r"\s*,\s*|\s+", inside) if inside else []
    if "" in words:
        raise GanError(f"{key}={text}: one of its values is empty; take the comma too many out")
    return words


def general_help() -> str:
    """The text of `gan --help`."""
    rows = "\n".join(f"  {name:<11} {verb.summary}" for name, verb in VERBS.items())
    return (
        f"usage: gan VERB [RUN_DIR] [key=value] ...\n\nTrain and reproduce GANs.\n\n{rows}\n\n"
        "gan VERB --help says more; gan --version; GAN_DEBUG=1 shows tracebacks.\n"
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
            shown = ",".join(option.default) if option.type is list and option.default else option.default
            default = "" if option.default in (None, []) else f" [{shown}]"
            text += f"\n  {key:<{width}}  {option.help}{default}"
    return text
