"""A small ConvNet that learns a labelled data set once, to look at generated images with ever after.

It is to MNIST-like data what Inception is to photographs. Its numbers compare runs that share its hash, and nothing
else: they are never to be set beside a published FID or Inception Score.
"""

from __future__ import annotations

import copy
import json
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, pad

from gan_cli.data.decoded_cache import exclusive
from gan_cli.metrics.base import Features
from gan_cli.metrics.feature_cache import cache_dir, digest, load_whole, save_whole

VERSION = 1  # of the network, its recipe and the file's format
WIDTH = 128  # features
RECIPE: dict[str, Any] = {
    "images": 200_000,  # shown in training, each data set at most `passes` times
    "passes": 30,
    "batch": 128,
    "rate": 0.01,  # the peak of one cycle (Smith & Topin 2019, arXiv 1708.07120), Adam
    "weight_decay": 1e-3,
    "shift": 2,  # pixels, in each direction
}
WEIGHTS = "classifier.pt"
PROBE = 1000  # training samples that show how many classes there are, where a config hides them
LINE = 10.0  # seconds between two lines of progress
OTHERS = "choose extractor=inception or extractor=random"
CHUNK = 500  # images that go through the network at once


class ConvNet(nn.Module):
    """(N, channels, image_size, image_size) in [-1, 1] -> (features (N, WIDTH) >= 0, logits (N, classes)).

    Blocks of 3 x 3 convolution, max pooling, batch norm and ReLU halve the image to at most 4 pixels; they double the
    channels to 64, so that each block costs about the same.
    """

    def __init__(self, image_size: int, channels: int, classes: int) -> None:
        super().__init__()
        side, blocks = image_size, 0
        while side > 4:
            side, blocks = side // 2, blocks + 1
        layers: list[nn.Module] = []
        for block in reversed(range(blocks)):
            width = max(8, 64 >> block)
            layers += [nn.Conv2d(channels, width, 3, padding=1, bias=False), nn.MaxPool2d(2)]
            layers += [nn.BatchNorm2d(width), nn.ReLU()]
            channels = width
        flat = [nn.Flatten(), nn.Linear(channels * side**2, WIDTH, bias=False), nn.BatchNorm1d(WIDTH), nn.ReLU()]
        self.features = nn.Sequential(*layers, *flat)
        self.last = nn.Linear(WIDTH, classes)
        self.to(memory_format=torch.channels_last)  # twice as fast on a CPU

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        features = self.features(x)
        return features, self.last(features)


def labelled(data: Any) -> Any:
    """A view of `data` in [-1, 1] that shows its labels, also where the run's config hides them; of Stacked MNIST,
    its `digits`. None when it has no labels, or there are no data but folders."""
    data = getattr(data, "digits", data)
    if data is None or data.value_range is None:
        return None
    view = copy.copy(data)
    view.value_range = (-1.0, 1.0)
    view.num_classes = data.num_classes or 1  # anything but None shows the labels, if there are any
    if getattr(view.train_batch(0, 0, 1), "label", None) is None:
        return None
    if data.num_classes is None:
        view.num_classes = 1 + max(int(view.train_batch(0, i, 50).label.max()) for i in range(0, PROBE, 50))
    return view


def learn(network: ConvNet, view: Any, device: torch.device, seed: int, name: str) -> None:
    """Train `network` in place on the stream `seed` of `view` by RECIPE; a line of progress every ten seconds."""
    batch, total = RECIPE["batch"], min(RECIPE["images"], RECIPE["passes"] * view.size)
    steps = max(1, round(total / batch))
    optimizer = torch.optim.AdamW(network.parameters(), lr=RECIPE["rate"], weight_decay=RECIPE["weight_decay"])
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RECIPE["rate"], total_steps=steps + 1)
    generator = torch.Generator().manual_seed(seed)
    network.train()
    start = printed = time.perf_counter()
    for step in range(1, steps + 1):
        image, label = view.train_batch(seed, (step - 1) * batch, batch)
        image = shifted(image.to(device), RECIPE["shift"], generator)
        loss = cross_entropy(network(image)[1], label.to(device))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        now = time.perf_counter()
        if step == 1 or now - printed > LINE:
            printed, rate = now, step * batch / (now - start)
            print(f"{name}: trained on {step * batch} of {steps * batch} images, {rate:.0f} images/s, "
                  f"{(steps - step) * batch / rate:.0f} s left, loss {loss.item():.3f}", flush=True)
    if not loss.isfinite():
        raise ValueError(f"{name}: its loss is NaN; does the data set hold NaN or infinite pixels?")


