"""provenance.json: what a run has recorded about itself, checked when it is read, as it may be untrusted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gan_cli.config import migrations
from gan_cli.training.find_runs import refuse_links
from gan_cli.utils.errors import GanError, one_line
from gan_cli.utils.files import read_json

FACTS = {
    "overrides": list, "command": list, "resumes": list, "versions": dict, "machine": dict, "device": dict,
    "imported": dict, "initialized": dict, "pulled": dict, "choices": dict, "paths": dict, "folder": str, "run": str,
    "time": str, "data": str, "content": str, "git": str, "class_names": list,
}  # fmt: skip
"""What provenance.json may hold, with the kind of each value."""


def schema_version(folder: Path) -> int:
    """The schema version that a run was written with. GanError if a newer version of this program wrote it."""
    return migrations.version_of(_provenance(folder), folder)


def read(folder: Path) -> dict[str, Any]:
    """The content of provenance.json, in today's form; only its schema version if there is none. GanError if it cannot
    be read or is not of the form that a run writes.
    """
    return migrations.provenance(_provenance(folder), folder)


def model_name(facts: dict[str, Any], otherwise: str) -> str:
    """The name by which the configuration chose the model, for titles; `otherwise` if `facts` do not have it."""
    return str((facts.get("choices") or {}).get("model") or otherwise)[:80]


def _provenance(folder: Path) -> dict[str, Any]:
    """The content of provenance.json as it is, checked; empty if there is none.

    Whoever reads a run reads this file first, so that its links are checked here.
    """
    refuse_links(folder)
    file = folder / "provenance.json"
    if not file.exists():
        return {}
    try:
        found = read_json(file)
        _check_facts(found)
    except (OSError, ValueError) as error:
        raise GanError(f"{file} cannot be read: {one_line(error)}") from error
    return {key: value for key, value in found.items() if value is not None}


def _check_facts(found: Any) -> None:
    """Raise ValueError unless the known values in provenance.json have the right types; each may be missing."""
    if not isinstance(found, dict):
        raise ValueError("it holds no keys")
    for key, kind in FACTS.items():
        value = found.get(key)
        if value is not None and not isinstance(value, kind):
            raise ValueError(f"its {key} is of another kind")
    for key in ("overrides", "command", "class_names"):
        if not all(isinstance(text, str) for text in found.get(key) or ()):
            raise ValueError(f"its {key} is no list of texts")
    imported = found.get("imported")
    if imported and not all(isinstance(text, str) for text in imported.get("directions") or [0]):
        raise ValueError("its imported is of another kind")
    for path in (found.get("paths") or {}).values():
        if not isinstance(path, dict) or not all(isinstance(path.get(key), str) for key in ("typed", "absolute")):
            raise ValueError("its paths are of another kind")
