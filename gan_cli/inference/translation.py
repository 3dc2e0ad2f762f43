"""`gan translate`: images through the translator of a run."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from torch import Tensor

from gan_cli.data.band_files import one_per_image
from gan_cli.data.image_files import typed_window
from gan_cli.data.listing import list_images
from gan_cli.data.partners import composed
from gan_cli.inference.contact_sheet import ContactSheets, thumbnail
from gan_cli.inference.outputs import sheets_folder
from gan_cli.inference.tiling import SizeAdapter
from gan_cli.inference.trained_run import TrainedRun
from gan_cli.inference.translator import DEFAULT_OUTPUTS, Translator
from gan_cli.utils.errors import GanError, one_line, out_of_memory, reading
from gan_cli.utils.files import make_folder
from gan_cli.utils.progress import Progress

NAMED = 3  # images that the last line names, with the reason, at most


def translate(
    run_dir: Path,
    *,
    input: str,
    output: str,
    direction: str | None = None,
    n: int | None = None,
    seed: int = 0,
    style: str | None = None,
    contact_sheet: bool = False,
    resize: int | None = None,
    tile: int | None = None,
    overlap: int | None = None,
    instances: str | None = None,
    window: Sequence[str] | None = None,
    depth: int | None = None,
    checkpoint: str = "last",
    weights: str = "auto",
    device: str = "auto",
    allowed_modules: Sequence[str] = (),
) -> None:
    """Translate the image or the folder of images `input` in `direction` and write images to the folder `output`.

    Outputs keep names and sizes (see `SizeAdapter` for resize, tile, overlap). A multimodal model writes `n` outputs
    NAME_0.png, ... per image, of the seeds seed, seed + 1, ...; with `style`, one output per style image.
    contact_sheet: also pages of inputs beside outputs, in a folder beside `output`. instances: for a model on label
    maps, the folder of instance maps of the same names. window: LOW and HIGH (see image_files.Window). depth: bits of
    the outputs, 8, 16 or 32; those of the data of the training if omitted. An image that cannot be translated or
    written is named, at once and at the end, and does not stop the others; GanError then, after the last one.
    """
    run = TrainedRun(run_dir, checkpoint=checkpoint, weights=weights, device=device, allowed_modules=allowed_modules)
    translator = Translator(run, direction, typed_window(window), depth)
    adapter = SizeAdapter(translator.native_size, resize, tile, overlap, labels=translator.classes is not None)
    files, skipped = image_files(Path(input), "input", translator.channels)
    instance_maps = _instance_maps(translator, instances, files)
    styles = _style_files(translator, style)
    count = _count(translator, n, style)
    names, renamed = _output_names(files, _ends(styles, count), translator.format.suffix)
    folder, sheets = _output_folders(Path(output), _headings(styles, count) if contact_sheet else None, files)
    failed: list[str] = []
    adaptations: Counter[str] = Counter()
    progress = Progress(len(files), "images")
    with run.test_mode(seed):
        variants = _variants(translator, seed, count, style, styles)
        for file, instance_map, targets in zip(files, instance_maps, names, strict=True):
            with _recorded(file, failed, progress):
                image, paths = translator.read(file, instance_map), [folder / name for name in targets]
                adaptations.update(_write_outputs(translator, adapter, file.name, image, paths, variants, sheets))
            progress.advance()
    remarks = [f"{number} {adaptation}" for adaptation, number in adaptations.items()]
    remarks += [f"{sheets.save()} sheets in {sheets.folder}"] if sheets else []
    if translator.dark:
        remarks.append(f"{translator.dark} of more than 8 bits and all but black, which window=[LOW,HIGH] can change")
    remarks += [remark for remark in (renamed, skipped and f"skipped {skipped}") if remark]
    _report(translator, len(files), len(variants), failed, input, folder, remarks)


def _write_outputs(
    translator: Translator,
    adapter: SizeAdapter,
    name: str,
    image: Tensor,
    paths: Sequence[Path],
    variants: Sequence[tuple[int, Tensor | None]],
    sheets: ContactSheets | None,
) -> set[str]:
    """Write the output of the image `name` for each variant, and a row of the sheets; returns how it was adapted."""
    row = [thumbnail(translator.preview(image))] if sheets else []
    adaptations: set[str | None] = set()
    for path, variant in zip(paths, variants, strict=True):
        pixels, adaptation = translator(adapter, image, *variant)
        translator.format.save(path, pixels)
        adaptations.add(adaptation)
        row += [thumbnail(pixels)] if sheets else []
    if sheets:
        sheets.add(name, row)
    return {adaptation for adaptation in adaptations if adaptation}


def _variants(
    translator: Translator, seed: int, count: int, style: str | None, styles: Sequence[Path]
) -> list[tuple[int, Tensor | None]]:
    """Seed and style of each output of an image: one output per seed, or one per style image."""
    if not styles:
        return [(seed + i, None) for i in range(count)]
    with reading(f"style={style}"):
        return [(seed, translator.style(translator.read(file))) for file in styles]


@contextmanager
def _recorded(file: Path, failed: list[str], progress: Progress) -> Iterator[None]:
    """Record why an image could not be translated, instead of ending the work."""
    try:
        yield
    except (GanError, ValueError, OSError, RuntimeError, MemoryError) as error:
        reason = one_line(error).removeprefix(f"{file}: ")
        if out_of_memory(error) and not isinstance(error, GanError):
            reason = "no memory for it; tile=512 translates it in pieces"
        failed.append(f"{file.name}: {reason}")
        progress.say(f"not translated: {failed[-1]}")


def _report(
    translator: Translator, total: int, each: int, failed: list[str], source: str, folder: Path, remarks: list[str]
) -> None:
    """Print what was done in one line; GanError that names the images that could not be translated."""
    run = translator.run
    print(
        f"{total - len(failed)} of {total} images translated {translator.direction}"
        f"{f', {each} outputs each' if each > 1 else ''} ({run.weights} weights, iteration {run.iteration}) "
        f"into {folder}{''.join(f'; {remark}' for remark in remarks)}"
    )
    if failed:
        more = f"; and {len(failed) - NAMED} more, named above" if len(failed) > NAMED else ""
        raise GanError(
            f"{len(failed)} of {total} images of {source} could not be translated: {'; '.join(failed[:NAMED])}{more}"
        )


def _count(translator: Translator, n: int | None, style: str | None) -> int:
    """Outputs per image. GanError for a number that the model cannot give."""
    if n is not None and n < 1:
        raise GanError(f"n={n}: ask for at least one output")
    if n is not None and style is not None:
        raise GanError(f"n={n}: with style=... there is one output per style image; omit one of the two")
    if n is not None and n > 1 and not translator.multimodal:
        raise GanError(f"n={n}: {translator.run.name} draws no noise, so all outputs of an image are equal; omit n=")
    return n or (DEFAULT_OUTPUTS if translator.multimodal else 1)


def _instance_maps(translator: Translator, folder: str | None, files: list[Path]) -> Sequence[Path | None]:
    """The instance map of each label map, by name."""
    if folder is None:
        return [None] * len(files)
    if translator.classes is None:
        raise GanError(f"instances={folder}: {translator.run.name} takes no label maps; omit instances=")
    maps, _ = image_files(Path(folder), "instances")
    by_name = {form(file.stem): file for form in (composed, str) for file in maps}
    if len({file.stem for file in maps}) < len(maps):
        raise GanError(f"instances={folder} holds images of one name with different suffixes: which is the partner?")
    partners = [by_name.get(file.stem) or by_name.get(composed(file.stem)) for file in files]
    missing = [file.name for file, partner in zip(files, partners, strict=True) if partner is None]
    if missing:
        raise GanError(f"instances={folder} has no file named {missing[0]} ({len(missing)} of {len(files)} missing)")
    return partners


def _style_files(translator: Translator, style: str | None) -> list[Path]:
    if style is None:
        return []
    if not translator.takes_style:
        raise GanError(f"style={style}: {translator.run.name} does not take its style from an image; omit style=")
    return image_files(Path(style), "style")[0]


def image_files(path: Path, key: str, channels: int = 3) -> tuple[list[Path], str]:
    """The image `path`, or the images in the folder `path` by name, and in words what was skipped there.

    channels: files that hold one of so many channels each count as one image, NAME_b*.
    """
    if path.is_file():
        return [path], ""
    if not path.is_dir():
        exists = path.exists()  # as a pipe, for example, which nobody may ever write to
        raise GanError(f"{key}={path}: {'neither a file nor a folder' if exists else 'no such folder or file'}")
    with reading(f"{key}={path}"):
        listing = list_images(path, subfolders=False)
        samples = one_per_image(listing.files, channels)
    return [path / name for name in samples.names], listing.skipped


def _output_folders(output: Path, headings: list[str] | None, files: list[Path]) -> tuple[Path, ContactSheets | None]:
    """The folder to write to, created if needed, and contact sheets with `headings`, none if that is None. GanError if
    the inputs are there.
    """
    sheets = sheets_folder(output)
    for folder in (output, sheets) if headings else (output,):
        if folder.resolve() == files[0].parent.resolve():
            raise GanError(f"output={output}: the inputs are in {folder} and would be overwritten; name another folder")
    return make_folder(output), ContactSheets(make_folder(sheets), len(files), headings) if headings else None


def _names(files: list[Path]) -> list[str]:
    """The name of each file without its suffix or, where several files differ only in that, such as a.jpg and a.png,
    with it; NAME for the files NAME_b*.
    """
    files = [file.with_name(file.name.replace("_b*", "")) for file in files]
    stems = Counter(file.stem for file in files)
    return [file.stem if stems[file.stem] == 1 else file.name for file in files]


def _ends(styles: list[Path], count: int) -> list[str]:
    """The ends of the names of an image's outputs."""
    ends = [f"_{name}" for name in _names(styles)] if styles else [f"_{i}" for i in range(count)]
    return ends if len(ends) > 1 else [""]


