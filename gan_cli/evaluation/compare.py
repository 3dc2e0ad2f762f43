"""`gan compare`: several runs in one sorted table (terminal and compare.csv), in one figure (compare.png), and on one
sheet of their images for the same inputs (compare_sheet.png).
"""

from __future__ import annotations

import csv
import functools
import io
import math
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gan_cli.evaluation import comparison_sheet
from gan_cli.evaluation import histogram as histograms
from gan_cli.evaluation.run_settings import differing_settings, distinguishing_settings, satisfies, short_names
from gan_cli.evaluation.score_table import Column, Row, Score, score_columns
from gan_cli.inference.trained_run import TrainedRun
from gan_cli.training import run_history
from gan_cli.training.run_history import Run
from gan_cli.utils import images
from gan_cli.utils.errors import GanError, suggest
from gan_cli.utils.files import make_folder, writable, write_text
from gan_cli.utils.tables import aligned, number, shortened

TABLE, FIGURE, SHEET = "compare.csv", "compare.png", "compare_sheet.png"
HEADING = 3  # settings of a run on the sheet, at most
LABEL, SETTING = 48, 24  # characters of a run's label and of a setting on the terminal


def compare(
    paths: list[Path],
    *,
    metric: list[str] | None = None,
    sort: str | None = None,
    filter: list[str] | None = None,
    histogram: str | None = None,
    bin_width: float | None = None,
    out: str | None = None,
    sheet: bool = False,
    input: str | None = None,
    n: int | None = None,
    samples: int | None = None,
    direction: str | None = None,
    seed: int = 0,
    checkpoint: str = "last",
    weights: str = "auto",
    device: str = "auto",
    allowed_modules: Sequence[str] = (),
    dataset_root: str | None = None,
) -> None:
    """Print the runs that `paths` are or contain, best first, and write compare.csv and compare.png into `out`.

    metric: names of metrics or of their values, all if omitted. sort: a column. filter: conditions, of which all must
    hold. histogram: a score, whose distribution over the runs of each path is plotted as well, in bins of `bin_width`.
    sheet, or `input`: also write compare_sheet.png. The other options are of this sheet: see `comparison_sheet.draw`
    and TrainedRun. A run that cannot be read is named and skipped; GanError if none can, or if no such metric or column
    exists.
    """
    selected = [(path, run) for path, run in _readable(paths) if satisfies(run, filter or ())]
    if not selected:
        raise GanError(f"no run satisfies filter={','.join(filter or ())}")
    runs = [run for _, run in selected]
    columns, scores = score_columns(runs, metric)
    settings = differing_settings(runs)
    shown = distinguishing_settings(runs, settings)
    table = list(map(Row, runs, _labels(runs), settings, scores))
    rows = _sorted(table, columns, shown, sort)
    if histogram:  # before anything is written: GanError for a score that no run has, or for too many bins
        series = _series(histogram, columns, [path for path, _ in selected], scores)
        bounds = histograms.bins(histogram, series, bin_width)
    if sheet or input is not None:  # before anything is written, too
        load = functools.partial(
            TrainedRun, checkpoint=checkpoint, weights=weights, device=device, allowed_modules=allowed_modules,
            dataset_root=dataset_root,
        )  # fmt: skip
        pixels = comparison_sheet.draw(
            *_headed(table, shown), load, input=input, n=n, samples=samples, direction=direction, seed=seed
        )
    elif n or samples or direction:
        raise GanError("n=, samples= and direction= are of the sheet: add sheet=true or input=DIR")
    folder = _folder(paths, out)
    print("\n".join([*_lines(rows, columns, shown), *_notes(runs, columns)]))
    with _reported(folder / TABLE):
        write_text(folder / TABLE, _csv(rows, columns, list(settings[0]), shown))
    from gan_cli.evaluation import charts  # after the table is printed: matplotlib takes a second to import

    with _reported(folder / FIGURE):
        charts.plot(rows, columns, folder / FIGURE)
    print(f"{folder / TABLE} and {folder / FIGURE}")
    if sheet or input is not None:
        images.save(folder / SHEET, pixels)
        print(folder / SHEET)
    if histogram:
        with _reported(folder):
            print("\n".join(histograms.write(histogram, series, bounds, folder)))


def _series(
    name: str, columns: Sequence[Column], paths: Sequence[Path], scores: Sequence[dict[str, Score]]
) -> dict[str, list[float]]:
    """The values of the score `name` of the runs of each path. GanError if no run has it."""
    by_path: dict[str, list[dict[str, Score]]] = {}
    for path, score in zip(paths, scores, strict=True):
        by_path.setdefault(os.path.normpath(path), []).append(score)
    return {path: histograms.values(name, columns, of_path) for path, of_path in by_path.items()}


@contextmanager
def _reported(path: Path) -> Iterator[None]:
    """Turn an OSError into a GanError that names `path`: that of a full disk names no file."""
    try:
        yield
    except OSError as error:
        raise GanError(f"{path}: {error.strerror or error}; free space or name another place with out=DIR") from error


def _readable(paths: Iterable[Path]) -> list[tuple[Path, Run]]:
    """Each run, with the first of `paths` that contains it."""
    runs: dict[Path, tuple[Path, Run]] = {}
    for path in paths:
        for folder in run_history.runs_in(path):
            try:
                runs.setdefault(folder.resolve(), (path, run_history.read(folder)))
            except GanError as error:
                print(f"skipped: {error}")
    if not runs:
        raise GanError("none of these runs can be read")
    return list(runs.values())


