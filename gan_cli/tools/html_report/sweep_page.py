"""The report of a sweep, or of any folder of runs: settings side by side, each over its seeds."""

from __future__ import annotations

import os
import shlex
import statistics
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gan_cli.config import migrations
from gan_cli.evaluation.run_settings import differing_settings, distinguishing_settings, short_names
from gan_cli.evaluation.score_table import Column, Row, score_columns
from gan_cli.tools.html_report import curves, facts, grids, run_page, series
from gan_cli.tools.html_report.markup import (
    NONE,
    Content,
    Markup,
    command,
    duration,
    folded,
    joined,
    section,
    table,
    tag,
    text,
)
from gan_cli.tools.html_report.markup import facts as fact_list
from gan_cli.training import run_history
from gan_cli.utils.errors import GanError
from gan_cli.utils.files import read_json
from gan_cli.utils.tables import number

SEED = "seed"
RUNS, PICTURED, PER_SETTING = 1000, 40, 4  # runs of a page, settings with images, and images of each, at most
COLORS = 8  # classes c0, c1, ... of page.html
PANELS = 12  # of overlaid scores, at most


@dataclass
class Group:
    """The runs of one setting, best first. settings: short name -> value; rank: from 1."""

    rows: list[Row]
    settings: dict[str, Any]
    rank: int = 0

    @property
    def style(self) -> str:
        index = self.rank - 1
        return f"c{index % COLORS}" + (f" d{index // COLORS % 3}" if index >= COLORS else "")

    def name(self) -> str:
        return ", ".join(f"{key} {number(value)}" for key, value in self.settings.items()) or "all runs"

    def values(self, column: Column) -> list[float]:
        """The finite values of a score."""
        values = (row.scores[column.name].value for row in self.rows if column.name in row.scores)
        return [value for value in values if abs(value) < series.LARGEST]


def body(folder: Path) -> tuple[str, Markup]:
    """The title and the content of the page. GanError if no run can be read."""
    rows, skipped = _rows(folder)
    columns, scores = score_columns([row.run for row in rows], None)
    rows = [Row(row.run, row.label, row.settings, found) for row, found in zip(rows, scores, strict=True)]
    main = next((column for column in columns if column.better), columns[0] if columns else None)
    groups = _groups(rows, main)
    subject = ", ".join(dict.fromkeys(facts.subject(row.run) for row in rows))
    title = f"{subject}: {len(groups)} settings" if len(groups) > 1 else f"{subject}: {len(rows)} runs"
    images, note = _images(groups)
    failed = [[tag("code", row.label), row.outcome(), row.run.failure] for row in rows if row.run.failure]
    failed += [[tag("code", name), "cannot be read", reason] for name, reason in skipped]
    parts = [
        _head(folder, rows, main),
        tag(
            "main",
            section("Settings, best first", _settings_table(groups, columns, main, images), note, name="settings"),
            section("Learning curves", _curves(groups, columns, main), name="curves"),
            section("Failed runs", table(["run", "iterations", "reason"], failed, "Reasons", "words"), name="failed"),
            section("All runs", _all_runs(groups, columns), name="runs"),
            section("What was trained", _parts(rows), name="trained"),
            section("Repeat it", _repeat(folder), name="repeat"),
        ),
    ]
    return title, joined(parts)


def _rows(folder: Path) -> tuple[list[Row], list[tuple[str, str]]]:
    """The runs below a folder, without their scores, and the names of those that cannot be read, with the reason."""
    runs, skipped = [], []
    for path in run_history.runs_in(folder)[:RUNS]:
        try:
            series.check_size(path)
            runs.append(run_history.read(path))
        except GanError as error:
            skipped.append((os.path.relpath(path, folder), str(error)))
    if not runs:
        raise GanError(f"none of the runs in {folder} can be read: {skipped[0][1]}")
    labels = [os.path.relpath(run.path, folder) for run in runs]
    return [Row(*row, {}) for row in zip(runs, labels, differing_settings(runs), strict=True)], skipped


