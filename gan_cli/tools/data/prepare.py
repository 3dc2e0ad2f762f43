"""`gan data prepare`: resize the images of a folder once, so that training loads them faster."""

import io
import json
import os
import tarfile
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import NamedTuple

from PIL import Image

from gan_cli.data import folder_labels, image_files
from gan_cli.data.bands import planes_of
from gan_cli.data.image_files import Window, typed_window, window_option
from gan_cli.data.layouts import Layout, partner_parts
from gan_cli.data.listing import Files
from gan_cli.data.partners import matched
from gan_cli.tools.data.beside import not_read
from gan_cli.tools.data.check import SIZES, as_size, find, fits, load_size, train_lines
from gan_cli.tools.data.deep import Limits, dark_notes, limits_of
from gan_cli.utils.commands import command
from gan_cli.utils.errors import GanError, one_line, writing
from gan_cli.utils.image_size import ImageSize, words
from gan_cli.utils.progress import Progress

SUFFIXES = {"png": ".png", "jpg": ".jpg", "tar": ".png"}
QUALITY = 95  # of JPEG
SHARD = 10_000  # images of a tar archive
MANY = ", and this writes color: train on the folder itself with dataset.channels"
NAMED = 20  # broken images that are named


class Job(NamedTuple):
    """An image to resize: its part, its number there, and the name of the new file below the folder."""

    part: str
    row: int
    name: str


def prepare(
    folder: str,
    *,
    image_size: Sequence[int] | None = None,
    out: str | None = None,
    format: str = "png",
    window: Sequence[str] | None = None,
    pairs: bool | None = None,
) -> None:
    """Write the images of a folder or zip archive, upright, in color and resized, to a folder of the same layout.

    Training images get the size that the data set has before its random crop, so that training on the new folder with
    this image_size equals training on the old one; with format=jpg nearly so. format tar: archives of single images,
    with their classes. out: a new or empty folder. Broken images are named and left out, with their partners. pairs:
    whether equal names in trainA and trainB mean partners; if omitted, these stay where their partner is broken. Raises
    GanError for settings that do not fit, before anything is written.
    """
    if format not in SUFFIXES:
        raise GanError(f"format={format}: choose one of {', '.join(SUFFIXES)}")
    if out is None:
        raise GanError("gan data prepare needs out=DIR: the folder to write, new or empty")
    root, layout = find(folder)
    if pairs is not None:
        layout = _decided(layout, folder, pairs)
    size, limits, target = as_size(image_size, SIZES[layout.datasets[0]]), typed_window(window), Path(out)
    _check_target(target, root)
    if format == "tar" and layout.datasets[0] != "image_folder":
        raise GanError(f"format=tar holds single images, and {folder} holds {layout.words}: choose png or jpg")
    jobs = [
        Job(part, row, name)
        for part, files in layout.parts.items()
        for row, name in enumerate(_new_names(files, root, SUFFIXES[format]))
    ]
    with writing(target, "out"):
        target.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=target.parent, prefix=f".{target.name}-") as temporary:
            made = Path(temporary, "made")
            made.mkdir(mode=0o777)
            done, failures, deep = _resize_all(jobs, layout, size, limits, format, made)
            alone = _partners_of(failures, jobs, layout)
            if len(layout.datasets) > 1 and alone:  # pairs, perhaps
                kept, layout, alone = alone, _decided(layout, folder, False), []
                print(_kept([_source(job, layout) for job in kept]))
            done = _without(alone, done, made)
            state = "left out" if any(text.endswith(MANY) for text in failures.values()) else "broken"
            broken = [*failures.values(), *(f"{_source(job, layout)}: its partner is {state}" for job in alone)]
            if not done:
                raise GanError(f"{folder}: none of its {len(jobs):,} images can be read as color; first: {broken[0]}")
            for text in broken[:NAMED]:
                print(f"skipped: {text}")
            if format != "tar":
                _write_labels(layout, done, made)
            if target.exists():
                target.rmdir()
            made.rename(target)
    counts = ", ".join(f"{sum(job.part == part for job in done):,} in {part}" for part in layout.parts)
    skipped = f"; {len(broken):,} skipped" if broken else ""
    print(f"{len(done):,} images for image_size={words(size)} in {target}: {counts}{skipped}")
    for line in [*not_read(layout), *dark_notes(deep, "window")]:
        print(line)
    if format == "tar":
        labels = _labels(layout)
        classes = (
            [f"dataset.num_classes={max(labels) + 1}", "model=cgan", "network=conditional_dcgan"] if labels else []
        )
        print(f"train: {command('train', 'dataset=webdataset', f'dataset.root={out}', *classes)}")
    else:
        print("\n".join(train_lines(layout, out, size)))


