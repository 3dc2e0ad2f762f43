"""What papers report, the entries of an experiment's `expect`, compared with what our runs reach."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import combinations as pairs
from typing import Any, Literal

from gan_cli.training.run_history import base_name, samples, weights
from gan_cli.utils.errors import GanError, suggest
from gan_cli.utils.tables import number

RunRecord = Mapping[str, Any]
"""One run as a result file has it; see `reproduce`."""


@dataclass(frozen=True)
class PaperResult:
    """What a paper reports: an entry of an experiment's `expect`.

    metric: of conf/metric. value: one of its names, without `[extractor]`. paper: the number. spread: the paper's own,
    as `source` says. better: lower, higher, or None if ours should be as near as possible. tolerance: by how much ours
    may be worse. differs: what is not as in the paper. variant: of the experiment, if it has variants. verified: False
    for a number that could not be checked against its source; docs/UNVERIFIED.md says why. order: variants, the
    one with the highest value first; compared is the share of their pairs whose values have this order, ties half.
    """

    metric: str
    value: str
    paper: float
    source: str
    better: Literal["lower", "higher"] | None = None
    spread: float | None = None
    tolerance: float = 0.0
    differs: str = ""
    variant: str | None = None
    verified: bool = True
    order: list[str] | None = None

    def is_met(self, ours: float) -> bool:
        """Whether our number is as good as the paper's, within the tolerance."""
        worse = {"lower": ours - self.paper, "higher": self.paper - ours, None: abs(ours - self.paper)}[self.better]
        return worse <= self.tolerance + 1e-9 * abs(self.paper)


@dataclass(frozen=True)
class Comparison:
    """A published number and ours.

    id: EXPERIMENT/VARIANT/VALUE, with the paper's first word if two papers report the same value. values: seed ->
    value, of the seeds that were trained to the end.
    """

    id: str
    published: PaperResult
    values: dict[int, float]
    verdict: Literal["met", "missed", "not finished", "not run", "other settings"]

    @property
    def median(self) -> float | None:
        return statistics.median(self.values.values()) if self.values else None

    def mean(self) -> str:
        """`mean ± standard deviation` over the seeds; empty for fewer than two."""
        values = list(self.values.values())
        if len(values) < 2 or not all(map(math.isfinite, values)):
            return ""
        return f"{number(statistics.fmean(values))} ± {number(statistics.stdev(values))}"

    def name(self) -> str:
        """The name of the value, after that of the variant if there is one."""
        order = "order" if self.published.order else None
        return " ".join(filter(None, [self.published.variant, self.published.value, order]))

    def paper(self) -> str:
        """The paper's number with its spread."""
        spread = self.published.spread
        return number(self.published.paper) + (f" ± {number(spread)}" if spread is not None else "")


def parse_paper_results(entries: Iterable[object], where: str = "expect") -> list[PaperResult]:
    """The entries of an experiment's `expect`. Raises GanError, which names `where`, for one that is not valid."""
    return [_parse(entry, f"{where}[{index}]") for index, entry in enumerate(entries)]


def _parse(entry: object, path: str) -> PaperResult:
    known = [field.name for field in fields(PaperResult)]
    required = known[:4]
    if not isinstance(entry, dict):
        raise GanError(f"{path} must be a mapping with {', '.join(required)}, not {entry!r}")
    for key in entry:
        if key not in known:
            raise GanError(f"no key '{path}.{key}'{suggest(str(key), known)}")
    for key in required:
        if entry.get(key) is None:
            raise GanError(f"{path}.{key} has no value")
    for key in ("paper", "spread", "tolerance"):
        if not isinstance(entry.get(key, 0.0), (int, float, type(None))):
            raise GanError(f"{path}.{key} must be a number, not {entry[key]!r}")
    if entry.get("better") not in ("lower", "higher", None):
        raise GanError(f"{path}.better must be lower, higher or null, not {entry['better']!r}")
    if not isinstance(entry.get("verified", True), bool):
        raise GanError(f"{path}.verified must be true or false, not {entry['verified']!r}")
    order = entry.get("order")
    if order is not None and (isinstance(order, str) or not isinstance(order, Sequence) or len(set(order)) < 2):
        raise GanError(f"{path}.order must be a list of two variants or more, not {order!r}")
    return PaperResult(**{key: value for key, value in entry.items() if value is not None})


