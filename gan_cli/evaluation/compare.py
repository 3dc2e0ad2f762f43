"""`gan compare`: several runs in one sorted table (terminal and compare.csv) and one picture (compare.png)."""

from __future__ import annotations

import csv
import io
import math
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gan_cli.evaluation.histogram import draw as draw_histogram
from gan_cli.evaluation.histogram import satisfying, values
from gan_cli.evaluation.score_table import Column, Row, scored
from gan_cli.training import run_history
from gan_cli.training.run_history import Run, base_name
from gan_cli.utils.errors import GanError, suggest
from gan_cli.utils.files import writable, write_text
from gan_cli.utils.tables import number, shortened

TABLE, PICTURE = "compare.csv", "compare.png"
LABEL = 48  # characters of a run's name on the terminal
NOT_SETTINGS = ("expect", "evaluate", "modules", "metric", "extractor")  # what changes no weight
GROUPS_FIRST = ("model", "loss", "dataset", "network", "optimizer")


def compare(
    paths: list[Path],
    *,
    metric: list[str] | None = None,
    sort: str | None = None,
    filter: list[str] | None = None,
    histogram: str | None = None,
    bin_width: float | None = None,
    out: str | None = None,
) -> None:
    """Print the runs that `paths` are or hold, best first, and write compare.csv and compare.png into `out`.

    metric: names of metrics or of their values, all if left out. sort: a column. filter: conditions, of which all must
    hold. histogram: a score, whose spread over the runs of each path is drawn as well, in bins of `bin_width`. A run that
    cannot be read is named and left out; GanError when none is left, or no such metric or column exists.
    """
    found = [(path, run) for path, run in _readable(paths) if satisfying(run, filter or ())]
    if not found:
        raise GanError(f"no run satisfies filter={','.join(filter or ())}")
    runs = [run for _, run in found]
    columns, scores = scored(runs, metric)
    differing = _differing(runs)
    rows = [
        Row(run, label, settings, found)
        for run, label, settings, found in zip(runs, _labels(runs), differing, scores, strict=True)
    ]
    shown = _enough(runs, differing)
    rows = _sorted(rows, columns, shown, sort)
    folder = _folder(paths, out)
    print("\n".join(_lines(rows, columns, shown)))
    for note in _notes(runs, columns):
        print(note)
    with _named(folder / TABLE):
        write_text(folder / TABLE, _csv(rows, columns, list(differing[0]), shown))
    from gan_cli.evaluation.charts import draw  # matplotlib takes a while

    with _named(folder / PICTURE):
        draw(rows, columns, folder / PICTURE)
    print(f"{folder / TABLE} and {folder / PICTURE}")
    if histogram:
        spread: dict[str, list[float]] = {}
        for path in dict.fromkeys(path for path, _ in found):
            own = [score for (source, _), score in zip(found, scores, strict=True) if source == path]
            spread[os.path.normpath(path)] = values(histogram, columns, own)
        with _named(folder):
            print("\n".join(draw_histogram(histogram, spread, bin_width, folder)))


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """A full disk names no file."""
    try:
        yield
    except OSError as error:
        raise GanError(f"{path}: {error.strerror or error}; free space or name another place with out=DIR") from error


def _readable(paths: Iterable[Path]) -> list[tuple[Path, Run]]:
    """Each run with the one of `paths` that it was found in first."""
    runs: dict[Path, tuple[Path, Run]] = {}
    for path in paths:
        for folder in run_history.runs_in(path):
            try:
                runs.setdefault(folder.resolve(), (path, run_history.read(folder)))
            except GanError as error:
                print(f"left out: {error}")
    if not runs:
        raise GanError("none of these runs can be read")
    return list(runs.values())


def _folder(paths: list[Path], out: str | None) -> Path:
    """Where to write: `out`, else the folder of runs if it is a single one, else the current one."""
    folder = Path(out) if out else paths[0] if len(paths) == 1 and not run_history.is_run(paths[0]) else Path()
    writable(folder, f"out={folder}")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


# -- settings


def _differing(runs: list[Run]) -> list[dict[str, Any]]:
    """Of each run, the groups and the values in which the runs differ; None where a run has none of that name."""
    of_run = []
    for run in runs:
        typed = dict(o.lstrip("+").split("=", 1) for o in run.overrides if "=" in o and not run.settings)
        choices = {key: value for key, value in run.choices.items() if key not in NOT_SETTINGS}
        of_run.append(choices | (run.settings or typed))
    names = [name for name in dict.fromkeys(key for found in of_run for key in found)
             if name.partition(".")[0] not in NOT_SETTINGS]  # fmt: skip
    differ = [name for name in names if len({str(found.get(name)) for found in of_run}) > 1]
    return [{name: found.get(name) for name in differ} for found in of_run]


def _enough(runs: list[Run], differing: list[dict[str, Any]]) -> list[str]:
    """The settings that tell the runs apart: those that were typed, and of the others what these do not imply."""
    names = list(differing[0])
    typed = dict.fromkeys(o.lstrip("+").partition("=")[0] for run in runs for o in run.overrides)
    shown = [name for name in typed if name in names]
    rest = [*GROUPS_FIRST, "seed", *names]
    for name in rest:
        if name in names and name not in shown:
            pairs = {(*(str(d[key]) for key in shown), str(d[name])) for d in differing}
            if len(pairs) > len({tuple(str(d[key]) for key in shown) for d in differing}):
                shown.append(name)
    return shown


