"""`gan evaluate`: scores, each printed and recorded with the protocol by which it was computed."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf

from gan_cli.config import schema
from gan_cli.config.paths import conf_dir
from gan_cli.config.resume_overrides import change
from gan_cli.data.base import Dataset
from gan_cli.data.image_files import typed_window
from gan_cli.evaluation.image_sources import from_sources
from gan_cli.inference.trained_run import TrainedRun
from gan_cli.metrics.base import EvaluationData, Extractor, Metric
from gan_cli.metrics.classifier import Classifier
from gan_cli.metrics.extractors import Auto
from gan_cli.metrics.feature_cache import FeatureCache
from gan_cli.metrics.samples import from_model
from gan_cli.systems.base import System
from gan_cli.training import build
from gan_cli.training.run_dir import provenance
from gan_cli.utils.errors import GanError, suggest
from gan_cli.utils.files import append_json, make_folder, writable

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
    """Print metrics of conf/metric on `n` samples of a run and append them to RUN_DIR/evaluation.jsonl.

    metric, n, extractor: what the run's experiment asks for if omitted. settings: `metric.NAME.FIELD=VALUE` and
    `extractor.FIELD=VALUE`, after the experiment's own for these metrics, and `dataset.root=FOLDER`.
    """
    _check_count(n)
    roots = [setting for setting in settings if setting.startswith("dataset.root=")]
    settings = [setting for setting in settings if setting not in roots]
    run = TrainedRun(
        run_dir, checkpoint=checkpoint, weights=weights, device=device, allowed_modules=allowed_modules,
        dataset_root=roots[-1].partition("=")[2] if roots else None,
    )  # fmt: skip
    asked = run.cfg.get("evaluate") or {}
    names = metric or list(asked.get("metric") or []) or list(run.cfg.get("metric") or {})
    if not names:
        raise GanError(f"name the metrics: metric=NAME{suggest('', _names('metric'))}")
    chosen = extractor or asked.get("extractor") or "auto"
    # The experiment's settings of other metrics or of another extractor would be unknown keys.
    prefixes: tuple[str, ...] = ("extractor.",) if chosen == asked.get("extractor") else ()
    prefixes += tuple(f"metric.{name}." for name in names)
    own = [setting for setting in asked.get("settings") or () if setting.startswith(prefixes)]
    metrics, network = build_metrics(names, chosen, [*own, *settings], run.located.get("metric"), allowed_modules)
    if direction and not run.system.directions:
        raise GanError(f"direction={direction}: {run.name} does not translate; omit it")
    if direction and direction not in run.system.directions:
        raise GanError(f"direction={direction}{suggest(direction, run.system.directions)}")
    _check(metrics, run.system, run.data)
    data = from_model(
        run.system, run.data, n or asked.get("n") or SAMPLES, seed=seed, direction=direction, extractor=network,
        store=FeatureCache(), folder=run_dir / "evaluation",
    )  # fmt: skip
    facts = {"iteration": run.iteration, "checkpoint": checkpoint, "weights": run.weights,
             "data": run.data.fingerprint()}  # fmt: skip
    _score(metrics, data, facts, run_dir / RECORDS, lambda: run.test_mode(seed))


def evaluate_sources(
    *,
    real: str,
    fake: str,
    metric: list[str] | None = None,
    n: int | None = None,
    seed: int = 0,
    image_size: int | None = None,
    window: Sequence[str] | None = None,
    extractor: str | None = None,
    settings: Sequence[str] = (),
    out: str | None = None,
    device: str = "auto",
    allowed_modules: Sequence[str] = (),
) -> None:
    """Score source `fake` against source `real` (see `from_sources`) and append the records to file `out`."""
    _check_count(n)
    if image_size is not None and image_size < 1:
        raise GanError(f"image_size={image_size}: an image needs at least one pixel")
    limits = typed_window(window)
    dataset_settings = [s.removeprefix("dataset.") for s in settings if s.startswith("dataset.")]
    others = [s for s in settings if not s.startswith("dataset.")]
    metrics, network = build_metrics(metric or BETWEEN_SOURCES, extractor or "auto", others, None, allowed_modules)
    records = Path(out) if out else Path("outputs") / RECORDS
    if records.is_dir():
        raise GanError(f"out={records} is a folder; name a file, such as out={records / RECORDS}")
    writable(records.parent, f"out={records}")
    try:
        data = from_sources(
            real, fake, n=n, settings=dataset_settings, seed=seed, image_size=image_size, window=limits,
            device=build.device(device), extractor=network, store=FeatureCache(), folder=records.parent / "evaluation",
        )  # fmt: skip
    except ValueError as error:
        raise GanError(str(error)) from error
    _check(metrics, None, data.data)
    make_folder(records.parent)
    # Resolved, because `append_json` refuses links, and this one is the user's own.
    _score(metrics, data, {"real": real, "fake": fake}, records.resolve(), nullcontext)


def build_metrics(
    names: Sequence[str],
    extractor: str,
    settings: Sequence[str],
    configured: DictConfig | None = None,
    allowed_modules: Sequence[str] = (),
) -> tuple[dict[str, Metric], Extractor]:
    """Build the metrics `names` and an extractor from conf/, changed by `settings`.

    configured: nodes of a run's own config, which are used instead of those of conf/metric. Raises GanError.
    """
    nodes = {name: configured[name] if configured and name in configured else _load("metric", name) for name in names}
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


def _check_count(n: int | None) -> None:
    if n is not None and n < 1:
        raise GanError(f"n={n}: ask for at least one sample")


def _check(metrics: Mapping[str, Metric], system: System | None, data: Dataset | None) -> None:
    """Raise GanError for a metric that cannot score the system, before any work is done."""
    for name, metric in metrics.items():
        try:
            metric.check(system, data)
        except ValueError as error:
            raise GanError(f"metric={name}: {error}") from error


def _score(
    metrics: Mapping[str, Metric],
    data: EvaluationData,
    facts: dict[str, Any],
    records: Path,
    mode: Callable[[], AbstractContextManager[object]],
) -> None:
    """Compute, print and append to `records` one metric after the other. mode: makes the context for one metric.

    A metric that fails does not lose the ones before it. Folders that nothing was written into are removed.
    """
    assert data.folder is not None
    make_folder(data.folder)
    data.shows_progress = True
    real = data.train
    print(
        f"evaluating {', '.join(metrics)}: {data.generated.size:,} samples of '{data.generated.split}' against "
        f"{real.size:,} of '{real.split}'",
        flush=True,
    )
    try:
        for name, metric in metrics.items():
            start = time.perf_counter()
            with mode(), torch.no_grad():
                try:
                    values = metric(data)
                except ValueError as error:
                    raise GanError(f"metric={name}: {error}") from error
            seconds = round(time.perf_counter() - start, 2)
            protocol = facts | _protocol(data)
            print(_line(name, values, protocol), flush=True)
            software = provenance()
            record = {
                "metric": name,
                "values": values,
                "better": {key: direction for key, direction in metric.better.items() if direction},
                "protocol": protocol,
                "settings": {key: value for key, value in vars(metric).items() if not key.startswith("_")},
                "seconds": seconds,
                **{key: software[key] for key in ("time", "command", "versions", "git", "machine")},
            }
            append_json(records, record)
    finally:
        for folder in (data.folder, records.parent):
            if not any(folder.iterdir()):
                folder.rmdir()


def _protocol(data: EvaluationData) -> dict[str, Any]:
    """The part of the protocol that `data` knows: how many samples of each kind were used, extractor, seed, device."""
    splits = (data.generated, data.train, data.validation, data.test)
    counts = {s.split: s.used for s in splits if s and s.used}
    extractor, network = data.extractor_used, {}
    if extractor:
        network = {"extractor": f"{extractor.name}:{extractor.hash[:12]}"}
        if isinstance(extractor, (Auto, Classifier)) and "accuracy" in extractor.record:
            network["extractor_accuracy"] = extractor.record["accuracy"]
    return {**counts, **network, "seed": data.seed, "device": str(data.device)}


def _line(name: str, values: Mapping[str, float], protocol: Mapping[str, Any]) -> str:
    numbers = {key: "not defined" if math.isnan(value) else f"{value:.4f}" for key, value in values.items()}
    shown = "  ".join(f"{key} {number}" for key, number in numbers.items())
    return f"{name}: {shown}  (" + ", ".join(f"{key} {value}" for key, value in protocol.items()) + ")"
