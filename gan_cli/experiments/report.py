"""Paper against ours: the rows of a result file, and docs/REPRODUCTION.md rebuilt from all of them.

`python -m gan_cli.experiments.report` (make reproduction) rebuilds the page. A result file,
docs/results/EXPERIMENT.json, is what `gan reproduce EXPERIMENT` or `reproduce.record` writes; EXPERIMENT.md beside it
is quoted after its table, and about.md after the overview.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from gan_cli.config import migrations
from gan_cli.experiments.paper_results import Comparison, comparisons, variant_table
from gan_cli.training.run_history import samples, weights
from gan_cli.utils.errors import GanError
from gan_cli.utils.tables import markdown, number

RESULTS, PAGE = Path("docs/results"), Path("docs/REPRODUCTION.md")
HEAD = """\
<!-- Built by `make reproduction` from docs/results; edit the files there. -->
# Paper against ours

A row is **met** when the median over the seeds that were run to the end is as good as the paper's number, or worse by
no more than the row's tolerance; else it is **missed**. A row marked `near` asks for the number itself, as for a
baseline that fails in its paper. Runs that stopped early count for nothing, but are shown. A paper's number marked
`unverified` could not be checked against its source; [UNVERIFIED.md](UNVERIFIED.md) says why.
"""


def build(results: Path, page: Path) -> None:
    """Rewrite `page` from the result files in folder `results`."""
    from gan_cli.utils.files import write_text

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
    """A result file, with today's names of the metrics. GanError when it is none."""
    try:
        result = json.loads(path.read_text())
        if not {"experiment", "title", "iterations", "expect", "runs"} <= set(result):
            raise ValueError("keys are missing")
    except (OSError, ValueError, TypeError) as error:
        raise GanError(f"{path} is not a result file: {error}") from error
    for run in result["runs"]:
        run["evaluations"] = list(map(migrations.record, run["evaluations"]))
    return {**result, "expect": list(map(migrations.record, result["expect"]))}


def _notes(path: Path) -> str:
    return path.read_text() if path.exists() else ""


def _overview(results: Iterable[dict[str, Any]]) -> str:
    head = ["experiment", "value", "paper", "ours: median", "mean ± std", "seeds", "", "source", "checked"]
    rows = []
    for result in results:
        for row in comparisons(result):
            ours = [number(row.median), row.mean(), str(len(row.values)), _bold(row.verdict)]
            name = f"[{result['experiment']}](#{result['experiment']})"
            rows.append([name, f"`{row.name()}`", row.paper(), *ours, row.claim.source, _checked(row)])
    return markdown(head, rows)


def _bold(verdict: str) -> str:
    return f"**{verdict}**" if verdict == "missed" else verdict


def _checked(row: Comparison) -> str:
    return "" if row.claim.verified else "unverified"


def _section(result: dict[str, Any]) -> str:
    name, runs = result["experiment"], result["runs"]
    found = comparisons(result)
    command = f"gan reproduce {name}" if found or result.get("evaluate") else f"gan train experiment={name}"
    lines = [f"## {name}", "", f"{result['title']}.", "", f"    {command}", ""]
    if found:
        head = ["value", "better", "paper", "tolerance", "ours: median", "", "source", "checked"]
        rows = [
            [f"`{row.name()}`", row.claim.better or "near", row.paper(), number(row.claim.tolerance),
             number(row.median), _bold(row.verdict), row.claim.source, _checked(row)] for row in found
        ]  # fmt: skip
        lines += [markdown(head, rows), *_differences(found)]
    else:
        lines += ["No published number.", ""]
    if "variants" in result:
        head, *rows = variant_table(result)
        lines += ["Every variant: median over the seeds, range, and what was published.", "", markdown(head, rows)]
    lines += [_runs(result), _circumstances(result)] if runs else ["No run yet.", ""]
    return "\n".join(lines)


def _differences(found: Sequence[Comparison]) -> list[str]:
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
    runs = {(run.get("variant", ""), run["seed"]): run for run in result["runs"]}
    for (variant, seed), run in sorted(runs.items()):
        if not run["evaluations"]:
            rows[variant, seed, run["iterations"], "", None] = {}
        for record in run["evaluations"]:
            at = record["protocol"].get("iteration", run["iterations"])
            rows.setdefault((variant, seed, at, weights(record), samples(record)), {}).update(
                {name: "nan" if value is None else number(value) for name, value in record["values"].items()}
            )
    names = list(dict.fromkeys(name for values in rows.values() for name in values))
    head = ["seed", "iterations", "weights", "samples", *names, "training"]
    table = []
    for (variant, seed, at, kind, count), values in rows.items():
        whole = at >= result["iterations"]
        of = "" if whole else f" of {result['iterations']:,}"
        last = at == runs[variant, seed]["iterations"]
        time = _minutes(runs[variant, seed]["training_seconds"]) if last else ""
        name = f"{variant} {seed}".strip()
        table.append([name, f"{at:,}{of}", kind, number(count), *(values.get(n, "") for n in names), time])
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
    if "variants" in result:
        lines = []
    where = [", ".join(dates), *machines, *versions, f"revision {', '.join(revisions)}"]
    lines += ["; ".join(where) + ".", ""]
    for run in runs:
        if run["differs"]:
            said = ", ".join(f"`{key}` {ours} for {theirs}" for key, (ours, theirs) in run["differs"].items())
            lines += [f"{_who(run)} is not by the experiment's settings, and does not count: {said}.", ""]
        if run.get("failed"):
            lines += [f"{_who(run)} failed: {run['failed']}.", ""]
    return "\n".join(lines)


def _who(run: dict[str, Any]) -> str:
    return f"{run['variant']}, seed {run['seed']}," if "variant" in run else f"Seed {run['seed']}"


def _revision(git: str | None) -> str:
    """Seven digits, and '+' where the checkout had changes."""
    return "unknown" if git is None else git[:7] + "+" * git.endswith("+")


def _minutes(seconds: float | None) -> str:
    if seconds is None:
        return ""
    return f"{seconds / 3600:.1f} h" if seconds >= 5400 else f"{seconds / 60:.1f} min"


if __name__ == "__main__":
    import sys

    try:
        build(RESULTS, PAGE)
    except GanError as error:
        sys.exit(f"gan: {error}")
    print(f"{PAGE} rebuilt from {RESULTS}")
