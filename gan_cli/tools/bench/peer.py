"""What the adapters of `gan bench` have in common: a peer, our weights in its networks, parts of its scripts."""

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


class Peer(ABC):
    """compared: the networks whose gradients must be ours; the others get other noise than in our game. batches: what
    its own loader gives, or None: one batch, again and again.
    """

    file = ""
    system: type = object
    compared: tuple[str, ...] = ()
    networks: dict[str, nn.Module]
    optimizers: list[Optimizer]
    batches: Iterator[Any] | None = None

    @classmethod  # noqa: B027
    def adopt(cls, root: Path, workload: Workload) -> None:
        """Give our game the peer's networks where ours has none like them."""

    def feed(self, root: Path, workload: Workload) -> Iterator[Any]:
        """Batches without end, as its own loader makes them of the files that our data set reads."""
        raise GanError(f"stream=true: the adapter for {self.file} has no loader")

    @abstractmethod
    def step(self) -> None:
        """One iteration of the peer's own training."""


def endless(loader: Iterable[Any]) -> Iterator[Any]:
    """Epoch after epoch."""
    while True:
        yield from loader


def copy_weights(theirs: nn.Module, ours: nn.Module) -> nn.Module:
    """`theirs` with our weights. GanError if the two are not the same network."""
    pairs = list(zip(theirs.parameters(), ours.parameters()))
    same = len(list(theirs.parameters())) == len(list(ours.parameters()))
    if not same or any(a.shape != b.shape for a, b in pairs):
        raise GanError(f"the peer's {type(theirs).__name__} is not the network of this model; see docs/SPEED.md")
    with torch.no_grad():
        for a, b in pairs:
            a.copy_(b)
    return theirs.to(next(ours.parameters()).device)


def adam(networks: Sequence[nn.Module], workload: Workload, **options: Any) -> Optimizer:
    settings = workload.cfg.optimizer
    parameters = [p for network in networks for p in network.parameters()]
    return torch.optim.Adam(parameters, lr=settings.lr, betas=tuple(settings.betas), **options)


def definitions(file: Path, names: Sequence[str], namespace: dict[str, Any]) -> dict[str, Any]:
    """Run only the definitions of the classes and functions `names` of a script, with `namespace` as its globals."""
    tree = ast.parse(file.read_text())
    kept = [n for n in tree.body if isinstance(n, (ast.ClassDef, ast.FunctionDef)) and n.name in names]
    missing = set(names) - {n.name for n in kept}
    if missing:
        raise GanError(f"{file} defines no {', '.join(sorted(missing))}; another version than the adapter knows")
    exec(compile(ast.Module([*kept], []), str(file), "exec"), namespace)
    return namespace
