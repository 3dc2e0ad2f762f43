"""Memory that training needs, from a dry run whose tensors have shapes but no values."""

from __future__ import annotations

import copy
import weakref
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from omegaconf import DictConfig
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.optim import Optimizer
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from gan_cli.data.base import Dataset
from gan_cli.systems.base import System, test_mode
from gan_cli.training import build

LIBRARIES = 60 * 2**20
"""Bytes that torch and its kernels take beside the tensors, measured with networks of some kilobytes on a CPU."""
SPARE = 0.3
"""Share of the tensors that allocator and workspaces of convolutions take besides, measured on a CPU."""


@dataclass(frozen=True)
class Memory:
    """Bytes of a run at its peak, by what they are for; activations are what is saved for the backward pass, and the
    temporary values of the most expensive moment, which `moment` names.
    """

    weights: int
    averages: int
    optimizers: int
    gradients: int
    activations: int
    data: int
    moment: str

    @property
    def libraries(self) -> int:
        """Bytes of libraries, and of what allocator and kernels take beside the tensors."""
        tensors = self.weights + self.averages + self.optimizers + self.gradients + self.activations
        return LIBRARIES + int(SPARE * tensors)

    @property
    def peak(self) -> int:
        """Bytes of all together."""
        tensors = self.weights + self.averages + self.optimizers + self.gradients + self.activations
        return tensors + self.data + self.libraries


class Tally(TorchDispatchMode):
    """Counts the bytes of the tensors that operations inside the block create, for as long as they are alive."""

    def __init__(self) -> None:
        super().__init__()
        self.live = self.peak = 0
        self._alive: dict[int, weakref.ref[Any]] = {}

    def __torch_dispatch__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        if kwargs.get("generator") is not None:  # tensors without values take no random numbers
            kwargs["generator"] = None
        result = func(*args, **kwargs)
        for value in tree_leaves(result):
            if isinstance(value, Tensor):
                self._count(value.untyped_storage())
        return result

    def _count(self, storage: torch.UntypedStorage) -> None:
        key, size = storage._cdata, storage.nbytes()
        if key in self._alive:
            return

        def freed(_: object) -> None:
            del self._alive[key]
            self.live -= size

        self._alive[key] = weakref.ref(storage, freed)
        self.live += size
        self.peak = max(self.peak, self.live)

    def above(self, work: Callable[[], object]) -> int:
        """The highest number of bytes while `work` runs, above those before it."""
        before = self.peak = self.live
        work()
        return self.peak - before


def estimate(cfg: DictConfig, data: Dataset, decoded: int = 0) -> Memory:
    """The memory of a run of `cfg` on batches such as those of `data`. Nothing is computed.

    decoded: bytes of the data set in memory. Raises RuntimeError if an operation needs values, which tensors of a dry
    run have not.
    """
    keeps_averages = cfg.trainer.ema_decay > 0
    cfg = copy.deepcopy(cfg)
    cfg.trainer.ema_decay = 0.0  # tensors without values cannot be copied deeply
    system = build.system(cfg)  # with values, which some initial weights are computed from
    with FakeTensorMode(allow_non_fake_inputs=True) as mode, Tally() as tally:
        _replace_weights(system, mode)
        trainer = build.trainer(cfg, system, data)
        for optimizer in trainer.optimizers.values():
            optimizer.step = lambda: None  # type: ignore[method-assign, assignment]  # its states are counted below
        trainer.iteration = cfg.trainer.iterations // 2  # past the first phase of models that have several

        def train() -> None:
            for _ in range(2):  # what one iteration leaves for the next is alive in the second
                trainer.iterate()
                trainer._unchecked.clear()

        def sample() -> None:
            with test_mode(system, 0):
                system.sample(data.test_batch(0, cfg.trainer.sample_count))

        training = tally.above(train)
        trained = {weight for turn in system.turns() for name in turn.trains for weight in _weights(system, name)}
        gradients = min(_bytes(trained), training)
        sampling = tally.above(sample)
        weights = _bytes(system.parameters()) + _bytes(system.buffers())
        sampled = [system.get_submodule(name) for name in system.sampling_networks if keeps_averages]
        averages = sum(_bytes(network.parameters()) + _bytes(network.buffers()) for network in sampled)
    states = sum(_states(optimizer) for optimizer in trainer.optimizers.values())
    largest = max(training - gradients, sampling)
    moment = "a training step" if largest > sampling else f"a grid of {cfg.trainer.sample_count} samples"
    return Memory(weights, averages, states, gradients, largest, decoded, moment)


def _replace_weights(system: System, mode: FakeTensorMode) -> None:
    """Replace the weights and buffers of `system` by tensors without values."""
    before = torch.__future__.get_overwrite_module_params_on_conversion()
    torch.__future__.set_overwrite_module_params_on_conversion(True)
    try:
        system._apply(mode.from_tensor)
    finally:
        torch.__future__.set_overwrite_module_params_on_conversion(before)


def _weights(system: System, network: str) -> list[torch.nn.Parameter]:
    return list(system.get_submodule(network).parameters())


def _bytes(tensors: Iterable[Tensor]) -> int:
    return sum(tensor.nbytes for tensor in tensors)


def _states(optimizer: Optimizer) -> int:
    """Bytes of an optimizer's states, counted on one that steps a single number."""
    weight = torch.nn.Parameter(torch.zeros(2))
    weight.grad = torch.zeros(2)
    options = {key: value for key, value in optimizer.param_groups[0].items() if key in optimizer.defaults}
    single = type(optimizer)([weight], **{k: v for k, v in options.items() if k not in ("decoupled_weight_decay",)})
    type(optimizer).step(single)
    copies = sum(isinstance(v, Tensor) and v.shape == weight.shape for v in single.state[weight].values())
    return copies * sum(_bytes(group["params"]) for group in optimizer.param_groups)
