"""What a run directory tells without building anything: settings, curves, scores, failure."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from gan_cli.config import migrations
from gan_cli.training.find_runs import DEPTH, contains_run, existing_run, find_runs
from gan_cli.utils.errors import GanError, one_line

FAILURE = "failure.json"  # of a sweep's member, written by sweep.py
EVALUATIONS = "evaluation.jsonl"
SCORE = "metric/"  # how the names of scores taken during training begin in metrics.jsonl


@dataclass(frozen=True)
class Run:
    """settings: the resolved config, `{"optimizer.lr": 2e-4}`; choices: the config groups, `{"loss": "wgan"}`.

    overrides: as typed. done: iterations that have been logged. curves: name -> (iteration, value), finite and not.
    records: the lines of evaluation.jsonl, in order. failure: why a sweep's member ended, if it failed.
    """

    path: Path
    settings: dict[str, Any]
    choices: dict[str, str]
    overrides: list[str]
    done: int
    curves: dict[str, list[tuple[int, float]]]
    records: list[dict[str, Any]]
    failure: str | None

    @property
    def iterations(self) -> int | None:
        """How many the run was to have."""
        return self.settings.get("trainer.iterations")

    def picture(self) -> Path | None:
        """The last sample grid."""
        return max((self.path / "samples").glob("*.png"), default=None)


def is_run(folder: Path) -> bool:
    """Whether it is a run or a sweep's member that failed before it became one."""
    return contains_run(folder) or (folder / FAILURE).exists()


def runs_in(folder: Path) -> list[Path]:
    """The run that `folder` is, or those in it, by number and name. GanError when there are none."""
    if is_run(folder):
        return [folder]
    failed = {note.parent for depth in range(1, DEPTH + 1) for note in folder.glob("*/" * depth + FAILURE)}
    found = failed | set(find_runs(folder))
    return sorted(found, key=lambda run: (run.parent, by_number(run.name))) or [existing_run(str(folder))]


def schema_version(folder: Path) -> int:
    """The schema version that a run was written with. GanError if a newer version of this program wrote it."""
    return migrations.version_of(_json(folder / "provenance.json"), folder)


def config(folder: Path) -> DictConfig:
    """A run's config.yaml, in today's words. GanError where it cannot be read."""
    file, version = folder / "config.yaml", schema_version(folder)
    try:
        plain = OmegaConf.to_container(OmegaConf.load(file))
        if not isinstance(plain, dict):
            raise ValueError("it holds no keys")
        return OmegaConf.create(migrations.config({str(key): value for key, value in plain.items()}, version))
    except Exception as error:  # whatever the file system and the YAML parser raise
        raise GanError(f"{file} is not a run's config: {_first_line(error)}") from error


def read(folder: Path) -> Run:
    """GanError when the folder does not say what was run there."""
    note = failure(folder)
    facts = _json(folder / "provenance.json")
    try:
        settings = flat(OmegaConf.to_container(config(folder)))
    except GanError:
        if not note:
            raise
        settings = {}
    lines = list(json_lines(folder / "metrics.jsonl"))
    return Run(
        folder, settings, _choices(folder),
        overrides=migrations.overrides(map(str, (facts or note).get("overrides", []))),
        done=max((line["iteration"] for line in lines if isinstance(line.get("iteration"), int)), default=0),
        curves=_curves(lines),
        records=_records(folder),
        failure=str(note.get("error", "no reason given")) if note else None,
    )  # fmt: skip


def failure(folder: Path) -> dict[str, Any]:
    """What failure.json says: status, error, overrides, traceback; empty for a run that has not failed."""
    return _json(folder / FAILURE)


def json_lines(path: Path) -> Iterator[dict[str, Any]]:
    """The objects of a .jsonl file; what a killed process left half-written is passed over."""
    if not path.exists():
        return
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise GanError(f"{path} cannot be read: {error.strerror}") from error
    for line in text.splitlines():
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if isinstance(entry, dict):
            yield entry


def flat(node: Any, path: str = "") -> dict[str, Any]:
    """{"a": {"b": 1}} -> {"a.b": 1}; lists stay whole, and so does an empty mapping."""
    if not isinstance(node, dict) or not (node or not path):
        return {path: node}
    found: dict[str, Any] = {}
    for key, child in node.items():
        found |= flat(child, f"{path}.{key}" if path else str(key))
    return found


def training_seconds(folder: Path, batch_size: int) -> float | None:
    """The time that the iterations took, from the speeds in metrics.jsonl; None where they are not logged."""
    total, before = 0.0, 0
    for line in json_lines(folder / "metrics.jsonl"):
        speed = line.get("images_per_second")
        if speed:
            total += (line["iteration"] - before) * batch_size / speed
            before = line["iteration"]
    return total or None


def base_name(value: str) -> str:
    """`FID[classifier:mnist:ab12]` -> `FID`."""
    return value.partition("[")[0]


def weights(record: dict[str, Any]) -> str:
    return str(record.get("protocol", {}).get("weights", ""))


def samples(record: dict[str, Any]) -> int | None:
    """The largest number of samples of one kind that a score was taken on."""
    protocol = record.get("protocol", {})
    known = ("seed", "iteration")
    counts = [v for key, v in protocol.items() if isinstance(v, int) and key not in known]
    return max(counts, default=None)


def _curves(lines: list[dict[str, Any]]) -> dict[str, list[tuple[int, float]]]:
    curves: dict[str, list[tuple[int, float]]] = {}
    for line in lines:
        for name, value in line.items():
            wanted = "/" in name and "grad_norm" not in name and not name.startswith("learning_rate")
            if wanted and isinstance(value, (int, float)) and isinstance(line.get("iteration"), int):
                name = migrations.value(name)  # a run of an earlier version that was resumed has lines of both
                curves.setdefault(name, []).append((line["iteration"], float(value)))
    return curves


def _records(folder: Path) -> list[dict[str, Any]]:
    """The whole lines of evaluation.jsonl, with today's names of the metrics."""
    found = [r for r in json_lines(folder / EVALUATIONS) if "metric" in r and isinstance(r.get("values"), dict)]
    return list(map(migrations.record, found))


def _choices(folder: Path) -> dict[str, str]:
    """The config groups that Hydra composed the run from, in today's words; empty where it has not kept them."""
    try:
        choices = OmegaConf.load(folder / ".hydra" / "hydra.yaml").hydra.runtime.choices
    except Exception:  # absent, cut short, or of another Hydra
        return {}
    texts = [f"{key}={value}" for key, value in choices.items() if not str(key).startswith("hydra")]
    return dict(text.split("=", 1) for text in migrations.overrides(texts))


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def by_number(name: str) -> tuple[float, str]:
    """Members of a sweep are called 0-..., 1-..., 10-..."""
    head = name.partition("-")[0]
    return (int(head) if head.isdigit() else math.inf, name)


def _first_line(error: Exception) -> str:
    return getattr(error, "strerror", None) or (str(error).splitlines() or [one_line(error)])[0]
