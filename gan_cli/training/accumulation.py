"""Gradient accumulation (`trainer.accumulate`): the gradient of a batch as the mean of those of its micro-batches."""

import copy
from collections.abc import Mapping
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim import Optimizer

from gan_cli.config.schema import TrainerSettings
from gan_cli.data.base import Batch
from gan_cli.systems.base import System, Terms, Turn
from gan_cli.utils import distributed, random
from gan_cli.utils.errors import GanError


class Backward(Protocol):
    """How the gradients of a turn are computed: `trainer.backward`, or an `Accumulation`."""

    def __call__(self, turn: Turn, batch: Batch, optimizers: Mapping[str, Optimizer]) -> Terms:
        """The terms of the turn's loss, and in `.grad` the gradients of their sum for the networks that it trains."""


class Accumulation(Backward):
    """The backward pass of a batch in `count` micro-batches, of which one at a time has its activations in memory.

    Micro-batch k samples the noise that process k of `count` would, so gradients and logged terms are those of the
    whole batch up to rounding, if its loss is a mean over samples (`refuse`). Layers with random numbers of their own,
    such as dropout, draw others than in one pass.
    """

    def __init__(self, system: System, count: int) -> None:
        self.system, self.count = system, count
        # What one turn leaves for the next belongs to a micro-batch. Copies, since a part may be an object with state.
        carried = {name: vars(system)[name] for name in system.carried if name in vars(system)}
        self._carried: list[dict[str, Any]] = [copy.deepcopy(carried) for _ in range(count)]

    def __call__(self, turn: Turn, batch: Batch, optimizers: Mapping[str, Optimizer]) -> Terms:
        system, start = self.system, random.state_dict()
        buffers = [b for name in optimizers for b in system.get_submodule(name).buffers()]
        before = [buffer.clone() for buffer in buffers]
        for name in turn.trains:
            optimizers[name].zero_grad(set_to_none=True)
        terms: list[Terms] = []
        means: list[dict[str, Tensor]] = []
        for k, part in enumerate(parts(batch, self.count)):
            # The pass of the whole batch begins with these, such as the vectors of spectral normalization. A pool of
            # images is no network, and goes on from one micro-batch to the next.
            for buffer, value in zip(buffers, before, strict=True):
                buffer.copy_(value)
            vars(system).update(self._carried[k])
            with random.share(k, self.count, start):
                found = turn.loss(part)
            (torch.stack([term.reshape(()) for term in found.values()]).sum() / self.count).backward()
            terms.append({name: term.detach() for name, term in found.items()})
            self._carried[k] = {name: vars(system)[name] for name in system.carried if name in vars(system)}
            means.append({name: getattr(system, name).clone() for name in system.batch_means})
        for name in system.batch_means:
            setattr(system, name, torch.stack([mean[name] for mean in means]).mean(0))
        return {name: torch.stack([term[name] for term in terms]).mean(0) for name in terms[0]}


def parts(batch: Batch, count: int) -> list[Batch]:
    """`batch` in `count` equal parts of consecutive samples."""
    columns = [[None] * count if column is None else column.chunk(count) for column in batch]
    return [type(batch)(*values) for values in zip(*columns, strict=True)]


def refuse(settings: TrainerSettings, system: System) -> None:
    """Raise GanError if trainer.accumulate does not divide the batch, or if the gradients of micro-batches do not add
    up to that of the batch.
    """
    count = settings.accumulate
    unit = count * distributed.world() * system.pack_size
    if count == 1:
        return
    if settings.batch_size % unit:
        raise GanError(
            f"trainer.accumulate={count}: trainer.batch_size={settings.batch_size} is no multiple of {unit}, so it "
            f"does not divide into equal micro-batches{' of whole packs' if system.pack_size > 1 else ''}"
        )
    term = batch_term(system)
    if term:
        raise GanError(
            f"trainer.accumulate={count}: {term}, so the gradients of micro-batches do not add up to that of the "
            "batch; a smaller trainer.batch_size needs less memory too"
        )


def batch_term(system: System) -> str:
    """What of the model, its loss, its penalty or its networks depends on the batch as a whole; empty: nothing."""
    objective = getattr(system, "objective", None)
    for piece in (system, *(getattr(objective, name, None) for name in ("adversarial", "penalty"))):
        term: str = getattr(piece, "batch_term", "")  # a penalty may be a plain function
        if term:
            return f"{type(piece).__name__} {term}"
    for name, network in system.named_children():
        for layer in network.modules():
            if isinstance(layer, _BatchNorm):
                return f"network '{name}' normalizes by the statistics of the batch ({type(layer).__name__})"
            if getattr(layer, "batch_term", ""):
                return f"network '{name}' {layer.batch_term}"
    return ""
