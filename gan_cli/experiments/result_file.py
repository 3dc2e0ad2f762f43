"""Result files, docs/results/EXPERIMENT.json: the runs of an experiment, their scores, and the published numbers.

Scores that were not finite are null, and nothing names a folder of the machine that trained.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gan_cli.config import migrations
from gan_cli.experiments.experiment import Experiment, compose_experiment, diff_settings, key_of, variants_of
from gan_cli.training import run_history
from gan_cli.training.run_dir import now
from gan_cli.utils.errors import GanError, one_line
from gan_cli.utils.files import read_json, write_text

CURVE_POINTS = 50  # of a score in a result file, at most
RUN: dict[str, tuple[Any, object]] = {  # key -> kind, and what it is if it is missing; None must be there
    "seed": (int, None), "iterations": (int, None), "differs": (dict, None), "command": (str, None),
    "evaluations": (list, None), "versions": (dict, None), "machine": (dict, None), "date": (str, None),
    "variant": (str, ""), "length": (int, 0), "curves": (dict, {}), "git": ((str, type(None)), ""),
    "failed": ((str, type(None)), ""), "training_seconds": ((int, float, type(None)), 0),
}  # fmt: skip


def is_name(text: object) -> bool:
    """Whether a text of a file may be part of a file name."""
    return isinstance(text, str) and re.fullmatch(r"\w[\w-]*", text) is not None


def load(path: Path) -> dict[str, Any]:
    """A result file, in today's words. GanError for any other file."""
    try:
        result = read_json(path)
        if not {"experiment", "title", "iterations", "commands", "expect", "runs"} <= set(result):
            raise ValueError("keys are missing")
        if not is_name(result["experiment"]):  # it becomes a file name
            raise ValueError("its experiment is no name")
        for run in result["runs"]:
            # What a run of an earlier version lacks takes the default.
            wrong = [key for key, (kind, default) in RUN.items() if not isinstance(run.get(key, default), kind)]
            if wrong or not all(map(run_history.is_record, run["evaluations"])):
                raise ValueError(f"a run's {', '.join(wrong) or 'evaluations'} cannot be read")
            run["evaluations"] = list(map(migrations.record, run["evaluations"]))
            run["command"] = " ".join(migrations.overrides(run["command"].split(" ")))
        return {**result, "expect": list(map(migrations.record, result["expect"]))}
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise GanError(f"{path} is not a result file: {one_line(error)}") from error


def record(name: str, run_dirs: Sequence[Path], out: Path, variant: str | None = None) -> dict[str, Any]:
    """Write existing runs of an experiment, with their evaluation.jsonl, to NAME.json in folder `out`.

    Without runs: the published numbers alone. Returns what the file holds.
    """
    experiment = compose_experiment(name, (), variant)
    return write(compose_experiment(name, ()), dict.fromkeys(run_dirs, experiment), out)


def write(experiment: Experiment, done: Mapping[Path, Experiment], out: Path) -> dict[str, Any]:
    """Write the result file of an experiment into folder `out`, and return what it holds.

    done: run directory -> the experiment or the variant that it is of. Other runs that the file holds stay.
    """
    path = out / f"{experiment.name}.json"
    runs = {_variant_and_seed(run): run for run in (load(path)["runs"] if path.exists() else [])}
    for folder, one in done.items():
        entry = _entry(one, folder)
        runs[_variant_and_seed(entry)] = entry
    words = " ".join(_portable(change) for change in experiment.changes)
    options = [f"{key}={value}" for key, value in experiment.evaluate.items() if key not in ("metric", "settings")]
    options += experiment.evaluate.get("settings", [])
    variants = list(variants_of(experiment.name, experiment.changes))
    changed = [_portable(change) for change in experiment.changed_settings()]
    result = {
        "experiment": experiment.name,
        "title": experiment.title,
        "commands": [
            f"gan train experiment={experiment.name} seed=SEED {words}".strip(),
            " ".join([f"gan evaluate RUN_DIR metric={','.join(experiment.metrics())}", *options]),
        ],
        "iterations": experiment.iterations,
        **({"changes": changed} if changed else {}),
        "evaluate": experiment.evaluate,
        "expect": experiment.expect,
        **({"variants": variants} if variants else {}),
        "runs": [runs[key] for key in sorted(runs)],
    }
    out.mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps(result, indent=1) + "\n")
    return result


