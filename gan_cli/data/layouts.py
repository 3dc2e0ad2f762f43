"""The layout of a folder of images or of a zip archive, and the data set that reads it."""

from collections.abc import Collection
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from gan_cli.data import folder_labels
from gan_cli.data.image_files import upright_size
from gan_cli.data.listing import Files, list_images
from gan_cli.data.paired import sides_of

HALVES = 1.6  # width by height above which all images look like A|B, of which some are looked at
LOOKED_AT = 8
SPLITS = ("train", "val", "test")


class Layout(NamedTuple):
    """What a folder holds.

    datasets: the names of the configurations of the data sets that read it, the likeliest first. parts: name ->
    images, such as trainA, testA, or train. words: the layout for people. classes: the names of class folders, if there
    are such; labeled: whether a file dataset.json has labels. skipped: per part, in words, what are no images.
    """

    datasets: tuple[str, ...]
    parts: dict[str, Files]
    skipped: dict[str, str]
    words: str
    classes: tuple[str, ...] = ()
    labeled: bool = False


MODELS = {"unpaired_folder": "cyclegan", "paired_folder": "pix2pix", "image_folder": "dcgan"}
"""Data set -> a model that is trained on it."""


def recognize(root: Path) -> Layout:
    """Return the layout of `root`, a folder or a ZipPath. ValueError if there are no images in it."""
    folders = [root, *(child for child in sorted(root.iterdir()) if child.is_dir() and not child.name.startswith("."))]
    splits = next((where for where in folders if _is_split(where)), None) if len(folders) <= 2 else root
    where = splits or root
    if (where / "A" / "train").is_dir() and (where / "B" / "train").is_dir():
        return Layout(("paired_folder",), *_folders(where, "{side}/{split}"), "pairs in A/train and B/train")
    if (where / "trainA").is_dir() and (where / "trainB").is_dir():
        parts, skipped = _folders(where, "{split}{side}")
        if _are_partners(parts):
            both = "paired_folder", "unpaired_folder"
            words = "two domains, trainA and trainB, or pairs, if equal names mean partners"
            return Layout(both, parts, skipped, words)
        return Layout(("unpaired_folder",), parts, skipped, "two domains, trainA and trainB")
    if (where / "train").is_dir():
        found = {split: list_images(where / split) for split in SPLITS if (where / split).is_dir()}
        parts = {split: listing.files for split, listing in found.items()}
        if _are_halves(parts["train"]):
            skipped = {split: listing.skipped for split, listing in found.items()}
            return Layout(("paired_folder",), parts, skipped, "pairs A|B side by side in one image")
    return _single(root)


def _is_split(folder: Path) -> bool:
    return bool(sides_of(folder, "train"))


def _folders(root: Path, pattern: str) -> tuple[dict[str, Files], dict[str, str]]:
    """The images of the folders of all splits and sides."""
    names = [pattern.format(split=split, side=side) for split in SPLITS for side in "AB"]
    found = {name: list_images(root / name) for name in names if (root / name).is_dir()}
    return {name: x.files for name, x in found.items()}, {name: x.skipped for name, x in found.items()}


def _single(root: Path) -> Layout:
    files, skipped = list_images(root)
    classes = folder_labels.classes_of(files) if all("/" in name for name in files.names) else []
    labeled = (root / folder_labels.FILE).is_file()
    if labeled:
        words = "single images with labels in dataset.json"
    elif len(classes) > 1:
        words = f"single images in {len(classes)} subfolders, which may be classes"
    else:
        words = "single images"
    return Layout(("image_folder",), {"all": files}, {"all": skipped}, words, tuple(classes), labeled)


def _are_partners(parts: dict[str, Files]) -> bool:
    """Whether the images of A and B have the same names in every split."""
    stems = {part: {PurePosixPath(name).with_suffix("") for name in files.names} for part, files in parts.items()}
    return all(stems[a] == stems[b] for a, b in partner_parts(parts))


def _are_halves(files: Files) -> bool:
    """Whether images have an even width and are as wide as two side by side."""
    rows = range(0, len(files.names), max(1, len(files.names) // LOOKED_AT))
    sizes = []
    for row in rows:
        try:
            sizes.append(upright_size(files.root / files.names[row])[0])
        except ValueError:
            continue  # broken images are counted elsewhere
    return bool(sizes) and all(width % 2 == 0 and width > HALVES * height for width, height in sizes)


def partner_parts(parts: Collection[str]) -> list[tuple[str, str]]:
    """The names of the parts that hold the two images of each pair, if these are in two folders."""
    names = [(f"{split}A", f"{split}B") for split in SPLITS] + [(f"A/{split}", f"B/{split}") for split in SPLITS]
    return [(a, b) for a, b in names if a in parts and b in parts]