def _groups(rows: Sequence[Row], main: Column | None) -> list[Group]:
    """The runs by their settings other than the seed, the groups by the mean of the main score, best first."""
    shown = distinguishing_settings([row.run for row in rows], [row.settings for row in rows])
    shown = [name for name in shown if name != SEED]
    names = dict(zip(shown, short_names(shown), strict=True))
    groups: dict[str, Group] = {}
    for row in rows:
        settings = {names[name]: row.settings[name] for name in shown}
        groups.setdefault(str(settings), Group([], settings)).rows.append(row)
    for group in groups.values():
        group.rows.sort(key=lambda row: _order(group_of(row), main))
    ranked = sorted(groups.values(), key=lambda group: (_order(group, main), group.name()))
    for rank, group in enumerate(ranked, 1):
        group.rank = rank
    return ranked


def group_of(row: Row) -> Group:
    """A group of one run."""
    return Group([row], {})


def _order(group: Group, main: Column | None) -> tuple[bool, float]:
    """Sort key: by the mean of the main score, groups without it last."""
    values = group.values(main) if main else []
    if not values:
        return True, 0.0
    mean = statistics.fmean(values)
    return False, -mean if main and main.better == "higher" else mean


def _spread(values: Sequence[float]) -> str:
    """Mean ± standard deviation, or the single value."""
    if len(values) < 2:
        return number(values[0]) if values else "–"
    return f"{number(statistics.fmean(values))} ± {number(statistics.stdev(values))}"


def _better(column: Column) -> str:
    return f"{column.name} {'↑' if column.better == 'higher' else '↓' if column.better else ''}".rstrip()


# -- parts of the page


def _head(folder: Path, rows: Sequence[Row], main: Column | None) -> Markup:
    failed = sum(row.run.failure is not None for row in rows)
    done = sum(row.run.failure is None and row.run.done >= (row.run.iterations or 0) for row in rows)
    seeds = dict.fromkeys(str(row.run.settings.get(SEED, "?")) for row in rows)
    spent = sum(seconds for row in rows if (seconds := facts.seconds(row.run)))
    pairs: list[tuple[str, Content]] = [
        ("Runs", len(rows)),
        ("Finished", done),
        ("Failed", failed or None),
        ("Seeds", ", ".join([*seeds][:12]) + ("…" if len(seeds) > 12 else "")),
        ("Training time", duration(spent) if spent else None),
        ("Sorted by", f"the mean of {main.name}, {main.better or 'lower'} is better" if main else "name"),
    ]
    subject = ", ".join(dict.fromkeys(facts.subject(row.run) for row in rows))
    return tag("header", tag("h1", subject), tag("p", tag("code", folder.resolve().name)), fact_list(pairs))


def _settings_table(
    groups: Sequence[Group], columns: Sequence[Column], main: Column | None, images: dict[int, Markup]
) -> Markup:
    names = list(groups[0].settings)
    ordered = sorted(columns, key=lambda column: column is not main)
    pictured = ["last samples"] if images else []
    rows: list[list[Content]] = []
    for group in groups:
        cells = [_spread(group.values(column)) for column in ordered]
        failed = sum(row.run.failure is not None for row in group.rows)
        runs = f"{len(group.rows)}" + (f", {failed} failed" if failed else "")
        image = [images.get(group.rank, NONE)] if images else []
        settings = [number(value) or "–" for value in group.settings.values()]
        rows.append([joined([_swatch(group), f" {group.rank}"]), *settings, *cells[:1], *image, runs, *cells[1:]])
    heads = [_better(column) for column in ordered]
    caption = "Settings with mean ± standard deviation over their runs"
    return table(["", *names, *heads[:1], *pictured, "runs", *heads[1:]], rows, caption, class_="settings")