def check_settings(experiment: Experiment, out: Path) -> None:
    """Raise GanError if folder `out` holds a result file of the experiment with other changed settings."""
    path = out / f"{experiment.name}.json"
    changed = [_portable(change) for change in experiment.changed_settings()]
    if path.exists() and (recorded := load(path).get("changes", [])) != changed:
        raise GanError(
            f"{path} holds results with {', '.join(map(str, recorded)) or 'no changed settings'}, not with "
            f"{', '.join(changed) or 'those of the experiment itself'}: name another folder by out="
        )


def _variant_and_seed(run: Mapping[str, Any]) -> tuple[str, int]:
    return run.get("variant", ""), run["seed"]


def _entry(experiment: Experiment, folder: Path) -> dict[str, Any]:
    """What a result file keeps of one run; nothing that names a folder of this machine."""
    run = run_history.read(folder)
    facts: Any = json.loads((folder / "provenance.json").read_text())
    words = run.overrides or facts.get("command", [])[2:]  # after `gan train`
    typed = [_portable(word) for word in words if not key_of(word).startswith(("hydra.", "seed"))]
    seed = run.settings["seed"]
    device, machine = facts.get("device", {}), facts.get("machine", {})
    return {
        **({"variant": experiment.variant} if experiment.variant else {}),
        "seed": seed,
        "iterations": run.done,
        "length": experiment.iterations,
        "differs": {key: list(pair) for key, pair in diff_settings(run.settings, experiment.settings).items()},
        "failed": run.failure,
        "command": " ".join(["gan train", *typed, f"seed={seed}"]),
        "training_seconds": _rounded(run_history.training_seconds(folder, run.settings["trainer.batch_size"])),
        "date": str(facts.get("time", now()))[:10],
        "git": facts.get("git"),
        "versions": {name: facts.get("versions", {}).get(name) for name in ("python", "torch", "gan-cli")},
        "machine": {"device": device.get("name"), "cores": machine.get("cores"), "threads": device.get("threads")},
        "evaluations": _evaluations(run.records),
        **({"curves": curves} if (curves := _curves(run.curves)) else {}),
    }


def _curves(curves: Mapping[str, Sequence[tuple[int, float]]]) -> dict[str, list[list[float | None]]]:
    """Scores taken during training, `metric/modes` -> [[iteration, value], ...]; of a long curve every n-th point."""
    kept = {}
    for name, points in curves.items():
        if name.startswith(run_history.SCORE):
            step = -(-len(points) // CURVE_POINTS)
            chosen = points[(len(points) - 1) % step :: step]  # the last one always
            kept[name.removeprefix(run_history.SCORE)] = [[iteration, _rounded(value)] for iteration, value in chosen]
    return kept


def _evaluations(records: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The latest record of each metric and protocol."""
    latest: dict[tuple[Any, ...], dict[str, Any]] = {}
    for record in records:
        protocol = record.get("protocol", {})
        names = ("iteration", "checkpoint", "weights", "seed")
        key = (record["metric"], run_history.samples(record), *(protocol.get(name) for name in names))
        values = {name: _rounded(value) for name, value in record["values"].items()}
        settings = {"settings": record["settings"]} if record.get("settings") else {}
        latest[key] = {"metric": record["metric"], "values": values, "protocol": protocol, **settings}
    return list(latest.values())


def _portable(override: str) -> str:
    """An override whose value is a path of this machine, with FOLDER in its place."""
    key, equals, value = override.partition("=")
    return f"{key}=FOLDER" if equals and value.strip("'\"").startswith(("/", "~")) else override


def _rounded(value: float | None) -> float | None:
    """Six significant digits; None for NaN and infinity, which JSON lacks."""
    if not isinstance(value, float):
        return value
    return float(f"{value:.6g}") if math.isfinite(value) else None
