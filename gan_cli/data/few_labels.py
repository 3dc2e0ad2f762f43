"""Data sets for semi-supervised learning: all training images, but the labels of only a few of them."""

import hashlib
from collections.abc import Sequence

import torch
from torch import Tensor

from gan_cli.data.base import Dataset, Images, SemiSupervised, mix, order
from gan_cli.data.mnist_cifar import MNIST
from gan_cli.data.shapes import Shapes
from gan_cli.utils.image_size import ImageSize

LabeledImages = MNIST | Shapes  # data sets whose batches are Images

CHOICE, SHUFFLE = 0x1ABE1, 0x5AFE  # streams that derive further seeds from the seed
CHUNK = 500  # images whose labels are counted at a time


class FewLabels(Dataset):
    """`data` with `num_labels` labeled training images, the same number per class, chosen by the seed of the stream.

    A training batch of N holds N unlabeled images out of all training images, which include the chosen ones, and N of
    the chosen images with their labels. Both streams are reshuffled after each epoch. Held-out batches are Images with
    labels. Raises ValueError if num_labels is not a multiple of the number of classes, or a class has too few images.
    """

    batch_type = SemiSupervised
    num_classes: int

    def __init__(self, data: LabeledImages, num_labels: int) -> None:
        if data.num_classes is None:
            raise ValueError("num_classes=null: the labels of some images are needed, so the data set must have labels")
        if num_labels < 1 or num_labels % data.num_classes:
            raise ValueError(f"num_labels={num_labels}: choose a multiple of {data.num_classes}, the number of classes")
        self.data, self.num_labels = data, num_labels
        self.image_size, self.channels, self.num_classes = data.image_size, data.channels, data.num_classes
        self.value_range, self.size, self.test_size = data.value_range, data.size, data.test_size
        self._chosen: dict[int, tuple[Tensor, Tensor]] = {}
        self.chosen(0)  # fail now if a class has too few images, which does not depend on the seed

    def train_batch(self, seed: int, start: int, count: int) -> SemiSupervised:
        labeled, target = self.chosen(seed)
        index = order(_derived_seed(seed, SHUFFLE), start, count, self.num_labels).to(labeled.device)
        return SemiSupervised(self.data.train_batch(seed, start, count).image, labeled[index], target[index])

    def test_batch(self, start: int, count: int) -> Images:
        return self.data.test_batch(start, count)

    def chosen(self, seed: int) -> tuple[Tensor, Tensor]:
        """Return the labeled images of `seed`, (num_labels, C, H, W), and their classes, (num_labels,), sorted."""
        if seed not in self._chosen:
            self._chosen[seed] = self._choose(_derived_seed(seed, CHOICE))
        return self._chosen[seed]

    def _choose(self, seed: int) -> tuple[Tensor, Tensor]:
        """Return the first images of each class in the stream `seed`."""
        each, parts = self.num_labels // self.num_classes, []
        counts = torch.zeros(self.num_classes, dtype=torch.int64)
        # Read the shuffled stream only as far as needed: often a few hundred images contain enough of each class.
        for start in range(0, self.size, CHUNK):
            image, label = self.data.train_batch(seed, start, min(CHUNK, self.size - start))
            assert label is not None
            parts.append((image, label))
            counts += torch.bincount(label.cpu(), minlength=self.num_classes)
            if counts.min() >= each:
                break
        else:
            raise ValueError(
                f"num_labels={self.num_labels} needs {each} images of each class, but class {int(counts.argmin())} "
                f"has {int(counts.min())}"
            )
        image, label = (torch.cat(part) for part in zip(*parts))
        first = torch.cat([(label == c).nonzero()[:each, 0] for c in range(self.num_classes)])
        return image[first], label[first]

    def fingerprint(self) -> str:
        return hashlib.sha256(f"labels-{self.num_labels}-{self.data.fingerprint()}".encode()).hexdigest()[:16]

    def to(self, device: torch.device) -> "FewLabels":
        self.data.to(device)
        self._chosen.clear()
        return self


def _derived_seed(seed: int, stream: int) -> int:
    return int(mix(torch.tensor([seed]), stream)[0]) & 0x7FFF_FFFF_FFFF_FFFF


class FewLabelsMNIST(FewLabels):
    """MNIST with `num_labels` labels; the literature uses 100, 200 and 1000."""

    def __init__(
        self, root: str, image_size: int = 28, channels: int = 1, num_classes: int | None = 10,
        value_range: Sequence[float] = (0.0, 1.0), num_labels: int = 100,
    ) -> None:
        super().__init__(MNIST(root, image_size, channels, num_classes, value_range), num_labels)


class FewLabelsShapes(FewLabels):
    """Rendered shapes with `num_labels` labels."""

    def __init__(
        self, image_size: ImageSize = 16, channels: int = 1, num_classes: int | None = 6,
        value_range: Sequence[float] = (0.0, 1.0), size: int = 50_000, pose: bool = True, num_labels: int = 60,
    ) -> None:
        super().__init__(Shapes(image_size, channels, num_classes, value_range, size, pose), num_labels)
