"""Films: walks through the latent space of a run, and its sample grids in the order of training; GIF or MP4."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from gan_cli.inference.trained_run import TrainedRun
from gan_cli.systems.base import DrawsNoise, noise_from
from gan_cli.training.run_dir import RunDir
from gan_cli.utils import images
from gan_cli.utils.errors import GanError, one_line
from gan_cli.utils.files import replacing
from gan_cli.utils.image_size import sides
from gan_cli.utils.labels import CLASSES, sample_grid
from gan_cli.utils.progress import Progress
from gan_cli.utils.random import Fixed, is_normal

if TYPE_CHECKING:
    from PIL.Image import Image as PILImage

FRAMES = 3000  # of a film, at most
TRAINING_FRAMES = 600  # of a film of the training, at most
PIXELS = 2**25  # of a frame, at most
SIDE = 256  # pixels that walks side by side should fill
PALETTE_FRAMES = 16  # from which the colors of a GIF are chosen
PALETTE_SIDE = 1024  # pixels of a frame among those from which the palette is chosen, at most
WHITE = 255  # the number of white in its palette
HOLD = 2.0  # seconds for which the last grid of a training is shown longer


@dataclass(frozen=True)
class Film:
    """`count` frames: frame(i) makes number i, mode RGB. hold: seconds for which the last one is shown longer."""

    count: int
    frame: Callable[[int], PILImage]
    hold: float = 0.0


# -- walks through the latent space


class Walk:
    """Images on closed paths through `points` samples of the noise each, `frames` per segment: len() and indexing.

    Between two samples of Gaussian noise the path is an arc, whose points have the norm that such samples have (White
    2016, arXiv 1609.04468); else it is a straight line. labels: the class of each of the `count` paths. Everything but
    the noise, such as InfoGAN's codes, is that of `seed` along the whole path. GanError if the model has no such noise.
    """

    def __init__(
        self, run: TrainedRun, points: int, frames: int, *, count: int = 1, seed: int = 0, labels: Tensor | None = None,
        truncation: float | None = None,
    ) -> None:  # fmt: skip
        if points < 2 or frames < 1 or points * frames > FRAMES:
            raise GanError(
                f"n={points}, frames={frames}: a walk has at least 2 points, 1 frame from each to the next, and at "
                f"most {FRAMES:,} frames in all"
            )
        if not isinstance(run.system, DrawsNoise):
            raise GanError(
                f"{run.path} holds a {run.name}, which does not generate from noise alone; of=training makes a film of "
                "the sample grids of its training"
            )
        self.run, self.system, self.frames, self.count, self.seed = run, run.system, frames, count, seed
        self.labels = None if labels is None else labels.to(run.device)
        self.path = slerp if is_normal(self.system.noise) else torch.lerp
        with run.truncated(truncation):
            self.points = [self._sample(seed + point) for point in range(points)]

    def _sample(self, seed: int) -> Tensor:
        """The noise (count, latent_dim) that the model draws with `seed`."""
        noise = Fixed(self.system.noise)
        self._generate(noise, seed)
        assert noise.z is not None
        return noise.z

    def _generate(self, noise: Fixed, seed: int) -> Tensor:
        with self.run.test_mode(seed), noise_from(self.system, noise):
            return self.system.generate(self.count, self.labels).cpu()

    def __len__(self) -> int:
        return len(self.points) * self.frames

    def __getitem__(self, index: int) -> Tensor:
        """The images (count, C, H, W) of frame `index`, in the value range of the training data."""
        segment, step = divmod(index, self.frames)
        start, end = self.points[segment], self.points[(segment + 1) % len(self.points)]
        t = torch.tensor(step / self.frames, device=start.device)
        return self._generate(Fixed(self.system.noise, self.path(start, end, t)), self.seed)


def slerp(start: Tensor, end: Tensor, t: Tensor) -> Tensor:
    """Points on the arcs from `start` to `end` (N, d), at the share t of their angles; on a straight line if these are
    close to 0 or to 180 degrees.
    """
    angle = torch.cosine_similarity(start, end, dim=1).clamp(-1, 1).acos()[:, None]
    arc = ((1 - t) * angle).sin() / angle.sin() * start + (t * angle).sin() / angle.sin() * end
    return torch.where(angle.sin() > 1e-3, arc, torch.lerp(start, end, t))


def latent_film(
    run: TrainedRun, points: int, frames: int, *, seed: int, label: int | None, truncation: float | None
) -> Film:
    """As many walks side by side as fill SIDE pixels, at most 4 x 4; of a conditional model of all classes, if they are
    not too many, unless `label` chooses one.
    """
    if run.value_range is None:
        raise GanError(f"{run.path} generates points: of=training shows them")
    side = min(4, max(1, SIDE // max(sides(run.cfg.dataset.image_size))))
    count, labels, classes, value_range = side * side, None, list[str](), run.value_range
    if label is not None:
        labels = torch.full((count,), label)
    elif run.system.needs_labels:
        names = run.class_names
        count = len(names) * max(1, round(count / len(names))) if len(names) <= CLASSES else count
        labels = torch.arange(count) % len(names)
        classes = [names[i] for i in labels.tolist()]
    walk = Walk(run, points, frames, count=count, seed=seed, labels=labels, truncation=truncation)

    def frame(index: int) -> PILImage:
        return images.to_pil(sample_grid({"generated": walk[index]}, value_range, "", classes=classes))

    return Film(len(walk), frame)


# -- training


def training_film(path: Path) -> Film:
    """The sample grids of the run in the directory `path`, oldest first, at most TRAINING_FRAMES; its weights are not
    read. GanError if there are none, or one cannot be read.
    """
    run = RunDir(path)
    run.open()
    grids = sorted(file for file in run.samples.glob("*.png") if file.stem.isdecimal() and file.is_file())
    if not grids:
        raise GanError(f"{run.samples} holds no sample grids; trainer.sample_every=N writes them")
    every = math.ceil(len(grids) / TRAINING_FRAMES)
    grids = grids[::-1][::every][::-1]  # with the last one
    sizes = [_open(file).size for file in (grids[0], grids[-1])]
    size = max(width for width, _ in sizes), max(height for _, height in sizes)
    if size[0] * size[1] > PIXELS:
        raise GanError(f"{run.samples}: grids of {size[0]} x {size[1]} pixels are too large for a film")

    def frame(index: int) -> PILImage:
        page = Image.new("RGB", size, "white")
        page.paste(_open(grids[index]))
        return page

    return Film(len(grids), frame, HOLD)


def _open(file: Path) -> PILImage:
    """A PNG file of at most PIXELS pixels. GanError if it is none."""
    try:
        with Image.open(file, formats=["PNG"]) as image:
            if image.width * image.height > PIXELS:
                raise GanError(f"{file} has {image.width} x {image.height} pixels, too many for a frame")
            return image.convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise GanError(f"{file} cannot be read: {one_line(error)}") from error


# -- files


def write_film(film: Film, path: Path, fps: int) -> None:
    """Write `film` to `path`, which ends with .gif or .mp4, with progress. GanError if it cannot be written."""
    try:
        with replacing(path) as temporary:
            (_write_gif if path.suffix == ".gif" else _write_mp4)(film, temporary, fps)
    except (OSError, RuntimeError) as error:
        raise GanError(f"cannot write film {path}: {one_line(error)}") from error


def check_film(kind: str, fps: int) -> None:
    """GanError for a rate that no player shows, and for an mp4 without the package that writes it."""
    if not 1 <= fps <= 50:
        raise GanError(f"fps={fps}: a film has 1 to 50 frames per second")
    if kind == "mp4" and importlib.util.find_spec("imageio_ffmpeg") is None:
        raise GanError("format=mp4 needs imageio_ffmpeg: pip install 'gan-cli[video]'")


def _frames(film: Film) -> Iterator[PILImage]:
    progress = Progress(film.count, "frames")
    for index in range(film.count):
        yield film.frame(index)
        progress.advance()


def _write_gif(film: Film, path: Path, fps: int) -> None:
    """All frames share one palette, so that colors do not flicker and the file holds it once."""
    numbers = {i * (film.count - 1) // (PALETTE_FRAMES - 1) for i in range(PALETTE_FRAMES)}
    every = math.ceil(max(film.frame(0).size) / PALETTE_SIDE)  # all pixels of large frames would take gigabytes
    width, height = (max(side // every, 1) for side in film.frame(0).size)
    montage = Image.new("RGB", (width, height * len(numbers)))
    for row, number in enumerate(sorted(numbers)):
        montage.paste(film.frame(number).resize((width, height), Image.Resampling.NEAREST), (0, row * height))
    colors = montage.quantize(WHITE).getpalette() or []
    palette = Image.new("P", (1, 1))
    palette.putpalette([*(colors + [0] * 3 * WHITE)[: 3 * WHITE], 255, 255, 255])
    frames = (_quantized(image, palette) for image in _frames(film))
    each = round(1000 / fps)
    duration = [each] * (film.count - 1) + [each + round(1000 * film.hold)]
    next(frames).save(path, format="GIF", save_all=True, append_images=frames, duration=duration, loop=0)


def _quantized(image: PILImage, palette: PILImage) -> PILImage:
    """The image in the colors of `palette`; Pillow finds near colors, and white paper has to stay white."""
    result = image.quantize(palette=palette, dither=Image.Dither.NONE)
    white = Image.fromarray((np.asarray(image) == 255).all(axis=2))
    result.paste(WHITE, mask=white)
    return result


def _write_mp4(film: Film, path: Path, fps: int) -> None:
    """H.264, whose frames have even sides: an odd one gets a white row or column."""
    from imageio_ffmpeg import write_frames

    width, height = (side + side % 2 for side in film.frame(0).size)
    options = ["-f", "mp4", "-movflags", "+faststart"]  # the temporary file's name does not tell the format
    settings = {"fps": fps, "codec": "libx264", "macro_block_size": 2, "output_params": options}
    writer = write_frames(str(path), (width, height), **settings)
    with closing(writer):
        writer.send(None)
        for image in _frames(film):
            page = Image.new("RGB", (width, height), "white")
            page.paste(image)
            writer.send(page.tobytes())
        for _ in range(round(film.hold * fps)):
            writer.send(page.tobytes())
