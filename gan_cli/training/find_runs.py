"""Find run directories on disk, without importing torch or Hydra."""

from __future__ import annotations

import difflib
import os
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

from gan_cli.utils.errors import GanError

DEPTH = 3  # outputs/<day>/<run>, outputs/sweeps/<sweep>/<job>
FOLDERS = ("checkpoints", "samples", "evaluation", ".hydra", "wandb")
FILES = r"config\.yaml|(provenance|failure|logger)\.json|(metrics|evaluation)\.jsonl|output\.txt|\.lock|events\.out\..*"
"""What a run writes or reads in its directory. The folders of `gan sample` and `gan export` are not among them: these
verbs check theirs (inference/outputs.py), and write elsewhere if `out=` says so."""


def contains_run(folder: Path) -> bool:
    """Whether training has begun in this folder, or its results are there.

    A process that was killed before provenance.json was whole has left nothing that counts: a new run may begin there.
    """
    if any((folder / name).exists() for name in ("provenance.json", "metrics.jsonl")):
        return True
    return any((folder / "checkpoints").glob("*.pt"))


def is_resumable(folder: Path) -> bool:
    """Whether the run can be resumed: provenance.json is written after the config, and before anything else."""
    return (folder / "provenance.json").exists()


def refuse_links(run: Path) -> None:
    """Raise GanError if a link among the files of a run leads out of its directory: a run may be untrusted, and what is
    written into it, or deleted, would be files elsewhere.

    The directory itself may be reached by a link.
    """
    inside = os.path.realpath(run)
    try:
        for folder in ("", *FOLDERS):  # a folder's link is found before its content is listed
            place = os.path.join(inside, folder)
            for entry in os.scandir(place) if os.path.isdir(place) else ():
                if folder or entry.name in FOLDERS or re.fullmatch(FILES, entry.name):
                    _refuse_if_out(run / folder / entry.name, inside, "run")
    except OSError as error:
        raise GanError(f"{error.filename} cannot be read: {error.strerror}; make it readable") from error


def refuse_links_below(folder: Path, what: str) -> None:
    """Raise GanError if any link below the folder of a sweep or a search leads out of it: it may be untrusted as well,
    and its trials are trained, cleared or resumed where their folders are.
    """
    inside = os.path.realpath(folder)
    for parent, folders, files in os.walk(folder):
        for name in (*folders, *files):
            _refuse_if_out(Path(parent, name), inside, what)


def _refuse_if_out(path: Path, inside: str, what: str) -> None:
    if path.is_symlink() and not os.path.realpath(path).startswith(inside + os.sep):
        raise GanError(
            f"{path} is a link to {os.readlink(path)}, which is not in the {what}: replace the link by a copy of what "
            "it leads to, if you trust it, or remove it"
        )


def refuse_inside_run(folder: Path, key: str) -> None:
    """Raise GanError if `folder` is, or is in, a folder in which a run keeps its own files, such as checkpoints/.

    key: the option that names another one.
    """
    place = folder.resolve()
    for own in (place, *place.parents):
        if own.name in FOLDERS and contains_run(own.parent):
            raise GanError(f"{folder} is among the files of the run {own.parent}: name another folder by {key}=")


def refuse_second_run(folder: Path) -> None:
    """Raise GanError if the folder holds a run already, or what is left of one, or links that lead out of it, or is one
    of another run's own.
    """
    refuse_inside_run(folder, "hydra.run.dir")
    refuse_links(folder)
    if not contains_run(folder):
        return
    remedy = f"`gan resume {shlex.quote(str(folder))}` continues it" if is_resumable(folder) else "move it away"
    raise GanError(f"{folder} already holds a run: {remedy}, another hydra.run.dir starts a new one")


def find_runs(folder: Path, depth: int = DEPTH) -> Iterator[Path]:
    """Run directories at most `depth` levels below a folder, in reverse order of their names."""
    try:
        children = [Path(entry.path) for entry in os.scandir(folder) if entry.is_dir()]
    except OSError:
        return
    children = [child for child in children if not child.name.startswith(".")]
    for child in sorted(children, key=lambda c: c.name, reverse=True):
        if contains_run(child):
            yield child
        elif depth > 1:
            yield from find_runs(child, depth - 1)


def _newest_first(folder: Path) -> list[Path]:
    return sorted(find_runs(folder), key=lambda run: run.stat().st_mtime, reverse=True)


def existing_run(text: str) -> Path:
    """The run directory that a user typed. GanError, which names similar or nearby ones, if it is not one."""
    folder = Path(text)
    if contains_run(folder):
        return folder
    above = next((path for path in folder.parents if contains_run(path)), None)
    if folder.exists() and above is not None:
        raise GanError(f"{text} is a {'folder of a run' if folder.is_dir() else 'file'}; the run is {above}")
    problem = "holds no run" if folder.is_dir() else "is a file, no run" if folder.exists() else "does not exist"
    inside = _newest_first(folder)
    around = inside or _newest_first(Path("outputs"))
    similar = [] if inside else [*find_runs(folder.parent, 1), *around]
    nearest = difflib.get_close_matches(os.path.normpath(text), map(str, similar), n=1, cutoff=0.7)
    if nearest:
        raise GanError(f"{text} {problem}; did you mean '{nearest[0]}'?")
    if around:
        where = "in it" if inside else "nearby"
        raise GanError(f"{text} {problem}; runs {where}: {', '.join(map(str, around[:3]))}")
    raise GanError(f"{text} {problem}; `gan train` makes a run")
