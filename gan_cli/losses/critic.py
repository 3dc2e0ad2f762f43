"""Forward passes of a critic that are not repeated: several batches in one pass, and outputs that are kept."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Generic, TypeVar
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

SAMPLEWISE_LAYERS = (
    nn.Conv1d, nn.Conv2d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.Linear,
    nn.InstanceNorm1d, nn.InstanceNorm2d, nn.GroupNorm, nn.LayerNorm,
    nn.ReLU, nn.LeakyReLU, nn.ELU, nn.GELU, nn.SiLU, nn.Tanh, nn.Sigmoid, nn.Softplus,
    nn.ReflectionPad2d, nn.ReplicationPad2d, nn.ZeroPad2d, nn.AvgPool2d, nn.MaxPool2d, nn.AdaptiveAvgPool2d,
    nn.Identity, nn.Flatten, nn.Unflatten, nn.Upsample, nn.UpsamplingNearest2d, nn.PixelShuffle, nn.Sequential,
)  # fmt: skip
"""Layers that compute each sample of a batch from that sample alone and draw no random numbers."""

Output = TypeVar("Output")

_separate = False
_known: "WeakKeyDictionary[nn.Module, bool]" = WeakKeyDictionary()


def forward_together(network: Callable[..., Any], *batches: Tensor) -> tuple[Any, ...]:
    """network(x) for each x (N_i, ...) of `batches`: in one pass of all samples where that is the same to rounding,
    else in a pass each.

    One pass it is for a module whose layers are all in `ALONE` and batches of one shape but for N. Never with batch
    normalisation (its statistics would be of the mixture), dropout or other noise, spectral normalisation (one step of
    its power iteration instead of two), or a layer that is not known here. A module that mixes its samples in its own
    `forward` must not be given.
    """
    alike = len({(x.shape[1:], x.dtype, x.device) for x in batches}) == 1
    if _separate or len(batches) == 1 or not alike or not (isinstance(network, nn.Module) and is_samplewise(network)):
        return tuple(network(x) for x in batches)
    sizes = [len(x) for x in batches]
    return tuple(_parts(network(torch.cat(batches)), sizes))


def _parts(value: Any, sizes: list[int]) -> list[Any]:
    """What belongs to each batch of a network's result: a tensor, or lists and tuples of them."""
    if isinstance(value, Tensor):
        return list(value.split(sizes))
    if isinstance(value, (list, tuple)):
        make = type(value)._make if hasattr(value, "_make") else type(value)
        return [make(parts) for parts in zip(*(_parts(item, sizes) for item in value), strict=True)]
    raise ValueError(f"the result of a joined pass must be tensors, not {type(value).__name__}")


def is_samplewise(network: nn.Module) -> bool:
    """Whether the layers of `network` compute each sample by itself."""
    if network not in _known:
        _known[network] = all(_alone(layer) for layer in network.modules())
    return _known[network]


def _alone(layer: nn.Module) -> bool:
    if isinstance(layer, (nn.InstanceNorm1d, nn.InstanceNorm2d)):
        return not layer.track_running_stats
    return isinstance(layer, SAMPLEWISE_LAYERS) or any(True for _ in layer.children())


@contextmanager
def separately() -> Iterator[None]:
    """Inside, nothing is joined: the reference to compare with."""
    global _separate
    before, _separate = _separate, True
    try:
        yield
    finally:
        _separate = before


class CachedCritic(Generic[Output]):
    """`critic` with its outputs for `batches` cached, so that a loss and a penalty share one forward pass.

    `outputs` are those of all batches, computed together where `forward_together` allows it. A call with one of the
    batches computes that batch alone, unless its output is known; a call with any other tensor is passed to the critic.
    ValueError for layers to watch in a critic that is a function, as that of a conditional model.
    """

    def __init__(
        self, critic: Callable[[Tensor], Output], *batches: Tensor, watch: tuple[type[nn.Module], ...] = ()
    ) -> None:
        self.critic, self.batches, self.watch = critic, batches, watch
        self._known: dict[int, Output] = {}
        self._activations: list[Tensor] = []

    @property
    def outputs(self) -> tuple[Output, ...]:
        """The critic's outputs, one per batch."""
        self._compute([i for i in range(len(self.batches)) if i not in self._known])
        return tuple(self._known[i] for i in range(len(self.batches)))

    @property
    def activations(self) -> list[Tensor]:
        """Outputs of the critic and of its layers of the types in `watch`, in the forward passes of all batches."""
        _ = self.outputs
        return self._activations

    def __call__(self, x: Tensor) -> Output:
        for i, batch in enumerate(self.batches):
            if x is batch:
                if i not in self._known:
                    self._compute([i])
                return self._known[i]
        return self.critic(x)

    def _compute(self, missing: list[int]) -> None:
        hooks = [layer.register_forward_hook(self._note) for layer in self._layers()]
        try:
            outputs = forward_together(self.critic, *[self.batches[i] for i in missing])
        finally:
            for hook in hooks:
                hook.remove()
        self._known.update(zip(missing, outputs, strict=True))

    def _layers(self) -> list[nn.Module]:
        if not self.watch:
            return []
        if not isinstance(self.critic, nn.Module):
            raise ValueError("loss.penalty looks into the layers of a critic, and this game's critic is a function")
        return [self.critic, *(layer for layer in self.critic.modules() if isinstance(layer, self.watch))]

    def _note(self, layer: nn.Module, inputs: Any, output: Tensor) -> None:
        self._activations.append(output)
