"""What a game is made of: turns that return named loss terms."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from gan_cli.data.base import Images
from gan_cli.losses.objective import Terms
from gan_cli.utils import random

__all__ = ["System", "Terms", "Turn"]


@dataclass(frozen=True)
class Turn:
    """Train the networks `moves` down `loss`, everything else frozen, `steps` times (0: skip the turn).

    name: of the turn, for the log. moves: attribute names of the system's networks. loss: batch -> Terms.
    after_step: called after each step, such as weight clipping. clip_norm: each mover's gradient is scaled down to this
    norm where it is longer.
    """

    name: str
    trains: tuple[str, ...]
    loss: Callable[[Any], Terms]
    steps: int = 1
    after_step: Callable[[], None] | None = None
    clip_norm: float | None = None


class System(nn.Module, ABC):
    """A game. Its networks are its child modules.

    Losses run in training mode, the networks outside the turn's `moves` frozen. `sample` and the other
    methods that show pictures run in evaluation mode without gradients (batch normalisation with running
    statistics); the caller sets both.
    """

    batch_type: ClassVar[type] = Images
    sampling_networks: ClassVar[tuple[str, ...]] = ("generator",)
    """The networks that `sample` uses."""
    needs_labels: ClassVar[bool] = False
    directions: ClassVar[tuple[str, ...]] = ()
    """What `translate` can do, the default first; empty for a game that translates nothing."""
    multimodal: ClassVar[bool] = False
    """Whether `translate` draws noise, so that the same image gives another output at every call."""

    pack_size: int = 1
    """Samples that the game cannot take apart: a batch is a multiple of them."""
    iteration: int = 0
    """Finished iterations; the trainer sets it before it asks for turns."""
    optimizers: Mapping[str, Optimizer] = MappingProxyType({})
    """The trainer's, by the network that each moves, for a game that looks at the steps they will take."""

    @abstractmethod
    def turns(self) -> list[Turn]:
        """The turns of this iteration in the order in which the paper plays them; asked anew each
        iteration.
        """

    @abstractmethod
    def sample(self, batch: Any) -> dict[str, Tensor]:
        """Named image batches (N, C, H, W) in the data's range; the names can be file names."""

    def histograms(self, batch: Any) -> dict[str, Tensor]:
        """Named vectors (N,) to be drawn as histograms whenever `sample` is, such as energies; none here."""
        return {}

    def scalars(self) -> dict[str, float]:
        """Numbers of this iteration that are logged beside the terms of the losses, such as a margin; none here."""
        return {}

    @property
    def capturable(self) -> bool:
        """Whether this iteration's kernels could be recorded and replayed in the place of later ones (graphs.py).

        They can if Python decides nothing in a loss that it may decide otherwise in a later iteration of the same turns
        (names, `moves`, `steps`) on batches of the same shapes, nothing waits for a tensor's value (`int(t)`, `if t`,
        boolean indices), every tensor is made on the device, and what is kept from one iteration to the next is
        written in place. A game where that is not so, or not yet, says False.
        """
        return True

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device


@contextmanager
def test_mode(system: System, seed: int) -> Iterator[None]:
    """No graph, networks in eval mode, random numbers from `seed`; everything as before afterwards."""
    training = system.training
    system.eval()
    try:
        with torch.no_grad(), random.fork(seed):
            yield
    finally:
        system.train(training)
