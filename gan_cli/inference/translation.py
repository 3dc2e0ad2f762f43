"""`gan translate`: images through the translator of a run."""

from __future__ import annotations

import colorsys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from gan_cli.data.image_files import SUFFIXES, convert, decode, to_tensor
from gan_cli.data.label_maps import read_maps
from gan_cli.inference import contact_sheet as sheets
from gan_cli.inference.tiling import SizeAdapter, resize_image
from gan_cli.inference.trained_run import TrainedRun
from gan_cli.systems.base import TransfersStyle, Translates
from gan_cli.systems.pix2pixhd_labels import Pix2PixHDLabels
from gan_cli.utils import images, random
from gan_cli.utils.errors import GanError
from gan_cli.utils.files import make_folder
from gan_cli.utils.progress import Progress

if TYPE_CHECKING:
    from PIL.Image import Image

DEFAULT_OUTPUTS = 5
"""Outputs per image of a multimodal model."""


class Translator:
    """One direction of a run's model.

    Attributes: run; direction; directions, all that the run has weights for; multimodal; channels, value_range and
    native_size of the input; classes, number of classes of a model that translates label maps, else None. GanError if
    the model does not translate images, or not in `direction`.
    """

    def __init__(self, run: TrainedRun, direction: str | None) -> None:
        self.run, self.system = run, run.system
        if not isinstance(run.system, Translates) or not run.system.directions or run.value_range is None:
            raise GanError(f"{run.path} holds a {run.name}, which does not translate images")
        self.directions = _trained_directions(run)
        self.direction = direction or self.directions[0]
        if self.direction not in self.directions:
            raise GanError(f"direction={direction}: choose one of {', '.join(self.directions)}")
        self.multimodal = run.system.multimodal
        self.value_range: tuple[float, float] = run.value_range
        self.channels: int = run.cfg.dataset.get("source_channels") or run.channels
        self.native_size: int = run.cfg.dataset.image_size
        self.classes = run.system.label_nc if isinstance(run.system, Pix2PixHDLabels) else None

    @property
    def takes_style(self) -> bool:
        """Whether the style can come from an image."""
        return isinstance(self.system, TransfersStyle) and self.classes is None

    def read(self, file: Path, instances: Path | None = None) -> Tensor:
        """An image file as (1, channels, H, W) in `value_range`, on the run's device.

        For a model on label maps, a file of class numbers as (1, 2, H, W): classes, and the instance numbers of the
        file `instances` (if omitted, each class is one instance). ValueError for a broken file.
        """
        if self.classes is None:
            return self.scale(decode(file, self.channels)[None])
        return read_maps(file, instances, self.classes)[None].float().to(self.run.device)

    def from_pil(self, image: Image) -> Tensor:
        """A PIL image as `read` gives it. GanError for a model on label maps."""
        if self.classes is not None:
            raise GanError(f"{self.run.name} translates label maps, not images: use `gan translate`")
        return self.scale(to_tensor(convert(image, self.channels))[None])

    def to_pil(self, output: Tensor) -> Image:
        """An output (1, C, H, W) as a PIL image of mode L or RGB."""
        return images.to_pil(images.to_uint8(output, self.value_range)[0])

    def preview(self, image: Tensor) -> Tensor:
        """An input as `read` gives it, as uint8 (C, H, W) to look at; label maps in the colors of `palette`."""
        if self.classes is None:
            return images.to_uint8(image, self.value_range)[0]
        return palette(self.classes)[image[0, 0].long().clamp(0, self.classes - 1).cpu()].permute(2, 0, 1)

    def scale(self, pixels: Tensor) -> Tensor:
        """uint8 as float32 in `value_range`, on the run's device."""
        low, high = self.value_range
        return (pixels.float() / 255 * (high - low) + low).to(self.run.device)

    def __call__(
        self, adapter: SizeAdapter, image: Tensor, seed: int, style: Tensor | None = None
    ) -> tuple[Tensor, str | None]:
        """The output (1, C, H, W) and how `adapter` adapted the image; to be called in `run.test_mode`.

        seed: random seed of the latent noise, the same for all tiles and all images. style: (1, C, H, W), for a model
        that takes its style from an image.
        """
        system = self.system

        def network(x: Tensor) -> Tensor:
            with random.fork(seed):
                if style is not None and isinstance(system, TransfersStyle):
                    square = resize_image(style, (self.native_size, self.native_size))
                    return system.transfer(x, square, self.direction)
                assert isinstance(system, Translates)
                return system.translate(x if self.classes is None else x.round().long(), self.direction)

        return adapter(network, image)


def palette(classes: int) -> Tensor:
    """uint8 (classes, 3): a color per class, all different; hues by the golden angle, three lightnesses."""
    rows = [colorsys.hls_to_rgb(i * 0.381966 % 1, (0.35, 0.55, 0.75)[i % 3], 0.8) for i in range(classes)]
    return (torch.tensor(rows) * 255).round().to(torch.uint8)


