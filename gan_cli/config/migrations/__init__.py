"""Bring what an earlier version of this program has written up to date when it is read.

A run records the schema version that it was written with ("schema_version" in provenance.json, sweep.json and
search.json, "format" in a checkpoint); without one it is 1, that of version 0.1. Each entry of MIGRATIONS leads from
one schema version to the next, on plain data, and knows nothing of today's classes: a later change of a name is a
migration of its own, and never an edit of an earlier one. Nothing is written here: a run on disk changes only when
its training is resumed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from gan_cli.config.migrations import v1_to_v2, v2_to_v3
from gan_cli.utils.errors import GanError


class Migration(Protocol):
    """A module of this package: functions that return today's form of plain data of the version before."""

    def config(self, old: dict[str, Any]) -> dict[str, Any]:
        """The config.yaml of a run."""

    def provenance(self, old: dict[str, Any]) -> dict[str, Any]:
        """The provenance.json of a run, but for its schema version."""

    def override(self, old: str) -> str | None:
        """One override of a command line, `key=value` with `+` or `~` before it or not; None if its key is gone."""

    def checkpoint(self, old: dict[str, Any]) -> dict[str, Any]:
        """The content of a checkpoint."""

    def record(self, old: dict[str, Any]) -> dict[str, Any]:
        """A record of evaluation.jsonl or of a result file: `metric`, `values`, ..."""

    def metric(self, old: str) -> str:
        """The name of a metric."""

    def value(self, old: str) -> str:
        """The name of a metric's value."""


MIGRATIONS: tuple[Migration, ...] = (v1_to_v2, v2_to_v3)
VERSION = 1 + len(MIGRATIONS)
KEY = "schema_version"


def version_of(facts: Mapping[str, Any], what: object) -> int:
    """The schema version that `facts` record. Raises GanError, which names `what`, if a newer program wrote them."""
    version = facts.get(KEY, 1)
    if type(version) is not int:
        raise GanError(f"{what} has the schema version {version!r}, which is no whole number")
    if not 1 <= version <= VERSION:
        raise GanError(
            f"{what} has schema version {version}, and this version of gan reads up to {VERSION}: "
            "use the version that wrote it, or a newer one"
        )
    return version


def config(plain: dict[str, Any], version: int) -> dict[str, Any]:
    """A run's config of schema `version` in today's form."""
    for migration in MIGRATIONS[version - 1 :]:
        plain = migration.config(plain)
    return plain


def provenance(facts: dict[str, Any], what: object) -> dict[str, Any]:
    """The provenance.json of a run in today's form, with today's schema version; errors name `what`."""
    for migration in MIGRATIONS[version_of(facts, what) - 1 :]:
        facts = migration.provenance(facts)
    return {**facts, KEY: VERSION}


def overrides(texts: Iterable[str], version: int = 1) -> list[str]:
    """Overrides as typed for schema `version`, in today's words; those of keys that are gone are dropped.

    Where files carry no version of their own (Hydra's, failure.json), 1 is right for all: today's words stay.
    """
    found: list[str | None] = list(texts)
    for migration in MIGRATIONS[version - 1 :]:
        found = [migration.override(text) for text in found if text is not None]
    return [text for text in found if text is not None]


def checkpoint(state: dict[str, Any], version: int) -> dict[str, Any]:
    """A checkpoint of format `version` in today's form; its tensors are the same objects."""
    for migration in MIGRATIONS[version - 1 :]:
        state = migration.checkpoint(state)
    return state


def record(old: dict[str, Any]) -> dict[str, Any]:
    """A record of evaluation.jsonl or a result file with today's names, whatever version wrote it."""
    for migration in MIGRATIONS:
        old = migration.record(old)
    return old


def value(name: str) -> str:
    """Today's name of a metric's value, whatever version wrote it."""
    for migration in MIGRATIONS:
        name = migration.value(name)
    return name


def metric(name: str) -> str:
    """Today's name of a metric, whatever version wrote it."""
    for migration in MIGRATIONS:
        name = migration.metric(name)
    return name
