"""`gan sample`: images of a finished or running run, traversals of its latent space, and films."""

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from gan_cli.inference import npz_file
from gan_cli.inference.film import Film, check_film, latent_film, training_film, write_film
from gan_cli.inference.outputs import output_folder, sheets_folder
from gan_cli.inference.pixel_format import PixelFormat, output_format
from gan_cli.inference.trained_run import TrainedRun
from gan_cli.systems.base import Generates
from gan_cli.training.sample_images import sample_image
from gan_cli.training.trainer import to_device
from gan_cli.utils import images, labels
from gan_cli.utils.commands import command
from gan_cli.utils.errors import GanError
from gan_cli.utils.progress import Progress

GRID = 100  # images of a grid, at most
FILMS = ("gif", "mp4")
FORMATS = ("png", "npz", *FILMS)
SUBJECTS = ("interpolation", "training")
IMAGES, POINTS, FRAMES, FPS = 64, 8, 24, 12  # n of images and of a film, and its other numbers, if omitted


def sample(
    run_dir: Path,
    *,
    n: int | None = None,
    seed: int = 0,
    label: str | None = None,
    truncation: float | None = None,
    format: str = "png",
    of: str | None = None,
    frames: int | None = None,
    fps: int | None = None,
    out: str | None = None,
    depth: int | None = None,
    checkpoint: str = "last",
    weights: str = "auto",
    device: str = "auto",
    allowed_modules: Sequence[str] = (),
    dataset_root: str | None = None,
) -> None:
    """Write n samples, or a film.

    format png: single images NNNNNN.png in `out` (RUN_DIR/generated if omitted) and sheets in a folder beside it: a
    grid of at most GRID of them, and the model's traversals; for a model on points or one that translates held-out
    images, only the grid, in `out`. npz: the file samples.npz in `out`: arr_0, (n, H, W, C) uint8, points (n, d)
    float32, and arr_1, the labels of a model that is conditional on them. gif, mp4: a film in `out` (RUN_DIR/films if
    omitted), `of` interpolation between n random noises with `frames` frames from each to the next, or of the sample
    grids of the training.

    truncation: threshold of Gaussian noise (see TruncatedNormal). depth: bits of the images, 8, 16 or 32; those of the
    data of the training if omitted (see PixelFormat). label: name or number of a class. Other options as in
    `TrainedRun`. Raises GanError for a label, a count or options that do not go together or that the model cannot take.
    """
    if n is not None and n < 1:
        raise GanError(f"n={n}: ask for at least one sample")
    _check(format, of, {"frames": frames, "fps": fps}, {"n": n, "label": label, "truncation": truncation})
    if of == "training":
        film = training_film(run_dir)
        written = _write_film(film, run_dir, out, f"training.{format}", fps)
        print(f"{film.count} sample grids of the training in {written}")
        return
    run = TrainedRun(
        run_dir, checkpoint=checkpoint, weights=weights, device=device, allowed_modules=allowed_modules,
        dataset_root=dataset_root,
    )  # fmt: skip
    number = run.label_number(label)
    if format in FILMS:
        points, between = n or POINTS, FRAMES if frames is None else frames
        film = latent_film(run, points, between, seed=seed, label=number, truncation=truncation)
        what, written = f"{film.count} frames", _write_film(film, run_dir, out, f"interpolation.{format}", fps)
    else:
        n = n or IMAGES
        if (n > GRID or format == "npz") and not isinstance(run.system, Generates):
            translate = command("translate", run.path, "input=DIR", "output=DIR")
            given = "format=npz" if format == "npz" else f"n={n}"
            raise GanError(f"{given}: {run.name} translates images; a grid shows {GRID} images, {translate} writes all")
        pixel_format = output_format(run, depth)
        with run.truncated(truncation):
            what, written = f"{n} samples", _write_samples(run, format, n, seed, number, out, pixel_format)
    print(f"{what} ({run.weights} weights, iteration {run.iteration}, seed {seed}) in {written}")


