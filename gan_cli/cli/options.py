"""A verb of the command line, and its options.

An option is a keyword-only parameter of the function that does the verb's work. Its name, type and default are read
from the source of that function, which is not imported: that would import torch. cli/verbs.py adds its help.
"""

from __future__ import annotations

import ast
import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PACKAGE = Path(__file__).resolve().parent.parent
PARAMETERS = {"modules": "allowed_modules", "dataset.root": "dataset_root"}
"""Options whose parameter has another name."""


@dataclass(frozen=True)
class Option:
    """One `key=value`. type: int, float, bool, str, list of str or list of int; nullable: null is allowed too."""

    type: str
    default: Any
    help: str
    required: bool = False
    nullable: bool = False


@dataclass(frozen=True)
class Verb:
    """usage: what follows the verb. help: paragraphs. call: what does its work, `module.function`, and other: a second
    such function. helps: option -> its help, in the order of printing. open: how further keys may begin, whose words
    are passed on as `settings`."""

    usage: str
    summary: str
    help: str = ""
    call: str = ""
    helps: Mapping[str, str] = field(default_factory=dict)
    other: str = ""
    open: tuple[str, ...] = ()

    @functools.cached_property
    def options(self) -> dict[str, Option]:
        """Option name -> Option, for every entry of `helps`. Those that only `other` has are not required."""
        if not self.call:
            return {}
        first = _options(self.call)
        found = {**(_options(self.other) if self.other else {}), **first}
        return {
            name: Option(kind, default, text, required=missing and PARAMETERS.get(name, name) in first, nullable=null)
            for name, text in self.helps.items()
            for kind, null, default, missing in [found[PARAMETERS.get(name, name)]]
        }


def _options(call: str) -> dict[str, tuple[str, bool, Any, bool]]:
    """Keyword-only parameter -> (type, whether None is allowed, default, whether there is no default)."""
    module, _, name = call.rpartition(".")
    path = PACKAGE.joinpath(*module.split("."))
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    tree = ast.parse(file.read_text(encoding="utf-8"))
    (function,) = (node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == name)
    found = {}
    for parameter, default in zip(function.args.kwonlyargs, function.args.kw_defaults, strict=True):
        kinds = [] if parameter.annotation is None else ast.unparse(parameter.annotation).split(" | ")
        value = None if default is None else ast.literal_eval(default)
        found[parameter.arg] = (_kind(kinds[0]), "None" in kinds, value, default is None)
    return found


def _kind(annotation: str) -> str:
    """`Sequence[int]` -> `list of int`."""
    outer, _, inner = annotation.rstrip("]").partition("[")
    return f"list of {inner}" if outer in ("list", "tuple", "Sequence") else annotation