def comparisons(result: Mapping[str, Any]) -> list[Comparison]:
    """The published numbers in a result file, each compared with the runs of its variant."""
    rows = []
    parsed = parse_paper_results(result["expect"], f"{result['experiment']}: expect")
    for row_id, published in zip(_ids(result["experiment"], parsed), parsed):
        wanted: Sequence[str | None] = published.order if published.order else [published.variant]
        runs = [run for run in result["runs"] if run.get("variant") in wanted]
        if published.order:
            values = order_shares(runs, published, result)
        else:
            values = final_values(runs, published.metric, published.value, result)
        if values and result.get("changes"):  # the paper has no number for these settings
            rows.append(Comparison(row_id, published, values, "other settings"))
        elif values:
            median = statistics.median(values.values())
            rows.append(Comparison(row_id, published, values, "met" if published.is_met(median) else "missed"))
        else:
            rows.append(Comparison(row_id, published, values, "not finished" if runs else "not run"))
    return rows


def _ids(experiment: str, entries: Sequence[PaperResult]) -> list[str]:
    parts = [[experiment, entry.variant, entry.value, "order" if entry.order else None] for entry in entries]
    names = ["/".join(filter(None, part)) for part in parts]
    return [
        f"{name}/{entry.source.split()[0]}" if names.count(name) > 1 else name for name, entry in zip(names, entries)
    ]


def variant_table(result: Mapping[str, Any]) -> list[list[str]]:
    """A table of an experiment's variants, its head first.

    For each value: the median over the seeds that were trained to the end, its range, and what has been published.
    """
    published = comparisons(result)
    records = [record for run in result["runs"] for record in run["evaluations"]]
    names = dict.fromkeys((record["metric"], base_name(value)) for record in records for value in record["values"])
    head = ["variant", "seeds"] + [text for _, value in names for text in (value, "published")]
    rows = []
    for variant in result["variants"]:
        runs = [run for run in result["runs"] if run.get("variant") == variant]
        cells, seeds = [], 0
        for metric, value in names:
            ours = list(final_values(runs, metric, value, result).values())
            seeds = max(seeds, len(ours))
            values_range = f" ({number(min(ours))} to {number(max(ours))})" if len(ours) > 1 else ""
            cells.append(f"{number(statistics.median(ours))}{values_range}" if ours else "")
            others = [row for row in published if (row.published.variant, row.published.value) == (variant, value)]
            cells.append(", ".join(f"{row.paper()} {row.published.source.split()[0]}" for row in others))
        failed = sum(1 for run in runs if run.get("failed"))
        rows.append([variant, str(seeds) + (f", {failed} failed" if failed else ""), *cells])
    filled = [column for column in range(len(head)) if column < 2 or any(row[column] for row in rows)]
    return [[row[column] for column in filled] for row in [head, *rows]]


def final_values(runs: Sequence[RunRecord], metric: str, value: str, result: Mapping[str, Any]) -> dict[int, float]:
    """Seed -> final value of a metric, of the runs that have one."""
    values = {run["seed"]: final_value(run, metric, value, result) for run in runs}
    return {seed: score for seed, score in values.items() if score is not None}


def order_shares(runs: Sequence[RunRecord], published: PaperResult, result: Mapping[str, Any]) -> dict[int, float]:
    """Seed -> share of the pairs of `published.order` whose values have this order, of seeds that all variants have."""
    values = [
        final_values([run for run in runs if run["variant"] == variant], published.metric, published.value, result)
        for variant in published.order or []
    ]
    return {
        seed: statistics.fmean(1.0 if a[seed] > b[seed] else 0.5 * (a[seed] == b[seed]) for a, b in pairs(values, 2))
        for seed in sorted(set.intersection(*map(set, values)))
    }


def length(run: RunRecord, result: Mapping[str, Any]) -> int:
    """The iterations that the experiment, or the run's variant of it, prescribes."""
    return int(run.get("length", result["iterations"]))


def final_value(run: RunRecord, metric: str, value: str, result: Mapping[str, Any]) -> float | None:
    """A value after the last iteration of a run that has the experiment's settings, else None.

    Of several evaluations the one with the experiment's number of samples counts, then the one of averaged weights,
    then the latest. A score that was not finite is null in a result file.
    """
    if run["iterations"] < length(run, result) or run["differs"]:
        return None
    wanted = (result.get("evaluate") or {}).get("n")
    candidates = [
        (samples(record) == wanted, weights(record) == "ema", index, math.nan if score is None else score)
        for index, record in enumerate(run["evaluations"])
        for name, score in record["values"].items()
        if record["metric"] == metric and base_name(name) == value
        and record["protocol"].get("iteration", 0) >= length(run, result)
        and record["protocol"].get("checkpoint", "last") == "last"
    ]  # fmt: skip
    return max(candidates)[-1] if candidates else None