def _trained_directions(run: TrainedRun) -> tuple[str, ...]:
    """The directions that have weights: an imported run may have only one, and random weights in the other."""
    imported = run.imported if run.iteration == 0 else None
    return tuple(imported["directions"]) if imported else tuple(run.system.directions)


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
    checkpoint: str = "last",
    weights: str = "auto",
    device: str = "auto",
    allowed_modules: Sequence[str] = (),
) -> None:
    """Translate the image or the folder of images `input` in `direction` and write PNG files to the folder `output`.

    Outputs keep names and sizes (see `SizeAdapter` for resize, tile, overlap). A multimodal model writes `n` outputs
    NAME_0.png, ... per image, of the seeds seed, seed + 1, ...; with `style`, one output per style image.
    contact_sheet: also pages of inputs beside outputs. instances: for a model on label maps, the folder of instance
    maps of the same names. An image that cannot be translated is named at the end, and does not stop the others.
    """
    run = TrainedRun(run_dir, checkpoint=checkpoint, weights=weights, device=device, allowed_modules=allowed_modules)
    translator = Translator(run, direction)
    adapter = SizeAdapter(translator.native_size, resize, tile, overlap, labels=translator.classes is not None)
    files = _image_files(Path(input), "input")
    instance_maps = _instance_maps(translator, instances, files)
    styles = _style_files(translator, style)
    count = _count(translator, n, style)
    names = _output_names(files, _style_suffixes(styles) if styles else [f"_{i}" for i in range(count)])
    _check_contact_sheet(contact_sheet, names)
    folder = _output_folder(Path(output), files)
    rows: list[list[Tensor]] = []
    failed: list[str] = []
    adaptations: Counter[str] = Counter()
    progress = Progress(len(files), "images")
    with run.test_mode(seed):
        variants: list[tuple[int, Tensor | None]] = [(seed, translator.read(file)) for file in styles]
        variants = variants or [(seed + i, None) for i in range(count)]
        for file, instance_map, targets in zip(files, instance_maps, names, strict=True):
            try:
                image = translator.read(file, instance_map)
                results = [translator(adapter, image, *variant) for variant in variants]
            except (ValueError, OSError, RuntimeError) as error:
                failed.append(f"{file.name}: {' '.join(str(error).split())}")
                continue
            outputs = [images.to_uint8(result, translator.value_range)[0] for result, _ in results]
            for name, pixels in zip(targets, outputs, strict=True):
                images.save(folder / name, pixels)
            adaptations.update([adaptation for _, adaptation in results[:1] if adaptation])
            if contact_sheet:
                rows.append([sheets.thumbnail(pixels) for pixels in (translator.preview(image), *outputs)])
            progress.advance()
    pages = sheets.save(folder, rows)
    remarks = [f"{number} {adaptation}" for adaptation, number in adaptations.items()]
    remarks += [f"{pages} sheets"] if pages else []
    _report(translator, len(files), len(names[0]), failed, input, folder, remarks)


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
        raise GanError(
            f"{len(failed)} {'images' if len(failed) > 1 else 'image'} of {source} could not be translated: "
            f"{'; '.join(failed[:3])}{'; ...' if len(failed) > 3 else ''}"
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
    by_name = {file.stem: file for file in _image_files(Path(folder), "instances")}
    missing = [file.name for file in files if file.stem not in by_name]
    if missing:
        raise GanError(f"instances={folder} has no file named {missing[0]} ({len(missing)} of {len(files)} missing)")
    return [by_name[file.stem] for file in files]


def _style_files(translator: Translator, style: str | None) -> list[Path]:
    if style is None:
        return []
    if not translator.takes_style:
        raise GanError(f"style={style}: {translator.run.name} does not take its style from an image; omit style=")
    return _image_files(Path(style), "style")


def _image_files(path: Path, key: str) -> list[Path]:
    """The image `path`, or the images in the folder `path`, by name."""
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise GanError(f"{key}={path}: no such folder or file")
    files = sorted(p for p in path.iterdir() if p.suffix.lower() in SUFFIXES and not p.name.startswith("."))
    if not files:
        raise GanError(f"{key}={path}: no images in it ({', '.join(SUFFIXES)})")
    return files


def _output_folder(output: Path, files: list[Path]) -> Path:
    """The folder to write to, created if needed. GanError if the inputs are in it."""
    if output.resolve() == files[0].parent.resolve():
        raise GanError(f"output={output}: the inputs are there and would be overwritten; name another folder")
    return make_folder(output)


def _output_names(files: list[Path], suffixes: list[str]) -> list[list[str]]:
    """The names of each image's outputs: NAME.png, or NAME_0.png, ...

    Where two inputs differ only in their suffix, such as a.jpg and a.png, the suffix stays in the name.
    """
    stems = [file.stem for file in files]
    ends = suffixes if len(suffixes) > 1 else [""]
    return [[f"{f.stem if stems.count(f.stem) == 1 else f.name}{end}.png" for end in ends] for f in files]


def _style_suffixes(styles: list[Path]) -> list[str]:
    return [f"_{name.removesuffix('.png')}" for (name,) in _output_names(styles, [""])]


def _check_contact_sheet(wanted: bool, names: list[list[str]]) -> None:
    if wanted and (taken := [name for row in names for name in row if name.startswith("sheet")]):
        raise GanError(f"contact_sheet=true would overwrite the output {taken[0]}: rename that image, or omit it")
