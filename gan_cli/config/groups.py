"""`gan list`: what the config groups offer, read from the first lines of their files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from gan_cli.config.paths import conf_dir
from gan_cli.utils.errors import GanError, suggest

FIRST = ("model", "loss", "dataset", "optimizer", "experiment")  # those that people name most


def groups() -> dict[str, list[Path]]:
    """Group name -> its files; a group within a group is named with a slash."""
    root = conf_dir()
    found: dict[str, list[Path]] = {group: [] for group in FIRST}
    for file in sorted(root.rglob("*.yaml")):
        group = file.parent.relative_to(root).as_posix()
        if group != "." and not group.startswith("hydra"):
            found.setdefault(group, []).append(file)
    return {group: files for group, files in found.items() if files}


def lines(group: str | None = None) -> Iterator[str]:
    """The lines that `gan list [GROUP]` prints. Raises GanError for a group that does not exist."""
    found = groups()
    if group is None:
        width = max(map(len, found))
        for name, files in found.items():
            yield f"{name:<{width}}  {' '.join(file.stem for file in files)}"
        yield "\n`gan list GROUP` says what each one is; `gan train GROUP=NAME` uses it."
        return
    described = descriptions(group)
    width = max(map(len, described))
    for name, text in described.items():
        yield f"{name:<{width}}  {text}".rstrip()


def descriptions(group: str) -> dict[str, str]:
    """Name -> first line of every file of a group. Raises GanError for a group that does not exist."""
    found = groups()
    if group not in found:
        raise GanError(f"no group '{group}'{suggest(group, found)}")
    return {file.stem: description(file) for file in found[group]}


def description(file: Path) -> str:
    """The first comment of a config file that is not an instruction to Hydra."""
    with file.open(encoding="utf-8") as text:
        for line in text:
            if not line.startswith("#"):
                break
            if not line.startswith("# @package"):
                return line.lstrip("# ").strip()
    return ""
