"""Exponential moving average of the networks that generate samples."""

import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import nn

from gan_cli.systems.base import System


class EMA:
    """Frozen copies of the networks `names` of `system`: w_ema <- decay * w_ema + (1 - decay) * w per iteration.

    The decay starts low, at min(decay, (1 + i) / (10 + i)), so that the average of a short run is not its
    initialization.
    """

    def __init__(self, system: System, names: Sequence[str], decay: float) -> None:
        self.system, self.decay = system, decay
        self.copies = {name: copy.deepcopy(getattr(system, name)).eval() for name in names}
        for network in self.copies.values():
            network.requires_grad_(False)

    @torch.no_grad()
    def update(self, iteration: int) -> None:
        """Move the averages towards the weights after `iteration` (0-based)."""
        weight = 1 - min(self.decay, (1 + iteration) / (10 + iteration))
        for name, average in self.copies.items():
            network = getattr(self.system, name)
            torch._foreach_lerp_(list(average.parameters()), list(network.parameters()), weight)
            # Buffers are copied: BatchNorm's statistics are running averages already, and others, such as counters and
            # the vectors of spectral normalization, have no meaningful average.
            for averaged, current in zip(average.buffers(), network.buffers(), strict=True):
                averaged.copy_(current)

    @contextmanager
    def swapped(self) -> Iterator[None]:
        """Inside the block the system uses the averaged networks."""
        networks = {name: getattr(self.system, name) for name in self.copies}
        try:
            self._put(self.copies)
            yield
        finally:
            self._put(networks)

    def _put(self, networks: Mapping[str, nn.Module]) -> None:
        for name, network in networks.items():
            setattr(self.system, name, network)
