"""The report of one run."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from gan_cli.evaluation.score_table import directions, score_columns
from gan_cli.tools.html_report import curves, facts, grids, series
from gan_cli.tools.html_report.markup import (
    NONE,
    Content,
    Markup,
    command,
    duration,
    folded,
    joined,
    section,
    setting,
    table,
    tag,
    text,
)
from gan_cli.tools.html_report.markup import facts as fact_list
from gan_cli.training.find_runs import refuse_links
from gan_cli.training.run_history import Run, base_name
from gan_cli.utils.tables import number

CONFIG = 100_000  # characters of the configuration, at most
RECORDS = 200  # rows of scores, at most
ARROWS = {"higher": "↑ higher is better", "lower": "↓ lower is better"}


def body(folder: Path) -> tuple[str, Markup]:
    """The title and the content of the page. GanError if the run cannot be read."""
    refuse_links(folder)
    series.check_size(folder)
    run, known = facts.read(folder)
    title = facts.subject(run)
    parts = [
        _head(run, known, title),
        tag(
            "main",
            section("Samples over time", samples(run), name="samples"),
            section("Scores", scores(run), name="scores"),
            section("Learning curves", learning_curves(run), name="curves"),
            section("What was trained", trained(run), name="trained"),
            section("Settings", settings(run), name="settings"),
            section("Machine and versions", machine(known), name="machine"),
            section("Repeat it", repeat(run, known), name="repeat"),
        ),
    ]
    return title, joined(parts)


def _head(run: Run, known: Mapping[str, Any], title: str) -> Markup:
    state = facts.state(run, known)
    done, total = facts.iterations(run)
    size = run.settings.get("trainer.batch_size")
    spent = facts.seconds(run)
    device = known.get("device", {})
    where = device.get("name") or device.get("type")
    weights = sum(facts.parameters(run).values())
    pairs: list[tuple[str, Content]] = [
        ("Iterations", f"{done:,}" + (f" of {total:,}" if total and total != done else "") if done or total else None),
        ("Batch size", size if isinstance(size, int) else None),
        ("Training time", duration(spent) if spent else None),
        ("Device", where and (f"{where}, {device.get('threads')} threads" if where == "cpu" else where)),
        ("Weights", f"{weights:,}" if weights else None),
        ("Started", str(known.get("time", ""))[:10]),
    ]
    abouts = {group: about for group, _, about in facts.chosen(run)}
    lead = tag("p", abouts.get("experiment") or abouts.get("model") or "", class_="lead")
    badge = tag("span", state.word, class_=f"badge {state.style}")
    detail = tag("p", state.detail, class_="detail") if state.detail else NONE
    name = tag("p", badge, " ", tag("code", run.path.resolve().name))
    return tag("header", tag("h1", title), lead, name, detail, fact_list(pairs))


# -- samples


def samples(run: Run) -> Markup:
    """The sample grids with a slider, and what was left out."""
    paths = grids.files(run.path)
    if not paths:
        return tag("p", "This run has no sample grids.", class_="note")
    frames, problems = grids.frames(grids.spaced(paths, grids.FRAMES), grids.BUDGET)
    notes = [f"{len(frames)} of {len(paths)} grids" if len(frames) < len(paths) else f"All {len(paths)} grids"]
    changed = sum(not frame.exact for frame in frames)
    if changed:
        widest = max(max(frame.width, frame.height) for frame in frames)
        notes.append(f"{changed} recompressed as JPEG of at most {widest} pixels; the originals are in samples/")
    notes += [f"cannot be read: {problem}" for problem in problems[:3]]
    note = tag("p", "; ".join(notes) + ".", class_="note")
    return joined([_slider(frames), note]) if frames else note


def _slider(frames: Sequence[grids.Frame]) -> Markup:
    """All frames in one place, of which the script shows one. Without it, and in print, the last is shown."""
    last = len(frames) - 1
    shown = [
        tag("img", src=frame.source, width=frame.width, height=frame.height, data_iteration=frame.iteration,
            class_="exact" if frame.exact and frame.width < 300 else None, hidden=i != last,
            alt=f"Sample grid after iteration {frame.iteration:,}")
        for i, frame in enumerate(frames)
    ]  # fmt: skip
    label = tag("output", f"iteration {frames[-1].iteration:,}")
    controls = tag(
        "div",
        tag("button", "Play", type="button"),
        tag("input", type="range", min=0, max=last, value=last, step=1, aria_label="Sample grid"),
        label,
        class_="controls",
    )
    return tag("figure", tag("div", *shown, class_="frames"), controls if last else label, class_="samples")


# -- scores


def scores(run: Run) -> Markup:
    """The scores of `gan evaluate` with their protocol, and those taken during training."""
    evaluated = table(
        ["value", "score", "", "samples", "extractor", "iteration", "checkpoint", "weights", "seed", "date"],
        list(_evaluated(run))[:RECORDS],
        "Scores of gan evaluate",
    )
    commands = dict.fromkeys(
        shlex.join(["gan", *map(str, record["command"][1:])])
        for record in run.records
        if isinstance(record.get("command"), list)
    )
    how = folded("The commands of these scores", *(command(words) for words in [*commands][:20]))
    return joined([evaluated, how if evaluated else NONE, _during_training(run)]) or tag(
        "p", "This run has not been evaluated; gan evaluate computes scores.", class_="note"
    )


def _evaluated(run: Run) -> Iterator[list[Content]]:
    """A row for each value of the latest record of each metric, checkpoint, extractor and number of samples."""
    known = directions([run])
    latest = {}
    for record in run.records:
        protocol = record.get("protocol", {})
        kind = (record["metric"], *(str(protocol.get(key)) for key in ("checkpoint", "extractor", "generated", "seed")))
        latest[kind] = record
    for record in latest.values():
        protocol = record.get("protocol", {})
        counts = ", ".join(f"{text(name, 40)} {value:,}" for name, value in protocol.items()
                           if type(value) is int and name not in ("seed", "iteration"))  # fmt: skip
        for name, value in record["values"].items():
            better = known.get(base_name(name), ("", None))[1]
            yield [
                name, _score(value), ARROWS.get(str(better)), Markup(counts),
                _plain(protocol.get("extractor")), _count(protocol.get("iteration")),
                _plain(protocol.get("checkpoint")), _plain(protocol.get("weights")), _plain(protocol.get("seed")),
                str(record.get("time", ""))[:10],
            ]  # fmt: skip


def _during_training(run: Run) -> Markup:
    columns, (found,) = score_columns([run], None)
    rows: dict[str, list[Content]] = {}
    for column in columns:
        kind = column.name.removeprefix(column.value).strip()
        if kind in ("last", "best") and column.name in found:
            row = rows.setdefault(column.value, [column.value, ARROWS.get(str(column.better)), None, None, None, None])
            at = 2 if kind == "last" else 4
            row[at : at + 2] = [_score(found[column.name].value), _count(found[column.name].iteration)]
    size = run.settings.get("trainer.evaluate_count")
    caption = "Scores during training" + (f", of {size:,} samples each" if isinstance(size, int) else "")
    return table(["value", "", "last", "at iteration", "best", "at iteration"], rows.values(), caption)


def _score(value: object) -> str:
    return number(value) if isinstance(value, (int, float)) and value == value else "not defined"


def _count(value: object) -> str | None:
    return f"{value:,}" if type(value) is int else None


def _plain(value: object) -> str | None:
    return None if value is None else str(value)


# -- curves


def learning_curves(run: Run) -> Markup:
    """The scores, then the losses; gradient norms and rates are folded."""
    kinds = series.read(run.path)
    parts: list[Content] = []
    for kind in (series.SCORES, series.LOSSES):
        if kinds[kind]:
            parts += [tag("h3", kind), curves.panels(kinds[kind].items(), f"of the {kind.lower()}")]
    if any(kinds.values()):
        parts.append(tag("p", "Horizontal: iterations. Pale: as logged. Bold: moving average.", class_="note"))
    for kind in (series.NORMS, series.OTHERS):
        found = kinds[kind]
        parts.append(folded(f"{kind} ({len(found)})", curves.panels(found.items(), kind.lower())) if found else NONE)
    return joined(parts) or tag("p", "This run has logged nothing.", class_="note")


# -- what, how, where


def trained(run: Run) -> Markup:
    """The parts of the run in words, and its networks with their sizes."""
    sizes = facts.parameters(run)
    networks: list[list[Content]] = []
    for name, size in sizes.items():
        kind = str(run.settings.get(f"model.{name}._target_", "")).rpartition(".")[2]
        networks.append([tag("code", name), kind, f"{size:,}"])
    return joined([
        parts(facts.chosen(run)),
        table(["network", "class", "weights"], networks, "Networks"),
    ])  # fmt: skip


def parts(chosen: Iterable[tuple[str, str, str]]) -> Markup:
    """Group, choice and description of the parts of one run or several."""
    pairs = [(joined([tag("b", group), " ", tag("code", choice)]), about) for group, choice, about in chosen]
    items = (tag("div", tag("dt", name), tag("dd", about) if about else NONE) for name, about in pairs)
    return tag("dl", *items, class_="parts")


def settings(run: Run) -> Markup:
    """The settings that differ from the defaults, then the whole configuration, folded."""
    changed = facts.changed_settings(run)
    whole, complete = facts.config_text(run.path, CONFIG)
    found: list[Content] = []
    if changed:
        rows = [[setting(key), _value(value), _value(default)] for key, value, default in changed]
        caption = "Settings that differ from the defaults"
        found.append(table(["setting", "this run", "default"], rows, caption, class_="plain"))
    elif changed is not None:
        found.append(tag("p", "All settings are the defaults of the parts above."))
    elif run.overrides:
        rows = [[setting(key), value] for key, _, value in (word.partition("=") for word in run.overrides)]
        found.append(table(["setting", "as typed"], rows, "Settings as typed", class_="plain"))
    if whole:
        end = NONE if complete else tag("p", f"The first {CONFIG:,} characters.", class_="note")
        found.append(folded("The whole configuration", tag("pre", tag("code", text(whole, CONFIG))), end))
    return joined(found)


def _value(value: object) -> str:
    return "–" if value is None else str(value)


def machine(known: Mapping[str, Any]) -> Markup:
    """Where the run was trained, by which versions, and its resumes."""
    device, versions = known.get("device", {}), known.get("versions", {})
    system = known.get("machine", {})
    pairs: list[tuple[str, Content]] = [
        *((f"Device {key}", _plain(device.get(key))) for key in ("type", "name", "threads", "processes")),
        *((key.capitalize(), _plain(value)) for key, value in [*system.items()][:10]),
        ("Started", _plain(known.get("time"))),
        ("Git revision", _plain(known.get("git"))),
        ("Data", _plain(known.get("data"))),
        *((str(name), _plain(value)) for name, value in [*versions.items()][:20]),
    ]
    started = known.get("initialized", {})
    origin = fact_list((f"Started from: {key}", _plain(value)) for key, value in [*started.items()][:10])
    files = known.get("imported", {})
    imported = fact_list((f"Imported: {key}", _plain(value)) for key, value in [*files.items()][:10])
    rows = [
        [str(entry.get("time", "")), _count(entry.get("iteration")), " ".join(map(str, entry.get("overrides") or []))]
        for entry in known.get("resumes", [])
        if isinstance(entry, dict) and isinstance(entry.get("overrides") or [], list)
    ]
    resumes = table(["resumed", "after iteration", "with"], rows[-50:], "Resumes")
    return joined([fact_list(pairs), origin, imported, resumes])


def repeat(run: Run, known: Mapping[str, Any]) -> Markup:
    """The command that makes the run again, as the run recorded it."""
    words = facts.repeat_command(run, known)
    folder = known.get("folder")
    note = f"As recorded by the run, in {folder}." if folder else "As recorded by the run."
    return joined([command(words), tag("p", note, class_="note")])
