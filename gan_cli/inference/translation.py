"""`gan translate`: pictures through the translator of a run."""

from __future__ import annotations

import colorsys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gan_cli.data.image_files import SUFFIXES, decode
from gan_cli.data.label_maps import read_maps
from gan_cli.inference import contact_sheet
from gan_cli.inference.sampling import Trained, folder_for
from gan_cli.inference.tiling import Fit, resize
from gan_cli.training.logger import clock
from gan_cli.training.run_dir import RunDir
from gan_cli.utils import images, random
from gan_cli.utils.errors import GanError

OUTPUTS = 5  # of a multimodal game, if nothing is said


class Translator:
    """One direction of a run's game. Attributes: run, game, direction, directions, multimodal; channels, value_range
    and own size of what goes in. GanError if the game translates nothing, or not in `direction`.
    """

    def __init__(self, run: Trained, direction: str | None, path: Path) -> None:
        self.run, self.system = run, run.system
        system: Any = run.system
        if not system.directions or run.value_range is None:
            raise GanError(f"{path} holds a {type(system).__name__}, which does not translate images")
        self.directions = _able(system.directions, run, path)
        self.direction = direction or self.directions[0]
        if self.direction not in self.directions:
            raise GanError(f"direction={direction}: choose one of {', '.join(self.directions)}")
        self.multimodal = system.multimodal
        self.value_range: tuple[float, float] = run.value_range
        self.channels: int = run.cfg.dataset.get("source_channels") or run.channels
        self.own: int = run.cfg.dataset.image_size
        self.classes: int | None = system.label_nc if hasattr(system, "translate_labels") else None

    def read(self, file: Path, instances: Path | None = None) -> Tensor:
        """A picture file -> (1, channels, H, W) in `value_range`; of a game on label maps, a file of class ids ->
        (1, 2, H, W), whole numbers, with the ids of the file `instances`, or each class as one instance. On the run's
        device; ValueError if it is broken.
        """
        if self.classes is None:
            return self.scale(decode(file, self.channels)[None])
        return read_maps(file, instances, self.classes)[None].float().to(self.run.device)

    def shown(self, image: Tensor) -> Tensor:
        """What `read` gives, as a picture, uint8 (C, H, W)."""
        if self.classes is None:
            return images.to_uint8(image, self.value_range)[0]
        return palette(self.classes)[image[0, 0].long().clamp(0, self.classes - 1).cpu()].permute(2, 0, 1)

    def scale(self, pixels: Tensor) -> Tensor:
        """uint8 -> float32 in `value_range`, on the run's device."""
        low, high = self.value_range
        return (pixels.float() / 255 * (high - low) + low).to(self.run.device)

    def __call__(self, fit: Fit, image: Tensor, seed: int, style: Tensor | None = None) -> tuple[Tensor, str | None]:
        """The output (1,C,H,W) of noise `seed`, and what `fit` did to the picture. Inside `run.test_mode`.

        All tiles and all pictures of one seed get the same noise.
        """
        system: Any = self.system

        def call(x: Tensor) -> Tensor:
            with random.fork(seed):
                if style is None:
                    return system.translate(x if self.classes is None else x.round().long(), self.direction)
                return system.transfer(x, resize(style, (self.own, self.own)), self.direction)

        return fit(call, image)


def palette(classes: int) -> Tensor:
    """uint8 (classes, 3): a colour for each class, none like another; hues by the golden angle, three lightnesses."""
    rows = [colorsys.hls_to_rgb(i * 0.381966 % 1, (0.35, 0.55, 0.75)[i % 3], 0.8) for i in range(classes)]
    return (torch.tensor(rows) * 255).round().to(torch.uint8)


def _able(directions: Sequence[str], run: Trained, path: Path) -> tuple[str, ...]:
    """Those directions that an imported run has weights for."""
    imported = RunDir(path).facts().get("imported") if run.iteration == 0 else None
    return tuple(imported["directions"]) if imported else tuple(directions)


def translate(
    run_dir: Path,
    *,
    input: str,
    output: str,
    direction: str | None = None,
    n: int | None = None,
    seed: int = 0,
    style: str | None = None,
    sheet: bool = False,
    size: int | None = None,
    tile: int | None = None,
    overlap: int | None = None,
    instances: str | None = None,
    checkpoint: str = "last",
    weights: str = "auto",
    device: str = "auto",
    allowed_modules: Sequence[str] = (),
) -> None:
    """Every picture of folder (or file) `input` through the translator of `direction`, as PNG in folder `output`.

    Pictures keep names and sizes (see `Fit`). A multimodal game gives `n` outputs NAME_0.png, ..., of the seeds
    seed, seed + 1, ...; with `style` there is one per style picture. sheet: pages of inputs beside outputs as well.
    instances: of a game on label maps, the folder of their instance maps, under the same names.
    A picture that cannot be translated is named at the end, and the others are done.
    """
    run = Trained(run_dir, checkpoint=checkpoint, weights=weights, device=device, allowed_modules=allowed_modules)
    translator = Translator(run, direction, run_dir)
    fit = Fit(translator.own, size, tile, overlap, labels=translator.classes is not None)
    files = _images(Path(input), "input")
    partners = _instances(translator, instances, files)
    styles = _styles(translator, style)
    count = _count(translator, n, style)
    names = _names(files, [f"_{i}" for i in range(count)] if not styles else _suffixes(styles))
    _check_sheet(sheet, names)
    folder = _target(Path(output), files)
    rows: list[list[Tensor]] = []
    failed: list[str] = []
    ways: Counter[str] = Counter()
    progress = _Counter(len(files))
    with run.test_mode(seed):
        hows: list[tuple[int, Tensor | None]] = [(seed, translator.read(file)) for file in styles]
        hows = hows or [(seed + i, None) for i in range(count)]
        for file, partner, targets in zip(files, partners, names, strict=True):
            try:
                image = translator.read(file, partner)
                results = [translator(fit, image, *how) for how in hows]
            except (ValueError, OSError, RuntimeError) as error:
                failed.append(f"{file.name}: {' '.join(str(error).split())}")
                continue
            outputs = [images.to_uint8(result, translator.value_range)[0] for result, _ in results]
            for name, picture in zip(targets, outputs, strict=True):
                images.save(folder / name, picture)
            ways.update({results[0][1]} - {None})  # type: ignore[arg-type]
            if sheet:
                rows.append([contact_sheet.cell(p) for p in (translator.shown(image), *outputs)])
            progress.step()
    pages = contact_sheet.save(folder, rows)
    more = [f"{number} {way}" for way, number in ways.items()] + ([f"{pages} sheets"] if pages else [])
    _report(translator, len(files), len(names[0]), failed, input, folder, more)


