"""Files of several folders that belong together: by their names, and never by their positions in the folders."""

import re
import unicodedata
from collections.abc import Sequence
from itertools import takewhile
from pathlib import PurePosixPath

from gan_cli.data.listing import Files
from gan_cli.data.notes import say_once

CITYSCAPES = re.compile(r"_(leftImg8bit|gt(Fine|Coarse)_[A-Za-z]+)$|_b\*$")  # endings of its names, and of band files
SEPARATORS = "_. -"
MOST_NAMED = 3


def composed(name: str) -> str:
    """The name with one character for é, which macOS writes in two (Unicode's form NFC)."""
    return unicodedata.normalize("NFC", name)


def matched(*folders: Files) -> list[Files]:
    """Return the files of all folders in the order of the first one, each file beside its partners.

    Partners have the same subfolder and the same name but for the suffix and for Cityscapes' endings, such as
    `_leftImg8bit` and `_gtFine_labelIds`. If they have not, a beginning or an ending that all names of a folder share
    does not count either, such as `photo_` or `-mask`; a line says so. If that helps, é in one character is é in two,
    which macOS writes (Unicode's form NFC); a line says that as well. Raises ValueError, which names the files without
    a partner, and for two files of one name in a folder.
    """
    stems = [[CITYSCAPES.sub("", PurePosixPath(name).with_suffix("").as_posix()) for name in f.names] for f in folders]
    rows = [_by_key(files, part) for files, part in zip(folders, stems)]
    forms = [list(map(composed, part)) for part in stems]
    if _differ(rows) and forms != stems:
        stems, rows = forms, [_by_key(files, part) for files, part in zip(folders, forms)]
        say_once(f"note: {folders[0].root.parent}: letters with accents are matched in both forms that Unicode has")
    if _differ(rows):
        shared = [_shared([stem.rpartition("/")[2] for stem in part]) for part in stems]
        shortened = [
            _by_key(files, [_without(stem, *words) for stem in part])
            for files, part, words in zip(folders, stems, shared)
        ]
        if _differ(shortened):
            raise ValueError(_alone(folders, rows if set.intersection(*map(set, rows)) else shortened))
        rows = shortened
        patterns = " and ".join(f"{files.root.name}/{first}*{last}" for files, (first, last) in zip(folders, shared))
        say_once(f"note: {folders[0].root.parent}: partners are {patterns}, with the same text for *")
    return [files.pick([row[key] for key in rows[0]]) for files, row in zip(folders, rows)]


def _differ(rows: Sequence[dict[str, int]]) -> bool:
    return len({frozenset(row) for row in rows}) > 1


def _by_key(files: Files, keys: Sequence[str]) -> dict[str, int]:
    """Return the number of each file by its key. ValueError if two files have the same one."""
    row = {key: number for number, key in enumerate(keys)}
    if len(row) < len(files.names):
        raise ValueError(f"{files.root} holds images of one name with different suffixes: which is the partner?")
    return row


def _shared(stems: Sequence[str]) -> tuple[str, str]:
    """Return the beginning and the ending that several names share, in whole words."""
    if len(stems) == 1:
        return "", ""
    first = _common(stems).rstrip("0123456789")
    if not all(stem[len(first) :][:1].isdigit() for stem in stems):
        first = first[: 1 + max(first.rfind(separator) for separator in SEPARATORS)]
    last = re.search(f"[{SEPARATORS}].*", _common([stem[len(first) :][::-1] for stem in stems])[::-1])
    return first, last[0] if last else ""


def _common(texts: Sequence[str]) -> str:
    """The longest common beginning."""
    return "".join(a for a, _ in takewhile(lambda pair: pair[0] == pair[1], zip(min(texts), max(texts))))


def _without(stem: str, first: str, last: str) -> str:
    folder, slash, name = stem.rpartition("/")
    return folder + slash + name.removeprefix(first).removesuffix(last)


def _alone(folders: Sequence[Files], rows: Sequence[dict[str, int]]) -> str:
    """Name the files of each folder that lack a partner in another one."""
    everywhere = set.intersection(*map(set, rows))
    parts = []
    for files, row in zip(folders, rows):
        alone = [files.names[number] for key, number in row.items() if key not in everywhere]
        if alone:
            some = ", ".join(alone[:MOST_NAMED]) + (", ..." if len(alone) > MOST_NAMED else "")
            others = " or ".join(str(other.root) for other in folders if other is not files)
            parts.append(f"{len(alone)} images of {files.root} have no partner in {others}: {some}")
    return "; ".join(parts)