def _labels(runs: Sequence[Run]) -> list[str]:
    """The paths of the runs below the deepest folder that contains them all."""
    if len(runs) == 1:
        return [runs[0].path.resolve().name]
    paths = [run.path.resolve() for run in runs]
    above = os.path.commonpath([path.parent for path in paths])
    return [str(path.relative_to(above)) for path in paths]


def _headed(rows: Sequence[Row], shown: Sequence[str]) -> tuple[list[Path], list[str], str]:
    """The runs; for each its settings that distinguish it, or its label if there are none, and whether it failed; and
    the models and data sets of all. Of many settings, those that suffice to distinguish the runs.
    """
    if len(shown) > HEADING:
        shown = distinguishing_settings([], [row.settings for row in rows])
    names = dict(zip(shown, short_names(shown), strict=True))
    values = [[(names[key], row.settings[key]) for key in shown if row.settings[key] is not None] for row in rows]
    texts = ["\n".join(f"{name}={number(value)}" for name, value in of_run) for of_run in values]
    unique = len({*texts}) == len(texts)
    headings = [text if text and unique else row.label for text, row in zip(texts, rows, strict=True)]
    headings = [text + ("\nfailed" if row.run.failure else "") for text, row in zip(headings, rows, strict=True)]
    chosen = [[row.run.choices.get(group, f"unknown {group}") for row in rows] for group in ("model", "dataset")]
    subject = " on ".join(", ".join(dict.fromkeys(names)) for names in chosen)
    return [row.run.path for row in rows], headings, subject


def _folder(paths: list[Path], out: str | None) -> Path:
    """Where to write: `out`, else the folder of runs if there is only one, else the current folder."""
    folder = Path(out) if out else paths[0] if len(paths) == 1 and not run_history.is_run(paths[0]) else Path()
    writable(folder, f"out={folder}")
    return make_folder(folder)


# -- the table


def _sorted(rows: list[Row], columns: list[Column], shown: list[str], sort: str | None) -> list[Row]:
    """By `sort`, else by the first column that has a better direction.

    Failed runs are last, and runs without a value before them. GanError for an unknown column.
    """
    if sort is None:
        column = next((c for c in columns if c.better), None)
    else:
        column = next((c for c in columns if c.name == sort), next((c for c in columns if c.has_value(sort)), None))
    settings = dict(zip(short_names(shown), shown)) | dict(zip(shown, shown))
    if column is None and sort not in (None, "run", "iterations", *settings):
        names = ["run", "iterations", *short_names(shown), *(c.name for c in columns)]
        raise GanError(f"sort={sort}: no such column{suggest(str(sort), names)}")

    def key(row: Row) -> tuple[Any, ...]:
        failed = bool(row.run.failure)
        if column:
            score = row.scores.get(column.name, Score(math.nan, 0)).value
            return failed, math.isnan(score), -score if column.better == "higher" else score
        if sort in (None, "run"):
            return failed, run_history.by_number(row.label)
        value: Any = -row.run.done if sort == "iterations" else row.settings[settings[str(sort)]]
        return (failed, False, value, "") if isinstance(value, (int, float)) else (failed, True, 0, str(value or ""))

    return sorted(rows, key=key)


def _lines(rows: list[Row], columns: list[Column], shown: list[str]) -> list[str]:
    """The table as aligned text."""
    table = [["run", *short_names(shown), "iterations", *(c.name for c in columns)]]
    for row in rows:
        settings = [shortened(number(row.settings[name]), SETTING) for name in shown]
        scores = [_score(row, column) for column in columns]
        table.append([shortened(row.label, LABEL), *settings, row.outcome(), *scores])
    failures = ["", *(f"  failed: {row.run.failure}" if row.run.failure else "" for row in rows)]
    return [line + failure for line, failure in zip(aligned(table), failures, strict=True)]


def _score(row: Row, column: Column) -> str:
    """A cell of the table, with the iteration of the score if that is not the run's last one."""
    score = row.scores.get(column.name)
    if score is None:
        return "-"
    return number(score.value) + ("" if score.iteration == row.run.done else f" @{score.iteration}")


def _csv(rows: list[Row], columns: list[Column], differing: list[str], shown: list[str]) -> str:
    """The text of compare.csv: all settings that differ by full name, those of the table first, and all scores."""
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
    """For each metric its protocol, or a warning if the runs were evaluated by different ones."""
    notes = []
    for metric in dict.fromkeys(c.metric for c in columns if c.metric):
        latest = [{record["metric"]: record for record in run.records}.get(metric) for run in runs]
        protocols = [
            {k: v for k, v in record.get("protocol", {}).items() if k not in ("iteration", "checkpoint", "device")}
            for record in latest if record
        ]  # fmt: skip
        keys = dict.fromkeys(key for protocol in protocols for key in protocol)
        values = {key: list(dict.fromkeys(str(protocol.get(key)) for protocol in protocols)) for key in keys}
        shown = {key: [shortened(kind, 80) for kind in kinds[:4]] for key, kinds in values.items()}
        different = [f"{key}: {', '.join(shown[key])}" for key, kinds in values.items() if len(kinds) > 1]
        if different:
            notes.append(
                f"warning: {metric} was evaluated by different protocols, so its values cannot be compared "
                f"({'; '.join(different)})"
            )
        elif values:
            notes.append(f"{metric}: " + ", ".join(f"{key} {kinds[0]}" for key, kinds in shown.items()))
    return notes
