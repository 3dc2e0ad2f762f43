"""Shared parts of the adapters for other codes: copying weights, optimizers, definitions out of a script."""

from __future__ import annotations

import ast
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from gan_cli.tools.bench.workload import Workload
from gan_cli.utils.errors import GanError


class Baseline(ABC):
    """The training of another code, with the networks and weights of a workload.

    file: the file by which a checkout is recognized. system: the model that it trains. compared: the networks whose
    gradients must agree; the others get other noise than in this package. batches: batches of the code's own loader;
    None: the workload's batch, again and again.
    """

    file = ""
    system: type = object
    compared: tuple[str, ...] = ()
    networks: dict[str, nn.Module]
    optimizers: list[Optimizer]
    batches: Iterator[Any] | None = None

    @classmethod  # noqa: B027
    def adopt(cls, root: Path, workload: Workload) -> None:
        """Give the workload's system this code's networks, if this package has none like them."""

    def loader(self, root: Path, workload: Workload) -> Iterator[Any]:
        """Endless batches of the code's own loader, from the files that the workload's data set reads."""
        raise GanError(f"stream=true: the adapter for {self.file} has no loader")

    @abstractmethod
    def step(self) -> None:
        """One iteration of the code's own training."""


def endless(loader: Iterable[Any]) -> Iterator[Any]:
    """The batches of a loader, epoch after epoch."""
    while True:
        yield from loader


def copy_weights(target: nn.Module, source: nn.Module) -> nn.Module:
    """`target` with the weights of `source`. GanError if their parameters have different shapes."""
    pairs = list(zip(target.parameters(), source.parameters()))
    same = len(list(target.parameters())) == len(list(source.parameters()))
    if not same or any(a.shape != b.shape for a, b in pairs):
        raise GanError(f"{type(target).__name__} of the baseline is not the network of this model; see docs/SPEED.md")
    with torch.no_grad():
        for a, b in pairs:
            a.copy_(b)
    return target.to(next(source.parameters()).device)


def adam(network: nn.Module, workload: Workload, *, fused: bool | None = None) -> Optimizer:
    """Adam with the workload's settings."""
    settings = workload.cfg.optimizer
    return torch.optim.Adam(network.parameters(), lr=settings.lr, betas=tuple(settings.betas), fused=fused)


def definitions(file: Path, names: Sequence[str], namespace: dict[str, Any]) -> dict[str, Any]:
    """Run only the definitions of the classes and functions `names` of a script, with `namespace` as its globals."""
    tree = ast.parse(file.read_text())
    chosen = [n for n in tree.body if isinstance(n, (ast.ClassDef, ast.FunctionDef)) and n.name in names]
    missing = set(names) - {n.name for n in chosen}
    if missing:
        raise GanError(f"{file} does not define {', '.join(sorted(missing))}: the adapter is for another version of it")
    exec(compile(ast.Module([*chosen], []), str(file), "exec"), namespace)
    return namespace
