"""Few labels: a set whose training images are all there, and the classes of only some of them are told."""

import hashlib
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from gan_cli.data.base import Dataset, SemiSupervised, mix, order
from gan_cli.data.mnist_cifar import MNIST
from gan_cli.data.shapes import Shapes

CHOICE, SHUFFLE = 0x1ABE1, 0x5AFE  # streams of a seed's own numbers
CHUNK = 500  # images looked at together


class FewLabels(Dataset):
    """`data` with `num_labels` labelled training images, as many of each class, chosen by the seed of the stream.

    A batch of N holds N images without their labels, out of all training images (the chosen ones too), and N of the
    chosen ones with theirs, both shuffled anew after each epoch of their own. Held-out batches are Images with labels.
    ValueError for a number that the classes cannot share, or a class with too few images.
    """

    batch_type = SemiSupervised
    num_classes: int

    def __init__(self, data: Dataset, num_labels: int) -> None:
        if data.num_classes is None:
            raise ValueError("num_classes=null: few labels are to be told, so the set must have some")
        if num_labels < 1 or num_labels % data.num_classes:
            raise ValueError(f"num_labels={num_labels}: choose a multiple of {data.num_classes}, the number of classes")
        self.data, self.num_labels = data, num_labels
        self.image_size, self.channels, self.num_classes = data.image_size, data.channels, data.num_classes
        self.value_range, self.size, self.test_size = data.value_range, data.size, data.test_size
        self._chosen: dict[int, tuple[Tensor, Tensor]] = {}
        self.chosen(0)  # whether there are enough does not depend on the seed

    def train_batch(self, seed: int, start: int, count: int) -> SemiSupervised:
        unlabelled: Any = self.data.train_batch(seed, start, count)
        labelled, target = self.chosen(seed)
        index = order(_own(seed, SHUFFLE), start, count, self.num_labels).to(labelled.device)
        return SemiSupervised(unlabelled.image, labelled[index], target[index])

    def test_batch(self, start: int, count: int) -> Any:
        return self.data.test_batch(start, count)

    def chosen(self, seed: int) -> tuple[Tensor, Tensor]:
        """The labelled images of `seed`, (num_labels, C, H, W), and their classes, (num_labels,), class by class."""
        if seed not in self._chosen:
            self._chosen[seed] = self._choose(_own(seed, CHOICE))
        return self._chosen[seed]

    def _choose(self, seed: int) -> tuple[Tensor, Tensor]:
        """The first of each class in the stream `seed`."""
        each, parts = self.num_labels // self.num_classes, []
        counts = torch.zeros(self.num_classes, dtype=torch.int64)
        for start in range(0, self.size, CHUNK):
            part: Any = self.data.train_batch(seed, start, min(CHUNK, self.size - start))
            parts.append(part)
            counts += torch.bincount(part.label.cpu(), minlength=self.num_classes)
            if counts.min() >= each:
                break
        else:
            raise ValueError(
                f"num_labels={self.num_labels} asks for {each} images of each class, but class {int(counts.argmin())} "
                f"has {int(counts.min())}"
            )
        image, label = torch.cat([part.image for part in parts]), torch.cat([part.label for part in parts])
        first = torch.cat([(label == c).nonzero()[:each, 0] for c in range(self.num_classes)])
        return image[first], label[first]

    def fingerprint(self) -> str:
        return hashlib.sha256(f"labels-{self.num_labels}-{self.data.fingerprint()}".encode()).hexdigest()[:16]

    def to(self, device: torch.device) -> "FewLabels":
        self.data.to(device)
        self._chosen.clear()
        return self


def _own(seed: int, stream: int) -> int:
    return int(mix(torch.tensor([seed]), stream)[0]) & 0x7FFF_FFFF_FFFF_FFFF


class FewLabelsMNIST(FewLabels):
    """MNIST with `num_labels` labels: 100, 200 and 1000 in the literature."""

    def __init__(
        self, root: str, image_size: int = 28, channels: int = 1, num_classes: int | None = 10,
        value_range: Sequence[float] = (0.0, 1.0), num_labels: int = 100,
    ) -> None:
        super().__init__(MNIST(root, image_size, channels, num_classes, value_range), num_labels)


class FewLabelsShapes(FewLabels):
    """Drawn shapes with `num_labels` labels."""

    def __init__(
        self, image_size: int = 16, channels: int = 1, num_classes: int | None = 6,
        value_range: Sequence[float] = (0.0, 1.0), size: int = 50_000, pose: bool = True, num_labels: int = 60,
    ) -> None:
        super().__init__(Shapes(image_size, channels, num_classes, value_range, size, pose), num_labels)
