"""A small ConvNet that is trained on a labeled data set once, to compute features and classes of generated images.

It replaces Inception for MNIST-like data. Scores with it can be compared only between runs that share its hash, and
never with a published FID or Inception Score.
"""

from __future__ import annotations

import copy
import json
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, pad

from gan_cli.data.base import Dataset, HasDigits, Images
from gan_cli.data.decoded_cache import exclusive
from gan_cli.metrics.base import Extractor, Features
from gan_cli.metrics.feature_cache import cache_dir, digest, discard, load_whole, save_whole
from gan_cli.metrics.pixels import in_batches
from gan_cli.utils.distributed import print_once
from gan_cli.utils.files import write_text
from gan_cli.utils.image_size import ImageSize, sides
from gan_cli.utils.progress import Progress

VERSION = 1  # of the network, its training recipe and the format of the file
WIDTH = 128  # features
RECIPE: dict[str, Any] = {
    "images": 200_000,  # training images in all, but at most `passes` epochs
    "passes": 30,
    "batch": 128,
    "rate": 0.01,  # the peak of the one-cycle schedule (Smith & Topin 2019, arXiv 1708.07120), AdamW
    "weight_decay": 1e-3,
    "shift": 2,  # pixels, in each direction
}
WEIGHTS = "classifier.pt"
TIMED = 20  # steps of training after which the time that it takes is estimated
PROBE = 1000  # training samples among which classes are counted if the config hides the labels
OTHERS = "choose extractor=inception or extractor=random"
CHUNK = 500  # images per forward pass


class ConvNet(nn.Module):
    """(N, channels, height, width) in [-1, 1] -> (features (N, WIDTH) >= 0, logits (N, classes)).

    Blocks of 3 x 3 convolution, max pooling, batch normalization and ReLU halve the image to at most 4 pixels on its
    shorter side. The channels double from block to block, up to 64, so that each block costs about the same.
    """

    def __init__(self, image_size: ImageSize, channels: int, classes: int) -> None:
        super().__init__()
        (rows, columns), blocks = sides(image_size), 0
        while min(rows, columns) > 4:
            rows, columns, blocks = rows // 2, columns // 2, blocks + 1
        layers: list[nn.Module] = []
        for block in reversed(range(blocks)):
            width = max(8, 64 >> block)
            layers += [nn.Conv2d(channels, width, 3, padding=1, bias=False), nn.MaxPool2d(2)]
            layers += [nn.BatchNorm2d(width), nn.ReLU()]
            channels = width
        flat = [nn.Flatten(), nn.Linear(channels * rows * columns, WIDTH, bias=False)]
        self.features = nn.Sequential(*layers, *flat, nn.BatchNorm1d(WIDTH), nn.ReLU())
        self.last = nn.Linear(WIDTH, classes)
        self.to(memory_format=torch.channels_last)  # twice as fast on a CPU

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        features = self.features(x)
        return features, self.last(features)


def labeled_view(data: Dataset | None) -> Dataset | None:
    """A view of `data` in [-1, 1] that shows its labels, even if the run's config hides them.

    Of Stacked MNIST, a view of its single digits. None if there are no labels, or no data set.
    """
    if isinstance(data, HasDigits):
        data = data.digits
    if data is None or data.value_range is None:
        return None
    view = copy.copy(data)
    view.value_range = (-1.0, 1.0)
    view.num_classes = data.num_classes or 1  # any number shows the labels, if there are any
    first = view.train_batch(0, 0, 1)
    if not isinstance(first, Images) or first.label is None:
        return None
    if data.num_classes is None:
        view.num_classes = 1 + max(int(_labeled_batch(view, 0, i, 50)[1].max()) for i in range(0, PROBE, 50))
    return view


def _labeled_batch(view: Dataset, seed: int, start: int, count: int) -> tuple[Tensor, Tensor]:
    """Images and labels of the training stream `seed`."""
    return cast(tuple[Tensor, Tensor], view.train_batch(seed, start, count))


