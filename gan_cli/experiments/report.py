"""docs/REPRODUCTION.md and docs/reproduction/: what papers report and what our runs reach, from the result files.

`python -m gan_cli.experiments.report` (make reproduction) rebuilds them. In docs/results, EXPERIMENT.json is written by
`gan reproduce EXPERIMENT` or `result_file.record`; EXPERIMENT.md is quoted after its table, and about.md after the
overview. families.yaml: family -> its title and its experiments, a page each. causes.yaml: row -> why it is not met.
first_rows.txt: the rows that the page began with, which are counted by themselves as well.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gan_cli.config import plain_yaml
from gan_cli.experiments.paper_results import Comparison, comparisons
from gan_cli.experiments.report_sections import bold, checked, core_hours, section
from gan_cli.experiments.result_file import is_name, load
from gan_cli.utils.errors import GanError, suggest
from gan_cli.utils.files import write_text
from gan_cli.utils.tables import markdown

RESULTS, PAGE = Path("docs/results"), Path("docs/REPRODUCTION.md")
FOLDER = "reproduction"  # of the pages of the families and the figures, beside PAGE
PLOT = "overview.png"
HEAD = """\
<!-- Built by `make reproduction` from docs/results; edit the files there. -->
# Paper against ours
"""
RULE = """\
A row is **met** when the median over the seeds that were trained to the end is as good as the paper's number, or worse
by no more than the row's tolerance; else it is **missed**. A row with one seed is judged by that seed. A row marked
`near` asks for the number itself, as for a baseline that fails in its paper. Runs that stopped early are shown, but do
not count. A paper's number marked `unverified` could not be checked against its source;
[UNVERIFIED.md](UNVERIFIED.md) says why. Core-hours are those of training: seconds times threads.
"""


@dataclass(frozen=True)
class Family:
    """The experiments of one page. name: of its file. results: their result files, as `result_file.load` has them."""

    name: str
    title: str
    results: list[dict[str, Any]]

    def rows(self) -> list[Comparison]:
        return [row for result in self.results for row in comparisons(result)]


def build(results: Path, page: Path) -> None:
    """Rewrite `page`, the pages of the families and the figures from the result files in folder `results`."""
    from gan_cli.experiments import report_figures  # matplotlib takes a second to import

    families, texts = _families(results), pages(results)
    folder = page.parent / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    write_text(page, texts.pop(PAGE.name))
    for name, text in texts.items():
        write_text(folder / name, text)
    report_figures.overview({family.title: family.rows() for family in families}, folder / PLOT)
    for result in (result for family in families for result in family.results):
        if _figure(result):
            report_figures.curves(result, folder / f"{result['experiment']}.png")


def pages(results: Path) -> dict[str, str]:
    """File name -> text of the overview and of the families' pages.

    GanError if the folder has no result files, or one that cannot be read.
    """
    families = _families(results)
    causes = _causes(results, [row for family in families for row in family.rows()])
    summary = _summary(families, causes, first_rows(results))
    overview = [HEAD, summary, RULE, _rows(families), _notes(results / "about.md")]
    texts = {PAGE.name: overview}
    for family in families:
        parts = [HEAD.replace("# Paper against ours", f"# {family.title}"), f"[All rows](../{PAGE.name})"]
        for result in family.results:
            parts += [section(result, causes, _figure(result)), _notes(results / f"{result['experiment']}.md")]
        texts[f"{family.name}.md"] = parts
    return {name: "\n".join(part.strip("\n") + "\n" for part in parts if part) for name, parts in texts.items()}


def _families(results: Path) -> list[Family]:
    """The families in the order of families.yaml, then the experiments that none of them names."""
    loaded = {path.stem: load(path) for path in sorted(results.glob("*.json"))}
    if not loaded:
        raise GanError(f"{results} has no result files; `gan reproduce EXPERIMENT out={results}` makes one")
    families = []
    for name, family in _mapping(results / "families.yaml").items():
        if not is_name(name):
            raise GanError(f"{results / 'families.yaml'}: '{name}' is no name of a page")
        known = [loaded.pop(experiment) for experiment in family["experiments"] if experiment in loaded]
        families += [Family(name, family["title"], known)] if known else []
    return families + ([Family("others", "Other experiments", list(loaded.values()))] if loaded else [])


def _causes(results: Path, rows: Sequence[Comparison]) -> dict[str, str]:
    """Row -> why it is not met. GanError for a row that is met or that there is not."""
    causes, ids = _mapping(results / "causes.yaml"), {row.id: row.verdict for row in rows}
    for name in causes:
        if name not in ids:
            raise GanError(f"{results / 'causes.yaml'}: there is no row '{name}'{suggest(name, ids)}")
        if ids[name] == "met":
            raise GanError(f"{results / 'causes.yaml'}: row '{name}' is met; remove its cause")
    return causes


def first_rows(results: Path) -> list[str]:
    """The rows that the page began with: first_rows.txt without its comments."""
    lines = _notes(results / "first_rows.txt").splitlines()
    return [line for line in lines if not line.startswith("#")]


def _mapping(path: Path) -> dict[str, Any]:
    return plain_yaml.load(path) if path.exists() else {}


def _notes(path: Path) -> str:
    return path.read_text() if path.exists() else ""


def _figure(result: Mapping[str, Any]) -> str | None:
    """The file of the experiment's curves, or None if no run has any."""
    return f"{result['experiment']}.png" if any(run.get("curves") for run in result["runs"]) else None


def _summary(families: Sequence[Family], causes: Mapping[str, str], first: Sequence[str]) -> str:
    """How many rows of each family are met, as a table, and the plot of all rows."""
    rows = [row for family in families for row in family.rows()]
    hours = {family.name: sum(map(core_hours, family.results)) for family in families}
    table = [
        [f"[{family.title}]({FOLDER}/{family.name}.md)", *_counts(family.rows(), causes), f"{hours[family.name]:.1f}"]
        for family in families
    ]
    table += [["**all**", *_counts(rows, causes), f"{sum(hours.values()):.1f}"]]
    if first:
        kept = [row for row in rows if row.id in first]
        table += [["of these, [those that the page began with](results/first_rows.txt)", *_counts(kept, causes), ""]]
    head = ["", "met", "missed (with cause)", "not finished", "not run (with cause)", "rows", "core-hours"]
    plot = f"![The paper's numbers and ours: every row that was run to its end]({FOLDER}/{PLOT})"
    return "\n".join([markdown(head, table), plot])


def _counts(rows: Sequence[Comparison], causes: Mapping[str, str]) -> list[object]:
    count = Counter(row.verdict for row in rows)
    known = Counter(row.verdict for row in rows if row.id in causes)
    missed, not_run = (f"{count[verdict]} ({known[verdict]})" for verdict in ("missed", "not run"))
    return [count["met"], missed, count["not finished"], not_run, len(rows)]


def _rows(families: Sequence[Family]) -> str:
    head = ["row", "paper", "ours: median", "mean ± std", "seeds", "", "source", "checked"]
    rows = [
        [f"[{row.id}]({FOLDER}/{family.name}.md#{row.id.partition('/')[0]})", row.paper(), row.median, row.mean(),
         len(row.values), bold(row.verdict), row.published.source, checked(row)]
        for family in families for row in family.rows()
    ]  # fmt: skip
    return markdown(head, rows)


if __name__ == "__main__":
    import sys

    try:
        build(RESULTS, PAGE)
    except GanError as error:
        sys.exit(f"gan: {error}")
    print(f"{PAGE} rebuilt from {RESULTS}")
