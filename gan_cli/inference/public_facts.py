"""What of a run's configuration and records may be shown to others: settings, scores and versions, no path, no machine.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gan_cli.config import migrations
from gan_cli.training.data_paths import KEYS

PATHS = (*KEYS, "init_from", "out", "url", "data_files", "data_dir")
CACHE = "~/.cache/gan"  # where downloaded data are on every machine, if GAN_DATA does not name another folder
FACTS = (migrations.KEY, "time", "versions", "git", "choices", "data", "content", "class_names")
RECORD = ("metric", "values", "better", "protocol", "settings", "seconds", "time", "versions")
INITIALIZED = ("sha256", "iteration", "networks", "skipped")
ABSOLUTE = re.compile(r"file://\S+|(?<![^\s\"'=,:;(\[{])(?:~[\w.-]*/|/(?!/))[^\s\"',;)\]}]+")
"""file://..., /..., ~/... and ~user/... at the beginning of a text or after a separator."""


@dataclass
class Public:
    """Makes public copies of plain values. replaced: the settings whose paths became FOLDER, in order, each once."""

    replaced: dict[str, None] = field(default_factory=dict)

    def config(self, node: Any, where: str = "") -> Any:
        """A configuration, or a part of it at the dotted path `where`, without paths."""
        if isinstance(node, dict):
            return {key: self.config(value, f"{where}.{key}".lstrip(".")) for key, value in node.items()}
        if isinstance(node, list):
            return [self.config(value, where) for value in node]
        return self.setting(where, node) if isinstance(node, str) else node

    def setting(self, key: str, value: str) -> str:
        """The value of one setting. A folder becomes FOLDER, or ~/.cache/gan if it is that of downloaded data."""
        cache = os.environ.get("GAN_DATA", CACHE).rstrip("/")
        if value == cache or value.startswith(f"{cache}/"):
            return CACHE + value.removeprefix(cache)
        is_path = key.rpartition(".")[2] in PATHS and not re.match(r"(https?|hf|s3|gs)://", value)
        if key == "protocol.weights":  # of a score: ema or raw
            is_path = False
        public = "FOLDER" if is_path and value else ABSOLUTE.sub("FOLDER", value)
        if public != value:
            self.replaced[key] = None
        return public

    def overrides(self, words: Sequence[str]) -> list[str]:
        """Overrides as typed, without paths and without Hydra's own settings."""
        kept = []
        for word in words:
            key, equals, value = word.partition("=")
            if not key.lstrip("+~").startswith("hydra"):
                kept.append(key + equals + self.setting(key.lstrip("+~"), value))
        return kept

    def facts(self, facts: Mapping[str, Any]) -> dict[str, Any]:
        """A run's provenance: what is listed here, and nothing else."""
        public = {key: self.config(facts[key], key) for key in FACTS if key in facts}
        overrides = self.overrides(facts.get("overrides", []))
        imported = facts.get("imported", {})
        if imported:
            digests = {name: {"sha256": file.get("sha256")} for name, file in imported.get("files", {}).items()}
            public["imported"] = {"directions": imported.get("directions", []), "files": digests}
        else:
            public |= {"overrides": overrides, "command": ["gan", "train", *overrides]}
        if "initialized" in facts:
            public["initialized"] = {key: facts["initialized"].get(key) for key in INITIALIZED}
        if "resumes" in facts:
            public["resumes"] = [
                {"time": entry.get("time"), "overrides": self.overrides(entry.get("overrides", []))}
                for entry in facts["resumes"]
            ]
        return public

    def record(self, record: Mapping[str, Any]) -> dict[str, Any]:
        """A record of evaluation.jsonl."""
        return {key: self.config(record[key], key) for key in RECORD if key in record}
