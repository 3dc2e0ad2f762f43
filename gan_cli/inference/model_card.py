"""The model card of a published run: README.md with the metadata that the hub reads, from config and scores."""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml  # type: ignore[import-untyped]

from gan_cli.inference.hub import WEIGHTS
from gan_cli.utils.tables import markdown, number

SHOWN = (
    "trainer.iterations", "trainer.batch_size", "trainer.ema_decay", "trainer.precision", "optimizer._target_",
    "optimizer.lr", "optimizer.betas", "loss.adversarial._target_", "loss.penalty._target_", "dataset._target_",
    "dataset.image_size", "dataset.channels", "dataset.num_classes", "seed",
)  # fmt: skip
"""Settings that the card lists, of those that the run has; config.yaml has all."""
MARKUP = re.compile(r"[^\w ,+%.-]|(?<![^\W_])_|_(?![^\W_])|(?<=[wW]{3})\.")
"""Characters that may begin markup, HTML or a link; underscores and dots within names do not."""
PROTOCOL = ("generated", "train", "test", "extractor", "weights", "seed", "direction")


@dataclass(frozen=True)
class Published:
    """What the card says. repo_id: where the run will be. license: as the hub names it. task: in the hub's words.

    choices: config groups; settings: flat; facts, records: public; grids: names of sample images, the last one newest.
    """

    repo_id: str
    license: str
    model: str
    task: str
    iteration: int
    weights: str
    choices: Mapping[str, str]
    settings: Mapping[str, Any]
    facts: Mapping[str, Any]
    records: Sequence[Mapping[str, Any]]
    grids: Sequence[str]


def text(run: Published) -> str:
    """The whole README.md."""
    parts = [_head(run), _title(run), _images(run), _use(run), _scores(run), _training(run), _files(run)]
    return "\n".join(part for part in parts if part)


def escaped(value: object) -> str:
    """A value of a run as plain text of Markdown on one line: no markup, no HTML, no link."""
    line = "".join(character if character.isprintable() else " " for character in str(value))
    # Entities instead of backslashes: these also hold within tables and HTML.
    return MARKUP.sub(lambda found: f"&#{ord(found[0])};", line)


def code(lines: Iterable[str], language: str) -> str:
    """A block of code, whose fence is longer than any in it."""
    body = ["".join(c if c.isprintable() else " " for c in line) for line in lines]
    fence = "`" * max(3, 1 + max((len(run) for line in body for run in re.findall("`+", line)), default=0))
    return "\n".join([fence + language, *body, fence, ""])


def data_name(run: Published) -> str:
    return run.choices.get("dataset") or str(run.settings.get("dataset._target_", "")).rpartition(".")[2] or "unknown"


def _head(run: Published) -> str:
    tags = ["gan", "pytorch", *(run.choices[key] for key in ("model", "dataset", "experiment") if _chosen(run, key))]
    head: dict[str, Any] = {"license": run.license, "library_name": "gan-cli", "pipeline_tag": run.task}
    head["tags"] = list(dict.fromkeys(tags))
    metrics = [
        {"type": str(record["metric"]), "name": str(name), "value": value}
        for record in run.records
        for name, value in record["values"].items()
        if isinstance(value, (int, float)) and math.isfinite(value)
    ]
    if metrics:
        data = data_name(run)
        task = {"type": run.task, "name": run.task.replace("-", " ")}
        results = [{"task": task, "dataset": {"type": data, "name": data}, "metrics": metrics}]
        head["model-index"] = [{"name": run.repo_id.rpartition("/")[2], "results": results}]
    return f"---\n{yaml.safe_dump(head, sort_keys=False, allow_unicode=True)}---\n"


def _chosen(run: Published, key: str) -> bool:
    return run.choices.get(key, "None") not in ("None", "null", "")


