"""Exponential moving average of the networks that draw the samples."""

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import nn

from gan_cli.systems.base import System


class EMA:
    """Frozen copies of `names` in `system`: w_ema <- decay * w_ema + (1 - decay) * w after each iteration.

    The decay starts low, min(decay, (1 + i) / (10 + i)), so that a short run's average is not its initialisation.
    Buffers (BatchNorm's statistics) are copied.
    """

    def __init__(self, system: System, names: Sequence[str], decay: float) -> None:
        self.system, self.decay = system, decay
        self.copies = {name: copy.deepcopy(getattr(system, name)).eval() for name in names}
        for network in self.copies.values():
            network.requires_grad_(False)

    @torch.no_grad()
    def update(self, iteration: int) -> None:
        weight = 1 - min(self.decay, (1 + iteration) / (10 + iteration))
        for name, average in self.copies.items():
            network = getattr(self.system, name)
            torch._foreach_lerp_(list(average.parameters()), list(network.parameters()), weight)
            for mine, new in zip(average.buffers(), network.buffers(), strict=True):
                mine.copy_(new)

    @contextmanager
    def swapped(self) -> Iterator[None]:
        """Inside the block the system plays with the averages."""
        networks = {name: getattr(self.system, name) for name in self.copies}
        try:
            self._put(self.copies)
            yield
        finally:
            self._put(networks)

    def _put(self, networks: dict[str, nn.Module]) -> None:
        for name, network in networks.items():
            setattr(self.system, name, network)