def _check_target(target: Path, root: Path) -> None:
    """GanError unless images can be written to the folder without mixing them with others."""
    new, old = target.resolve(), root.resolve()
    if new == old or new.is_relative_to(old) or old.is_relative_to(new):
        raise GanError(f"out={target} and {root} are one in the other: name a folder beside it")
    if target.exists() and not target.is_dir():
        raise GanError(f"out={target} is a file: name a new folder")
    if target.is_dir() and any(target.iterdir()):
        raise GanError(f"out={target} is not empty: name a new folder")


def _decided(layout: Layout, folder: str, pairs: bool) -> Layout:
    """The layout of trainA and trainB with equal names as pairs or as two domains. GanError for another layout."""
    if len(layout.datasets) < 2:
        raise GanError(
            f"pairs={str(pairs).lower()}: allowed only for trainA and trainB with equal names; {folder} holds "
            f"{layout.words}"
        )
    return layout._replace(datasets=("paired_folder" if pairs else "unpaired_folder",))


def _source(job: Job, layout: Layout) -> str:
    """The file of an image, below the folder."""
    return f"{job.part}/{layout.parts[job.part].names[job.row]}"


def _kept(names: Sequence[str]) -> str:
    """The line on images that may be the partners of broken ones."""
    if len(names) == 1:
        return f"the partner {names[0]} of a broken image is kept; pairs=true leaves it out"
    return f"the partners {names[0]} and {len(names) - 1:,} more of broken images are kept; pairs=true leaves them out"


def _without(alone: Collection[Job], done: Sequence[Job], folder: Path) -> list[Job]:
    """The jobs that are done except `alone`, whose files are deleted."""
    for job in alone:
        (folder / job.name).unlink(missing_ok=True)
    return [job for job in done if job not in alone]


def _new_names(files: Files, root: Path, suffix: str) -> list[str]:
    """The names of the new files, in the order of the old ones, which the order of training depends on."""
    folder = Path(files.root).relative_to(Path(root))
    short = [PurePosixPath(name).with_suffix(suffix).as_posix() for name in files.names]
    # a.jpg beside a.png, or beside a.b.png, which would change places with it.
    names = short if short == sorted(set(short)) else [name + suffix for name in files.names]
    if names != sorted(set(names)):
        raise GanError(f"{files.root}: names that end in two suffixes, such as a.jpg{suffix}, need other names")
    return [(folder / name).as_posix() for name in names]


