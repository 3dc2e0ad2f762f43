"""`gan list`: the choices that the config groups offer, described by the first lines of their files."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from gan_cli.config.paths import conf_dir
from gan_cli.utils.errors import GanError, suggest

FIRST = ("model", "loss", "dataset", "optimizer", "experiment")  # the groups that users name most


def groups() -> dict[str, list[Path]]:
    """Group name -> its files; a group within a group is named with a slash."""
    root = conf_dir()
    found: dict[str, list[Path]] = {group: [] for group in FIRST}
    for file in sorted(root.rglob("*.yaml")):
        group = file.parent.relative_to(root).as_posix()
        if group != "." and not group.startswith("hydra"):
            found.setdefault(group, []).append(file)
    return {group: files for group, files in found.items() if files}


def refuse_paths(chosen: Sequence[tuple[str, str]], options: Callable[[str], Sequence[str]]) -> None:
    """Raise GanError for a choice of a group, (group, name), that is a path or has a file's ending: Hydra would accept
    it, but the run could not say which part it has. options: the names in a group.
    """
    for group, name in chosen:
        plain = Path(name).stem
        if {"", ".", ".."} & {*name.split("/")} or name.endswith((".yaml", ".yml")):
            own = f"--config-dir=DIR adds your own choices, DIR/{group}/NAME.yaml"
            remedy = f"write {group}={plain}" if plain in options(group) else own
            raise GanError(f"{group}={name}: a choice is a name without folders and ending; {remedy}")


def lines(group: str | None = None) -> Iterator[str]:
    """The lines that `gan list [GROUP]` prints. Raises GanError for a group that does not exist."""
    if group is not None:
        yield from _table(descriptions(group))
        return
    yield "Models and their papers:"
    yield from _table(descriptions("model"), indent="  ")
    yield "\nOther groups:"
    others = {name: " ".join(file.stem for file in files) for name, files in groups().items() if name != "model"}
    yield from _table(others, indent="  ")
    yield "\n`gan list GROUP` describes each choice of a group; `gan train GROUP=NAME` uses it."


def choice(group: str, target: str) -> str:
    """`GROUP=NAME` for the class `target`: the choice of this command, or the only file that names the class; its path
    if there are none or several.
    """
    from hydra.core.hydra_config import HydraConfig  # takes long to import

    files = [file for file in groups().get(group, ()) if f"_target_: {target}\n" in file.read_text(encoding="utf-8")]
    names = {file.stem for file in files}
    chosen = str(HydraConfig.get().runtime.choices.get(group)) if HydraConfig.initialized() else ""
    # What an earlier command of this process chose may be another class.
    if chosen in names or (chosen and not names):
        return f"{group}={chosen}"
    return f"{group}={names.pop()}" if len(names) == 1 else f"{group} {target}"


def _table(rows: dict[str, str], indent: str = "") -> Iterator[str]:
    width = max(map(len, rows))
    for name, text in rows.items():
        yield f"{indent}{name:<{width}}  {text}".rstrip()


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
