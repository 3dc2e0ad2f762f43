"""`gan compare ... sheet=true`: images of several runs for the same inputs or the same noise, on one labeled sheet."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad

from gan_cli.inference.contact_sheet import thumbnail
from gan_cli.inference.tiling import SizeAdapter
from gan_cli.inference.trained_run import TrainedRun
from gan_cli.inference.translation import image_files
from gan_cli.inference.translator import Translator
from gan_cli.metrics.paired_translation import test_pairs
from gan_cli.systems.base import Generates, Translates
from gan_cli.utils import images
from gan_cli.utils.errors import GanError, reading
from gan_cli.utils.labels import GAP, labeled_grid

TRANSLATES, IMAGES, POINTS = "translates images", "generates images from noise", "generates points from noise"
DEFAULT_N = {TRANSLATES: 6, IMAGES: 10, POINTS: 1000}
"""Inputs, or samples of each run, if n= is omitted."""
PLOT, PLOTS = 240, 4  # pixels of a scatter plot, and how many are side by side


class Inputs(NamedTuple):
    """Images as a Translator reads them; what to show of them; their true translations, if they are known; names."""

    images: list[Tensor]
    shown: list[Tensor]
    truth: list[Tensor]
    names: list[str]
    source: str


def draw(
    paths: Sequence[Path],
    headings: Sequence[str],
    subject: str,
    load: Callable[[Path], TrainedRun],
    *,
    input: str | None,
    n: int | None,
    samples: int | None,
    direction: str | None,
    seed: int,
) -> Tensor:
    """The sheet of the runs in `paths`, uint8 (3, H, W). headings: what distinguishes them; subject: what they share.

    Runs that translate get the images of `input`, or held-out images of the first run's data, n at most: a row per
    image and a column per run, or with `samples` noises, a row per image and run. Runs that generate get the same seed:
    a row of n images per run, or a plot of n points, after those of held-out data if these are there. A run that cannot
    be loaded is named and omitted. GanError if none can, if the runs are of several kinds or share no direction, and
    for options that do not fit them.
    """
    for key, count in (("n", n), ("samples", samples)):
        if count is not None and count < 1:
            raise GanError(f"{key}={count}: ask for at least one")
    runs, titles = _loaded(paths, headings, load)
    kinds = [_kind(run) for run in runs]
    for run, kind in zip(runs, kinds, strict=True):
        if kind != kinds[0]:
            raise GanError(f"one sheet shows runs of one kind: {runs[0].path} {kinds[0]}, but {run.path} {kind}")
    for key, value in (("input", input), ("direction", direction), ("samples", samples)):
        if value is not None and kinds[0] != TRANSLATES:
            raise GanError(f"{key}={value}: {runs[0].path} holds a {runs[0].name}, which does not translate images")
    count = n or DEFAULT_N[kinds[0]]
    if kinds[0] == TRANSLATES:
        return _translations(_translators(runs, direction), titles, subject, input, count, samples or 1, seed)
    title = f"{subject}: {count} samples of each run, all of seed {seed}"
    return _samples(runs, titles, title, count, seed)


def _loaded(
    paths: Sequence[Path], headings: Sequence[str], load: Callable[[Path], TrainedRun]
) -> tuple[list[TrainedRun], list[str]]:
    """The runs that can be loaded, and their headings, with the iteration of each if these differ."""
    loaded: list[tuple[TrainedRun, str]] = []
    failures: list[GanError] = []
    for path, heading in zip(paths, headings, strict=True):
        try:
            loaded.append((load(path), heading))
        except GanError as error:
            failures.append(error)
    if not loaded:
        raise failures[0]
    for failure in failures:
        print(f"not on the sheet: {failure}")
    differ = len({run.iteration for run, _ in loaded}) > 1
    headings = [heading + (f"\niteration {run.iteration}" if differ else "") for run, heading in loaded]
    return [run for run, _ in loaded], headings


def _kind(run: TrainedRun) -> str:
    if isinstance(run.system, Translates) and run.system.directions and run.value_range is not None:
        return TRANSLATES
    if isinstance(run.system, Generates):
        return POINTS if run.value_range is None else IMAGES
    raise GanError(f"{run.path} holds a {run.name}, which neither translates images nor generates from noise")


# -- translations


def _translators(runs: Sequence[TrainedRun], direction: str | None) -> list[Translator]:
    """The runs' translators in `direction`, or in the first one that all have. GanError if their inputs differ."""
    translators = [Translator(run, direction) for run in runs]
    first = translators[0]
    shared = [d for d in first.directions if all(d in other.directions for other in translators)]
    for translator in translators:
        if not shared:
            named = "; ".join(f"{other.run.path} has {', '.join(other.directions)}" for other in translators[:3])
            raise GanError(f"the runs share no direction: {named}")
        if (translator.channels, translator.classes) != (first.channels, first.classes):
            kinds = [f"{t.run.path} takes {_takes(t)}" for t in (first, translator)]
            raise GanError(f"the runs cannot have the same inputs: {' and '.join(kinds)}")
        translator.direction = direction or shared[0]
    return translators


def _takes(translator: Translator) -> str:
    if translator.classes is not None:
        return f"label maps of {translator.classes} classes"
    return f"images of {translator.channels} channel{'s' if translator.channels > 1 else ''}"


