"""The training that `gan bench` measures: built from overrides, on a fixed batch, with or without optimizations."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol

import torch
from omegaconf import DictConfig
from torch import Tensor, nn
from torch.optim import Optimizer

from gan_cli.config import schema
from gan_cli.config.composer import Composer, arguments, without_hydra
from gan_cli.data.base import Batch, Dataset
from gan_cli.losses import critic
from gan_cli.systems.base import System
from gan_cli.training import build
from gan_cli.training.trainer import Trainer, to_device
from gan_cli.utils.errors import GanError


class Training(Protocol):
    """A training, this package's or another code's. networks: under the names that this package gives them."""

    networks: dict[str, nn.Module]
    optimizers: list[Optimizer]

    def step(self) -> None:
        """One iteration."""


class FixedBatch(Dataset):
    """The same batch again and again, so that a step is measured without its data."""

    def __init__(self, data: Dataset, batch: Batch) -> None:
        self.batch, self.batch_type = batch, data.batch_type  # type: ignore[misc]
        self.image_size, self.channels, self.value_range = data.image_size, data.channels, data.value_range
        self.num_classes, self.size, self.test_size = data.num_classes, data.size, data.test_size

    def train_batch(self, seed: int, start: int, count: int) -> Batch:
        return type(self.batch)(*(part if part is None else part[:count] for part in self.batch))  # type: ignore[arg-type]

    def test_batch(self, start: int, count: int) -> Batch:
        return self.train_batch(0, start, count)

    def fingerprint(self) -> str:
        return "fixed"


def settings(words: Sequence[str]) -> DictConfig:
    """The checked configuration of `gan train WORDS`."""
    cfg = without_hydra(Composer(arguments(list(words))).compose(list(words)))
    schema.check(cfg, schema.command_line_modules(words))
    schema.complete(cfg)
    return cfg


class Workload:
    """What the overrides describe before any training: `system` with its initial weights, `data` and one `batch`."""

    def __init__(self, words: Sequence[str]) -> None:
        self.cfg = settings(words)
        self.device = build.device(self.cfg.trainer.device)
        self.system: System = build.system(self.cfg).to(self.device)
        self.data = build.dataset(self.cfg)
        self.data.to(self.device)
        build.match(self.cfg, self.system, self.data)
        build.refuse_shortcuts(self.cfg, self.system)
        count = self.cfg.trainer.batch_size
        self.batch = to_device(self.data.train_batch(self.cfg.seed, 0, count), self.device)


class OwnTrainer:
    """This package's trainer, without an average of the weights, which other codes do not have.

    fast_paths: CPU fast paths. together: several batches in one forward pass of a network. exact: in float64. stream:
    on batches from the data set instead of the same batch each time.
    """

    def __init__(
        self,
        workload: Workload,
        *,
        fast_paths: bool = True,
        together: bool = True,
        exact: bool = False,
        stream: bool = False,
    ) -> None:
        cfg, system, batch = copy.deepcopy(workload.cfg), copy.deepcopy(workload.system), workload.batch
        cfg.trainer.cpu_fast_paths = cfg.trainer.cpu_fast_paths and fast_paths
        cfg.trainer.ema_decay = 0.0
        if exact:
            batch = type(batch)(*map(_double, batch))  # type: ignore[arg-type]
        data = workload.data if stream else FixedBatch(workload.data, batch)
        self.trainer: Trainer = build.trainer(cfg, system, data)
        if exact:
            # Noise is float32 whatever the networks are, so that their inputs are converted too.
            for network in system.children():
                network.double().register_forward_pre_hook(lambda _, inputs: tuple(map(_double, inputs)))
        self.networks, self.optimizers = dict(system.named_children()), list(self.trainer.optimizers.values())
        self.together, self.device = together, workload.device

    def step(self) -> None:
        passes: AbstractContextManager[None] = nullcontext() if self.together else critic.separately()
        with passes:
            self.trainer.iterate()
        if self.device.type == "cpu":  # `gan train` checks each iteration on a CPU, and only logged ones on a GPU
            self.trainer.check_finite()


def _double(value: Tensor | None) -> Tensor | None:
    return value.double() if value is not None and value.is_floating_point() else value


def gradients(training: Training) -> dict[str, list[Tensor]]:
    """The gradients that the optimizers use in one iteration, in float64, by NETWORK/STEP with steps counted from 1.

    The optimizers must be new: their first step then leaves all weights as they are.
    """
    result: dict[str, list[Tensor]] = {}
    names = {id(p): name for name, network in training.networks.items() for p in network.parameters()}
    counts = dict.fromkeys(training.networks, 0)

    def record(optimizer: Optimizer, *_: Any) -> None:
        by_network: dict[str, list[Tensor]] = {}
        for parameter in (p for group in optimizer.param_groups for p in group["params"]):
            gradient = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
            by_network.setdefault(names[id(parameter)], []).append(gradient.double())
            parameter.grad = torch.zeros_like(parameter)  # a new Adam does not change a weight for a gradient of 0
        for name, values in by_network.items():
            counts[name] += 1
            result[f"{name}/{counts[name]}"] = [value.clone() for value in values]

    hooks = [optimizer.register_step_pre_hook(record) for optimizer in training.optimizers]
    training.step()
    for hook in hooks:
        hook.remove()
    return result


def error(gradient: Sequence[Tensor], exact: Sequence[Tensor]) -> float:
    """|gradient - exact| / |exact| over all parameters of a network. GanError if the shapes differ."""
    if [g.shape for g in gradient] != [e.shape for e in exact]:
        raise GanError("the networks of the baseline have other shapes")
    squares = sum(float((g - e).square().sum()) for g, e in zip(gradient, exact))
    return (squares / max(sum(float(e.square().sum()) for e in exact), 1e-300)) ** 0.5
