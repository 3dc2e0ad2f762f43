"""From schema version 2 to 3: a node names a class, never a function, so that each place accepts its own kind only, and
data sets of image files have a window.
"""

from __future__ import annotations

import re
from typing import Any

CLASSES = {
    "torch.nn.functional.mse_loss": "torch.nn.MSELoss",
    "torch.nn.functional.l1_loss": "torch.nn.L1Loss",
    "torch.nn.functional.binary_cross_entropy": "torch.nn.BCELoss",
    "gan_cli.utils.random.normal": "gan_cli.utils.random.Normal",
    "gan_cli.utils.random.uniform": "gan_cli.utils.random.Uniform",
}
WINDOWED = (
    "folders.ImageFolder", "folders.UnpairedFolder", "paired.PairedFolder", "label_maps.LabelMapFolder",
    "label_maps.LargePairs", "derived_pairs.Colorization", "derived_pairs.Inpainting", "webdataset.WebDataset",
    "huggingface.HuggingFace", "discogan_domains.HalvesFolder", "discogan_domains.AttributeFolder",
)  # fmt: skip


def config(old: dict[str, Any]) -> dict[str, Any]:
    """A run's config.yaml. Idempotent, because a process may be killed between writing the config and its version."""
    found: dict[str, Any] = _node(old)
    return found


def override(old: str) -> str | None:
    """One override as typed."""
    names = "|".join(map(re.escape, CLASSES))
    return re.sub(rf"(?<![\w.])({names})(?![\w.])", lambda name: CLASSES[name[0]], old)


def provenance(old: dict[str, Any]) -> dict[str, Any]:
    """The provenance.json of a run."""
    return {**old, "overrides": [override(text) for text in old.get("overrides", [])]}


def checkpoint(old: dict[str, Any]) -> dict[str, Any]:
    """The content of a checkpoint, which names no classes."""
    return old


def record(old: dict[str, Any]) -> dict[str, Any]:
    """A record of evaluation.jsonl or of a result file: unchanged."""
    return old


def metric(old: str) -> str:
    """The name of a metric: unchanged."""
    return old


def value(old: str) -> str:
    """The name of a metric's value: unchanged."""
    return old


def _node(value: Any) -> Any:
    if isinstance(value, list):
        return [_node(item) for item in value]
    if not isinstance(value, dict):
        return value
    found = {key: _node(item) for key, item in value.items()}
    name = found.get("_target_")
    if isinstance(name, str) and name in CLASSES:
        found["_target_"] = CLASSES[name]
        found.pop("_partial_", None)  # the rest of a function's arguments came with its call
        if name == "gan_cli.utils.random.uniform":
            found.setdefault("low", 0.0)  # the function's default, which is -1 for the class
    if isinstance(name, str) and name.removeprefix("gan_cli.data.") in WINDOWED:
        found.setdefault("window", None)
        if name.endswith(".LabelMapFolder"):
            found.setdefault("void", None)
    return found