def _translations(
    translators: Sequence[Translator],
    headings: Sequence[str],
    subject: str,
    input: str | None,
    n: int,
    samples: int,
    seed: int,
) -> Tensor:
    if samples > 1 and not any(translator.multimodal for translator in translators):
        raise GanError(f"samples={samples}: none of these runs draws noise, so all outputs of an image are equal")
    first = translators[0]
    inputs = _held_out(first, n) if input is None else _files(first, input, n)
    outputs = [_outputs(translator, inputs.images, samples, seed) for translator in translators]
    true = ["true output"] if inputs.truth else []
    title = f"{subject}: {inputs.source}, translated {first.direction}"
    partners = [[truth] for truth in inputs.truth] or [[] for _ in inputs.images]
    if samples == 1:
        cells = [
            [shown, *(of_run[i][0] for of_run in outputs), *partners[i]] for i, shown in enumerate(inputs.shown)
        ]  # fmt: skip
        return labeled_grid(cells, ["input", *headings, *true], inputs.names, title)
    cells = [[shown, *of_run[i], *partners[i]] for i, shown in enumerate(inputs.shown) for of_run in outputs]
    noises = [f"noise {k + 1}" for k in range(samples)]
    title += "; each noise is the same for all runs and inputs"
    return labeled_grid(cells, ["input", *noises, *true], [*headings] * len(inputs.images), title)


def _files(translator: Translator, input: str, n: int) -> Inputs:
    files, _ = image_files(Path(input), "input")
    files = files[:n]
    with reading(f"input={input}"):
        pixels = [translator.read(file) for file in files]
    shown = [thumbnail(translator.preview(image)) for image in pixels]
    return Inputs(pixels, shown, [], [file.name for file in files], f"the images of {input}")


def _held_out(translator: Translator, n: int) -> Inputs:
    """Held-out images of the run's data, with their true translations if the data know them."""
    data = translator.run.data
    pairs = test_pairs(data)
    batch: Any = (pairs or data.test_batch)(0, min(n, data.test_size))
    side = translator.run.system.directions.index(translator.direction)
    known = pairs is not None or translator.classes is not None
    if translator.classes is not None:
        pixels = batch[side].cpu()
    else:
        pixels = images.to_uint8(batch[side], translator.value_range)
    truth = images.visible(batch[1 - side], translator.value_range) if known else ()
    shown = [thumbnail(translator.preview(image)) for image in pixels]
    source = "held-out images" if data.holds_out else "training images"
    return Inputs([*pixels], shown, [thumbnail(image) for image in truth], [], source)


def _outputs(translator: Translator, inputs: Sequence[Tensor], samples: int, seed: int) -> list[list[Tensor | None]]:
    """`samples` translations of each input; the others of a model without noise are None."""
    adapter = SizeAdapter(translator.native_size, labels=translator.classes is not None)
    seeds = range(seed, seed + (samples if translator.multimodal else 1))
    rows: list[list[Tensor | None]] = []
    with reading(str(translator.run.path)), translator.run.test_mode(seed):
        for image in inputs:
            pixels = [translator(adapter, image, number)[0] for number in seeds]
            row = [thumbnail(output) for output in pixels]
            rows.append([*row, *[None] * (samples - len(seeds))])
    return rows


# -- samples


def _real(run: TrainedRun, n: int) -> list[Tensor]:
    """Held-out samples (n, C, H, W) in a list, which is empty if the data are not there."""
    try:
        batch: Any = run.data.test_batch(0, n)
    except GanError as error:
        print(f"the sheet shows no data: {error}")
        return []
    return [batch[0].cpu()]


def _samples(runs: Sequence[TrainedRun], headings: Sequence[str], title: str, n: int, seed: int) -> Tensor:
    batches = _real(runs[0], n)
    headings = [*["held-out data"] * len(batches), *headings]
    for run in runs:
        with run.test_mode(seed):
            batches.append(run.generate(n))
    ranges = [runs[0].value_range, *(run.value_range for run in runs)][-len(batches) :]
    if ranges[0] is None:
        if len({batch.shape[1] for batch in batches}) > 1:
            raise GanError("the runs are of points of different dimensions: compare them apart")
        # The axes are those of the data: a single run that diverges would shrink all others to a dot.
        extent = None if len(batches) == len(runs) else 1.5 * float(batches[0].abs().max())
        title += "" if extent is None else "; points beyond the axes lie on their border"
        plots = images.plot_points(*batches, size=PLOT, extent=extent).split(PLOT + 2, dim=2)
        return _plots([plot[..., :PLOT] for plot in plots], headings, title)
    cells = [
        [thumbnail(image) for image in images.visible(batch, limits)]
        for batch, limits in zip(batches, ranges)
        if limits
    ]
    return labeled_grid(cells, (), headings, title)


def _plots(plots: Sequence[Tensor], headings: Sequence[str], title: str) -> Tensor:
    """Plots uint8 (1, PLOT, PLOT) in rows of PLOTS, each with its heading."""
    sheets = [
        labeled_grid([plots[start : start + PLOTS]], headings[start : start + PLOTS], title="" if start else title)
        for start in range(0, len(plots), PLOTS)
    ]
    widest = max(sheet.shape[2] for sheet in sheets)
    return torch.cat([pad(sheet, (0, widest - sheet.shape[2], 0, GAP), value=255) for sheet in sheets], dim=1)