def shifted(images: Tensor, reach: int, generator: torch.Generator) -> Tensor:
    """Each of (N, C, H, W) moved by up to `reach` pixels down or up, right or left, its edge repeated."""
    n, _, height, width = images.shape
    rows, columns = (
        (torch.randint(2 * reach + 1, (n, 1), generator=generator) + torch.arange(side)).to(images.device)
        for side in (height, width)
    )
    padded = pad(images, [reach] * 4, mode="replicate").permute(0, 2, 3, 1)
    which = torch.arange(n, device=images.device)[:, None, None]
    return padded[which, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


class Classifier:
    """Features: the 128 inputs of the last layer; logits: its outputs. Trained at the first use, then kept beside
    its test accuracy.

    Name: `classifier:mnist`, by the data set's class. On Stacked MNIST the network learns single digits; images of
    more channels than one are read channel by channel there: features side by side, logits those of all combinations,
    the first channel's digit counting most.

    record: what is known of the network: accuracy (share of held-out images named rightly), seconds (of training), ...
    """

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed
        self.name, self.hash = "classifier", ""
        self.record: dict[str, Any] = {}

    def prepare(self, data: Any, device: torch.device) -> None:
        """Load the network of `data`, or train it. ValueError when there are no labels, or all are the same."""
        view = labelled(data)
        if view is None:
            raise ValueError(f"extractor=classifier needs a labelled data set, such as dataset=mnist; {OTHERS}")
        if view.num_classes < 2:
            raise ValueError(f"extractor=classifier: all labels are the same, there is nothing to learn; {OTHERS}")
        kind = type(view).__name__.lower()
        self.name, self._device, self._stacked = f"classifier:{kind}", device, hasattr(data, "digits")
        self._shape = (view.channels, view.image_size, view.image_size)
        facts = (VERSION, view.fingerprint(), view.size, view.test_size, self._shape, view.num_classes, self.seed)
        folder = cache_dir("extractors") / f"{kind}-{digest((), *facts, sorted(RECIPE.items()))}"
        record = self._load(folder, view)
        if record is None:
            try:
                with exclusive(folder, "*.part"):
                    record = self._load(folder, view)  # another process may have been faster
                    if record is None:
                        record = self._train(view)
                        self._keep(folder, record)
            except OSError as error:
                print(f"note: {folder}: {error.strerror or error}; the classifier is not kept", flush=True)
                record = record or self._train(view)
        self.record, self.hash = record, record["hash"]

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Features:
        """ValueError for images of another size or number of channels than the data set's."""
        channels, *size = self._shape
        if list(images.shape[2:]) != size or (images.shape[1] != channels and not self._stacked):
            here, there = (" x ".join(map(str, shape)) for shape in (self._shape, images.shape[1:]))
            raise ValueError(f"{self.name} has learned {here} images and cannot see {there}; {OTHERS}")
        parts = [self._see(part) for part in images.split(channels, dim=1)]
        logits = parts[0][1]
        for _, more in parts[1:]:
            logits = (logits[:, :, None] + more[:, None, :]).flatten(1)
        return Features(torch.cat([values for values, _ in parts], 1), logits)

    def _see(self, images: Tensor) -> tuple[Tensor, Tensor]:
        parts = [self._network(part.to(self._device)) for part in images.split(CHUNK)]
        values, logits = (torch.cat(part).float().cpu() for part in zip(*parts))
        return values, logits

    def _build(self, view: Any) -> ConvNet:
        return ConvNet(view.image_size, view.channels, view.num_classes).to(self._device).eval()

    def _hash(self) -> str:
        return digest(self._network.state_dict().items(), VERSION, self._shape)

    def _load(self, folder: Path, view: Any) -> dict[str, Any] | None:
        """The record of the network that is kept, now in use; None when there is none, or it is broken."""
        kept = load_whole(folder / WEIGHTS)
        if not isinstance(kept, dict):
            return None
        try:
            with torch.random.fork_rng(devices=[]):
                self._network = self._build(view)
            self._network.load_state_dict(kept["network"])
            record = dict(kept["record"])
            return record if record["hash"] == self._hash() else None
        except (AttributeError, KeyError, RuntimeError, TypeError, ValueError):
            return None

    def _train(self, view: Any) -> dict[str, Any]:
        """Train. The caller's random numbers and gradient mode stay as they are."""
        start = time.perf_counter()
        with torch.random.fork_rng(devices=[]), torch.enable_grad():
            torch.default_generator.manual_seed(self.seed)
            self._network = self._build(view)
            learn(self._network, view, self._device, self.seed, self.name)
        self._network.eval()
        seconds = time.perf_counter() - start
        right = self._right(view)
        print(f"{self.name}: trained in {seconds:.0f} s; {right / view.test_size:.2%} of {view.test_size} held-out "
              "images named rightly", flush=True)
        return {
            "name": self.name, "hash": self._hash(), "accuracy": right / view.test_size, "test_size": view.test_size,
            "seconds": round(seconds, 1), "data": view.fingerprint(), "image": list(self._shape),
            "classes": view.num_classes, "seed": self.seed, "device": str(self._device),
            "threads": torch.get_num_threads(), "torch": str(torch.__version__), "recipe": RECIPE,
        }

    @torch.no_grad()
    def _right(self, view: Any) -> int:
        """How many held-out images the network names rightly."""
        right = 0
        for start in range(0, view.test_size, CHUNK):
            image, label = view.test_batch(start, min(CHUNK, view.test_size - start))
            right += int((self._see(image)[1].argmax(1) == label.cpu()).sum())
        return right

    def _keep(self, folder: Path, record: dict[str, Any]) -> None:
        """The record twice: beside the weights, and as JSON for people. OSError when there is no room."""
        save_whole({"network": self._network.state_dict(), "record": record}, folder / WEIGHTS)
        (folder / "classifier.json").write_text(json.dumps(record, indent=2) + "\n")
