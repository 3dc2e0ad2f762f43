"""What a paper claims, an entry of an experiment's `expect`, and how our runs stand beside it."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal

from gan_cli.training.run_history import base_name, samples, weights
from gan_cli.utils.errors import GanError, suggest
from gan_cli.utils.tables import number


@dataclass(frozen=True)
class PaperResult:
    """What a paper reports: an entry of an experiment's `expect`.

    metric: of conf/metric; value: one of its names, without `[extractor]`. spread: the paper's own, as `source` says.
    better: lower, higher, or null: as near as possible. tolerance: by how much ours may be worse. differs: what is
    not as in the paper. variant: of the experiment, where it has some. verified: false for a number that could not be
    checked against its source; docs/UNVERIFIED.md says why.
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

    def met(self, ours: float) -> bool:
        excess = {"lower": ours - self.paper, "higher": self.paper - ours, None: abs(ours - self.paper)}[self.better]
        return excess <= self.tolerance + 1e-9 * abs(self.paper)


@dataclass(frozen=True)
class Comparison:
    """A claim beside ours. values: seed -> value, of the seeds that were run to the end."""

    claim: PaperResult
    values: dict[int, float]
    verdict: str  # met, missed, not finished, not run

    @property
    def median(self) -> float | None:
        return statistics.median(self.values.values()) if self.values else None

    def mean(self) -> str:
        """`mean ± standard deviation` over the seeds, where there are two."""
        values = list(self.values.values())
        if len(values) < 2 or not all(map(math.isfinite, values)):
            return ""
        return f"{number(statistics.fmean(values))} ± {number(statistics.stdev(values))}"

    def name(self) -> str:
        """The value, after its variant."""
        return " ".join(filter(None, [self.claim.variant, self.claim.value]))

    def paper(self) -> str:
        spread = self.claim.spread
        return number(self.claim.paper) + (f" ± {number(spread)}" if spread is not None else "")


def claims(entries: Sequence[Any], where: str = "expect") -> list[PaperResult]:
    """The entries of an experiment's `expect`. GanError for one that is not of that form."""
    known = [field.name for field in fields(PaperResult)]
    found = []
    for index, entry in enumerate(entries):
        path = f"{where}[{index}]"
        if not isinstance(entry, dict):
            raise GanError(f"{path} must be a mapping with {', '.join(known[:4])}, not {entry!r}")
        for key in entry:
            if key not in known:
                raise GanError(f"no key '{path}.{key}'{suggest(str(key), known)}")
        missing = [key for key in known[:4] if entry.get(key) is None]
        if missing:
            raise GanError(f"{path}.{missing[0]} has no value")
        for key in ("paper", "spread", "tolerance"):
            if not isinstance(entry.get(key, 0.0), (int, float, type(None))):
                raise GanError(f"{path}.{key} must be a number, not {entry[key]!r}")
        if entry.get("better") not in ("lower", "higher", None):
            raise GanError(f"{path}.better must be lower, higher or null, not {entry['better']!r}")
        if not isinstance(entry.get("verified", True), bool):
            raise GanError(f"{path}.verified must be true or false, not {entry['verified']!r}")
        given = {key: value for key, value in entry.items() if value is not None}
        found.append(PaperResult(**given))
    return found


def comparisons(result: dict[str, Any]) -> list[Comparison]:
    """One for each claim of a result file."""
    found = []
    for claim in claims(result["expect"], f"{result['experiment']}: expect"):
        runs = [run for run in result["runs"] if run.get("variant") == claim.variant]
        values = final_values(runs, claim, result)
        median = statistics.median(values.values()) if values else math.nan
        verdict = "met" if claim.met(median) else "missed"
        if not values:
            verdict = "not finished" if runs else "not run"
        found.append(Comparison(claim, values, verdict))
    return found


def variant_table(result: dict[str, Any]) -> list[list[str]]:
    """A table of the experiment's variants, its head first: each value's median over the seeds that were run to the
    end, its range, and what has been published.
    """
    published = comparisons(result)
    records = [record for run in result["runs"] for record in run["evaluations"]]
    names = dict.fromkeys((record["metric"], base_name(value)) for record in records for value in record["values"])
    head = ["variant", "seeds"] + [text for _, value in names for text in (value, "published")]
    rows = []
    for variant in result["variants"]:
        runs = [run for run in result["runs"] if run.get("variant") == variant]
        cells, count = [], 0
        for metric, value in names:
            ours = list(final_values(runs, PaperResult(metric, value, math.nan, ""), result).values())
            count = max(count, len(ours))
            between = f" ({number(min(ours))} to {number(max(ours))})" if len(ours) > 1 else ""
            cells.append(f"{number(statistics.median(ours))}{between}" if ours else "")
            rivals = [row for row in published if (row.claim.variant, row.claim.value) == (variant, value)]
            cells.append(", ".join(f"{row.paper()} {row.claim.source.split()[0]}" for row in rivals))
        failed = sum(1 for run in runs if run.get("failed"))
        rows.append([variant, str(count) + (f", {failed} failed" if failed else ""), *cells])
    kept = [column for column in range(len(head)) if column < 2 or any(row[column] for row in rows)]
    return [[row[column] for column in kept] for row in [head, *rows]]


def final_values(runs: Sequence[dict[str, Any]], claim: PaperResult, result: dict[str, Any]) -> dict[int, float]:
    """Seed -> the claim's value, of the runs that have one."""
    values = {run["seed"]: final(run, claim, result) for run in runs}
    return {seed: value for seed, value in values.items() if value is not None}


def final(run: dict[str, Any], claim: PaperResult, result: dict[str, Any]) -> float | None:
    """The claim's value after the last iteration of a run by the experiment's settings; averaged weights before raw.

    null in a result file is a value that was not finite.
    """
    if run["iterations"] < result["iterations"] or run["differs"]:
        return None
    wanted = (result.get("evaluate") or {}).get("n")
    taken = [
        (samples(record) == wanted, weights(record) == "ema", at, math.nan if score is None else score)
        for at, record in enumerate(run["evaluations"])
        for value, score in record["values"].items()
        if record["metric"] == claim.metric and base_name(value) == claim.value
        and record["protocol"].get("iteration", 0) >= result["iterations"]
        and record["protocol"].get("checkpoint", "last") == "last"
    ]  # fmt: skip
    return max(taken)[-1] if taken else None
