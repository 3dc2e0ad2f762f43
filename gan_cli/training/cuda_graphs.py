"""CUDA graphs: the kernels of a whole iteration, recorded once and then launched together.

Recorded is every turn: losses, gradients and their norms, optimiser steps, constraints. Batches are copied into tensors
that stay, rates are read from tensors, and the random generators belong to the graph, which moves them on as a plain
iteration would. The average of the weights, and all that Python counts, stay outside.
"""

from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import torch
from torch import Tensor

from gan_cli.data.base import Batch
from gan_cli.systems.base import Turn
from gan_cli.training.trainer import Trainer
from gan_cli.utils import distributed, random
from gan_cli.utils.errors import GanError, one_line

WARM = 3  # plain plays before an iteration is recorded, as in torch's example: set-up and autotuning cannot be recorded

Values = tuple[list[str], Tensor]
"""The names of an iteration's scalars, in the order in which they come up, and the scalars (names,), float32."""


class Recorder(Protocol):
    """Where iterations are played and recorded."""

    def warm(self, play: Callable[[], Values]) -> Values:
        """play(), with all that a first time does and a recording may not."""

    def record(self, play: Callable[[], Values]) -> tuple[Values, Callable[[], None]]:
        """What play() returns, not computed yet, and the function that computes it, each time in the same memory."""


class CUDARecorder:
    """torch.cuda.graph, on a stream of its own (CUDA semantics, "Whole-network capture")."""

    def __init__(self, device: torch.device) -> None:
        self.device, self.stream = device, torch.cuda.Stream(device)

    def warm(self, play: Callable[[], Values]) -> Values:
        current = torch.cuda.current_stream(self.device)
        self.stream.wait_stream(current)
        with torch.cuda.stream(self.stream):
            values = play()
        current.wait_stream(self.stream)
        return values

    def record(self, play: Callable[[], Values]) -> tuple[Values, Callable[[], None]]:
        """torch's own generator is the graph's by itself. The thread that makes batches may page-lock memory in the
        meantime, which only the mode thread_local allows."""
        graph = torch.cuda.CUDAGraph()
        for generator in random.generators(self.device):
            graph.register_generator_state(generator)
        with torch.cuda.graph(graph, stream=self.stream, capture_error_mode="thread_local"):
            values = play()
        return values, graph.replay


@dataclass(frozen=True)
class Recorded:
    """A recorded iteration: `compute` reads `batches` and overwrites `values`, a tensor (names,)."""

    batches: Sequence[Batch]
    names: list[str]
    values: Tensor
    compute: Callable[[], None]

    def play(self, batches: Sequence[Batch]) -> Values:
        for kept, given in zip(self.batches, batches, strict=True):
            for mine, new in zip(kept, given, strict=True):
                if mine is not None and new is not None:
                    mine.copy_(new, non_blocking=True)
        self.compute()
        return self.names, self.values.clone()


class Graphs:
    """The recorded iterations of a run, by their kind."""

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder
        self.recorded: dict[Hashable, Recorded] = {}
        self.plays: Counter[Hashable] = Counter()
        self.said: set[str] = set()

    def play(self, kind: Hashable, play: Callable[[Sequence[Batch]], Values], batches: Sequence[Batch]) -> Values:
        """play(batches); recorded after WARM plays of its kind. GanError for what cannot be recorded."""
        if kind in self.recorded:
            return self.recorded[kind].play(batches)
        self.plays[kind] += 1
        if self.plays[kind] <= WARM:
            return self.recorder.warm(lambda: play(batches))
        kept = [type(b)(*(part if part is None else part.clone() for part in b)) for b in batches]  # type: ignore[arg-type]
        try:
            (names, values), compute = self.recorder.record(lambda: play(kept))
        except RuntimeError as error:
            raise GanError(
                f"trainer.cuda_graphs=true: this game's iteration cannot be recorded ({one_line(error)[:200]}); "
                "leave it false"
            ) from error
        self.recorded[kind] = Recorded(kept, names, values, compute)
        return self.recorded[kind].play(batches)

    def forget(self) -> None:
        """Of a state that other tensors hold now: record anew, after new plain plays."""
        self.recorded.clear()
        self.plays.clear()

    def excuse(self, obstacle: str) -> None:
        """Say, once, why an iteration is played plainly."""
        if obstacle not in self.said and distributed.rank() == 0:
            print(f"note: trainer.cuda_graphs: {obstacle}: played without a graph", flush=True)
        self.said.add(obstacle)


class GraphedTrainer(Trainer):
    """A Trainer that records its iterations and replays them, with the numbers of plain ones. What stands in the way is
    said once, and the iteration is played plainly. Its optimisers are capturable where they can be.
    """

    @cached_property
    def graphs(self) -> Graphs:
        return Graphs(CUDARecorder(self.device))

    @cached_property
    def _rates(self) -> dict[str, Tensor]:
        """The learning rate of each network's optimiser, at an address that stays."""
        return {name: torch.zeros((), device=self.device) for name in self.optimizers}

    def iterate(self) -> dict[str, Tensor]:
        """As Trainer's, but that all batches are drawn first."""
        self.system.iteration = self.iteration
        obstacle = self._obstacle()
        if obstacle:
            self.graphs.excuse(obstacle)
            return super().iterate()
        self._set_schedules()
        turns = [turn for turn in self.system.turns() if turn.steps]
        batches = [self._next_batch() for _ in range(min(len(turns), 1) + sum(turn.steps - 1 for turn in turns))]
        names, values = self.graphs.play(kind(turns, batches), lambda given: self._steps(turns, given), batches)
        scalars = list(zip(names, values.unbind(), strict=True))
        self._unchecked += [(self.iteration, name, value) for name, value in scalars]
        if self.ema:
            self.ema.update(self.iteration)
        self.iteration += 1
        return dict(scalars)

    def _steps(self, turns: Sequence[Turn], batches: Sequence[Batch]) -> Values:
        """Every turn, `steps` times: its first step on batches[0], each repeated one on the next of the others."""
        others = iter(batches[1:])
        scalars: list[tuple[str, Tensor]] = []
        for turn in turns:
            for step in range(turn.steps):
                scalars += self._step(turn, next(others) if step else batches[0]).items()
        values = [value.reshape(()).float() for _, value in scalars]
        return [name for name, _ in scalars], torch.stack(values) if values else torch.zeros(0)

    def _obstacle(self) -> str | None:
        """Why this iteration cannot be recorded, if so."""
        if distributed.world() > 1:
            return "several processes average their gradients"
        if self.momentum is not None:
            return "trainer.momentum changes a number that a graph would keep"
        for name, optimizer in self.optimizers.items():
            if not all(group.get("capturable") for group in optimizer.param_groups):
                return f"network '{name}' learns by {type(optimizer).__name__}, which torch cannot record"
        if not self.system.capturable:
            return f"{type(self.system).__name__} decides in Python what this iteration computes"
        return None

    def _set_schedules(self) -> None:
        super()._set_schedules()
        for name, optimizer in self.optimizers.items():
            for group in optimizer.param_groups:
                if group.get("capturable"):
                    group["lr"] = self._rates[name].fill_(group["lr"])

    def load_state_dict(self, state: dict[str, object]) -> None:
        super().load_state_dict(state)
        self.graphs.forget()


def kind(turns: Sequence[Turn], batches: Sequence[Batch]) -> Hashable:
    """All by which iterations of a capturable game differ, but for values."""
    shapes = [None if part is None else (part.shape, part.dtype) for batch in batches for part in batch]
    return tuple((turn.name, turn.trains, turn.steps, turn.clip_norm) for turn in turns), tuple(shapes)