def train(network: ConvNet, view: Dataset, device: torch.device, seed: int, name: str) -> None:
    """Train `network` in place on the stream `seed` of `view` by RECIPE, with a line of progress every ten seconds."""
    batch, total = RECIPE["batch"], min(RECIPE["images"], RECIPE["passes"] * view.size)
    steps = max(1, round(total / batch))
    optimizer = torch.optim.AdamW(network.parameters(), lr=RECIPE["rate"], weight_decay=RECIPE["weight_decay"])
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RECIPE["rate"], total_steps=steps + 1)
    generator = torch.Generator().manual_seed(seed)
    network.train()
    print_once(f"{name}: a small classifier of the data set is trained first, once, on {steps * batch:,} images")
    progress = Progress(steps * batch, "images", interval=10.0)
    for step in range(steps):
        image, label = _labeled_batch(view, seed, step * batch, batch)
        image = shifted(image.to(device), RECIPE["shift"], generator)
        loss = cross_entropy(network(image)[1], label.to(device))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        progress.advance(batch)
        if step == TIMED:
            print_once(f"{name}: this will take about {progress.left()}")
    if not loss.isfinite():
        raise ValueError(f"{name}: its loss is NaN; does the data set hold NaN or infinite pixels?")


def shifted(images: Tensor, reach: int, generator: torch.Generator) -> Tensor:
    """Each image of (N, C, H, W) shifted by up to `reach` pixels vertically and horizontally, its edge repeated."""
    n, _, height, width = images.shape
    rows, columns = (
        (torch.randint(2 * reach + 1, (n, 1), generator=generator) + torch.arange(side)).to(images.device)
        for side in (height, width)
    )
    padded = pad(images, [reach] * 4, mode="replicate").permute(0, 2, 3, 1)
    number = torch.arange(n, device=images.device)[:, None, None]
    return padded[number, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


class Classifier(Extractor):
    """A classifier of the data set, trained at its first use and then cached.

    Features: the 128 inputs of the last layer; logits: its outputs. name: such as `classifier:mnist`, from the data
    set's class. For Stacked MNIST the network classifies single digits. Images with several channels are then
    classified channel by channel: the features are concatenated, and the logits are those of all combinations of
    digits, in the order of their numbers (first channel first).

    record: facts about the network: accuracy (on held-out images, 0 .. 1), seconds of training, and others.
    """

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed
        self.name, self.hash = "classifier", ""
        self.record: dict[str, Any] = {}

    def prepare(self, data: Dataset | None, device: torch.device) -> None:
        """Load the network of `data`, or train it. ValueError if there are no labels, or all are the same."""
        view = labeled_view(data)
        if view is None:
            raise ValueError(f"extractor=classifier needs a labeled data set, such as dataset=mnist; {OTHERS}")
        if view.num_classes is None or view.num_classes < 2:
            raise ValueError(f"extractor=classifier: all labels are the same, there is nothing to learn; {OTHERS}")
        kind = type(view).__name__.lower()
        self.name, self._device, self._stacked = f"classifier:{kind}", device, isinstance(data, HasDigits)
        self._shape = (view.channels, *sides(view.image_size))
        facts = (VERSION, view.fingerprint(), view.size, view.test_size, self._shape, view.num_classes, self.seed)
        folder = cache_dir("extractors") / f"{kind}-{digest((), *facts, sorted(RECIPE.items()))}"
        record = self._load(folder, view)
        if record is None:
            try:
                with exclusive(folder, "*.part"):
                    record = self._load(folder, view)  # another process may have trained it in the meantime
                    if record is None:
                        record = self._train(view)
                        self._save(folder, record)
            except OSError as error:
                print_once(f"note: {folder}: {error.strerror or error}; the classifier is not cached")
                record = record or self._train(view)
        self.record, self.hash = record, record["hash"]

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Features:
        """ValueError for images of another size or number of channels than the data set's."""
        channels, *size = self._shape
        if list(images.shape[2:]) != size or (images.shape[1] != channels and not self._stacked):
            trained, given = (" x ".join(map(str, shape)) for shape in (self._shape, images.shape[1:]))
            raise ValueError(f"{self.name} was trained on {trained} images and cannot classify {given}; {OTHERS}")
        parts = [self._apply(part) for part in images.split(channels, dim=1)]
        # The digits of the channels are independent, so that the log probabilities of a combination add up.
        logits = parts[0][1]
        for _, digit in parts[1:]:
            logits = (logits[:, :, None] + digit[:, None, :]).flatten(1)
        return Features(torch.cat([values for values, _ in parts], 1), logits)

    def _apply(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Features and logits on the CPU."""
        parts = [self._network(part.to(self._device)) for part in images.split(CHUNK)]
        values, logits = (torch.cat(part).float().cpu() for part in zip(*parts))
        return values, logits

    def _build(self, view: Dataset) -> ConvNet:
        assert view.num_classes is not None
        return ConvNet(view.image_size, view.channels, view.num_classes).to(self._device).eval()

    def _hash(self) -> str:
        return digest(self._network.state_dict().items(), VERSION, self._shape)

    def _load(self, folder: Path, view: Dataset) -> dict[str, Any] | None:
        """Load the cached network and return its record; None if there is none, or if it is broken.

        The record's hash proves the weights, and its own checksum the accuracy, which is measured again without one.
        """
        cached = load_whole(folder / WEIGHTS)
        if cached is None:
            return None
        try:
            with torch.random.fork_rng(devices=[]):
                self._network = self._build(view)
            self._network.load_state_dict(cached["network"] if isinstance(cached, dict) else {})
            record = dict(cached["record"])
            whole = record["hash"] == self._hash()
        except (AttributeError, LookupError, RuntimeError, TypeError, ValueError):
            whole = False
        if not whole:
            discard(folder / WEIGHTS)
            return None
        if cached.get("sum") != digest((), record):
            record["accuracy"] = self._accuracy(view)
            print_once(f"{self.name}: its accuracy was not certain and is measured again: {record['accuracy']:.2%}")
            with suppress(OSError):
                self._save(folder, record)
        return record

    def _train(self, view: Dataset) -> dict[str, Any]:
        """Train the network and return its record. The caller's random numbers and gradient mode are restored."""
        start = time.perf_counter()
        with torch.random.fork_rng(devices=[]), torch.enable_grad():
            torch.default_generator.manual_seed(self.seed)
            self._network = self._build(view)
            train(self._network, view, self._device, self.seed, self.name)
        self._network.eval()
        seconds = time.perf_counter() - start
        accuracy = self._accuracy(view)
        result = f"accuracy {accuracy:.2%} on {view.test_size} held-out images"
        print_once(f"{self.name}: trained in {seconds:.0f} s; {result}")
        return {
            "name": self.name, "hash": self._hash(), "accuracy": accuracy, "test_size": view.test_size,
            "seconds": round(seconds, 1), "data": view.fingerprint(), "image": list(self._shape),
            "classes": view.num_classes, "seed": self.seed, "device": str(self._device),
            "threads": torch.get_num_threads(), "torch": str(torch.__version__), "recipe": RECIPE,
        }

    @torch.no_grad()
    def _accuracy(self, view: Dataset) -> float:
        """Share of the held-out images that the network classifies correctly."""
        right = 0
        for image, label in in_batches(view.test_batch, view.test_size, CHUNK):
            right += int((self._apply(image)[1].argmax(1) == label.cpu()).sum())
        return right / view.test_size

    def _save(self, folder: Path, record: dict[str, Any]) -> None:
        """Save the weights with the record, and the record as JSON for people. OSError if there is no space."""
        value = {"network": self._network.state_dict(), "record": record, "sum": digest((), record)}
        save_whole(value, folder / WEIGHTS)
        write_text(folder / "classifier.json", json.dumps(record, indent=2) + "\n")
