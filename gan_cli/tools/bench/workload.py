"""A game that `gan bench` plays: built from overrides, on one batch, in one of several ways."""

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


class Player(Protocol):
    """Somebody's training: one `step` is an iteration. networks: by our names."""

    networks: dict[str, nn.Module]
    optimizers: list[Optimizer]

    def step(self) -> None: ...


class Fixed(Dataset):
    """One batch of `data`, again and again: a step without its data."""

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
    """The configuration of `gan train WORDS`, checked."""
    cfg = without_hydra(Composer(arguments(list(words))).compose(list(words)))
    schema.check(cfg, schema.command_line_modules(words))
    schema.complete(cfg)
    return cfg


class Workload:
    """What the overrides describe, before anybody plays it: `system` with its initial weights, and one `batch`."""

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


class Ours:
    """Our trainer, without an average of the weights, which the peers do not keep.

    kernels: the CPU kernels; join: passes of one network joined; exact: in float64; stream: on batches from the data
    set instead of one and the same.
    """

    def __init__(
        self, workload: Workload, *, kernels: bool = True, join: bool = True, exact: bool = False, stream: bool = False
    ) -> None:
        cfg, system, batch = copy.deepcopy(workload.cfg), copy.deepcopy(workload.system), workload.batch
        cfg.trainer.cpu_fast_paths = cfg.trainer.cpu_fast_paths and kernels
        cfg.trainer.ema_decay = 0.0
        if exact:
            batch = type(batch)(*map(_double, batch))
        data = workload.data if stream else Fixed(workload.data, batch)
        self.trainer: Trainer = build.trainer(cfg, system, data)
        if exact:
            for network in system.children():
                network.double().register_forward_pre_hook(lambda _, inputs: tuple(map(_double, inputs)))
        self.networks, self.optimizers = dict(system.named_children()), list(self.trainer.optimizers.values())
        self.join, self.device = join, workload.device

    def step(self) -> None:
        passes: AbstractContextManager[None] = nullcontext() if self.join else critic.separately()
        with passes:
            self.trainer.iterate()
        if self.device.type == "cpu":  # as `gan train` does; on a GPU only when it logs
            self.trainer.check_finite()


def _double(value: Any) -> Any:
    return value.double() if isinstance(value, Tensor) and value.is_floating_point() else value


def gradients(player: Player) -> dict[str, list[Tensor]]:
    """NETWORK/STEP, counted from 1 -> the gradients that its optimiser gets in one iteration, in float64.

    No weight is moved by an optimiser that is new.
    """
    found: dict[str, list[Tensor]] = {}
    names = {id(p): name for name, network in player.networks.items() for p in network.parameters()}
    counts = dict.fromkeys(player.networks, 0)

    def note(optimizer: Optimizer, *_: Any) -> None:
        mine: dict[str, list[Tensor]] = {}
        for parameter in (p for group in optimizer.param_groups for p in group["params"]):
            gradient = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
            mine.setdefault(names[id(parameter)], []).append(gradient.double())
            parameter.grad = torch.zeros_like(parameter)  # Adam, from the start, does not move by it
        for name, values in mine.items():
            counts[name] += 1
            found[f"{name}/{counts[name]}"] = [value.clone() for value in values]

    hooks = [optimizer.register_step_pre_hook(note) for optimizer in player.optimizers]
    player.step()
    for hook in hooks:
        hook.remove()
    return found


def error(got: Sequence[Tensor], exact: Sequence[Tensor]) -> float:
    """|got - exact| / |exact| of a network's whole gradient."""
    if [g.shape for g in got] != [e.shape for e in exact]:
        raise GanError("the networks of the peer have other shapes")
    squares = sum(float((g - e).square().sum()) for g, e in zip(got, exact))
    return (squares / max(sum(float(e.square().sum()) for e in exact), 1e-300)) ** 0.5
