"""Paper against ours: the rows of a result file, and docs/REPRODUCTION.md rebuilt from all of them.

`python -m gan_cli.ledger` (make reproduction) rebuilds the page. A result file, docs/results/EXPERIMENT.json, is what
`gan reproduce EXPERIMENT` or `reproduce.record` writes; EXPERIMENT.md beside it is quoted after its table, and about.md
after the overview.
"""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

from gan_cli.errors import GanError, suggest
from gan_cli.journal import base_name, number, samples, weights

RESULTS, PAGE = Path("docs/results"), Path("docs/REPRODUCTION.md")
HEAD = """\
<!-- Built by `make reproduction` from docs/results; edit the files there. -->
# Paper against ours

A row is **met** when the median over the seeds that were run to the end is as good as the paper's number, or worse by
no more than the row's tolerance; else it is **missed**. Runs that stopped early count for nothing, but are shown.
"""


@dataclass(frozen=True)
class Claim:
    """What a paper reports: an entry of an experiment's `expect`.

    metric: of conf/metric; value: one of its names, without `[extractor]`. spread: the paper's own, as `source` says.
    better: lower, higher, or null: as near as possible. tolerance: by how much ours may be worse. differs: what is
    not as in the paper.
    """

    metric: str
    value: str
    paper: float
    source: str
    better: Literal["lower", "higher"] | None = None
    spread: float | None = None
    tolerance: float = 0.0
    differs: str = ""

    def met(self, ours: float) -> bool:
        excess = {"lower": ours - self.paper, "higher": self.paper - ours, None: abs(ours - self.paper)}[self.better]
        return excess <= self.tolerance + 1e-9 * abs(self.paper)


@dataclass(frozen=True)
class Standing:
    """A claim beside ours. values: seed -> value, of the seeds that were run to the end."""

    claim: Claim
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

    def paper(self) -> str:
        spread = self.claim.spread
        return number(self.claim.paper) + (f" ± {number(spread)}" if spread is not None else "")


def claims(entries: Sequence[Any], where: str = "expect") -> list[Claim]:
    """The entries of an experiment's `expect`. GanError for one that is not of that form."""
    known = [field.name for field in fields(Claim)]
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
        given = {key: value for key, value in entry.items() if value is not None}
        found.append(Claim(**given))
    return found


def standings(result: dict[str, Any]) -> list[Standing]:
    """One for each claim of a result file."""
    found = []
    for claim in claims(result["expect"], f"{result['experiment']}: expect"):
        finals = {run["seed"]: final(run, claim, result) for run in result["runs"]}
        values = {seed: value for seed, value in finals.items() if value is not None}
        median = statistics.median(values.values()) if values else math.nan
        verdict = "met" if claim.met(median) else "missed"
        if not values:
            verdict = "not finished" if result["runs"] else "not run"
        found.append(Standing(claim, values, verdict))
    return found


def final(run: dict[str, Any], claim: Claim, result: dict[str, Any]) -> float | None:
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


def build(results: Path, page: Path) -> None:
    """Rewrite `page` from the result files in folder `results`."""
    from gan_cli.rundir import write_text

    write_text(page, text(results))


def text(results: Path) -> str:
    """The page. GanError for a folder without result files and for one that cannot be read."""
    found = [load(path) for path in sorted(results.glob("*.json"))]
    if not found:
        raise GanError(f"{results}: no result files there; `gan reproduce EXPERIMENT out={results}` makes one")
    parts = [HEAD, _overview(found), _notes(results / "about.md")]
    parts += ["\n".join([_section(result), _notes(results / f"{result['experiment']}.md")]) for result in found]
    return "\n".join(part.strip("\n") + "\n" for part in parts if part)


def load(path: Path) -> dict[str, Any]:
    """A result file. GanError when it is none."""
    try:
        result = json.loads(path.read_text())
        if not {"experiment", "title", "iterations", "expect", "runs"} <= set(result):
            raise ValueError("keys are missing")
    except (OSError, ValueError, TypeError) as error:
        raise GanError(f"{path} is not a result file: {error}") from error
    return dict(result)


def _notes(path: Path) -> str:
    return path.read_text() if path.exists() else ""


def _overview(results: Iterable[dict[str, Any]]) -> str:
    head = ["experiment", "value", "paper", "ours: median", "mean ± std", "seeds", "", "source"]
    rows = []
    for result in results:
        for row in standings(result):
            ours = [number(row.median), row.mean(), str(len(row.values)), _bold(row.verdict)]
            name = f"[{result['experiment']}](#{result['experiment']})"
            rows.append([name, f"`{row.claim.value}`", row.paper(), *ours, row.claim.source])
    return markdown(head, rows)


