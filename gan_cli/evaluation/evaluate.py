"""Scores, each with the protocol that it was taken by."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf

from gan_cli.config import schema
from gan_cli.config.paths import conf_dir
from gan_cli.config.resume_overrides import change
from gan_cli.evaluation import image_sources
from gan_cli.inference.trained_run import TrainedRun
from gan_cli.metrics.base import EvaluationData, Extractor, Metric
from gan_cli.metrics.feature_cache import FeatureCache
from gan_cli.metrics.samples import from_model
from gan_cli.training import build
from gan_cli.training.run_dir import now, provenance
from gan_cli.utils.errors import GanError, suggest
from gan_cli.utils.files import writable

RECORDS = "evaluation.jsonl"
SAMPLES = 10_000
BETWEEN_SOURCES = ["fid", "kid", "prdc"]


def evaluate(
    run_dir: Path,
    *,
    metric: list[str] | None = None,
    n: int | None = None,
    seed: int = 0,
    checkpoint: str = "last",
    weights: str = "auto",
    direction: str | None = None,
    extractor: str | None = None,
    settings: Sequence[str] = (),
    device: str = "auto",
    allowed_modules: Sequence[str] = (),
) -> None:
    """Print each metric of conf/metric on `n` samples of a run and append it to RUN_DIR/evaluation.jsonl.

    metric, n, extractor: what the run's experiment asks for if left out. settings: `metric.NAME.FIELD=VALUE` and
    `extractor.FIELD=VALUE`, after the experiment's own for these metrics.
    """
    if n is not None and n < 1:
        raise GanError(f"n={n}: ask for at least one sample")
    run = TrainedRun(run_dir, checkpoint=checkpoint, weights=weights, device=device, allowed_modules=allowed_modules)
    asked = run.cfg.get("evaluate") or {}
    names = metric or list(asked.get("metric") or []) or list(run.cfg.get("metric") or {})
    if not names:
        raise GanError(f"name the scores to take: metric=NAME{suggest('', _names('metric'))}")
    n = n or asked.get("n") or SAMPLES
    through_whom = extractor or asked.get("extractor") or "auto"
    fitting: tuple[str, ...] = ("extractor.",) if through_whom == asked.get("extractor") else ()
    fitting += tuple(f"metric.{name}." for name in names)
    own = [setting for setting in asked.get("settings") or () if setting.startswith(fitting)]
    metrics, through = parts(names, through_whom, [*own, *settings], run.cfg.get("metric"), allowed_modules)
    if direction and not run.system.directions:
        raise GanError(f"direction={direction}: {type(run.system).__name__} does not translate; leave it out")
    if direction and direction not in run.system.directions:
        raise GanError(f"direction={direction}{suggest(direction, run.system.directions)}")
    for name, one in metrics.items():
        _check(name, one, run.system, run.data)
    folder = run_dir / "evaluation"
    evidence = from_model(
        run.system, run.data, n, seed=seed, direction=direction, extractor=through, store=FeatureCache(), folder=folder
    )
    facts = {"iteration": run.iteration, "checkpoint": checkpoint, "weights": run.weights,
             "data": run.data.fingerprint()}  # fmt: skip
    _score(metrics, evidence, facts, run_dir / RECORDS, lambda: run.test_mode(seed))


def evaluate_sources(
    *,
    real: str,
    fake: str,
    metric: list[str] | None = None,
    n: int | None = None,
    seed: int = 0,
    image_size: int | None = None,
    extractor: str | None = None,
    settings: Sequence[str] = (),
    out: str | None = None,
    device: str = "auto",
    allowed_modules: Sequence[str] = (),
) -> None:
    """Score source `fake` against source `real` (`sources.of_sources`); append the records to file `out`."""
    if n is not None and n < 1:
        raise GanError(f"n={n}: ask for at least one sample")
    if image_size is not None and image_size < 1:
        raise GanError(f"image_size={image_size}: a picture needs at least one pixel")
    dataset_changes = [s.removeprefix("dataset.") for s in settings if s.startswith("dataset.")]
    others = [s for s in settings if not s.startswith("dataset.")]
    metrics, through = parts(metric or BETWEEN_SOURCES, extractor or "auto", others, None, allowed_modules)
    record = Path(out) if out else Path("outputs") / RECORDS
    if record.is_dir():
        raise GanError(f"out={record} is a folder; name a file, such as out={record / RECORDS}")
    writable(record.parent, f"out={record}")
    try:
        evidence = image_sources.of_sources(
            real, fake, n=n, changes=dataset_changes, seed=seed, image_size=image_size,
            device=build.device(device), extractor=through, store=FeatureCache(), folder=record.parent / "evaluation",
        )  # fmt: skip
    except ValueError as error:
        raise GanError(str(error)) from error
    for name, one in metrics.items():
        _check(name, one, None, evidence.data)
    record.parent.mkdir(parents=True, exist_ok=True)
    _score(metrics, evidence, {"real": real, "fake": fake}, record, nullcontext)


def parts(
    names: Sequence[str],
    extractor: str,
    settings: Sequence[str],
    configured: DictConfig | None = None,
    allowed_modules: Sequence[str] = (),
) -> tuple[dict[str, Metric], Extractor]:
    """The metrics `names` and the extractor, built from conf/, or from the run's own config where it has them."""
    nodes: dict[str, Any] = {}
    for name in names:
        nodes[name] = configured[name] if configured and name in configured else _load("metric", name)
    cfg = OmegaConf.create({"metric": nodes, "extractor": _load("extractor", extractor)})
    OmegaConf.set_struct(cfg, True)
    for setting in settings:
        change(cfg, setting)
    for name in names:
        schema.check_node(f"metric.{name}", cfg.metric[name], allowed_modules)
    schema.check_node("extractor", cfg.extractor, allowed_modules)
    built = {name: build.part(cfg.metric[name], f"metric.{name}") for name in names}
    return built, build.part(cfg.extractor, "extractor")


