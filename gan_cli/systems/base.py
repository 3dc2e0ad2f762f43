"""The interface between models and the trainer: a system returns turns, and a turn returns named loss terms."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar, Generic, NamedTuple, Protocol, TypeVar, runtime_checkable

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from gan_cli.data.base import Images
from gan_cli.losses.objective import Terms
from gan_cli.utils import random

__all__ = [
    "Classifies", "DrawsNoise", "Generates", "GeneratesFromNoise", "System", "Terms", "TransfersStyle", "Translates",
    "TranslatesWithNoise", "Traversal", "Traverses", "Turn",
]  # fmt: skip

BatchT = TypeVar("BatchT")
"""A model's kind of training batch: Images, Pairs, Domains, SemiSupervised or LabelMaps."""


@dataclass(frozen=True)
class Turn(Generic[BatchT]):
    """Train the networks `trains` on `loss` for `steps` steps (0: skip the turn), all other networks frozen.

    name: prefix of the turn's terms in the log. trains: attribute names of the system's networks. loss: batch -> Terms.
    after_step: called after each optimizer step, for example to clip weights. clip_norm: upper bound on the norm of
    each trained network's gradient, which is scaled down to it.
    """

    name: str
    trains: tuple[str, ...]
    loss: Callable[[BatchT], Terms]
    steps: int = 1
    after_step: Callable[[], None] | None = None
    clip_norm: float | None = None


class System(nn.Module, ABC, Generic[BatchT]):
    """A model: its networks are its child modules, and its turns say how they are trained.

    Losses run in training mode, with the networks outside the turn's `trains` frozen. `sample` and the other methods
    that produce images run in evaluation mode without gradients (batch normalization uses its running statistics). The
    caller sets both.
    """

    batch_type: ClassVar[type] = Images
    sampling_networks: ClassVar[tuple[str, ...]] = ("generator",)
    """The networks that `sample` uses."""
    needs_labels: ClassVar[bool] = False
    directions: ClassVar[tuple[str, ...]] = ()
    """The directions that `translate` accepts, the default first; empty for a model that does not translate."""
    headings: ClassVar[Mapping[str, str]] = MappingProxyType({})
    """Headings over the batches that `sample` returns, by name, in the paper's symbols; the names elsewhere."""
    multimodal: ClassVar[bool] = False
    """Whether `translate` draws noise, so that each call gives another output for the same image."""

    carried: ClassVar[tuple[str, ...]] = ()
    """Attributes that a turn leaves for a later one of the same iteration, such as generated images."""
    batch_means: ClassVar[tuple[str, ...]] = ()
    """Attributes that a loss sets to means over its batch."""
    batch_term: str = ""
    """What makes a loss more than a mean over samples, as the end of a sentence: trainer.accumulate needs a mean."""

    equal_channels: str = "this model translates between images of equally many channels; omit source_channels"
    """Why both sides of the data must have equally many channels; empty for a model whose sides may differ."""
    pack_size: int = 1
    """Number of consecutive samples that form one pack: a batch must hold a multiple of them."""
    iteration: int = 0
    """Number of finished iterations; the trainer sets it before it asks for turns."""
    optimizers: Mapping[str, Optimizer] = MappingProxyType({})
    """The trainer's optimizers by network, for a model whose loss anticipates their next steps."""

    @abstractmethod
    def turns(self) -> list[Turn[BatchT]]:
        """The turns of this iteration in the paper's order. The trainer asks again at each iteration."""

    @abstractmethod
    def sample(self, batch: BatchT) -> dict[str, Tensor]:
        """Named image batches (N, C, H, W) in the data's range; a name must be usable as a file name."""

    def histograms(self, batch: BatchT) -> dict[str, Tensor]:
        """Named vectors (N,), such as energies, that are logged as histograms whenever `sample` is called."""
        return {}

    def scalars(self) -> dict[str, float]:
        """Named numbers of this iteration, such as a margin, that are logged beside the terms of the losses."""
        return {}

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device


@runtime_checkable
class Generates(Protocol):
    """A system that generates images from noise."""

    def generate(self, n: int, label: Tensor | None = None) -> Tensor:
        """n images, of the classes `label` (n,) if the model is conditional; ValueError for a label if it is not."""


@runtime_checkable
class GeneratesFromNoise(Protocol):
    """A system that generates images of given classes from given noise."""

    def prior(self, n: int) -> Tensor:
        """Noise, (n, latent_dim)."""

    def generate_from(self, z: Tensor, label: Tensor) -> Tensor:
        """The images of the noise z (N, latent_dim) with the classes `label` (N,)."""


@runtime_checkable
class DrawsNoise(Protocol):
    """A system that generates images from noise whose prior can be replaced."""

    noise: random.Prior

    def generate(self, n: int, label: Tensor | None = None) -> Tensor:
        """As of `Generates`: n images from n samples of `noise`."""


class Traversal(NamedTuple):
    """A table of images, (rows, columns, C, H, W), in which one thing varies along each row.

    title: what varies, and what differs between rows. headings: its value in each column. lines: numbers of the columns
    before which a line is drawn, such as at the ends of the range of the training.
    """

    images: Tensor
    title: str
    headings: tuple[str, ...]
    lines: tuple[int, ...] = ()


@runtime_checkable
class Traverses(Protocol):
    """A system that shows how its images change along a path through the latent space."""

    def traverse(self, rows: int) -> dict[str, Traversal]:
        """Named tables with `rows` rows."""


@runtime_checkable
class Classifies(Protocol):
    """A system that predicts classes."""

    def classify(self, image: Tensor) -> Tensor:
        """The predicted class of each image, (N,) int64."""


@runtime_checkable
class Translates(Protocol):
    """A system that translates images to another domain."""

    def translate(self, image: Tensor, direction: str = ...) -> Tensor:
        """The translations of `image` in one of the system's `directions`, (N, C, H, W)."""


@runtime_checkable
class TranslatesWithNoise(Protocol):
    """A system whose translations depend on noise that can be given: `translate` draws it from `prior`."""

    def prior(self, n: int) -> Tensor:
        """Noise, (n, latent_dim)."""

    def translate_from(self, image: Tensor, z: Tensor, direction: str = ...) -> Tensor:
        """The translations of `image` with the noise z (N, latent_dim) in one of the system's `directions`."""


@runtime_checkable
class TransfersStyle(Protocol):
    """A system that translates images in the style of an example."""

    def transfer(self, image: Tensor, style: Tensor, direction: str = ...) -> Tensor:
        """The translations of `image` in the style of `style`, examples of the target domain."""


@contextmanager
def noise_from(system: DrawsNoise, prior: random.Prior) -> Iterator[None]:
    """Context in which `system` takes its noise from `prior`."""
    before, system.noise = system.noise, prior
    try:
        yield
    finally:
        system.noise = before


@contextmanager
def test_mode(system: System, seed: int) -> Iterator[None]:
    """Context without gradients, with networks in evaluation mode and random numbers from `seed`; restored on exit."""
    training = system.training
    system.eval()
    try:
        with torch.no_grad(), random.fork(seed):
            yield
    finally:
        system.train(training)
