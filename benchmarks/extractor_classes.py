"""What an extractor knows of classes: accuracy of 5 nearest neighbors among its features, and the ImageNet classes that
EfficientNet-Lite0 sees.

    python benchmarks/extractor_classes.py neighbors FOLDER [COUNT]    FOLDER/CLASS/*.jpg, COUNT images in all
    python benchmarks/extractor_classes.py imagenet FOLDER             images of one kind
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import torch
from torch import Tensor

from gan_cli.data.image_files import read, to_tensor
from gan_cli.metrics.base import Extractor
from gan_cli.metrics.extractors import EfficientNetLite0, Pixels, RandomFeatures

CPU = torch.device("cpu")


def load(files: list[Path]) -> Tensor:
    return torch.stack([to_tensor(read(file, 3)) for file in files]).float() / 127.5 - 1


def neighbors(features: Tensor, label: Tensor, k: int = 5) -> float:
    """Share of images whose k nearest other images are mostly of their class; the nearer class wins a tie."""
    distance = torch.cdist(features.double(), features.double()).fill_diagonal_(float("inf"))
    order = distance.topk(k, largest=False).indices
    votes = torch.nn.functional.one_hot(label[order], int(label.max()) + 1).double()
    votes *= 1 - 1e-3 * torch.arange(k)[:, None]
    return float((votes.sum(1).argmax(1) == label).double().mean())


def print_neighbors(folder: Path, count: int) -> None:
    classes = sorted(path for path in folder.iterdir() if path.is_dir())
    files = [file for path in classes for file in sorted(path.glob("*.jpg"))[: count // len(classes)]]
    images = load(files)
    label = torch.tensor([classes.index(file.parent) for file in files])
    extractors: list[Extractor] = [EfficientNetLite0(), RandomFeatures(), Pixels()]
    for extractor in extractors:
        extractor.prepare(None, CPU)
        start = time.process_time()
        features = extractor(images).values
        speed = 1000 * (time.process_time() - start) / len(images)
        print(f"{extractor.name}: {neighbors(features, label):.3f} ({len(images)} images, {speed:.1f} ms per image)")


def print_imagenet(folder: Path) -> None:
    files = sorted(folder.glob("*.jpg"))
    network = EfficientNetLite0()
    network.prepare(None, CPU)
    logits = network(load(files)).logits
    assert logits is not None
    share = torch.bincount(logits.argmax(1), minlength=1000) / len(files)
    print(f"{len(files)} images:", {int(number): round(float(share[number]), 3) for number in share.topk(5).indices})


if __name__ == "__main__":
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    if sys.argv[1] == "neighbors":
        print_neighbors(Path(sys.argv[2]), int((sys.argv[3:] or ["1000"])[0]))
    else:
        print_imagenet(Path(sys.argv[2]))
