"""The section of a result page about one experiment: its rows, variants, curves, runs and commands."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from gan_cli.experiments.paper_results import Comparison, RunRecord, comparisons, length, variant_table
from gan_cli.training.run_history import base_name, samples, weights
from gan_cli.utils.tables import markdown, number


def section(result: Mapping[str, Any], causes: Mapping[str, str], figure: str | None) -> str:
    """The section about one experiment.

    causes: row -> why it is not met. figure: the file of its curves, beside the page.
    """
    name, runs = result["experiment"], result["runs"]
    rows = comparisons(result)
    command = f"gan reproduce {name}" if rows or result.get("evaluate") else f"gan train experiment={name}"
    lines = [f"## {name}", "", f"{result['title']}.", "", f"    {command}", ""]
    if rows:
        head = ["row", "better", "paper", "tolerance", "ours: median", "mean ± std", "seeds", "", "real images",
                "source", "checked"]  # fmt: skip
        cells = [
            [f"`{row.id}`", row.published.better or "near", row.paper(), row.published.tolerance, row.median,
             row.mean(), len(row.values), bold(row.verdict), _real(row, result), row.published.source, checked(row)]
            for row in rows
        ]  # fmt: skip
        known = [f"- `{row.id}`: {causes[row.id]}" for row in rows if row.id in causes]
        kept = [i for i, name in enumerate(head) if name != "real images" or any(line[i] for line in cells)]
        lines += [markdown([head[i] for i in kept], [[line[i] for i in kept] for line in cells])]
        lines += ["Not met, and why:", "", *known, ""] if known else []
        lines += _differences(rows)
    else:
        lines += ["No published number.", ""]
    if figure:
        lines += [f"![Scores during training]({figure})", ""]
        lines += ["Scores during training: a line per run, a color per variant; dashed: the paper's number.", ""]
    if "variants" in result:
        head, *table = variant_table(result)
        lines += ["Every variant: median over the seeds, range, and what was published.", "", markdown(head, table)]
    lines += [_runs(result), _circumstances(result)] if runs else ["No run yet.", ""]
    return "\n".join(lines)


def _real(row: Comparison, result: Mapping[str, Any]) -> str:
    """What real images reach by the same measure: the median of the values VALUE_real over all evaluations."""
    metric, name = row.published.metric, f"{row.published.value}_real"
    records = [
        record for run in result["runs"] if run.get("variant") == row.published.variant
        for record in run["evaluations"] if record["metric"] == metric
    ]  # fmt: skip
    reached = [
        value for record in records for key, value in record["values"].items() if base_name(key) == name and value
    ]  # fmt: skip
    return number(statistics.median(reached)) if reached else ""


def bold(verdict: str) -> str:
    """The verdict as the tables print it."""
    return f"**{verdict}**" if verdict == "missed" else verdict


def checked(row: Comparison) -> str:
    """Whether the published number was checked against its source."""
    return "" if row.published.verified else "unverified"


def core_hours(result: Mapping[str, Any]) -> float:
    """The training time of all runs in a result file, times their threads, in hours."""
    return sum((run["training_seconds"] or 0.0) * (run["machine"]["threads"] or 1) for run in result["runs"]) / 3600


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
        early = f" of {length(run, result):,}" if iteration < length(run, result) else ""
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
