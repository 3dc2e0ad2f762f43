"""docs/REPRODUCTION.md: what papers report and what our runs reach, built from the result files.

`python -m gan_cli.experiments.report` (make reproduction) rebuilds the page. A result file,
docs/results/EXPERIMENT.json, is written by `gan reproduce EXPERIMENT` or `result_file.record`. EXPERIMENT.md beside it
is quoted after its table, and about.md after the overview.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from gan_cli.experiments.paper_results import Comparison, RunRecord, comparisons, variant_table
from gan_cli.experiments.result_file import load
from gan_cli.training.run_history import samples, weights
from gan_cli.utils.errors import GanError
from gan_cli.utils.files import write_text
from gan_cli.utils.tables import markdown, number

RESULTS, PAGE = Path("docs/results"), Path("docs/REPRODUCTION.md")
HEAD = """\
<!-- Built by `make reproduction` from docs/results; edit the files there. -->
# Paper against ours

A row is **met** when the median over the seeds that were trained to the end is as good as the paper's number, or worse
by no more than the row's tolerance; else it is **missed**. A row marked `near` asks for the number itself, as for a
baseline that fails in its paper. Runs that stopped early are shown, but do not count. A paper's number marked
`unverified` could not be checked against its source; [UNVERIFIED.md](UNVERIFIED.md) says why.
"""


def build(results: Path, page: Path) -> None:
    """Rewrite `page` from the result files in folder `results`."""
    write_text(page, page_text(results))


def page_text(results: Path) -> str:
    """The page. GanError if the folder has no result files, or one that cannot be read."""
    loaded = [load(path) for path in sorted(results.glob("*.json"))]
    if not loaded:
        raise GanError(f"{results} has no result files; `gan reproduce EXPERIMENT out={results}` makes one")
    parts = [HEAD, _overview(loaded), _notes(results / "about.md")]
    parts += ["\n".join([_section(result), _notes(results / f"{result['experiment']}.md")]) for result in loaded]
    return "\n".join(part.strip("\n") + "\n" for part in parts if part)


def _notes(path: Path) -> str:
    return path.read_text() if path.exists() else ""


def _overview(results: Iterable[Mapping[str, Any]]) -> str:
    head = ["experiment", "value", "paper", "ours: median", "mean ± std", "seeds", "", "source", "checked"]
    rows = []
    for result in results:
        for row in comparisons(result):
            link = f"[{result['experiment']}](#{result['experiment']})"
            rows.append([link, f"`{row.name()}`", row.paper(), row.median, row.mean(), len(row.values),
                         _bold(row.verdict), row.published.source, _checked(row)])  # fmt: skip
    return markdown(head, rows)


def _bold(verdict: str) -> str:
    return f"**{verdict}**" if verdict == "missed" else verdict


def _checked(row: Comparison) -> str:
    return "" if row.published.verified else "unverified"


def _section(result: Mapping[str, Any]) -> str:
    """The part of the page about one experiment."""
    name, runs = result["experiment"], result["runs"]
    rows = comparisons(result)
    command = f"gan reproduce {name}" if rows or result.get("evaluate") else f"gan train experiment={name}"
    lines = [f"## {name}", "", f"{result['title']}.", "", f"    {command}", ""]
    if rows:
        head = ["value", "better", "paper", "tolerance", "ours: median", "", "source", "checked"]
        cells = [
            [f"`{row.name()}`", row.published.better or "near", row.paper(), row.published.tolerance, row.median,
             _bold(row.verdict), row.published.source, _checked(row)] for row in rows
        ]  # fmt: skip
        lines += [markdown(head, cells), *_differences(rows)]
    else:
        lines += ["No published number.", ""]
    if "variants" in result:
        head, *table = variant_table(result)
        lines += ["Every variant: median over the seeds, range, and what was published.", "", markdown(head, table)]
    lines += [_runs(result), _circumstances(result)] if runs else ["No run yet.", ""]
    return "\n".join(lines)


def _differences(rows: Sequence[Comparison]) -> list[str]:
    """What is not as in the papers, once for each source and text."""
    values: dict[tuple[str, str], list[str]] = {}
    for published in (row.published for row in rows):
        if published.differs:
            values.setdefault((published.source, published.differs), []).append(f"`{published.value}`")
    lines = [f"- {source}, {', '.join(names)}: {differs}" for (source, differs), names in values.items()]
    return ["Differs from the source:", "", *lines, ""] if lines else []


def _runs(result: Mapping[str, Any]) -> str:
    """A table of every score of every seed, by iteration, weights and number of samples."""
    runs = {(run.get("variant", ""), run["seed"]): run for run in result["runs"]}
    scores: dict[tuple[str, int, int, str, int | None], dict[str, str]] = {}
    for (variant, seed), run in sorted(runs.items()):
        if not run["evaluations"]:
            scores[variant, seed, run["iterations"], "", None] = {}
        for record in run["evaluations"]:
            iteration = record["protocol"].get("iteration", run["iterations"])
            scores.setdefault((variant, seed, iteration, weights(record), samples(record)), {}).update(
                {name: "nan" if value is None else number(value) for name, value in record["values"].items()}
            )
    names = list(dict.fromkeys(name for values in scores.values() for name in values))
    rows = []
    for (variant, seed, iteration, kind, count), values in scores.items():
        run = runs[variant, seed]
        early = f" of {result['iterations']:,}" if iteration < result["iterations"] else ""
        time = _duration(run["training_seconds"]) if iteration == run["iterations"] else ""
        name = f"{variant} {seed}".strip()
        rows.append([name, f"{iteration:,}{early}", kind, count, *(values.get(n, "") for n in names), time])
    return markdown(["seed", "iterations", "weights", "samples", *names, "training"], rows)


def _circumstances(result: Mapping[str, Any]) -> str:
    """Commands, versions and machines of the runs; and which runs do not count, and why."""
    runs: list[RunRecord] = result["runs"]
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
    lines += ["; ".join([", ".join(dates), *machines, *versions, f"revision {', '.join(revisions)}"]) + ".", ""]
    for run in runs:
        who = f"{run['variant']}, seed {run['seed']}," if "variant" in run else f"Seed {run['seed']}"
        if run["differs"]:
            changes = [f"`{key}` {run_value} instead of {value}" for key, (run_value, value) in run["differs"].items()]
            lines += [f"{who} was trained with other settings, and does not count: {', '.join(changes)}.", ""]
        if run.get("failed"):
            lines += [f"{who} failed: {run['failed']}.", ""]
    return "\n".join(lines)


def _revision(git: str | None) -> str:
    """Seven digits, and '+' if the checkout had changes."""
    return "unknown" if git is None else git[:7] + "+" * git.endswith("+")


def _duration(seconds: float | None) -> str:
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
