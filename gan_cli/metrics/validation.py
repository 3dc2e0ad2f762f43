"""Scores while a run trains, and which of them was the best."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from gan_cli.data.base import Dataset
from gan_cli.metrics.base import EvaluationData, Extractor, Features, FeatureStore, Metric
from gan_cli.metrics.samples import from_model
from gan_cli.systems.base import System, test_mode
from gan_cli.utils.errors import GanError, one_line, suggest

SEED = 0  # as of `gan evaluate`, which repeats these scores with n=COUNT


class Validator:
    """metrics: by name. count: samples to score. best_metric: the value that says which state is best, without
    `[extractor]`; None: the first metric's main one. A value that two metrics have is called `metric/value`.

    best: {"name", "value", "iteration"} of the best score so far, a part of checkpoints; None before the first.
    GanError for a best_metric that no metric gives.
    """

    def __init__(
        self,
        metrics: Mapping[str, Metric],
        extractor: Extractor,
        count: int,
        best_metric: str | None = None,
        store: FeatureStore | None = None,
    ) -> None:
        self.metrics, self.extractor, self.count, self.store = metrics, _Once(extractor), count, store
        for name, metric in metrics.items():
            if not isinstance(metric, Metric):
                raise GanError(f"metric.{name}: {type(metric).__name__} is not a gan_cli.metrics.base.Metric")
        times = Counter(value for metric in metrics.values() for value in metric.better)
        self._shared = {value for value, number in times.items() if number > 1}
        ways = {self._key(name, value): way for name, metric in metrics.items() for value, way in metric.better.items()}
        self._ways = {value: way for value, way in ways.items() if way}
        self.best_metric = best_metric or next(iter(self._ways), None)
        if best_metric and best_metric not in self._ways:
            raise GanError(
                f"trainer.best_metric={best_metric}: no metric that is chosen gives such a value"
                f"{suggest(best_metric, self._ways)}"
            )
        self.best: dict[str, Any] | None = None
        self._said: set[str] = set()

    def check(self, system: System, data: Dataset) -> None:
        """GanError if a metric cannot score `game` on `data`."""
        for name, metric in self.metrics.items():
            try:
                metric.check(system, data)
            except ValueError as error:
                raise GanError(f"metric={name}: {one_line(error)}") from error

    def score(self, system: System, data: Dataset) -> tuple[dict[str, float], list[str]]:
        """Values by name, without those that are not finite, and warnings about what could not be scored, each once.
        Training is not touched."""
        evidence: EvaluationData | None = None
        values: dict[str, float] = {}
        problems = []
        for name, metric in self.metrics.items():
            try:
                with test_mode(system, SEED):
                    evidence = evidence or from_model(
                        system, data, self.count, seed=SEED, extractor=self.extractor, store=self.store
                    )
                    values |= {self._key(name, value): number for value, number in metric(evidence).items()}
            except (ValueError, OSError) as error:
                problems.append(f"warning: metric {name}: {one_line(error)}")
        new = [problem for problem in problems if problem not in self._said]
        self._said.update(new)
        return {name: value for name, value in values.items() if math.isfinite(value)}, new

    def is_best(self, iteration: int, values: Mapping[str, float]) -> bool:
        """Whether `values` hold a better score than `best`, which it then becomes. Of equal ones the first stays."""
        for name, value in values.items():
            if self.best_metric and _plain(name) == self.best_metric:
                sign = 1 if self._ways[self.best_metric] == "higher" else -1
                known = self.best is not None and self.best["name"] == name
                if not known or sign * value > sign * self.best["value"]:  # type: ignore[index]
                    self.best = {"name": name, "value": value, "iteration": iteration}
                    return True
        return False

    def _key(self, metric: str, value: str) -> str:
        return f"{metric}/{value}" if _plain(value) in self._shared else value


class _Once:
    """An extractor that the first evaluation makes ready for all."""

    name = hash = ""

    def __init__(self, extractor: Extractor) -> None:
        self._extractor, self._ready = extractor, False

    def prepare(self, data: Any, device: torch.device) -> None:
        if not self._ready:
            self._extractor.prepare(data, device)
            self.name, self.hash, self._ready = self._extractor.name, self._extractor.hash, True

    def __call__(self, images: Tensor) -> Features:
        return self._extractor(images)


def _plain(name: str) -> str:
    """`FID[classifier:mnist:ab12]` -> `FID`."""
    return name.partition("[")[0]
