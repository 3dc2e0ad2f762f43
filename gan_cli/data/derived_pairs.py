"""Paired data sets whose source is computed from the target, so that any folder of images can be used."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from gan_cli.data.base import Dataset, Pairs, as_range
from gan_cli.data.folders import ImageFolder
from gan_cli.data.lab_color import rgb_to_lab
from gan_cli.data.preprocess import load_sides, random_windows


class DerivedPairs(Dataset):
    """Base of these data sets: the images of an ImageFolder in [-1, 1], cropped and mirrored as in PairedFolder.

    load_size: side of the square before the random crop; None: 286 / 256 of image_size. stretch: resize whole images to
    that square, as donkey_folder.lua of the pix2pix code, instead of their central squares. test_root, test_fraction,
    window, errors: as for ImageFolder.
    """

    batch_type: ClassVar[type] = Pairs
    name: ClassVar[str]  # in the fingerprint, which must not change when a class is renamed
    value_range: tuple[float, float]
    image_size: int
    num_classes = None

    def __init__(
        self, root: str, image_size: int, load_size: int | None, flip: bool, test_root: str | None,
        test_fraction: float, window: Sequence[float] | None, stretch: bool,
    ) -> None:  # fmt: skip
        self._margin = load_sides(load_size, image_size)[0] - image_size
        self.image_size, self.flip = image_size, flip
        # Training images are stored larger than held-out ones; without a margin, one folder serves both.
        sizes = {image_size + self._margin, image_size}
        folders = {
            size: ImageFolder(
                root, size, test_root=test_root, test_fraction=test_fraction, window=window, stretch=stretch
            )
            for size in sizes
        }
        self._train, self._test = folders[image_size + self._margin], folders[image_size]
        self.size, self.test_size, self.window = self._train.size, self._test.test_size, self._test.window
        self.files, self.holds_out = self._test.files, self._test.holds_out

    @abstractmethod
    def pairs(self, image: Tensor) -> Pairs:
        """Compute source and target from RGB (N, 3, H, W) in [-1, 1]."""

    def train_batch(self, seed: int, start: int, count: int) -> Pairs:
        image = self._train.train_batch(seed, start, count).image
        window = (part.tolist() for part in random_windows(seed, start, count, self._margin, self.flip))
        rows, side = zip(image, *window), self.image_size
        windows = [(pixels[:, top : top + side, left : left + side], mirror) for pixels, top, left, mirror in rows]
        return self.pairs(torch.stack([window.flip(2) if mirror else window for window, mirror in windows]))

    def test_batch(self, start: int, count: int) -> Pairs:
        return self.pairs(self._test.test_batch(start, count).image)

    def fingerprint(self) -> str:
        return f"{self.name}-{self._test.fingerprint()}"

    def to(self, device: torch.device) -> "DerivedPairs":
        self._train.to(device)
        self._test.to(device)
        return self


class Colorization(DerivedPairs):
    """Colorization: the source is the lightness L / 50 - 1 (N, 1, H, W), the target the color ab / 110 (N, 2, H, W).

    Both are in [-1, 1] (pix2pix code, donkey_folder.lua).
    """

    name = "colorization"

    def __init__(
        self, root: str, image_size: int = 256, source_channels: int = 1, channels: int = 2, num_classes: None = None,
        value_range: Sequence[float] = (-1.0, 1.0), load_size: int | None = None, flip: bool = True,
        test_root: str | None = None, test_fraction: float = 0.1, window: Sequence[float] | None = None,
        stretch: bool = False,
    ) -> None:  # fmt: skip
        if (source_channels, channels) != (1, 2) or as_range(value_range) != (-1, 1):
            raise ValueError(
                f"a colorization goes from L, source_channels 1, to ab, channels 2, both in [-1, 1]; "
                f"not from {source_channels} to {channels} in {list(value_range)}"
            )
        super().__init__(root, image_size, load_size, flip, test_root, test_fraction, window, stretch)
        self.source_channels, self.channels, self.value_range = source_channels, channels, (-1.0, 1.0)

    def pairs(self, image: Tensor) -> Pairs:
        lab = rgb_to_lab((image + 1) / 2)
        return Pairs(lab[:, :1] / 50 - 1, lab[:, 1:] / 110)


class Inpainting(DerivedPairs):
    """Inpainting: the target is the image, the source the same with 1 in the central square of half its side.

    As in the pix2pix code, donkey_folder.lua.
    """

    name = "inpainting"

    def __init__(
        self, root: str, image_size: int = 256, channels: int = 3, num_classes: None = None,
        value_range: Sequence[float] = (-1.0, 1.0), load_size: int | None = None, flip: bool = True,
        test_root: str | None = None, test_fraction: float = 0.1, window: Sequence[float] | None = None,
        stretch: bool = False,
    ) -> None:  # fmt: skip
        if channels != 3 or as_range(value_range) != (-1, 1):
            raise ValueError(f"inpainting works on channels 3 in [-1, 1], not {channels} in {list(value_range)}")
        super().__init__(root, image_size, load_size, flip, test_root, test_fraction, window, stretch)
        self.channels, self.value_range = channels, (-1.0, 1.0)

    def pairs(self, image: Tensor) -> Pairs:
        source, side = image.clone(), self.image_size
        low, high = side // 4, side // 4 + side // 2
        source[:, :, low:high, low:high] = 1.0
        return Pairs(source, image)