def _report(
    translator: Translator, total: int, each: int, failed: list[str], source: str, folder: Path, more: list[str]
) -> None:
    """What was done, in a line; GanError that names what was not."""
    run = translator.run
    print(
        f"{total - len(failed)} of {total} images translated {translator.direction}"
        f"{f', {each} outputs each' if each > 1 else ''} ({run.weights} weights, iteration {run.iteration}) "
        f"into {folder}{''.join(f'; {part}' for part in more)}"
    )
    if failed:
        raise GanError(
            f"{len(failed)} {'images' if len(failed) > 1 else 'image'} of {source} could not be translated: "
            f"{'; '.join(failed[:3])}{'; ...' if len(failed) > 3 else ''}"
        )


def _count(translator: Translator, n: int | None, style: str | None) -> int:
    """Outputs per picture."""
    name = type(translator.system).__name__
    if n is not None and n < 1:
        raise GanError(f"n={n}: ask for at least one output")
    if n is not None and style is not None:
        raise GanError(f"n={n}: with style=... there is one output per style picture; leave one of them out")
    if n is not None and n > 1 and not translator.multimodal:
        raise GanError(f"n={n}: {name} draws no noise, so all outputs of a picture are the same; leave it out")
    return n or (OUTPUTS if translator.multimodal else 1)


def _instances(translator: Translator, folder: str | None, files: list[Path]) -> Sequence[Path | None]:
    """The instance map of each label map, by name."""
    if folder is None:
        return [None] * len(files)
    if translator.classes is None:
        raise GanError(f"instances={folder}: {type(translator.system).__name__} takes no label maps; leave it out")
    by_name = {part.stem: part for part in _images(Path(folder), "instances")}
    missing = [file.name for file in files if file.stem not in by_name]
    if missing:
        raise GanError(f"instances={folder} has no file named as {missing[0]} ({len(missing)} of {len(files)} missing)")
    return [by_name[file.stem] for file in files]


def _styles(translator: Translator, style: str | None) -> list[Path]:
    if style is None:
        return []
    if not hasattr(translator.system, "transfer") or translator.classes is not None:
        raise GanError(f"style={style}: {type(translator.system).__name__} takes no style from a picture; leave it out")
    return _images(Path(style), "style")


def _images(path: Path, key: str) -> list[Path]:
    """The picture that `path` is, or those in the folder `path`, by name."""
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise GanError(f"{key}={path}: no such folder or file")
    files = sorted(p for p in path.iterdir() if p.suffix.lower() in SUFFIXES and not p.name.startswith("."))
    if not files:
        raise GanError(f"{key}={path}: no images in it ({', '.join(SUFFIXES)})")
    return files


def _target(output: Path, files: list[Path]) -> Path:
    """The folder to write to, made; GanError if it holds what is to be read."""
    if output.resolve() == files[0].parent.resolve():
        raise GanError(f"output={output}: the inputs lie there and would be overwritten; name another folder")
    return folder_for(output)


def _names(files: list[Path], suffixes: list[str]) -> list[list[str]]:
    """For each picture the names of its outputs: NAME.png, or NAME_0.png, ...; a.jpg beside a.png keeps its old suffix
    in the name.
    """
    stems = [file.stem for file in files]
    ends = suffixes if len(suffixes) > 1 else [""]
    return [[f"{f.stem if stems.count(f.stem) == 1 else f.name}{end}.png" for end in ends] for f in files]


def _suffixes(styles: list[Path]) -> list[str]:
    return [f"_{name.removesuffix('.png')}" for (name,) in _names(styles, [""])]


def _check_sheet(sheet: bool, names: list[list[str]]) -> None:
    if sheet and (taken := [name for row in names for name in row if name.startswith("sheet")]):
        raise GanError(f"sheet=true would overwrite the output {taken[0]}: rename that picture, or leave sheet out")


class _Counter:
    """A line every five seconds: how many of how many, and the time left."""

    def __init__(self, total: int) -> None:
        self.total, self.done = total, 0
        self.start = self.printed = time.perf_counter()

    def step(self) -> None:
        self.done += 1
        now = time.perf_counter()
        if now - self.printed > 5:
            self.printed = now
            left = (self.total - self.done) * (now - self.start) / self.done
            print(f"{self.done}/{self.total} images  left {clock(left)}", flush=True)