def _resize_all(
    jobs: Sequence[Job], layout: Layout, size: ImageSize, window: Window, format: str, folder: Path
) -> tuple[list[Job], dict[Job, str], list[Limits]]:
    """Write all images; returns the jobs that are done, why the others are not, and the limits of values of those of
    more than 8 bits, without a window.
    """
    progress = Progress(len(jobs), "images", label="resizing")
    deep: list[Limits] = []

    def resized(job: Job) -> Image.Image | str:
        files = layout.parts[job.part]
        file = files.root / files.names[job.row]
        try:
            with window_option():
                image = image_files.read(file, 3, window=window)
                tiles = [fit(image, load_size(job.part, layout, size)) for fit in fits(layout)]
            if window is None and (values := limits_of(file)):
                deep.append(values)
        except ValueError as error:
            text, many, _ = one_line(error).partition(", where 3 are expected")
            return text + MANY if many else text
        result = Image.new("RGB", (sum(tile.width for tile in tiles), tiles[0].height))
        for number, tile in enumerate(tiles):
            # TIFF files that only tifffile reads are Bands.
            pasted = tile if isinstance(tile, Image.Image) else Image.merge("RGB", planes_of(tile))
            result.paste(pasted, (number * tile.width, 0))
        return result

    def encoded(job: Job) -> bytes | str:
        image, content = resized(job), io.BytesIO()
        if isinstance(image, str):
            return image
        if format == "jpg":
            image.save(content, "JPEG", quality=QUALITY, subsampling=0)
        else:
            image.save(content, "PNG")
        return content.getvalue()

    output = Shards(folder, _labels(layout)) if format == "tar" else Folder(folder)
    done: list[Job] = []
    failures: dict[Job, str] = {}
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        for start in range(0, len(jobs), 256):  # which bounds the images in memory
            some = jobs[start : start + 256]
            for job, content in zip(some, pool.map(encoded, some)):
                progress.advance()
                if isinstance(content, str):
                    failures[job] = content
                else:
                    output.write(job, content)
                    done.append(job)
    output.close()
    return done, failures, deep


class Folder:
    """Writes images as files below a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def write(self, job: Job, content: bytes) -> None:
        file = self._folder / job.name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)

    def close(self) -> None:
        """Nothing is open."""


class Shards:
    """Writes images to archives 000000.tar, 000001.tar, ... of SHARD images each, with their labels, if any."""

    def __init__(self, folder: Path, labels: Sequence[int]) -> None:
        self._folder, self._labels, self._count = folder, labels, 0
        self._archive: tarfile.TarFile | None = None

    def write(self, job: Job, content: bytes) -> None:
        if self._count % SHARD == 0:
            self.close()
        if self._archive is None:
            name = f"{self._count // SHARD:06d}.tar"
            self._archive = tarfile.open(self._folder / name, "w")  # noqa: SIM115 (open for many writes)
        members = {"png": content, **({"cls": str(self._labels[job.row]).encode()} if self._labels else {})}
        for suffix, data in members.items():
            info = tarfile.TarInfo(f"{self._count:09d}.{suffix}")
            info.size = len(data)
            self._archive.addfile(info, io.BytesIO(data))
        self._count += 1

    def close(self) -> None:
        if self._archive:
            self._archive.close()
        self._archive = None


def _partners_of(failures: Collection[Job], jobs: Sequence[Job], layout: Layout) -> list[Job]:
    """The jobs whose images would be without a partner, if the images of a pair are in two folders."""
    if layout.datasets[0] != "paired_folder" or len(fits(layout)) == 2:
        return []
    by_file = {(job.part, layout.parts[job.part].names[job.row]): job for job in jobs}
    found = []
    for a, b in partner_parts(layout.parts):
        for names in zip(*(files.names for files in matched(layout.parts[a], layout.parts[b]))):
            pair = [by_file[part, name] for part, name in zip((a, b), names)]
            if failed := [job for job in pair if job in failures]:
                found += [job for job in pair if job not in failed]
    return found


def _labels(layout: Layout) -> list[int]:
    """The class of each image, none if the folder has no classes."""
    files = layout.parts["all"]
    if layout.labeled and (entries := folder_labels.read(files.root)):
        return [entries[name] for name in files.names] if entries.keys() >= set(files.names) else []
    classes = {name: number for number, name in enumerate(layout.classes)}
    return [classes[name.split("/")[0]] for name in files.names] if len(classes) > 1 else []


def _write_labels(layout: Layout, done: Sequence[Job], folder: Path) -> None:
    """Write dataset.json for the images that were written, with their new names."""
    entries = folder_labels.read(layout.parts["all"].root) if layout.labeled else None
    if entries:
        names = layout.parts["all"].names
        pairs = [[job.name, entries[names[job.row]]] for job in done if names[job.row] in entries]
        (folder / folder_labels.FILE).write_text(json.dumps({"labels": pairs}))
