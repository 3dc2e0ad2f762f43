"""Which kind of part each place of a configuration accepts.

A configuration may be untrusted. Constructing a part must do no more than the training that the configuration
describes, and a part in the wrong place would: a data set that stands for a penalty downloads and unpacks an archive.
So a node with a `_target_` may stand only where a part is expected, and only a class of the expected kind. The kind is
the annotation of the constructor's argument; a class has the kind if it inherits from it by name.
"""

from __future__ import annotations

import inspect
import sys
import types
import typing
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from gan_cli.config.targets import hints, is_trusted, target
from gan_cli.utils.errors import GanError, suggest

NODE_KEYS = ("_target_", "_partial_")
SECTIONS = {
    "model": "gan_cli.systems.base.System",
    "loss": "gan_cli.losses.objective.Objective",
    "dataset": "gan_cli.data.base.Dataset",
    "optimizer": "torch.optim.optimizer.Optimizer",
    "optimizer.networks.*": "torch.optim.optimizer.Optimizer",
    "extractor": "gan_cli.metrics.base.Extractor",
    "metric.*": "gan_cli.metrics.base.Metric",
    "logger.*": "gan_cli.training.loggers.LogService",
    "trainer.schedule": "gan_cli.training.schedules.Schedule",
    "trainer.momentum_schedule": "gan_cli.training.schedules.Schedule",
}
"""Place in the configuration (* is any one key) -> the kind of part there, by its full name."""
NETWORK, NETWORKS = "torch.nn.modules.module.Module", "gan_cli.networks"
ANY = "any part"


@dataclass(frozen=True)
class Node:
    """A mapping with a `_target_`: where it stands, what it holds, and the class or function that it names."""

    path: str
    content: dict[str, Any]
    call: Callable[..., Any]

    @property
    def arguments(self) -> dict[str, Any]:
        return {key: value for key, value in self.content.items() if key not in NODE_KEYS}


def nodes(value: Any, path: str = "", allowed: Sequence[str] = ()) -> Iterator[Node]:
    """Every node in the configuration, or in the part of it at the dotted `path`; outermost first.

    allowed: the modules that the command line names. Raises GanError for a node that must not stand where it does.
    """
    kind = SECTIONS.get(path) or SECTIONS.get(f"{path.rpartition('.')[0]}.*")
    if isinstance(value, dict) and "_target_" not in value:
        for key, child in value.items():
            yield from nodes(child, f"{path}.{key}" if path else str(key), allowed)
    else:
        yield from _parts(value, path, allowed, [kind] if kind else [])


def _parts(value: Any, path: str, allowed: Sequence[str], kinds: Sequence[str]) -> Iterator[Node]:
    """The nodes in an argument's value, each of which must be of one of `kinds`."""
    if isinstance(value, list):
        for index, child in enumerate(value):
            yield from _parts(child, f"{path}[{index}]", allowed, kinds)
    elif isinstance(value, dict) and "_target_" not in value:
        for key, child in value.items():
            yield from _parts(child, f"{path}.{key}", allowed, kinds)
    elif isinstance(value, dict):
        node = Node(path, value, _allowed_part(value["_target_"], path, allowed, kinds))
        yield node
        trusted, expected = is_trusted(node.call, allowed), hints(node.call)
        for key, child in node.arguments.items():
            if f"{path}.{key}" == "optimizer.networks":
                yield from nodes(child, "optimizer.networks", allowed)
            else:
                yield from _parts(child, f"{path}.{key}", allowed, [ANY] if trusted else _kinds(expected.get(key)))


def _allowed_part(name: Any, path: str, allowed: Sequence[str], kinds: Sequence[str]) -> Callable[..., Any]:
    """The class that a node at `path` names. Raises GanError unless it is of one of `kinds`, or of a trusted module."""
    try:
        call = target(name, allowed)
    except GanError as error:
        raise GanError(f"{path}: {error}") from error
    if ANY in kinds or is_trusted(call, allowed) or any(_is_a(call, kind) for kind in kinds):
        return call
    if not kinds:
        raise GanError(f"{path} is a plain value: it takes no _target_")
    words = " or ".join(kind.rpartition(".")[2] for kind in kinds)
    others = [part for kind in kinds for part in _parts_beside(kind)]
    raise GanError(f"{path}: _target_ '{name}' is not allowed here: it is not of the kind {words}{suggest('', others)}")


def _parts_beside(kind: str) -> list[str]:
    """The names of the classes of this kind in the module that defines it."""
    members = vars(sys.modules.get(kind.rpartition(".")[0], types))
    found = [part for part in members.values() if inspect.isclass(part) and _is_a(part, kind)]
    return [part.__name__ for part in found if _name(part) != kind]


def _kinds(hint: Any) -> list[str]:
    """The classes that an annotation allows, by their full names, also as elements of a list or a mapping."""
    arguments = typing.get_args(hint)
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType) or (inspect.isclass(origin) and issubclass(origin, typing.Iterable)):
        return [name for argument in arguments for name in _kinds(argument)]
    is_kind = origin is None and inspect.isclass(hint) and hint.__module__ != "builtins"
    return [_name(hint)] if is_kind else []


def _is_a(call: Callable[..., Any], kind: str) -> bool:
    names = [_name(base) for base in inspect.getmro(call)] if inspect.isclass(call) else []
    return kind in names and (kind != NETWORK or call.__module__.startswith(NETWORKS))


def _name(value: type) -> str:
    return f"{value.__module__}.{value.__qualname__}"
