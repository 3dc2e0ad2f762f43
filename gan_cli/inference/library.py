"""What `gan_cli.load` returns: a trained run as a Python object."""

from __future__ import annotations

import torch
from PIL.Image import Image
from torch import Tensor

from gan_cli.inference.film import Walk
from gan_cli.inference.tiling import SizeAdapter
from gan_cli.inference.trained_run import TrainedRun
from gan_cli.inference.translator import Translator
from gan_cli.systems.base import Traversal
from gan_cli.utils import images
from gan_cli.utils.errors import GanError


class Run(TrainedRun):
    """A trained run that generates and translates images; see `TrainedRun` for its attributes."""

    def sample(
        self, n: int = 1, *, seed: int = 0, label: int | str | None = None, truncation: float | None = None
    ) -> Tensor:
        """Generate n images, float32 (n, C, H, W) in [0, 1] on the CPU; of a run on points, (n, d, 1, 1) unscaled.

        The same seed gives the same images. label: class of all images by its name or number (see class_names), for a
        model that is conditional on labels. truncation: components of Gaussian noise beyond it are sampled again, which
        makes images more typical and less diverse (see utils.random.TruncatedNormal). Raises GanError if the model does
        not generate from noise, or takes no such label or truncation.
        """
        if n < 1:
            raise GanError(f"n={n}: ask for at least one sample")
        number = self.label_number(label)
        with self.test_mode(seed), self.truncated(truncation):
            raw = self.generate(n, number)
        return self._unit(raw)

    def interpolate(
        self,
        n: int = 4,
        frames: int = 24,
        *,
        seed: int = 0,
        label: int | str | None = None,
        truncation: float | None = None,
    ) -> Tensor:
        """Images (n frames, C, H, W), as those of `sample`, on a closed path through n noises with `frames` images from
        each to the next: on arcs for Gaussian noise, otherwise on straight lines. Codes and classes are constant.
        """
        number = self.label_number(label)
        labels = None if number is None else torch.tensor([number])
        walk = Walk(self, n, frames, seed=seed, labels=labels, truncation=truncation)
        return self._unit(torch.cat([walk[index] for index in range(len(walk))]))

    def traverse(self, rows: int = 10, *, seed: int = 0) -> dict[str, Traversal]:
        """What `gan sample` draws beside its grid: tables in which one thing varies along each row, by name.

        Each Traversal has images, float32 (rows, columns, C, H, W) as those of `sample`; headings, one per column; a
        title; and lines, the numbers of columns before which a line is drawn. Empty for a model that has none.
        """
        with self.test_mode(seed):
            tables = self.traversals(rows)
        return {name: table._replace(images=self._unit(table.images.cpu())) for name, table in tables.items()}

    def _unit(self, images: Tensor) -> Tensor:
        """Images in the value range of the training data, in [0, 1]; points as they are."""
        if self.value_range is None:
            return images
        low, high = self.value_range
        return ((images - low) / (high - low)).clamp(0, 1)

    def translate(
        self,
        image: Image,
        direction: str | None = None,
        *,
        seed: int = 0,
        style: Image | None = None,
        resize: int | None = None,
        tile: int | None = None,
        overlap: int | None = None,
    ) -> Image:
        """Translate a PIL image of any size; returns a PIL image of the same size, mode L or RGB.

        direction: such as "AtoB"; if omitted, the run's first. seed: random seed of the latent noise of a model that
        draws some. style: image to take the style from, where the model can. resize: pixels of the shorter side
        inside the network. tile, overlap: translate in overlapping tiles of that many pixels, which needs less memory.
        Raises GanError if the model does not translate images, or not in that direction.
        """
        if not isinstance(image, Image):
            raise GanError(f"translate takes a PIL image, not {type(image).__name__}: PIL.Image.open(FILE) reads one")
        translator = Translator(self, direction)
        if translator.format.channels > 4:
            raise GanError(f"no PIL image has {translator.format.channels} channels: `gan translate` writes TIFF files")
        adapter = SizeAdapter(translator.native_size, resize, tile, overlap)
        with self.test_mode(seed):
            example = None if style is None else translator.style(translator.from_pil(style))
            output, _ = translator(adapter, translator.from_pil(image), seed, example)
        return images.to_pil(output)
