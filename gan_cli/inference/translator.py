"""One direction of a run's translator: image files or PIL images in, images of 8 or 16 bits out."""

from __future__ import annotations

import colorsys
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from gan_cli.data.bands import Bands
from gan_cli.data.image_files import Window, convert, is_deep, read, to_tensor, window_option
from gan_cli.data.label_maps import read_maps
from gan_cli.data.notes import dark
from gan_cli.data.palettes import Palette
from gan_cli.inference.pixel_format import TOP, PixelFormat, output_format
from gan_cli.inference.tiling import SizeAdapter, resize_image
from gan_cli.inference.trained_run import TrainedRun
from gan_cli.systems.base import TransfersStyle, Translates
from gan_cli.systems.pix2pixhd_labels import Pix2PixHDLabels
from gan_cli.utils import images, random
from gan_cli.utils.errors import GanError
from gan_cli.utils.image_size import ImageSize, sides, simplified

if TYPE_CHECKING:
    from PIL.Image import Image

DEFAULT_OUTPUTS = 5
"""Outputs per image of a multimodal model."""


class Translator:
    """One direction of a run's model.

    window: black and white of images of more than 8 bits (see image_files.Window); those of the run if omitted. depth:
    bits of the outputs, 8, 16 or 32; None: those of the data that the run was trained on (see `output_format`).

    Attributes: run; direction; directions, all that the run has weights for; multimodal; value_range and native_size of
    the input; classes, number of classes of a model that translates label maps, else None; dark, number of files of
    more than 8 bits that `read` found all but black. GanError if the model does not translate images, or not in
    `direction`, for a window of label maps, and for an impossible depth.
    """

    def __init__(self, run: TrainedRun, direction: str | None, window: Window = None, depth: int | None = 8) -> None:
        self.run, self.system = run, run.system
        if not isinstance(run.system, Translates) or not run.system.directions or run.value_range is None:
            raise GanError(f"{run.path} holds a {run.name}, which does not translate images")
        self.directions = _trained_directions(run)
        self.direction = direction or self.directions[0]
        if self.direction not in self.directions:
            raise GanError(f"direction={direction}: choose one of {', '.join(self.directions)}")
        self.multimodal = run.system.multimodal
        self.value_range: tuple[float, float] = run.value_range
        self.native_size: ImageSize = simplified(run.cfg.dataset.image_size)
        self.classes = run.system.label_nc if isinstance(run.system, Pix2PixHDLabels) else None
        if window and self.classes is not None:
            raise GanError(f"window={list(window)}: {run.name} takes label maps, which have none; omit window=")
        self._window, self._depth, self.dark = window, depth, 0
        self.palette: Palette = {}

    @property
    def _data(self) -> PixelFormat:
        """Channels and window of the inputs: the source's, or those of the target for a translation back."""
        return output_format(self.run, 8, of_source=self.direction == self.system.directions[0])

    @property
    def channels(self) -> int:
        """Number of channels of the inputs."""
        return self._data.channels

    @property
    def window(self) -> Window:
        """Black and white of inputs of more than 8 bits."""
        return self._window or self._data.window

    @property
    def format(self) -> PixelFormat:
        """The kind of file that outputs are written to."""
        return output_format(self.run, self._depth, of_source=self.direction != self.system.directions[0])

    @property
    def takes_style(self) -> bool:
        """Whether the style can come from an image."""
        return isinstance(self.system, TransfersStyle) and self.classes is None

    def read(self, file: Path, instances: Path | None = None) -> Tensor:
        """An image file as uint8 or, if the run was trained on 16 bits, uint16 (channels, H, W).

        For a model on label maps, a file of class numbers as int64 (2, H, W): classes, and the instance numbers of the
        file `instances` (if omitted, each class is one instance). ValueError for a broken file.
        """
        if self.classes is not None:
            return read_maps(file, instances, self.classes, void=self.run.cfg.dataset.get("void"), palette=self.palette)
        with window_option():
            pixels = to_pixels(read(file, self.channels, window=self.window, depth=self.run.depth))
        self.dark += int(dark(pixels[None])) and is_deep(file)
        return pixels

    def from_pil(self, image: Image) -> Tensor:
        """A PIL image as `read` gives it. GanError for a model on label maps."""
        if self.classes is not None:
            raise GanError(f"{self.run.name} translates label maps, not images: use `gan translate`")
        return to_pixels(convert(image, self.channels, self.window, self.run.depth))

    def preview(self, image: Tensor) -> Tensor:
        """An input as `read` gives it, to look at; label maps as uint8 (3, H, W), in the colors of `palette`."""
        return image if self.classes is None else palette(self.classes)[image[0]].permute(2, 0, 1)

    def scale(self, image: Tensor) -> Tensor:
        """Images (1, C, H, W) as float32 in `value_range` on the run's device; class numbers stay as they are."""
        if self.classes is not None:
            return image.float().to(self.run.device)
        low, high = self.value_range
        white = 255 if image.dtype == torch.uint8 else TOP
        return (image.float() / white * (high - low) + low).to(self.run.device)

    def style(self, image: Tensor) -> Tensor:
        """An image as `read` gives it, as the style of translations: (1, C, H, W) of `native_size`."""
        return resize_image(image[None], sides(self.native_size), encode=self.scale)

    def __call__(
        self, adapter: SizeAdapter, image: Tensor, seed: int, style: Tensor | None = None
    ) -> tuple[Tensor, str | None]:
        """Translate an image as `read` gives it; to be called in `run.test_mode`.

        Returns uint8, or uint16 of the full scale if `format` has more bits, (C, H, W), and how `adapter` adapted the
        image. seed: random seed of the latent noise, the same for all tiles and all images. style: as `style` gives it,
        for a model that takes its style from an image.
        """
        system = self.system

        def network(x: Tensor) -> Tensor:
            with random.fork(seed):
                if style is not None and isinstance(system, TransfersStyle):
                    return system.transfer(x, style, self.direction)
                assert isinstance(system, Translates)
                return system.translate(x if self.classes is None else x.round().long(), self.direction)

        pixel_format = self.format
        result, adaptation = adapter(
            network, image[None], self.scale, lambda output: pixel_format.quantize(output, self.value_range)
        )
        return result[0], adaptation


def to_pixels(image: Image) -> Tensor:
    """An image as `convert` returns it as (C, H, W), in strips: at once, 8 bits would be in memory four times."""
    if isinstance(image, Bands):
        return image.tensor()
    width, height = image.size
    pixels = torch.empty(len(image.getbands()), height, width, dtype=torch.uint8)
    for top in range(0, height, images.STRIP):
        bottom = min(top + images.STRIP, height)
        pixels[:, top:bottom] = to_tensor(image.crop((0, top, width, bottom)))
    return pixels


def palette(classes: int) -> Tensor:
    """uint8 (classes, 3): a color per class, all different; hues by the golden angle, three lightnesses."""
    rows = [colorsys.hls_to_rgb(i * 0.381966 % 1, (0.35, 0.55, 0.75)[i % 3], 0.8) for i in range(classes)]
    return (torch.tensor(rows) * 255).round().to(torch.uint8)


def _trained_directions(run: TrainedRun) -> tuple[str, ...]:
    """The directions that have weights: an imported run may have only one, and random weights in the other."""
    imported = run.imported if run.iteration == 0 else None
    return tuple(imported["directions"]) if imported else tuple(run.system.directions)
