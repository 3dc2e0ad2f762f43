"""Periodic evaluation during training, and tracking of the best checkpoint."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from gan_cli.metrics.base import Dataset, EvaluationData, Extractor, Features, FeatureStore, Metric
from gan_cli.metrics.samples import from_model
from gan_cli.systems.base import System, test_mode
from gan_cli.utils.errors import GanError, one_line, suggest

SEED = 0  # the default of `gan evaluate`, which repeats these scores with n=COUNT


class Validator:
    """Scores a model during training and remembers the best score.

    metrics: by name. count: number of samples to score. best_metric: the value that says which state is best, without
    `[extractor]`; None: the main value of the first metric. A value that two metrics have is called `metric/value`.
    GanError for a best_metric that no metric gives.

    best: {"name", "value", "iteration"} of the best score so far, saved in checkpoints; None before the first.
    """

    def __init__(
        self,
        metrics: Mapping[str, Metric],
        extractor: Extractor,
        count: int,
        best_metric: str | None = None,
        store: FeatureStore | None = None,
    ) -> None:
        self.metrics, self.extractor, self.count, self.store = metrics, _PreparedOnce(extractor), count, store
        for name, metric in metrics.items():
            if not isinstance(metric, Metric):
                raise GanError(f"metric.{name}: {type(metric).__name__} is not a gan_cli.metrics.base.Metric")
        uses = Counter(value for metric in metrics.values() for value in metric.better)
        self._shared = {value for value, number in uses.items() if number > 1}
        self._directions = {
            self._key(name, value): direction
            for name, metric in metrics.items() for value, direction in metric.better.items() if direction
        }  # fmt: skip
        self.best_metric = best_metric or next(iter(self._directions), None)
        if best_metric and best_metric not in self._directions:
            raise GanError(
                f"trainer.best_metric={best_metric}: none of the chosen metrics gives such a value"
                f"{suggest(best_metric, self._directions)}"
            )
        self.best: dict[str, Any] | None = None
        self._reported: set[str] = set()

    def check(self, system: System, data: Dataset) -> None:
        """GanError if a metric cannot score `system` on `data`."""
        for name, metric in self.metrics.items():
            try:
                metric.check(system, data)
            except ValueError as error:
                raise GanError(f"metric={name}: {one_line(error)}") from error

    def score(self, system: System, data: Dataset) -> tuple[dict[str, float], list[str]]:
        """The finite values by name, and warnings about metrics that failed, each reported once.

        Neither random numbers nor the state of the training change.
        """
        evaluation: EvaluationData | None = None
        values: dict[str, float] = {}
        problems = []
        for name, metric in self.metrics.items():
            try:
                with test_mode(system, SEED):
                    # One set of samples for all metrics; made here, because too few data are a metric's failure too.
                    evaluation = evaluation or from_model(
                        system, data, self.count, seed=SEED, extractor=self.extractor, store=self.store
                    )
                    values |= {self._key(name, value): number for value, number in metric(evaluation).items()}
            except (ValueError, OSError) as error:
                problems.append(f"warning: metric {name}: {one_line(error)}")
        new = [problem for problem in problems if problem not in self._reported]
        self._reported.update(new)
        return {name: value for name, value in values.items() if math.isfinite(value)}, new

    def is_best(self, iteration: int, values: Mapping[str, float]) -> bool:
        """Whether `values` hold a better score than `best`, which they then replace. Of equal scores the first stays.

        A score of another extractor replaces `best` always: the two cannot be compared.
        """
        for name, value in values.items():
            if self.best_metric and _without_extractor(name) == self.best_metric:
                sign = 1 if self._directions[self.best_metric] == "higher" else -1
                comparable = self.best is not None and self.best["name"] == name
                if not comparable or sign * value > sign * self.best["value"]:  # type: ignore[index]
                    self.best = {"name": name, "value": value, "iteration": iteration}
                    return True
        return False

    def _key(self, metric: str, value: str) -> str:
        return f"{metric}/{value}" if _without_extractor(value) in self._shared else value


class _PreparedOnce:
    """An extractor that the first evaluation prepares for all later ones."""

    name = hash = ""

    def __init__(self, extractor: Extractor) -> None:
        self._extractor, self._ready = extractor, False

    def prepare(self, data: Dataset | None, device: torch.device) -> None:
        if not self._ready:
            self._extractor.prepare(data, device)
            self.name, self.hash, self._ready = self._extractor.name, self._extractor.hash, True

    def __call__(self, images: Tensor) -> Features:
        return self._extractor(images)


def _without_extractor(name: str) -> str:
    """`FID[classifier:mnist:ab12]` -> `FID`."""
    return name.partition("[")[0]
