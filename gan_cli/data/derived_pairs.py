"""Pairs whose source is made from the target: any folder of images serves."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from gan_cli.data.base import Dataset, Pairs, as_range
from gan_cli.data.folders import ImageFolder
from gan_cli.data.lab_color import rgb_to_lab
from gan_cli.data.paired import jitter, spare


class DerivedPairs(Dataset):
    """What the sets share: the images of an ImageFolder in [-1, 1], jittered and mirrored as in PairedFolder.

    load_size: of the square before the random crop; None: 286 / 256 of image_size. test_root and test_fraction as
    in ImageFolder. Raises FileNotFoundError and ValueError like it.
    """

    batch_type: ClassVar[type] = Pairs
    value_range: tuple[float, float]
    num_classes = None

    def __init__(
        self, root: str, image_size: int, load_size: int | None, flip: bool, test_root: str | None, test_fraction: float
    ) -> None:
        self._spare = spare(load_size, image_size)
        self.image_size, self.flip = image_size, flip
        sizes = {image_size + self._spare, image_size}
        made = {size: ImageFolder(root, size, test_root=test_root, test_fraction=test_fraction) for size in sizes}
        self._train, self._test = made[image_size + self._spare], made[image_size]
        self.size, self.test_size = self._train.size, self._test.test_size

    @abstractmethod
    def pairs(self, image: Tensor) -> Pairs:
        """RGB (N, 3, H, W) in [-1, 1] -> source and target."""

    def train_batch(self, seed: int, start: int, count: int) -> Pairs:
        image = self._train.train_batch(seed, start, count).image
        place = zip(image, *(part.tolist() for part in jitter(seed, start, count, self._spare, self.flip)))
        side = self.image_size
        windows = [(one[:, top : top + side, left : left + side], mirror) for one, top, left, mirror in place]
        return self.pairs(torch.stack([window.flip(2) if mirror else window for window, mirror in windows]))

    def test_batch(self, start: int, count: int) -> Pairs:
        return self.pairs(self._test.test_batch(start, count).image)

    def fingerprint(self) -> str:
        return f"{type(self).__name__.lower()}-{self._test.fingerprint()}"

    def to(self, device: torch.device) -> "DerivedPairs":
        self._train.to(device)
        self._test.to(device)
        return self


class Colorization(DerivedPairs):
    """source: L / 50 - 1 (N, 1, H, W); target: ab / 110 (N, 2, H, W), both in [-1, 1] (pix2pix, donkey_folder.lua)."""

    def __init__(
        self, root: str, image_size: int = 256, source_channels: int = 1, channels: int = 2, num_classes: None = None,
        value_range: Sequence[float] = (-1.0, 1.0), load_size: int | None = None, flip: bool = True,
        test_root: str | None = None, test_fraction: float = 0.1,
    ) -> None:  # fmt: skip
        if (source_channels, channels) != (1, 2) or as_range(value_range) != (-1, 1):
            raise ValueError(
                f"a colorization goes from L, source_channels 1, to ab, channels 2, both in [-1, 1]; "
                f"not from {source_channels} to {channels} in {list(value_range)}"
            )
        super().__init__(root, image_size, load_size, flip, test_root, test_fraction)
        self.source_channels, self.channels, self.value_range = source_channels, channels, (-1.0, 1.0)

    def pairs(self, image: Tensor) -> Pairs:
        lab = rgb_to_lab((image + 1) / 2)
        return Pairs(lab[:, :1] / 50 - 1, lab[:, 1:] / 110)


class Inpainting(DerivedPairs):
    """target: the image; source: the same with the central square of half its side filled with 1 (pix2pix,
    donkey_folder.lua).
    """

    def __init__(
        self, root: str, image_size: int = 256, channels: int = 3, num_classes: None = None,
        value_range: Sequence[float] = (-1.0, 1.0), load_size: int | None = None, flip: bool = True,
        test_root: str | None = None, test_fraction: float = 0.1,
    ) -> None:  # fmt: skip
        if channels != 3 or as_range(value_range) != (-1, 1):
            raise ValueError(f"inpainting works on channels 3 in [-1, 1], not {channels} in {list(value_range)}")
        super().__init__(root, image_size, load_size, flip, test_root, test_fraction)
        self.channels, self.value_range = channels, (-1.0, 1.0)

    def pairs(self, image: Tensor) -> Pairs:
        source, side = image.clone(), self.image_size
        low, high = side // 4, side // 4 + side // 2
        source[:, :, low:high, low:high] = 1.0
        return Pairs(source, image)