def _check(
    format: str, of: str | None, film: Mapping[str, int | None], samples: Mapping[str, float | str | None]
) -> None:
    """Raise GanError for an unknown choice, and for an option that has no effect on it."""
    if format not in FORMATS:
        raise GanError(f"format={format}: choose one of {', '.join(FORMATS)}")
    if of not in (None, *SUBJECTS):
        raise GanError(f"of={of}: choose {' or '.join(SUBJECTS)}")
    if format in FILMS:
        check_film(format, FPS if film["fps"] is None else film["fps"])
        useless: dict[str, object] = {**samples, "frames": film["frames"]} if of == "training" else {}
        reason = "a film of the training shows the sample grids as they are"
    else:
        useless, reason = {**film, "of": of}, f"format={format} is no film, unlike {' and '.join(FILMS)}"
    for name, value in useless.items():
        if value is not None:
            other = " or add format=gif" if name == "of" else ""
            raise GanError(f"{name}={value}: {reason}; omit {name}={other}")


def _write_film(film: Film, run_dir: Path, out: str | None, name: str, fps: int | None) -> str:
    path = output_folder(run_dir, "films", out) / name
    write_film(film, path, FPS if fps is None else fps)
    return str(path)


def _write_samples(
    run: TrainedRun, format: str, n: int, seed: int, label: int | None, out: str | None, pixel_format: PixelFormat
) -> str:
    """Write n samples, batch by batch, so that the memory does not grow with n; returns where they are."""
    folder = output_folder(run.path, "generated", out)
    title = f"{run.title}, {run.weights} weights, seed {seed}"
    with run.test_mode(seed):
        if format == "npz":
            npz_file.write_npz(folder / "samples.npz", n, _arrays(run, n, label, pixel_format))
            return str(folder / "samples.npz")
        if not isinstance(run.system, Generates) or run.value_range is None:
            batch = to_device(run.data.test_batch(0, n), run.device)
            generates = isinstance(run.system, Generates)
            named = {"generated": run.generate(n, label)} if generates else run.system.sample(batch)
            images.save(folder / "grid.png", sample_image(run.system, run.data, batch, named, title))
            return str(folder)
        return _write_images(run, folder, out, n, label, pixel_format, title)


def _arrays(run: TrainedRun, n: int, label: int | None, pixel_format: PixelFormat) -> Iterator[npz_file.Batch]:
    """The samples as they are in a .npz file: images (k, H, W, C), or points (k, d)."""
    progress = Progress(n, "images")
    for image, classes in run.batches(n, label):
        if run.value_range is None:
            pixels = image.flatten(1)
        else:
            pixels = pixel_format.quantize(image, run.value_range).permute(0, 2, 3, 1)
        yield pixels.contiguous().numpy(), None if classes is None else classes.numpy()
        progress.advance(len(pixels))


def _write_images(
    run: TrainedRun, folder: Path, out: str | None, n: int, label: int | None, pixel_format: PixelFormat, title: str
) -> str:
    assert run.value_range is not None
    sheets = output_folder(run.path, "generated_sheets", None if out is None else str(sheets_folder(folder)))
    others = len(set(os.listdir(folder)) - {f"{i:06d}{pixel_format.suffix}" for i in range(n)})
    progress = Progress(n, "images")
    for image, classes in run.batches(n, label):
        if not progress.done:
            names = [run.class_names[i] for i in classes[:GRID].tolist()] if classes is not None else []
            if label is not None and names:
                title, names = f"{title}, class {names[0]}", []
            grid = labels.sample_grid({"generated": image[:GRID]}, run.value_range, title, classes=names)
            images.save(sheets / "grid.png", grid)
        for pixels in pixel_format.quantize(image, run.value_range):
            pixel_format.save(folder / f"{progress.done:06d}{pixel_format.suffix}", pixels)
            progress.advance()
    for name, table in run.traversals(min(n, 10)).items():
        cells = [list(images.visible(row, run.value_range)) for row in table.images]
        sheet = labels.labeled_grid(cells, table.headings, title=table.title, lines=table.lines)
        images.save(sheets / f"traverse_{name}.png", sheet)
    note = f"; {others} other file{'s are' if others > 1 else ' is'} in {folder}" if others else ""
    return f"{folder}, sheets in {sheets}{note}"