def _headings(styles: list[Path], count: int) -> list[str]:
    """What the columns of the contact sheets show."""
    outputs = [f"style {name}" for name in _names(styles)] or [f"output {i}" for i in range(count)]
    return ["input", *(outputs if len(outputs) > 1 else ["output"])]


def _output_names(files: list[Path], ends: list[str], suffix: str = ".png") -> tuple[list[list[str]], str]:
    """The names of each image's outputs, all different: NAME.png or, of several, NAME_0.png, ..., with `suffix`; and in
    words how many could not have the name of their image alone.
    """
    rows: list[list[str]] = []
    taken: set[str] = set()
    for name in _names(files):
        rows.append([])
        for end in ends:
            candidates = (f"{name}{end}{f'_{number}' if number else ''}{suffix}" for number in itertools.count())
            # Some file systems do not tell A.png from a.png, nor the two forms of é.
            rows[-1].append(next(candidate for candidate in candidates if composed(candidate).casefold() not in taken))
            taken.add(composed(rows[-1][-1]).casefold())
    stems = [file.stem.removesuffix("_b*") for file in files]
    changed = [
        (file, row) for file, stem, row in zip(files, stems, rows) if row != [f"{stem}{end}{suffix}" for end in ends]
    ]
    if not changed:
        return rows, ""
    file, row = changed[-1]
    return rows, f"{len(changed)} named otherwise because names would be equal, such as {file.name}: {row[-1]}"
