"""`gan train model=cyclegan dataset.root=photos`: the data set that reads a folder is chosen by the model."""

from __future__ import annotations

import re
from collections.abc import Sequence

from gan_cli.config.composer import Composer
from gan_cli.config.schema import command_line_modules
from gan_cli.config.targets import import_allowed, target
from gan_cli.utils.distributed import print_once
from gan_cli.utils.errors import GanError, one_line

DATASETS = {"Images": "image_folder", "Domains": "unpaired_folder", "Pairs": "paired_folder"}
"""Type of a model's batches -> the data set of folders that gives them."""


def with_dataset(overrides: Sequence[str], composer: Composer, quiet: bool = False) -> list[str]:
    """The overrides with dataset=NAME, which is printed unless `quiet`, if dataset.root is given and no data set.

    Unchanged if an experiment or a grid is chosen, or if the model's own data set has a root. GanError if the folder
    has a layout that the model is not trained on.
    """
    keys = [override.lstrip("+~").partition("=")[0].strip() for override in overrides]
    root = next((o.partition("=")[2] for key, o in zip(keys, overrides) if key == "dataset.root"), None)
    if root is None or not re.fullmatch(r"[^,$'\"]+", root) or {"dataset", "experiment", "sweep"} & set(keys):
        return list(overrides)
    others = [override for key, override in zip(keys, overrides) if key.partition(".")[0] != "dataset"]
    try:
        cfg = composer.compose(others)
        modules = command_line_modules(others)
        import_allowed(modules)
        batch = target(cfg.model._target_, modules).batch_type.__name__  # type: ignore[attr-defined]
    except (GanError, AttributeError):  # what is wrong with the other words is reported without this choice
        return list(overrides)
    if "root" in cfg.dataset or batch not in DATASETS:
        return list(overrides)
    name = DATASETS[batch]
    _check_layout(root, name, str(cfg.hydra.runtime.choices.model))
    if not quiet:
        print_once(f"note: dataset={name}, which model={cfg.hydra.runtime.choices.model} is trained on, reads {root}")
    return [f"dataset={name}", *overrides]


def _check_layout(root: str, dataset: str, model: str) -> None:
    from gan_cli.data.folders import find_folder  # imports torch, which takes seconds
    from gan_cli.data.layouts import MODELS, recognize

    try:
        layout = recognize(find_folder(root, "root"))
    except (ValueError, OSError) as error:
        raise GanError(f"dataset: {one_line(error)}") from error
    if dataset not in layout.datasets:
        fitting = layout.datasets[0]
        raise GanError(
            f"dataset.root={root} holds {layout.words}: dataset={fitting} reads it, for a model such as "
            f"model={MODELS[fitting]}; model={model} is trained on dataset={dataset}"
        )