def short_names(names: Sequence[str]) -> list[str]:
    """`optimizer.lr` -> `lr`, or as many of its last parts as tell it from the others."""
    short = []
    for name in names:
        parts = name.split(".")
        ends = (".".join(parts[-k:]) for k in range(1, len(parts) + 1))
        others = [other for other in names if other != name]
        short.append(next(e for e in ends if e == name or not any(f".{o}".endswith(f".{e}") for o in others)))
    return short


# -- the table


def _sorted(rows: list[Row], columns: list[Column], shown: list[str], sort: str | None) -> list[Row]:
    """By `sort`, else by the first column with a good way; failed runs last, and before them those without a value."""
    short = dict(zip(short_names(shown), shown))
    column = next((c for c in columns if c.better), None)
    if sort is not None:
        named = [c for c in columns if sort == c.name] or [c for c in columns if sort in (c.value, base_name(c.value))]
        column = named[0] if named else None
        if not named and sort not in (*short, *shown, "run", "iterations"):
            there = ["run", "iterations", *short, *(c.name for c in columns)]
            raise GanError(f"sort={sort}: no such column{suggest(sort, there)}")

    def key(row: Row) -> tuple[Any, ...]:
        if column:
            score = row.scores[column.name].value if column.name in row.scores else math.nan
            return (bool(row.run.failure), math.isnan(score), -score if column.better == "higher" else score)
        if sort in (None, "run"):
            return (bool(row.run.failure), run_history.by_number(row.label))
        value: Any = -row.run.done if sort == "iterations" else row.settings.get(short.get(str(sort), str(sort)))
        single = isinstance(value, (int, float))
        return (bool(row.run.failure), not single, value if single else 0, "" if single else str(value or ""))

    return sorted(rows, key=key)


def _labels(runs: list[Run]) -> list[str]:
    """Paths of the runs below the deepest folder that holds them all."""
    if len(runs) == 1:
        return [runs[0].path.resolve().name]
    paths = [run.path.resolve() for run in runs]
    above = os.path.commonpath([path.parent for path in paths])
    return [str(path.relative_to(above)) for path in paths]


def _lines(rows: list[Row], columns: list[Column], shown: list[str]) -> list[str]:
    """The table as aligned text; a score that is not the last iteration's says of which one it is."""
    head = ["run", *short_names(shown), "iterations", *(c.name for c in columns)]
    table = [head]
    for row in rows:
        settings = [shortened(number(row.settings[name]), 24) for name in shown]
        values = [_cell(row, column) for column in columns]
        table.append([shortened(row.label, LABEL), *settings, row.outcome(), *values])
    widths = [max(map(len, cells)) for cells in zip(*table)]
    lines = []
    for index, cells in enumerate(table):
        line = "  ".join([cells[0].ljust(widths[0]), *map(str.rjust, cells[1:], widths[1:])]).rstrip()
        failure = rows[index - 1].run.failure if index else None
        lines.append(f"{line}  failed: {failure}" if failure else line)
    return lines


def _cell(row: Row, column: Column) -> str:
    score = row.scores.get(column.name)
    if score is None:
        return "-"
    return number(score.value) + ("" if score.iteration == row.run.done else f" @{score.iteration}")


def _csv(rows: list[Row], columns: list[Column], differing: list[str], shown: list[str]) -> str:
    """All settings that differ, by full name, what the table shows first; of each score also its iteration."""
    settings = [*shown, *(name for name in differing if name not in shown)]
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    scores = [text for c in columns for text in (c.name, f"{c.name} iteration")]
    writer.writerow(["run", "failure", "iterations", *settings, *scores])
    for row in rows:
        cells: list[Any] = [row.run.path, row.run.failure, row.run.done, *(row.settings[name] for name in settings)]
        for column in columns:
            cells += row.scores.get(column.name, ("", ""))
        writer.writerow(cells)
    return file.getvalue()


def _notes(runs: list[Run], columns: list[Column]) -> list[str]:
    """The protocol of each metric, or a warning where the runs' ones differ."""
    notes = []
    for metric in dict.fromkeys(c.metric for c in columns if c.metric):
        found = [
            {k: v for k, v in r.get("protocol", {}).items() if k not in ("iteration", "checkpoint", "device")}
            for run in runs for r in {r["metric"]: r for r in run.records}.values() if r["metric"] == metric
        ]  # fmt: skip
        keys = dict.fromkeys(key for protocol in found for key in protocol)
        values = {key: dict.fromkeys(str(protocol.get(key)) for protocol in found) for key in keys}
        diff_settings = {key: list(kinds) for key, kinds in values.items() if len(kinds) > 1}
        if diff_settings:
            said = "; ".join(f"{key}: {', '.join(kinds[:4])}" for key, kinds in diff_settings.items())
            notes.append(f"warning: {metric} was taken by protocols that differ, so its values do not compare ({said})")
        elif values:
            notes.append(f"{metric}: " + ", ".join(f"{key} {next(iter(kinds))}" for key, kinds in values.items()))
    return notes
