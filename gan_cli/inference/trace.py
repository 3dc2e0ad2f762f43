"""What a game asks of its networks when it makes pictures: which tensors go in, and what comes out."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from gan_cli.inference.sampling import Trained
from gan_cli.inference.translation import Translator
from gan_cli.networks.noise import NoiseDropout
from gan_cli.utils import random
from gan_cli.utils.errors import GanError


@dataclass(frozen=True)
class Use:
    """How the game calls a network. tensors: among the arguments, by parameter name; constants: the other arguments;
    output: the result; direction: of the translation in which it happened, None when the game samples.
    """

    tensors: dict[str, Tensor]
    constants: dict[str, Any]
    output: Tensor
    direction: str | None = None


class Plain(nn.Module):
    """A network that takes the tensors of its use by position, with everything else fixed."""

    def __init__(self, network: nn.Module, use: Use) -> None:
        super().__init__()
        self.network, self.names, self.constants = network, tuple(use.tensors), use.constants

    def forward(self, *tensors: Tensor) -> Tensor:
        return self.network(**dict(zip(self.names, tensors)), **self.constants)


def used(run: Trained, path: Path, network: str | None, direction: str | None, seed: int) -> tuple[str, Use]:
    """The network (the only one in use, if None) and its first use when the game makes two pictures from `seed`.

    Without a direction, the first one in which `network` plays a part. GanError for a network or direction that is not
    there, and where several networks play a part and none is named.
    """
    system: Any = run.system
    children = dict(system.named_children())
    if network is not None and network not in children:
        raise GanError(f"network={network}: {type(system).__name__} has {', '.join(children)}")
    seen: dict[str, Use] = {}
    for way in _ways(run, path, network, direction):
        recorders = {name: _recorder(name, way, seen) for name in children}
        hooks = [children[name].register_forward_hook(note, with_kwargs=True) for name, note in recorders.items()]
        try:
            with run.test_mode(seed):
                _play(run, path, way)
        finally:
            for hook in hooks:
                hook.remove()
        if network in seen:
            break
    if network is None and len(seen) != 1:
        raise GanError(f"the game uses {len(seen)} networks for it: choose network={' or network='.join(seen)}")
    name = network or next(iter(seen))
    if name not in seen:
        raise GanError(f"network={name} plays no part in it; these do: {', '.join(seen)}")
    return name, seen[name]


def _ways(run: Trained, path: Path, network: str | None, direction: str | None) -> tuple[str | None, ...]:
    """The directions to look at; (None,) for a game that samples."""
    if not run.system.directions:
        if direction is not None:
            raise GanError(f"direction={direction}: {type(run.system).__name__} translates nothing; leave it out")
        return (None,)
    translator = Translator(run, direction, path)
    return translator.directions if network and not direction else (translator.direction,)


def _play(run: Trained, path: Path, direction: str | None) -> None:
    """Two pictures, by translation of noise or from nothing."""
    system: Any = run.system
    if direction is not None:
        translator = Translator(run, direction, path)
        low, high = translator.value_range
        shape = (translator.channels, translator.own, translator.own)
        image = random.uniform(2, *shape, low=low, high=high)
        if translator.classes is not None:
            maps = random.uniform(2, 1, *shape[1:], high=translator.classes).long()
            image = maps.expand(-1, 2, -1, -1)
        system.translate(image, direction)
    elif hasattr(system, "generate"):
        system.generate(2, torch.arange(2) % run.num_classes if system.needs_labels and run.num_classes else None)
    else:
        raise GanError(f"{path} holds a {type(system).__name__}, which neither samples nor translates")


def _recorder(name: str, direction: str | None, seen: dict[str, Use]) -> Callable[..., None]:
    """A forward hook that notes the first use of a network that maps tensors to a tensor."""

    def note(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        given = inspect.signature(module.forward).bind(*args, **kwargs).arguments
        tensors = {key: value for key, value in given.items() if isinstance(value, Tensor)}
        constants = {key: value for key, value in given.items() if not isinstance(value, Tensor)}
        if isinstance(output, Tensor) and tensors:
            seen.setdefault(name, Use(tensors, constants, output, direction))

    return note


def silent(network: nn.Module) -> tuple[nn.Module, list[str]]:
    """A copy in evaluation mode whose dropout that stays on at test is off, and the names of those layers."""
    quiet = copy.deepcopy(network).eval()
    names = [name for name, layer in quiet.named_modules() if isinstance(layer, NoiseDropout)]
    for name in names:
        parent, _, last = name.rpartition(".")
        setattr(quiet.get_submodule(parent), last, nn.Identity())
    return quiet, names


@torch.no_grad()
def settled(plain: Plain, use: Use, silenced: bool, name: str) -> Tensor:
    """What the network gives for the inputs of `use`: the run's own output, but where noise was taken out. GanError if
    noise is left.
    """
    results = []
    for seed in (1, 2):
        with random.fork(seed):
            results.append(plain(*use.tensors.values()))
    if not torch.equal(*results):
        raise GanError(f"{name} draws noise inside itself, which no file can hold")
    return results[0] if silenced else use.output