def _images(groups: Sequence[Group]) -> tuple[dict[int, Markup], Markup]:
    """Rank -> the last sample grids of a setting's runs, best first, and what was left out."""
    chosen = {
        group.rank: [file for row in group.rows if (file := max(grids.files(row.run.path), default=None,
                     key=lambda path: int(path.stem)))] for group in groups
    }  # fmt: skip
    shown = {rank: files[:PER_SETTING] for rank, files in chosen.items() if files and rank <= PICTURED}
    count = sum(map(len, shown.values()))
    cells, problems, exact = {}, [], True
    for rank, files in shown.items():
        frames, failures = grids.frames(files, grids.BUDGET * len(files) // count)
        problems += failures
        exact = exact and all(frame.exact for frame in frames)
        cells[rank] = tag("div", *(_thumbnail(frame) for frame in frames), class_="thumbnails")
    total = sum(map(len, chosen.values()))
    notes = [f"{count} of {total} last sample grids are shown"] if count < total else []
    notes += [] if exact else ["images are recompressed, the originals are in samples/ of each run"]
    notes += [f"cannot be read: {problem}" for problem in problems[:3]]
    return cells, tag("p", "; ".join(notes) + ".", class_="note") if notes else NONE


def _thumbnail(frame: grids.Frame) -> Markup:
    """A small image, which a click enlarges."""
    image = tag(
        "img", src=frame.source, width=frame.width, height=frame.height,
        alt=f"Sample grid after iteration {frame.iteration:,}",
    )  # fmt: skip
    return tag("button", image, type="button", class_="zoom", title="Enlarge")


def _curves(groups: Sequence[Group], columns: Sequence[Column], main: Column | None) -> Markup:
    """The main score of all runs in one panel, the other scores and the losses folded."""
    values = list(dict.fromkeys([*([main.value] if main else []), *(column.value for column in columns)]))
    scores = [_overlaid(value, run_history.SCORE + value, groups) for value in values]
    scores = [figure for figure in scores if figure]
    losses = dict.fromkeys(name for group in groups for row in group.rows for name in row.run.curves
                           if not name.startswith((run_history.SCORE, "monitor/")))  # fmt: skip
    others = [_overlaid(name, name, groups) for name in [*losses][:PANELS]]
    legend = tag("ul", *(_entry(group) for group in groups[:PICTURED]), class_="legend")
    first = tag("div", *scores[:1], class_="large")
    more, folds = (
        folded(f"{what} ({len(figures)})", tag("div", *figures, class_="panels")) if figures else NONE
        for what, figures in (("Other scores", scores[1:PANELS]), ("Losses", others))
    )
    if not scores and not others:
        return NONE
    note = tag("p", "Thin: each run. Bold: the mean over the runs of a setting.", class_="note")
    return joined([legend, first if scores else NONE, note, more, folds])


def _overlaid(title: str, name: str, groups: Sequence[Group]) -> Markup:
    """A panel with the curve `name` of every run, and the mean of each setting."""
    lines: list[curves.Line] = []
    means: list[curves.Line] = []
    for group in reversed(groups):
        found = [series.finite(row.run.curves[name]) for row in group.rows if name in row.run.curves]
        found = [points for points in found if points]
        many = len(found) > 1
        is_loss = not name.startswith(run_history.SCORE)
        for points in found:
            if not is_loss:
                lines.append(curves.Line(points, f"{group.style} {'thin' if many else 'mean'}"))
        if many or is_loss:
            mean = series.mean_curve(found) if found else []
            mean = series.smoothed(mean, max(5, len(mean) / 25)) if is_loss else mean
            means.append(curves.Line(mean, f"{group.style} mean"))
    drawn = [line for line in lines + means if line.points]
    return curves.panel(title, drawn, "over the iterations") if drawn else NONE


def _entry(group: Group) -> Markup:
    return tag("li", _swatch(group), " ", text(group.name(), 120))


def _swatch(group: Group) -> Markup:
    """The color of a setting's curves."""
    line = tag("line", x1=0, x2=18, y1=5, y2=5, class_=group.style)
    return tag("svg", line, class_="swatch", viewBox="0 0 18 10", aria_hidden="true")


def _all_runs(groups: Sequence[Group], columns: Sequence[Column]) -> Markup:
    rows: list[list[Content]] = []
    for group in groups:
        for row in group.rows:
            scores = [number(row.scores[c.name].value) if c.name in row.scores else "–" for c in columns]
            spent = facts.seconds(row.run)
            seed = number(row.run.settings.get(SEED)) or "–"
            rows.append([tag("code", row.label), seed, row.outcome(), duration(spent) if spent else "–", *scores])
    head = ["run", "seed", "iterations", "time", *map(_better, columns)]
    return folded(f"{len(rows)} runs with their own scores", table(head, rows, "All runs"))


def _parts(rows: Sequence[Row]) -> Markup:
    """The parts that the runs are made of, each once."""
    found = dict.fromkeys(part for row in rows for part in facts.chosen(row.run))
    return run_page.parts(sorted(found, key=lambda part: facts.GROUPS.index(part[0]))[:100])


def _repeat(folder: Path) -> Markup:
    """The command of a sweep, as its record has it; nothing for another folder of runs."""
    with suppress(OSError, ValueError, TypeError, LookupError):
        words = migrations.overrides(map(str, read_json(folder / "sweep.json")["overrides"]))
        return command(shlex.join(["gan", "train", "-m", *words]))
    return NONE