def _load(group: str, name: str) -> Any:
    if name not in _names(group):
        raise GanError(f"no {group} '{name}'{suggest(name, _names(group))}")
    return OmegaConf.load(conf_dir() / group / f"{name}.yaml")


def _names(group: str) -> list[str]:
    return sorted(path.stem for path in (conf_dir() / group).glob("*.yaml"))


def _check(name: str, metric: Metric, system: Any, data: Any) -> None:
    try:
        metric.check(system, data)
    except ValueError as error:
        raise GanError(f"metric={name}: {error}") from error


def _score(
    metrics: dict[str, Metric], evidence: EvaluationData, facts: dict[str, Any], records: Path, mode: Any
) -> None:
    """Each metric in turn: printed and appended to `records` as soon as it is there."""
    assert evidence.folder is not None
    evidence.folder.mkdir(parents=True, exist_ok=True)
    try:
        for name, metric in metrics.items():
            start = time.perf_counter()
            inside: AbstractContextManager[Any] = mode()
            with inside, torch.no_grad():
                try:
                    values = metric(evidence)
                except ValueError as error:
                    raise GanError(f"metric={name}: {error}") from error
            protocol = facts | counts(evidence)
            print(line(name, values, protocol), flush=True)
            software = provenance()
            _append(
                records,
                {
                    "metric": name,
                    "values": values,
                    "better": {key: way for key, way in metric.better.items() if way},
                    "protocol": protocol,
                    "settings": _settings(metric),
                    "seconds": round(time.perf_counter() - start, 2),
                    **{key: software[key] for key in ("time", "command", "versions", "git", "machine")},
                },
            )
    finally:
        for folder in (evidence.folder, records.parent):  # what nothing was written into
            if not any(folder.iterdir()):
                folder.rmdir()


def counts(evidence: EvaluationData) -> dict[str, Any]:
    """Of a protocol: how many samples of each kind have been looked at, through what, the seed and the device."""
    seen = {s.split: s.used for s in (evidence.generated, evidence.train, evidence.test) if s.used}
    through = evidence.extractor_used
    network: dict[str, Any] = {"extractor": f"{through.name}:{through.hash[:12]}"} if through else {}
    accuracy = getattr(through, "record", {}).get("accuracy")
    if accuracy is not None:
        network["extractor_accuracy"] = accuracy
    return {**seen, **network, "seed": evidence.seed, "device": str(evidence.device)}


def line(name: str, values: dict[str, float], protocol: dict[str, Any]) -> str:
    """One metric as it is printed."""
    shown = "  ".join(f"{key} {value:.4f}" for key, value in values.items())
    return f"{name}: {shown}  (" + ", ".join(f"{key} {value}" for key, value in protocol.items()) + ")"


def _settings(metric: Metric) -> dict[str, Any]:
    return {key: value for key, value in vars(metric).items() if not key.startswith("_")}


def _append(records: Path, record: dict[str, Any]) -> None:
    with open(records, "a") as file:
        file.write(json.dumps(record, default=str) + "\n")


__all__ = ["RECORDS", "counts", "evaluate", "evaluate_sources", "line", "now", "parts"]