def _bold(verdict: str) -> str:
    return f"**{verdict}**" if verdict == "missed" else verdict


def _section(result: dict[str, Any]) -> str:
    name, runs = result["experiment"], result["runs"]
    found = standings(result)
    command = f"gan reproduce {name}" if found else f"gan train experiment={name}"
    lines = [f"## {name}", "", f"{result['title']}.", "", f"    {command}", ""]
    if found:
        head = ["value", "better", "paper", "tolerance", "ours: median", "", "source"]
        rows = [
            [f"`{row.claim.value}`", row.claim.better or "near", row.paper(), number(row.claim.tolerance),
             number(row.median), _bold(row.verdict), row.claim.source] for row in found
        ]  # fmt: skip
        lines += [markdown(head, rows), *_differences(found)]
    else:
        lines += ["No published number.", ""]
    lines += [_runs(result), _circumstances(result)] if runs else ["No run yet.", ""]
    return "\n".join(lines)


def _differences(found: Sequence[Standing]) -> list[str]:
    """What is not as in the papers, once for each source and text."""
    kinds: dict[tuple[str, str], list[str]] = {}
    for row in found:
        if row.claim.differs:
            kinds.setdefault((row.claim.source, row.claim.differs), []).append(f"`{row.claim.value}`")
    lines = [f"- {source}, {', '.join(values)}: {differs}" for (source, differs), values in kinds.items()]
    return ["Differs from the source:", "", *lines, ""] if lines else []


def _runs(result: dict[str, Any]) -> str:
    """Every score of every seed, by iteration, weights and number of samples."""
    rows: dict[tuple[Any, ...], dict[str, str]] = {}
    runs = {run["seed"]: run for run in result["runs"]}
    for seed, run in sorted(runs.items()):
        if not run["evaluations"]:
            rows[seed, run["iterations"], "", None] = {}
        for record in run["evaluations"]:
            at = record["protocol"].get("iteration", run["iterations"])
            rows.setdefault((seed, at, weights(record), samples(record)), {}).update(
                {name: "nan" if value is None else number(value) for name, value in record["values"].items()}
            )
    names = list(dict.fromkeys(name for values in rows.values() for name in values))
    head = ["seed", "iterations", "weights", "samples", *names, "training"]
    table = []
    for (seed, at, kind, count), values in rows.items():
        whole = at >= result["iterations"]
        of = "" if whole else f" of {result['iterations']:,}"
        last = at == runs[seed]["iterations"]
        time = _minutes(runs[seed]["training_seconds"]) if last else ""
        table.append([str(seed), f"{at:,}{of}", kind, number(count), *(values.get(n, "") for n in names), time])
    return markdown(head, table)


def _circumstances(result: dict[str, Any]) -> str:
    """Which commands, versions and machines; and what was not by the experiment's settings."""
    runs = result["runs"]
    commands = dict.fromkeys(run["command"].replace(f"seed={run['seed']}", "seed=SEED") for run in runs)
    machines = dict.fromkeys(
        f"{run['machine']['device']} (cores: {run['machine']['cores']}, threads: {run['machine']['threads']})"
        for run in runs
    )  # fmt: skip
    versions = dict.fromkeys(", ".join(f"{k} {v}" for k, v in run["versions"].items()) for run in runs)
    revisions = dict.fromkeys(_revision(run["git"]) for run in runs)
    dates = dict.fromkeys(run["date"] for run in runs)
    lines = ["Run as:", "", *(f"    {command}" for command in (*commands, result["commands"][-1])), ""]
    where = [", ".join(dates), *machines, *versions, f"revision {', '.join(revisions)}"]
    lines += ["; ".join(where) + ".", ""]
    for run in runs:
        if run["differs"]:
            said = ", ".join(f"`{key}` {ours} for {theirs}" for key, (ours, theirs) in run["differs"].items())
            lines += [f"Seed {run['seed']} is not by the experiment's settings, and does not count: {said}.", ""]
        if run.get("failed"):
            lines += [f"Seed {run['seed']} failed: {run['failed']}.", ""]
    return "\n".join(lines)


def _revision(git: str | None) -> str:
    """Seven digits, and '+' where the checkout had changes."""
    return "unknown" if git is None else git[:7] + "+" * git.endswith("+")


def _minutes(seconds: float | None) -> str:
    if seconds is None:
        return ""
    return f"{seconds / 3600:.1f} h" if seconds >= 5400 else f"{seconds / 60:.1f} min"


def markdown(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table, and an empty line."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |\n" for cells in lines)


if __name__ == "__main__":
    import sys

    try:
        build(RESULTS, PAGE)
    except GanError as error:
        sys.exit(f"gan: {error}")
    print(f"{PAGE} rebuilt from {RESULTS}")
