"""Read YAML that may be untrusted: plain values of bounded size, without tags, aliases and interpolations."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NoReturn

import yaml  # type: ignore[import-untyped]
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from gan_cli.utils.errors import GanError, one_line
from gan_cli.utils.files import read_text

LIMIT = 2**18  # bytes; the largest config of a run has some 10,000
DEPTH = 40  # nested mappings and lists; the parser would run out of stack at some hundreds


def load(file: Path) -> dict[str, Any]:
    """The mapping in a YAML file. GanError, which names the file and the line, for anything but plain values."""
    try:
        return parse(read_text(file, LIMIT), str(file))
    except OSError as error:
        raise GanError(f"{file} cannot be read: {error.strerror or error}") from error
    except ValueError as error:
        raise GanError(f"{file} cannot be read: {one_line(error)}") from error


def parse(text: str, name: str) -> dict[str, Any]:
    """The mapping that a YAML text holds. GanError, which begins with `name` and the line, for anything else."""
    try:
        _check(text, name)
        plain = OmegaConf.to_container(OmegaConf.create(text))
    except yaml.MarkedYAMLError as error:
        _refuse(name, error.problem_mark or error.context_mark, error.problem or one_line(error))
    except (yaml.YAMLError, OmegaConfBaseException, ValueError) as error:
        raise GanError(f"{name}: {one_line(error)}") from error
    assert isinstance(plain, dict)
    return {str(key): value for key, value in plain.items()}


def _check(text: str, name: str) -> None:
    """Raise GanError for what plain YAML lacks, before anything is built from it."""
    depth, roots = 0, []
    for event in yaml.parse(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
        where = event.start_mark
        if isinstance(event, yaml.NodeEvent):
            if depth == 0:
                roots.append(event)
            if event.anchor is not None:  # of an alias as well, whose bombs grow exponentially
                _refuse(name, where, "anchors and aliases are not allowed")
            if getattr(event, "tag", None) is not None:
                _refuse(name, where, f"the tag {event.tag} is not allowed")
        if isinstance(event, yaml.ScalarEvent) and "${" in event.value:
            _refuse(name, where, "interpolations, ${...}, are not allowed")
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > DEPTH:
            _refuse(name, where, f"it is nested more than {DEPTH} levels deep")
    if len(roots) != 1 or not isinstance(roots[0], yaml.MappingStartEvent):
        raise GanError(f"{name} must hold one YAML mapping of keys to values")


def _refuse(name: str, where: yaml.Mark | None, problem: str) -> NoReturn:
    line = f", line {where.line + 1}" if where else ""
    raise GanError(f"{name}{line}: {' '.join(problem.split())}; only plain YAML values are read")
