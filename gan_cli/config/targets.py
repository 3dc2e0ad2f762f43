"""Which classes a config may name as `_target_`, and whether its arguments fit their signatures.

A config may come from an untrusted run directory. So a target must be a class of certain modules of this package, one
of a few classes of torch, or a class or function of a module that the user names on the command line. slots.py says
which of them may stand where.
"""

from __future__ import annotations

import importlib
import inspect
import os
import sys
import types
import typing
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from gan_cli.config.migrations.v1_to_v2 import moved
from gan_cli.config.override_text import literally
from gan_cli.utils.errors import GanError, one_line, suggest

ROOTS = (
    "gan_cli.data",
    "gan_cli.losses.divergences",
    "gan_cli.utils.random",
    "gan_cli.losses.kernels",
    "gan_cli.losses.adversarial",
    "gan_cli.losses.energy",
    "gan_cli.losses.fgan",
    "gan_cli.losses.margin",
    "gan_cli.metrics",
    "gan_cli.losses.mmd",
    "gan_cli.networks",
    "gan_cli.losses.objective",
    "gan_cli.losses.penalties",
    "gan_cli.systems.image_pool",
    "gan_cli.losses.regularizers",
    "gan_cli.training.schedules",
    "gan_cli.training.loggers",
    "gan_cli.systems",
)
OPTIMIZERS = (
    "ASGD", "Adadelta", "Adafactor", "Adagrad", "Adam", "AdamW", "Adamax", "NAdam", "RAdam", "RMSprop", "Rprop", "SGD",
)  # fmt: skip
TORCH = (
    *(f"torch.nn.{name}" for name in ("BCELoss", "L1Loss", "MSELoss")),
    *(f"torch.optim.{name}" for name in OPTIMIZERS),
)
KINDS = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    type(None): "null",
    list: "a list",
    tuple: "a list",
    dict: "a mapping",
}


def target(path: str, allowed: Sequence[str] = ()) -> Callable[..., Any]:
    """The class, or the function of a user's module, at the dotted path `path`.

    allowed: modules that the user names on the command line of this invocation. Raises GanError if it does not exist or
    a config may not call it.
    """
    roots = (*ROOTS, *allowed)
    segments = str(path).split(".")
    inside = _under(str(path), roots) and not any(segment[:1] in ("", "_") for segment in segments)
    if not inside and path not in TORCH:
        guess = suggest(str(path), TORCH) if segments[0] == "torch" else suggest(".".join(segments[:2]), roots)
        remedy = _today(path) or f"; modules=[NAME] in the command allows your own{guess}"
        raise GanError(f"_target_ '{path}' is not allowed{remedy}")
    module_name, _, name = path.rpartition(".")
    module = _module(module_name, f"_target_ '{path}'", allowed, _today(path))
    found = getattr(module, name, None)
    if found is None:
        raise GanError(f"_target_ '{path}' does not exist{_today(path) or suggest(name, _callables(module, allowed))}")
    if path not in TORCH and not _callable(found, allowed):
        raise GanError(f"_target_ '{path}' is not allowed: it is not a class of {module_name}")
    return typing.cast("Callable[..., Any]", found)


def import_allowed(allowed: Sequence[str]) -> None:
    """Import the modules that the command line names. GanError for one that cannot be imported, even if unused."""
    for name in allowed:
        _module(name, f"modules={name}", allowed)


def is_trusted(call: Callable[..., Any], allowed: Sequence[str]) -> bool:
    """Whether a class or function belongs to a module that the user names on the command line."""
    return _under(call.__module__, allowed)


