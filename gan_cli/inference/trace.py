"""Which tensors a model passes to a network when it samples or translates, and what comes out."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from gan_cli.inference.trained_run import TrainedRun
from gan_cli.inference.translator import Translator
from gan_cli.networks.noise import NoiseDropout
from gan_cli.systems.base import Generates, Translates
from gan_cli.utils import random
from gan_cli.utils.errors import GanError
from gan_cli.utils.image_size import sides


@dataclass(frozen=True)
class RecordedCall:
    """One call of a network by its model.

    tensors: tensor arguments by parameter name; constants: the other arguments; output: the result; direction: of the
    translation in which the call happened, None if the model samples.
    """

    tensors: dict[str, Tensor]
    constants: dict[str, Any]
    output: Tensor
    direction: str | None = None


class TensorsOnly(nn.Module):
    """A network that takes the tensors of a recorded call by position, with its other arguments fixed."""

    def __init__(self, network: nn.Module, call: RecordedCall) -> None:
        super().__init__()
        self.network, self.names, self.constants = network, tuple(call.tensors), call.constants

    def forward(self, *tensors: Tensor) -> Tensor:
        return self.network(**dict(zip(self.names, tensors)), **self.constants)


def record_call(run: TrainedRun, network: str | None, direction: str | None, seed: int) -> tuple[str, RecordedCall]:
    """The name of the network (if None, the only one that is used) and its first call when the model makes two images
    from `seed`.

    If no direction is given, the first one that uses `network`. GanError for a network or direction that does not
    exist, and if several networks are used and none is named.
    """
    children = dict(run.system.named_children())
    if network is not None and network not in children:
        raise GanError(f"network={network}: {run.name} has {', '.join(children)}")
    calls: dict[str, RecordedCall] = {}
    for candidate in _directions(run, network, direction):
        hooks = [
            child.register_forward_hook(_recorder(name, candidate, calls), with_kwargs=True)
            for name, child in children.items()
        ]
        try:
            with run.test_mode(seed):
                _make_two_images(run, candidate)
        finally:
            for hook in hooks:
                hook.remove()
        if network in calls:
            break
    if network is None and len(calls) != 1:
        raise GanError(f"the model uses {len(calls)} networks: choose network={' or network='.join(calls)}")
    name = network or next(iter(calls))
    if name not in calls:
        raise GanError(f"network={name} is not used; these are: {', '.join(calls)}")
    return name, calls[name]


def _directions(run: TrainedRun, network: str | None, direction: str | None) -> tuple[str | None, ...]:
    """The directions to try; (None,) for a model that samples."""
    if not run.system.directions:
        if direction is not None:
            raise GanError(f"direction={direction}: {run.name} does not translate; omit direction=")
        return (None,)
    translator = Translator(run, direction)
    return translator.directions if network and not direction else (translator.direction,)


def _make_two_images(run: TrainedRun, direction: str | None) -> None:
    """Translate two images of noise, or generate two images."""
    system = run.system
    if direction is not None and isinstance(system, Translates):
        translator = Translator(run, direction)
        low, high = translator.value_range
        shape = (translator.channels, *sides(translator.native_size))
        image = random.uniform(2, *shape, low=low, high=high)
        if translator.classes is not None:
            classes = random.uniform(2, 1, *shape[1:], high=translator.classes).long()
            image = classes.expand(-1, 2, -1, -1)  # each class is one instance
        system.translate(image, direction)
    elif isinstance(system, Generates):
        classes = run.num_classes if run.system.needs_labels else None
        system.generate(2, torch.arange(2) % classes if classes else None)
    else:
        raise GanError(f"{run.path} holds a {run.name}, which neither samples nor translates")


def _recorder(name: str, direction: str | None, calls: dict[str, RecordedCall]) -> Callable[..., None]:
    """A forward hook that records the first call of a network that maps tensors to a tensor."""

    def record(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        arguments = inspect.signature(module.forward).bind(*args, **kwargs).arguments
        tensors = {key: value for key, value in arguments.items() if isinstance(value, Tensor)}
        constants = {key: value for key, value in arguments.items() if not isinstance(value, Tensor)}
        if isinstance(output, Tensor) and tensors:
            calls.setdefault(name, RecordedCall(tensors, constants, output, direction))

    return record


def without_noise(network: nn.Module) -> tuple[nn.Module, list[str]]:
    """A copy in evaluation mode without the dropout that stays active at test time, and the names of those layers."""
    quiet = copy.deepcopy(network).eval()
    names = [name for name, layer in quiet.named_modules() if isinstance(layer, NoiseDropout)]
    for name in names:
        parent, _, last = name.rpartition(".")
        setattr(quiet.get_submodule(parent), last, nn.Identity())
    return quiet, names


@torch.no_grad()
def reference_output(network: TensorsOnly, call: RecordedCall, noise_removed: bool, name: str) -> Tensor:
    """The output to compare an exported file with: the run's own or, where noise was removed, that of the copy.

    GanError if the network still draws random numbers.
    """
    outputs = []
    for seed in (1, 2):
        with random.fork(seed):
            outputs.append(network(*call.tensors.values()))
    if not torch.equal(*outputs):
        raise GanError(f"{name} draws random numbers inside its forward pass, which no file can hold")
    return outputs[0] if noise_removed else call.output
