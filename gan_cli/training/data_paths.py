"""Relative paths in a run's config: which folders they meant, and where these are for a later process."""

from __future__ import annotations

import copy
import os
import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from gan_cli.data import checksums
from gan_cli.data.base import Dataset
from gan_cli.utils.distributed import print_once
from gan_cli.utils.errors import GanError

KEYS = ("root", "test_root", "other_root", "weights", "alexnet")
"""Names of the settings that are files or folders: of data sets, of extractors and metrics, of networks."""


def relative_paths(node: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """(dotted key, value) of every setting of a plain config that is a relative path."""
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in items:
        where = f"{path}.{key}" if path else str(key)
        if key in KEYS and isinstance(value, str) and value and not re.match(r"/|~|\w+:", value):
            yield where, value
        yield from relative_paths(value, where)


def describe(cfg: DictConfig, located: DictConfig) -> dict[str, dict[str, str]]:
    """For the provenance: key -> a relative path as typed, and its absolute form, of those that exist.

    located: the same config with absolute paths, where another than the current folder counts.
    """
    found = relative_paths(OmegaConf.to_container(cfg, resolve=True))
    absolute = {key: (text, os.path.abspath(OmegaConf.select(located, key))) for key, text in found}
    return {key: {"typed": text, "absolute": path} for key, (text, path) in absolute.items() if _exists(Path(path))}


def located(
    cfg: DictConfig, run: Path, facts: Mapping[str, Any], typed: Collection[str] = ()
) -> tuple[DictConfig, list[str]]:
    """A copy of a run's config with absolute paths, and the keys whose files were not where the run's first process
    found them, or where no record says where that was.

    A path is looked for where it was when the run began; then, in case the folder with both has moved, where it is
    relative to the run; then in the current folder. typed: the keys that this command line has set.
    """
    found, moved = copy.deepcopy(cfg), []
    for key, text in relative_paths(OmegaConf.to_container(cfg, resolve=True)):
        if key in typed:
            continue
        known = facts.get("paths", {}).get(key, {})
        first = known.get("absolute") if known.get("typed") == text else None
        places = [first, _beside(run, facts, text), os.path.abspath(text)]
        place = next((place for place in places if place and _exists(Path(place))), None)
        if place is None:
            continue
        OmegaConf.update(found, key, place)
        if place != first:
            moved.append(key)
            if place != places[-1] or first:
                print_once(f"note: {key}={text} is {place}" + (f"; it was {first} when the run began" if first else ""))
    return found, moved


def _beside(run: Path, facts: Mapping[str, Any], text: str) -> str | None:
    """Where a relative path is if the folder in which the run began has moved with the run and the data in it."""
    if "run" not in facts or "folder" not in facts:
        return None
    return os.path.normpath(run.resolve() / os.path.relpath(facts["folder"], facts["run"]) / text)


def _exists(path: Path) -> bool:
    """Whether the path exists; of one with a pattern such as `shards/{000..146}.tar`, the folder above it."""
    parts = path.parts
    plain = next((index for index, part in enumerate(parts) if re.search(r"[{*?\[]", part)), len(parts))
    return Path(*parts[:plain]).exists()


def identity(data: Dataset) -> dict[str, str | None]:
    """The fingerprint and the sampled checksum of the data, by which `check_data` recognizes them later."""
    return {"data": data.fingerprint(), "content": checksums.content(data.files)}


def check_data(data: Dataset, facts: Mapping[str, Any], moved: Collection[str], typed: Collection[str]) -> None:
    """Compare data with those on which a run began. A note if they differ; GanError if they were found by a guess.

    What the run has not recorded, or what cannot be read today, is not compared.
    """
    if all(None in (value, facts.get(key)) or facts[key] == value for key, value in identity(data).items()):
        return
    guessed = next((key for key in moved if key.startswith("dataset.")), None)
    if guessed and not any(key.startswith("dataset.") for key in typed):
        raise GanError(
            f"{guessed}: the data that are found there now are not those of the run: give {guessed}=FOLDER, which "
            "may name other data too"
        )
    print_once("note: the data have changed since the run began, so its results will differ")
