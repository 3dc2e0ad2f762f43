"""Read a run directory without building the model: settings, curves, scores, failure."""

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

FAILURE = "failure.json"  # written by a sweep for a run that failed
EVALUATIONS = "evaluation.jsonl"  # written by `gan evaluate`
SCORE = "metric/"  # prefix, in metrics.jsonl, of the scores taken during training


@dataclass(frozen=True)
class Run:
    """The record of one run.

    settings: the resolved config, `{"optimizer.lr": 2e-4}`. choices: the config groups, `{"loss": "wgan"}`. overrides:
    as typed. done: number of the last logged iteration. curves: name -> (iteration, value), including values that are
    not finite. records: the lines of evaluation.jsonl, in order. failure: why the run failed, if a sweep recorded it.
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
        """The length that the run was given."""
        return self.settings.get("trainer.iterations")

    def last_grid(self) -> Path | None:
        """The file of the newest sample grid, if there is one."""
        return max((self.path / "samples").glob("*.png"), default=None)


def is_run(folder: Path) -> bool:
    """Whether the folder is a run, or one of a sweep that failed before its training began."""
    return contains_run(folder) or (folder / FAILURE).exists()


def runs_in(folder: Path) -> list[Path]:
    """The run in `folder` itself, or the runs below it, sorted by number and name. GanError if there are none."""
    if is_run(folder):
        return [folder]
    failed = {file.parent for depth in range(1, DEPTH + 1) for file in folder.glob("*/" * depth + FAILURE)}
    runs = failed | set(find_runs(folder))
    return sorted(runs, key=lambda run: (run.parent, by_number(run.name))) or [existing_run(str(folder))]


def schema_version(folder: Path) -> int:
    """The schema version that a run was written with. GanError if a newer version of this program wrote it."""
    return migrations.version_of(_json(folder / "provenance.json"), folder)


def config(folder: Path) -> DictConfig:
    """The config.yaml of a run, in today's form. GanError if it cannot be read."""
    file, version = folder / "config.yaml", schema_version(folder)
    try:
        plain = OmegaConf.to_container(OmegaConf.load(file))
        if not isinstance(plain, dict):
            raise ValueError("it holds no keys")
        return OmegaConf.create(migrations.config({str(key): value for key, value in plain.items()}, version))
    except Exception as error:  # whatever the file system and the YAML parser raise
        raise GanError(f"{file} is not a run's config: {_first_line(error)}") from error


def read(folder: Path) -> Run:
    """The record of the run in `folder`. GanError if its config cannot be read."""
    failed = failure(folder)
    facts = _json(folder / "provenance.json")
    try:
        settings = flat(OmegaConf.to_container(config(folder)))
    except GanError:
        if not failed:  # a run that failed early has no config
            raise
        settings = {}
    lines = list(json_lines(folder / "metrics.jsonl"))
    return Run(
        folder, settings, _choices(folder),
        overrides=migrations.overrides(map(str, (facts or failed).get("overrides", []))),
        done=max((line["iteration"] for line in lines if isinstance(line.get("iteration"), int)), default=0),
        curves=_curves(lines),
        records=_records(folder),
        failure=str(failed.get("error", "no reason given")) if failed else None,
    )  # fmt: skip


def failure(folder: Path) -> dict[str, Any]:
    """The content of failure.json: status, error, overrides, traceback; empty for a run that has not failed."""
    return _json(folder / FAILURE)


def json_lines(path: Path) -> Iterator[dict[str, Any]]:
    """The objects of a .jsonl file, without lines that a killed process left half-written."""
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
    """Flatten nested mappings: {"a": {"b": 1}} -> {"a.b": 1}. Lists and empty mappings are values."""
    if not isinstance(node, dict) or not (node or not path):
        return {path: node}
    flattened: dict[str, Any] = {}
    for key, child in node.items():
        flattened |= flat(child, f"{path}.{key}" if path else str(key))
    return flattened


def training_seconds(folder: Path, batch_size: int) -> float | None:
    """The time that the iterations took, from the speeds in metrics.jsonl; None if none is logged."""
    total, before = 0.0, 0
    for line in json_lines(folder / "metrics.jsonl"):
        speed = line.get("images_per_second")
        if speed:
            total += (line["iteration"] - before) * batch_size / speed
            before = line["iteration"]
    return total or None


def base_name(value: str) -> str:
    """The name of a value without its extractor: `FID[classifier:mnist:ab12]` -> `FID`."""
    return value.partition("[")[0]


def weights(record: dict[str, Any]) -> str:
    """Which weights a record evaluates: ema, raw, or "" if it does not tell."""
    return str(record.get("protocol", {}).get("weights", ""))


def samples(record: dict[str, Any]) -> int | None:
    """The largest number of samples of one kind that a score was computed from."""
    protocol = record.get("protocol", {})
    other = ("seed", "iteration")
    counts = [v for key, v in protocol.items() if isinstance(v, int) and key not in other]
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
    lines = json_lines(folder / EVALUATIONS)
    return [migrations.record(r) for r in lines if "metric" in r and isinstance(r.get("values"), dict)]


def _choices(folder: Path) -> dict[str, str]:
    """The choices of config groups, in today's words; empty for a run that Hydra did not start."""
    try:
        choices = OmegaConf.load(folder / ".hydra" / "hydra.yaml").hydra.runtime.choices
    except Exception:  # absent, cut short, or of another Hydra
        return {}
    texts = [f"{key}={value}" for key, value in choices.items() if not str(key).startswith("hydra")]
    return dict(text.split("=", 1) for text in migrations.overrides(texts))


def _json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def by_number(name: str) -> tuple[float, str]:
    """Sort key for the runs of a sweep, which are called 0-..., 1-..., 10-..."""
    head = name.partition("-")[0]
    return (int(head) if head.isdigit() else math.inf, name)


def _first_line(error: Exception) -> str:
    return getattr(error, "strerror", None) or (str(error).splitlines() or [one_line(error)])[0]