def bind(
    where: str, call: Callable[..., Any], given: Mapping[str, Any], injected: Collection[str] = ()
) -> None:
    """Check the arguments at the config path `where` against the signature of `call`.

    injected: arguments that the program adds. Raises GanError for an unknown or missing argument, and for a value that
    does not fit its annotation.
    """
    try:
        parameters = inspect.signature(call).parameters
    except ValueError:  # a C function without a signature
        return
    dot, name = f"{where}." if where else "", f"{call.__module__}.{call.__qualname__}"
    if name.startswith("gan_cli.config.schema."):  # a fixed section: no config names its class
        name = "the configuration"
    keywords = [p.name for p in parameters.values() if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    if not any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        for key in given:
            if key not in keywords:
                guess = suggest(key, [k for k in keywords if k not in injected])
                raise GanError(f"no key '{dot}{key}' in {name}{guess}")
    for key in keywords:
        if parameters[key].default is inspect.Parameter.empty and key not in given and key not in injected:
            raise GanError(f"{dot}{key} is missing: {name} needs it")
    expected = hints(call)
    for key, value in given.items():
        if key in expected and not fits(value, expected[key]):
            if key == "image_size" and expected[key] is int and isinstance(value, list):
                raise GanError(f"{dot}{key}={value}: {name} takes square images only; set dataset.image_size=SIDE")
            lost = isinstance(value, dict) and "_target_" not in value
            text = fits("", expected[key]) and isinstance(value, (bool, int, float))
            remedy = f"; {literally(dot + key, str(value))} is text" if text else ""
            remedy = f"; a mapping without a _target_ builds nothing: {dot}{key}=null removes it" if lost else remedy
            raise GanError(f"{dot}{key} must be {describe(expected[key])}, not {value!r}{remedy}")


def fits(value: Any, hint: Any) -> bool:
    """Whether a plain value from a config fits a type hint. Hints of other than plain types accept any node."""
    if hint in (Any, object):
        return True
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if isinstance(value, dict) and "_target_" in value:
        return hint not in (int, float, bool, str)
    if origin in (typing.Union, types.UnionType):
        return any(fits(value, arg) for arg in args)
    if origin is typing.Literal:
        return value in args
    if hint is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if origin in (list, tuple, Sequence) or hint in (list, tuple):
        return isinstance(value, list) and _items_fit(value, origin, args)
    if hint in (None, type(None), str, bool, dict) or origin is dict:
        return isinstance(value, type(None) if hint is None else (origin or hint))
    # Python 3.10 takes a parameterized generic, such as Callable[[int], int], for a class.
    if origin is None and inspect.isclass(hint) and not getattr(hint, "_is_protocol", False):
        return isinstance(value, hint)
    if origin is Callable or getattr(hint, "_is_protocol", False):  # only a node with a _target_ can become one
        return False
    return not isinstance(value, dict)


def describe(hint: Any) -> str:
    """The type hint in words, for an error message."""
    args = typing.get_args(hint)
    if typing.get_origin(hint) is typing.Literal:
        return " or ".join(str(arg) for arg in args)
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        plain = [arg for arg in args if arg in KINDS or typing.get_args(arg)]  # those that a config can hold
        return " or ".join(dict.fromkeys(describe(arg) for arg in plain or args))
    if typing.get_origin(hint) in (list, tuple, Sequence):
        inner = [describe(arg) for arg in args if arg is not Ellipsis]
        if len(inner) > 1 and len(set(inner)) == 1:
            return f"a list of {len(inner)} values, each {inner[0]}"
        return f"a list of {' and '.join(dict.fromkeys(inner))}"
    if typing.get_origin(hint) is Callable:
        return "a mapping with a _target_"
    return KINDS.get(hint, getattr(hint, "__name__", str(hint)))


def _today(path: str) -> str:
    """The name of a class of version 0.1 today, for an error message; empty if it has not changed."""
    today = moved(str(path))
    return f"; it was renamed to {today}" if today != str(path) else ""


def _under(name: str, roots: Sequence[str]) -> bool:
    return any(name == root or name.startswith(root + ".") for root in roots)


def _callable(value: Any, allowed: Sequence[str]) -> bool:
    """Whether a value is a class of the modules that a config may name, or a function of one that the user names."""
    if not inspect.isclass(value):
        return inspect.isfunction(value) and is_trusted(value, allowed)
    is_part = not inspect.isabstract(value) and not getattr(value, "_is_protocol", False)
    return is_part and _under(value.__module__, (*ROOTS, *allowed))


def _callables(module: types.ModuleType, allowed: Sequence[str]) -> list[str]:
    return [k for k, v in vars(module).items() if not k.startswith("_") and _callable(v, allowed)]


def _module(name: str, what: str, allowed: Sequence[str], today: str = "") -> types.ModuleType:
    """Import a module. The user's own modules are also searched in the current folder.

    what: what asks for it, for messages. today: its name today, likewise.
    """
    if _under(name, allowed) and os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not name.startswith(error.name):
            raise GanError(f"{what} cannot be imported: {one_line(error)}") from error
        guess = today or suggest(name.rpartition(".")[2], _siblings(name))
        raise GanError(f"{what} does not exist: no module '{error.name}'{guess}") from error
    except Exception as error:
        kind = type(error).__name__
        raise GanError(f"{what} cannot be imported: {kind}: {one_line(error)}") from error


def _siblings(name: str) -> list[str]:
    """The names of the modules in the package of `name`, or in the current folder."""
    package = sys.modules.get(name.rpartition(".")[0])
    folders = list(getattr(package, "__path__", [] if "." in name else [Path()]))
    return [p.stem for folder in folders for p in Path(folder).glob("[a-z]*.py")]


def hints(call: Callable[..., Any]) -> dict[str, Any]:
    """Argument -> annotation."""
    try:
        return typing.get_type_hints(call.__init__ if inspect.isclass(call) else call)
    except NameError:  # names that exist for type checkers only
        return {}


def _items_fit(values: list[Any], origin: Any, args: tuple[Any, ...]) -> bool:
    if not args:
        return True
    if origin is tuple and Ellipsis not in args:
        return len(values) == len(args) and all(fits(v, a) for v, a in zip(values, args))
    return all(fits(v, args[0]) for v in values)
