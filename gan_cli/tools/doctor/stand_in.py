"""A data set of random batches in the place of one that is not to be read, or is not there yet."""

from __future__ import annotations

from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf
from torch import Tensor

from gan_cli.config.targets import target
from gan_cli.data.base import Batch, Dataset, Images, LabelMaps, SemiSupervised
from gan_cli.training import build
from gan_cli.utils.image_size import sides


class StandIn(Dataset):
    """Random numbers of the shapes and types of `template`, a batch of the data set that `cfg.dataset` describes."""

    size = test_size = 1 << 20

    def __init__(self, cfg: DictConfig, template: Batch) -> None:
        self.template = template
        # Asked now: a dry run has no values.
        self._ends = [1 if part is None or part.is_floating_point() else int(part.max()) + 1 for part in template]
        self.batch_type = type(template)  # type: ignore[misc]
        self.value_range = cfg.dataset.get("value_range")
        self.num_classes = cfg.dataset.get("num_classes")
        self.image_size, self.channels = cfg.dataset.get("image_size", 1), cfg.dataset.get("channels", 1)

    def train_batch(self, seed: int, start: int, count: int) -> Batch:
        """`count` samples."""
        parts = [
            None if part is None else _random(part, end, count, start)
            for part, end in zip(self.template, self._ends, strict=True)
        ]
        return type(self.template)(*parts)  # type: ignore[arg-type]

    def test_batch(self, start: int, count: int) -> Batch:
        """`count` samples; of partly labeled data the images alone, as such data sets hold them out."""
        batch = self.train_batch(0, start, count)
        return Images(batch.image) if isinstance(batch, SemiSupervised) else batch

    def fingerprint(self) -> str:
        """A name for random numbers."""
        return "random"


def stand_in(cfg: DictConfig) -> StandIn:
    """Random batches like those of the config's data set, of which no file is read."""
    if "root" not in cfg.dataset:  # computed samples, which need no file
        return StandIn(cfg, build.dataset(cfg).train_batch(0, 0, 4))
    return StandIn(cfg, _template(OmegaConf.to_container(cfg.dataset, resolve=True)))  # type: ignore[arg-type]


def _template(settings: dict[str, Any]) -> Batch:
    """A batch with the shapes that the settings of a data set name."""
    kind: Any = target(settings["_target_"], ()).batch_type  # type: ignore[attr-defined]
    channels = settings.get("channels") or 3
    height, width = sides(settings.get("image_size") or 64)
    image = torch.zeros(4, channels, height, width)
    source = torch.zeros(4, settings.get("source_channels") or channels, height, width)
    classes = settings.get("num_classes") or settings.get("label_nc")
    labels = torch.full((4,), (classes or 1) - 1)
    if kind is Images:
        return Images(image, labels if classes else None)
    if kind is SemiSupervised:
        return SemiSupervised(image, image, labels)
    if kind is LabelMaps:
        return LabelMaps(torch.full((4, 2, height, width), (classes or 1) - 1), image)
    made: Batch = kind(source, image)
    return made


def _random(part: Tensor, end: int, count: int, start: int) -> Tensor:
    shape = (count, *part.shape[1:])
    generator = torch.Generator().manual_seed(start)
    if part.is_floating_point():
        return torch.rand(shape, generator=generator) * 2 - 1
    return torch.randint(end, shape, generator=generator)
