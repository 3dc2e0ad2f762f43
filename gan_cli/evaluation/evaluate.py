"""`gan evaluate`: scores, each printed and recorded with the protocol by which it was computed."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch

from gan_cli.data.base import Dataset
from gan_cli.data.image_files import typed_window
from gan_cli.evaluation.image_sources import from_sources, read_source
from gan_cli.evaluation.parts import build_metrics, names_of
from gan_cli.evaluation.statistics import extractor_of, write_source
from gan_cli.inference.trained_run import TrainedRun
from gan_cli.metrics.base import EvaluationData, Metric, Samples
from gan_cli.metrics.classifier import Classifier
from gan_cli.metrics.extractors import Auto
from gan_cli.metrics.feature_cache import FeatureCache
from gan_cli.metrics.samples import from_model
from gan_cli.metrics.statistics import is_statistics
from gan_cli.systems.base import System
from gan_cli.training import build
from gan_cli.training.run_dir import provenance
from gan_cli.utils.errors import GanError, suggest
from gan_cli.utils.files import append_json, make_folder, writable

RECORDS = "evaluation.jsonl"
SAMPLES = 10_000
BETWEEN_SOURCES = ["fid", "kid", "prdc"]
FROM_STATISTICS = ["fid"]


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
    real: str | None = None,
    settings: Sequence[str] = (),
    device: str = "auto",
    allowed_modules: Sequence[str] = (),
) -> None:
    """Print metrics of conf/metric on `n` samples of a run and append them to RUN_DIR/evaluation.jsonl.

    metric, n, extractor: what the run's experiment asks for if omitted. real: a file of statistics in place of the real
    samples. settings: `metric.NAME.FIELD=VALUE` and `extractor.FIELD=VALUE`, after the experiment's own for these
    metrics, and `dataset.root=FOLDER`.
    """
    _check_count(n)
    if real and not is_statistics(real):
        raise GanError(f"real={real}: with a run directory, real= is a file of statistics, such as stats.npz")
    reference = read_source(real, "real") if real else None
    roots = [setting for setting in settings if setting.startswith("dataset.root=")]
    settings = [setting for setting in settings if setting not in roots]
    run = TrainedRun(
        run_dir, checkpoint=checkpoint, weights=weights, device=device, allowed_modules=allowed_modules,
        dataset_root=roots[-1].partition("=")[2] if roots else None,
    )  # fmt: skip
    asked = run.cfg.get("evaluate") or {}
    names = metric or list(FROM_STATISTICS if reference else asked.get("metric") or run.cfg.get("metric") or ())
    if not names:
        raise GanError(f"name the metrics: metric=NAME{suggest('', names_of('metric'))}")
    chosen = extractor or asked.get("extractor") or "auto"
    if reference:
        chosen = extractor_of([reference], extractor)
    # The experiment's settings of other metrics or of another extractor would be unknown keys.
    prefixes: tuple[str, ...] = ("extractor.",) if chosen == asked.get("extractor") else ()
    prefixes += tuple(f"metric.{name}." for name in names)
    own = [setting for setting in asked.get("settings") or () if setting.startswith(prefixes)]
    metrics, network = build_metrics(names, chosen, [*own, *settings], run.located.get("metric"), allowed_modules)
    if direction and not run.system.directions:
        raise GanError(f"direction={direction}: {run.name} does not translate; omit it")
    if direction and direction not in run.system.directions:
        raise GanError(f"direction={direction}{suggest(direction, run.system.directions)}")
    _check(metrics, run.system, run.data, [reference] if reference else [])
    data = from_model(
        run.system, run.data, n or asked.get("n") or SAMPLES, seed=seed, direction=direction, extractor=network,
        store=FeatureCache(), folder=run_dir / "evaluation",
    )  # fmt: skip
    if reference:
        data.train = data.test = reference
    facts = {"iteration": run.iteration, "checkpoint": checkpoint, "weights": run.weights,
             "data": run.data.fingerprint()}  # fmt: skip
    _score(metrics, data, facts, run_dir / RECORDS, lambda: run.test_mode(seed))


def evaluate_sources(
    *,
    real: str,
    fake: str | None = None,
    stats: str | None = None,
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
    """Score source `fake` against source `real` (see `from_sources`) and append the records to file `out`.

    stats: without `fake`, the file into which the statistics of `real` are written instead.
    """
    _check_count(n)
    if image_size is not None and image_size < 1:
        raise GanError(f"image_size={image_size}: an image needs at least one pixel")
    limits = typed_window(window)
    dataset_settings = [s.removeprefix("dataset.") for s in settings if s.startswith("dataset.")]
    others = [s for s in settings if not s.startswith("dataset.")]
    if fake is None or stats is not None:
        if fake is not None or stats is None or metric or out:
            raise GanError("stats=FILE.npz writes the statistics of real= alone: omit fake=, metric= and out=")
        network = build_metrics([], extractor or "auto", others, None, allowed_modules)[1]
        write_source(real, stats, network, n, dataset_settings, image_size, limits, build.device(device))
        return
    files = [read_source(name, key) for key, name in (("real", real), ("fake", fake)) if is_statistics(name)]
    chosen = extractor_of(files, extractor) if files else extractor or "auto"
    names = metric or (FROM_STATISTICS if files else BETWEEN_SOURCES)
    metrics, network = build_metrics(names, chosen, others, None, allowed_modules)
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
    _check(metrics, None, data.data, files)
    make_folder(records.parent)
    # Resolved, because `append_json` refuses links, and this one is the user's own.
    _score(metrics, data, {"real": real, "fake": fake}, records.resolve(), nullcontext)


def _check_count(n: int | None) -> None:
    if n is not None and n < 1:
        raise GanError(f"n={n}: ask for at least one sample")


def _check(
    metrics: Mapping[str, Metric], system: System | None, data: Dataset | None, files: Sequence[Samples] = ()
) -> None:
    """Raise GanError for a metric that cannot score the system, or not by `files` of statistics, before any work."""
    for name, metric in metrics.items():
        if files and not metric.uses_statistics:
            raise GanError(f"metric={name}: {files[0].split} holds no samples, only statistics of features: metric=fid")
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

    A metric that fails does not lose the others; the first failure is raised after them. Folders that nothing was
    written into are removed.
    """
    assert data.folder is not None
    make_folder(data.folder)
    data.shows_progress = True
    real, fake = ("the statistics" if s.statistics else f"{s.size:,}" for s in (data.train, data.generated))
    print(
        f"evaluating {', '.join(metrics)}: {fake}{'' if data.generated.statistics else ' samples'} of "
        f"'{data.generated.split}' against {real} of '{data.train.split}'",
        flush=True,
    )
    failures: dict[str, ValueError] = {}
    try:
        for name, metric in metrics.items():
            start = time.perf_counter()
            with mode(), torch.no_grad():
                try:
                    values = metric(data)
                except ValueError as error:
                    failures[name] = error
                    continue
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
        if failures:
            raise GanError("; ".join(f"metric={name}: {error}" for name, error in failures.items()))
    finally:
        for folder in (data.folder, records.parent):
            if not any(folder.iterdir()):
                folder.rmdir()


def _protocol(data: EvaluationData) -> dict[str, Any]:
    """The part of the protocol that `data` knows: how many samples of each kind were used, extractor, seed, device."""
    splits = (data.generated, data.train, data.validation, data.test)
    counts: dict[str, Any] = {s.split: s.used for s in splits if s and s.used}
    counts |= {s.split: f"statistics {s.statistics.hash[:12]}" for s in splits if s and s.statistics}
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
