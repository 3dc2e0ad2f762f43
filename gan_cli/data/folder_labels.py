"""Classes of the images of a folder: by its subfolders, or by a file dataset.json as the StyleGAN code writes it."""

import hashlib
import json
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple, NoReturn

import torch
from torch import Tensor

from gan_cli.data.listing import Files
from gan_cli.data.notes import say_once
from gan_cli.data.partners import composed

FILE = "dataset.json"
LARGEST = 200 * 10**6  # bytes of dataset.json; that of ImageNet takes 50 MB
MOST_CLASSES = 1000  # subfolders that are offered as classes


class Labels(NamedTuple):
    """The label of each image of each folder, int64; the names of the classes, if they have some; and what the labels
    add to the fingerprint of the data set: nothing if they are part of the names of the files.
    """

    folders: Sequence[Tensor] = ()
    names: tuple[str, ...] = ()
    mark: str = ""


def labels(folders: Sequence[Files], num_classes: int | None) -> Labels:
    """The labels of images in folders: those of each folder's dataset.json, if the first has one with labels, or the
    number of the subfolder, counted in the first folder by name. None without num_classes, except for a note.

    Raises ValueError for labels that do not fit the images or num_classes.
    """
    if num_classes is None:
        _suggest_classes(folders[0])
        return Labels()
    entries = read(folders[0].root)
    if entries is None:
        return _subfolders(folders, num_classes)
    say_once(f"note: the labels are those of {folders[0].root / FILE}")
    rest = [read(files.root) for files in folders[1:]]
    tensors = [_of_files(files, found) for files, found in zip(folders, [entries, *rest])]
    used = tensors[0].unique().tolist()
    if used != list(range(num_classes)):
        gap = next((a + 1 for a, b in pairwise([-1, *used]) if b > a + 1), None)
        problem = f"; set dataset.num_classes={used[-1] + 1}" if gap is None else f", but none {gap}: leave no gaps"
        raise ValueError(
            f"num_classes {num_classes}, but {folders[0].root / FILE} has labels up to {used[-1]}{problem}"
        )
    highest = max(int(tensor.max()) for tensor in tensors)
    if highest >= num_classes:
        raise ValueError(f"{folders[-1].root / FILE} has a label {highest}, which no training image has")
    content = b"".join(tensor.numpy().tobytes() for tensor in tensors)
    return Labels(tensors, (), "-labels" + hashlib.blake2b(content, digest_size=4).hexdigest())


def _subfolders(folders: Sequence[Files], num_classes: int) -> Labels:
    named = [[name.split("/")[0] if "/" in name else "" for name in files.names] for files in folders]
    classes = classes_of(folders[0])
    if len(classes) != num_classes:
        some = ", ".join(classes[:5]) + (", ..." if len(classes) > 5 else "")
        raise ValueError(
            f"num_classes {num_classes}, but {folders[0].root} has {len(classes)} subfolders with images "
            f"({some or 'none'}); set dataset.num_classes={len(classes) or 'null'}"
        )
    numbers = {form(name): number for form in (composed, str) for number, name in enumerate(classes)}
    named = [[name if name in numbers else composed(name) for name in names] for names in named]
    for files, names in zip(folders, named):
        for name in set(names) - set(numbers):
            where = f"subfolder {name}, which is no class of {folders[0].root}" if name else "no subfolder"
            raise ValueError(f"images of {files.root} lie in {where}; or set dataset.num_classes=null")
    return Labels([torch.tensor([numbers[name] for name in names]) for names in named], tuple(classes))


def classes_of(files: Files) -> list[str]:
    """The subfolders with images, sorted."""
    return sorted({name.split("/")[0] for name in files.names if "/" in name})


def _suggest_classes(files: Files) -> None:
    """Print once which key would use labels that a folder seems to have."""
    classes = classes_of(files)
    if (files.root / FILE).is_file():
        say_once(f"note: {files.root / FILE} may hold labels; dataset.num_classes=N uses those of N classes")
    elif 2 <= len(classes) <= MOST_CLASSES and all("/" in name for name in files.names):
        some = ", ".join(classes[:3]) + (", ..." if len(classes) > 3 else "")
        say_once(
            f"note: {files.root}: the {len(classes)} subfolders look like classes ({some}); "
            f"dataset.num_classes={len(classes)} uses them as labels"
        )


def read(root: Path) -> dict[str, int] | None:
    """Name of a file -> its label, of the folder's dataset.json; None if it has no such file, or no labels in it."""
    file = root / FILE
    if not file.is_file():
        return None
    if file.stat().st_size > LARGEST:
        raise ValueError(f"{file} is larger than {LARGEST // 10**6} MB")
    try:
        with file.open("rb") as source:
            found = json.loads(source.read(LARGEST + 1), parse_constant=_refuse, object_pairs_hook=_without_repetition)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{file} is no valid JSON: {error}") from error
    entries = found.get("labels") if isinstance(found, dict) else found
    if entries is None:
        return None
    if not isinstance(found, dict) or not isinstance(entries, list) or not entries:
        raise ValueError(f'{file} has another form than {{"labels": [["NAME.png", 0], ...]}}')
    result: dict[str, int] = {}
    for entry in entries:
        if not (isinstance(entry, list) and len(entry) == 2 and isinstance(entry[0], str)):
            raise ValueError(f"{file}: {str(entry)[:80]} is no pair of the name of an image and its label")
        name, label = entry
        if type(label) is not int or not 0 <= label < 2**31:
            raise ValueError(f"{file}: the label of {name} is {str(label)[:80]}, and no number of a class, 0, 1, ...")
        if name in result:
            raise ValueError(f"{file} names {name} twice")
        result[name] = label
    return result


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no number")


def _without_repetition(pairs: list[tuple[str, object]]) -> dict[str, object]:
    if len(dict(pairs)) < len(pairs):
        raise ValueError("a key stands twice")
    return dict(pairs)


def _of_files(files: Files, entries: dict[str, int] | None) -> Tensor:
    """The label of each image of a folder. ValueError unless names and labels belong together."""
    file = files.root / FILE
    if entries is None:
        raise ValueError(f"there is no {file} with labels, as there is for the training images")
    absent, unlabeled = entries.keys() - set(files.names), [name for name in files.names if name not in entries]
    for names, what in ((sorted(absent), "names {} that is no image there"), (unlabeled, "has no label of {}")):
        if names:
            also = f", and {len(names) - 1:,} more of this kind" if len(names) > 1 else ""
            raise ValueError(f"{file} {what.format(names[0])}{also}")
    return torch.tensor([entries[name] for name in files.names])
