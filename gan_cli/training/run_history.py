"""Read a run directory without building the model: settings, curves, scores, failure."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from gan_cli.config import migrations, plain_yaml
from gan_cli.config.paths import conf_dir
from gan_cli.training import run_facts
from gan_cli.training.find_runs import DEPTH, contains_run, existing_run, find_runs
from gan_cli.utils.errors import GanError, one_line
from gan_cli.utils.files import json_lines, read_json, write_text

FAILURE = "failure.json"  # written for a run that diverged, and by a sweep for a run that failed
EVALUATIONS = "evaluation.jsonl"  # written by `gan evaluate`
LAST = 2**53  # above it, floats of a plot would not tell iterations apart
DIRECTIONS = {"higher", "lower", "None"}
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


def config(folder: Path) -> DictConfig:
    """The config.yaml of a run, in today's form. GanError if it cannot be read, or is not plain YAML."""
    file, version = folder / "config.yaml", run_facts.schema_version(folder)
    try:
        return OmegaConf.create(migrations.config(plain_yaml.load(file), version))
    except GanError as error:
        raise GanError(f"{file} is not a run's config: {str(error).removeprefix(str(file)).lstrip(', :')}") from error
    except (KeyError, TypeError, AttributeError, ValueError, OmegaConfBaseException) as error:
        raise GanError(f"{file} is not a run's config: {_first_line(error)}") from error


def read(folder: Path) -> Run:
    """The record of the run in `folder`. GanError if its config or its provenance cannot be read."""
    known = run_facts.read(folder)
    failed = failure(folder)
    try:
        settings = flat(OmegaConf.to_container(config(folder)))
    except GanError:
        if not failed:  # a run that failed early has no config
            raise
        settings = {}
    lines = list(logged(folder))
    overrides = known.get("overrides") or migrations.overrides(failed.get("overrides", []))
    return Run(
        folder, settings, _choices(known, overrides), overrides,
        done=max((line["iteration"] for line in lines), default=0),
        curves=_curves(lines),
        records=_records(folder),
        failure=failed["error"] if failed else None,
    )  # fmt: skip


def write_failure(folder: Path, status: int, text: str, overrides: Sequence[str], trace: str | None = None) -> None:
    """Write failure.json: exit status, error, overrides of the run, and the traceback of an unexpected error."""
    facts = {"status": status, "error": text, "overrides": list(overrides), "traceback": trace}
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / FAILURE, json.dumps(facts, indent=1) + "\n")


def failure(folder: Path) -> dict[str, Any]:
    """What failure.json holds of status, error and overrides; empty for a run that has not failed."""
    try:
        content = read_json(folder / FAILURE)
    except (OSError, ValueError):
        return {}
    if not isinstance(content, dict):
        return {}
    error = str(content.get("error", "no reason given"))
    return {"status": content.get("status"), "error": error, "overrides": _texts(content.get("overrides"))}


def logged(folder: Path) -> Iterator[dict[str, Any]]:
    """The records of metrics.jsonl: an iteration, and numbers by name. GanError if the file cannot be read."""
    return _lines(folder / "metrics.jsonl", _is_logged)


def _lines(path: Path, fits: Callable[[dict[str, Any]], bool]) -> Iterator[dict[str, Any]]:
    try:
        yield from json_lines(path, fits)
    except (OSError, ValueError) as error:
        raise GanError(f"{path} cannot be read: {_first_line(error)}") from error


def _is_logged(line: dict[str, Any]) -> bool:
    return _numbers(line.values()) and type(line.get("iteration")) is int and 0 <= line["iteration"] < LAST


def is_record(line: dict[str, Any]) -> bool:
    """Whether a line of evaluation.jsonl is a record of one metric."""
    values, protocol = line.get("values"), line.get("protocol", {})
    if not (isinstance(line.get("metric"), str) and isinstance(values, dict) and isinstance(protocol, dict)):
        return False
    numbers = [value for value in values.values() if value is not None]
    where = type(protocol.get("iteration", 0)) is int and isinstance(protocol.get("checkpoint", ""), str)
    better = line.get("better", {})
    return where and isinstance(better, dict) and {*map(str, better.values())} <= DIRECTIONS and _numbers(numbers)


def _numbers(values: Iterable[Any]) -> bool:
    return all(type(value) is float or (type(value) is int and abs(value) < 2**63) for value in values)


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
    for line in logged(folder):
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
            if "/" in name and "grad_norm" not in name and not name.startswith("learning_rate"):
                name = migrations.value(name)  # a run of an earlier version that was resumed has lines of both
                curves.setdefault(name, []).append((line["iteration"], float(value)))
    return curves


def _records(folder: Path) -> list[dict[str, Any]]:
    """The whole lines of evaluation.jsonl, with today's names of the metrics."""
    return list(map(migrations.record, _lines(folder / EVALUATIONS, is_record)))


def _choices(known: dict[str, Any], overrides: list[str]) -> dict[str, str]:
    """The choices of config groups; of a run that has not recorded them, those that were typed."""
    if known.get("choices"):
        return {str(group): str(choice) for group, choice in known["choices"].items()}
    groups = {path.name for path in conf_dir().iterdir() if path.is_dir()}
    typed = dict(text.lstrip("+").split("=", 1) for text in overrides if "=" in text)
    return {key: value for key, value in typed.items() if key.split("/")[0] in groups}


def _texts(values: Any) -> list[str]:
    return list(map(str, values)) if isinstance(values, list) else []


def by_number(name: str) -> tuple[float, str]:
    """Sort key for the runs of a sweep, which are called 0-..., 1-..., 10-..."""
    head = name.partition("-")[0]
    return (int(head) if head.isdecimal() else math.inf, name)


def _first_line(error: Exception) -> str:
    return getattr(error, "strerror", None) or (str(error).splitlines() or [one_line(error)])[0]