def _title(run: Published) -> str:
    name = run.choices.get("model") or run.model
    weights = {
        "auto": "the weights of the last step and, where the run kept them, their moving average",
        "ema": "the moving average of the weights",
        "raw": "the weights of the last step",
    }[run.weights]
    return (
        f"# {escaped(name)} on {escaped(data_name(run))}\n\n"
        f"A generative adversarial network ({escaped(run.model)}) after {run.iteration:,} iterations, trained with "
        f"gan-cli. This repository holds {weights}, the settings and the scores.\n"
    )


def _images(run: Published) -> str:
    if not run.grids:
        return ""
    *before, last = run.grids
    shown = f"![samples after {run.iteration} iterations]({last})\n"
    if before:  # HTML, because Markdown has no width
        images = [f'<img src="{grid}" width="240" alt="{grid}">' for grid in before]
        shown += "\nEarlier in the training:\n\n" + "\n".join(images) + "\n"
    return shown


def _use(run: Published) -> str:
    folder = f"outputs/pulled/{run.repo_id.rpartition('/')[2]}"
    translates = run.task == "image-to-image"
    verb = "translate" if translates else "sample"
    shell = ["pip install 'gan-cli[hub]'", shlex.join(["gan", "pull", run.repo_id])]
    shell.append(f"gan {verb} {shlex.quote(folder)}" + (" input=DIR output=DIR" if translates else " n=16"))
    load = ["import gan_cli", "", f"run = gan_cli.load({folder!r})"]
    if translates:
        python = ["from PIL import Image", *load, 'image = run.translate(Image.open("photo.jpg"))']
    else:
        python = [*load, "images = run.sample(16, seed=0)  # (16, C, H, W)"]
    return "## Use\n\n" + code(shell, "bash") + "\nIn Python, after `gan pull`:\n\n" + code(python, "python")


def _scores(run: Published) -> str:
    rows = []
    for record in run.records:
        protocol = record.get("protocol", {})
        how = ", ".join(f"{escaped(key)} {escaped(protocol[key])}" for key in PROTOCOL if key in protocol)
        better = record.get("better", {})
        for name, value in record["values"].items():
            direction = better.get(name)
            arrow = {"higher": " ↑", "lower": " ↓"}.get(direction, "") if isinstance(direction, str) else ""
            rows.append([escaped(name) + arrow, number(value), how])
    if not rows:
        return ""
    return f"## Scores\n\nOf iteration {run.iteration:,}, by `gan evaluate`.\n\n" + markdown(
        ["metric", "value", "protocol"], rows
    )


def _training(run: Published) -> str:
    shown_keys = [key for key in SHOWN if run.settings.get(key) is not None]
    rows = [[escaped(key.removesuffix("._target_")), escaped(run.settings[key])] for key in shown_keys]
    shown = "## Training\n\n"
    if "command" in run.facts:
        shown += code([shlex.join(run.facts["command"])], "bash")
        resumed = [shlex.join(["gan", "resume", "RUN_DIR", *entry["overrides"]])
                   for entry in run.facts.get("resumes", []) if entry["overrides"]]  # fmt: skip
        shown += "\n" + code(resumed, "bash") if resumed else ""
    elif "imported" in run.facts:
        shown += "The weights were imported by `gan import`.\n"
    if rows:
        shown += "\n" + markdown(["setting", "value"], rows)
    versions = {name: run.facts.get("versions", {}).get(name) for name in ("gan-cli", "torch")}
    made = ", ".join(f"{name} {escaped(version)}" for name, version in versions.items() if version)
    return shown + (f"\nMade with {made}.\n" if made else "")


def _files(run: Published) -> str:
    return (
        "## Files\n\n"
        f"`{WEIGHTS}` holds the weights as `system.NETWORK.WEIGHT` and their moving averages as "
        "`ema.NETWORK.WEIGHT`; `config.yaml` the settings; `provenance.json` versions and the command; "
        "`evaluation.jsonl` and `metrics.jsonl` the scores and the losses. There is no state of the optimizers: "
        "`trainer.init_from=RUN` starts a new training from these weights. Folders of the machine on which the run "
        "was trained are replaced by FOLDER.\n"
    )
