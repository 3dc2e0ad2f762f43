"""Fewer forward passes of a critic: several batches in one pass, and cached outputs."""

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
_samplewise: "WeakKeyDictionary[nn.Module, bool]" = WeakKeyDictionary()


def forward_together(network: Callable[[Tensor], Output], *batches: Tensor) -> tuple[Output, ...]:
    """network(x) for each x (N_i, ...) of `batches`, in one forward pass where that is equal up to rounding, else in a
    pass per batch.

    One pass serves batches that differ in N only, of a module whose layers are all in `SAMPLEWISE_LAYERS`. It never
    serves batch normalization (whose statistics would mix the batches), dropout or other noise, spectral normalization
    (with one step of its power iteration instead of two), or a layer that is not listed. A module whose own `forward`
    mixes the samples must not be passed.
    """
    alike = len({(x.shape[1:], x.dtype, x.device) for x in batches}) == 1
    if _separate or len(batches) == 1 or not alike or not (isinstance(network, nn.Module) and is_samplewise(network)):
        return tuple(network(x) for x in batches)
    sizes = [len(x) for x in batches]
    return tuple(_parts(network(torch.cat(batches)), sizes))


def _parts(value: Any, sizes: list[int]) -> list[Any]:
    """A network's output, a tensor or nested lists and tuples of tensors, split into the outputs of the batches."""
    if isinstance(value, Tensor):
        return list(value.split(sizes))
    if isinstance(value, (list, tuple)):
        make = type(value)._make if hasattr(value, "_make") else type(value)
        return [make(parts) for parts in zip(*(_parts(item, sizes) for item in value), strict=True)]
    raise ValueError(f"the output of a joint forward pass must be tensors, not {type(value).__name__}")


def is_samplewise(network: nn.Module) -> bool:
    """Whether the layers of `network` compute each sample from that sample alone."""
    if network not in _samplewise:
        _samplewise[network] = all(_is_samplewise_layer(layer) for layer in network.modules())
    return _samplewise[network]


def _is_samplewise_layer(layer: nn.Module) -> bool:
    if isinstance(layer, (nn.InstanceNorm1d, nn.InstanceNorm2d)):
        return not layer.track_running_stats
    return isinstance(layer, SAMPLEWISE_LAYERS) or any(True for _ in layer.children())


@contextmanager
def separately() -> Iterator[None]:
    """Context in which each batch has a forward pass of its own: the reference for tests and benchmarks."""
    global _separate
    before, _separate = _separate, True
    try:
        yield
    finally:
        _separate = before


class CachedCritic(Generic[Output]):
    """`critic` with its outputs for `batches` cached, so that several terms of a loss share one forward pass.

    A call with one of the batches evaluates that batch if its output is not cached; `outputs` evaluates all batches,
    together where `forward_together` allows it. A call with any other tensor is passed to the critic. watch: types of
    the layers whose outputs are recorded as `activations`. ValueError if `critic` is not a module and layers are to be
    watched, as in a conditional GAN.
    """

    def __init__(
        self, critic: Callable[[Tensor], Output], *batches: Tensor, watch: tuple[type[nn.Module], ...] = ()
    ) -> None:
        self.critic, self.batches, self.watch = critic, batches, watch
        self._cached: dict[int, Output] = {}
        self._activations: list[Tensor] = []

    @property
    def outputs(self) -> tuple[Output, ...]:
        """The critic's outputs, one per batch."""
        self._compute([i for i in range(len(self.batches)) if i not in self._cached])
        return tuple(self._cached[i] for i in range(len(self.batches)))

    @property
    def activations(self) -> list[Tensor]:
        """Outputs of the critic and of its layers of the types in `watch`, in the forward passes of all batches."""
        _ = self.outputs  # evaluates what is not cached yet
        return self._activations

    def __call__(self, x: Tensor) -> Output:
        for i, batch in enumerate(self.batches):
            if x is batch:
                if i not in self._cached:
                    self._compute([i])
                return self._cached[i]
        return self.critic(x)

    def _compute(self, missing: list[int]) -> None:
        hooks = [layer.register_forward_hook(self._record) for layer in self._layers()]
        try:
            outputs = forward_together(self.critic, *[self.batches[i] for i in missing])
        finally:
            for hook in hooks:
                hook.remove()
        self._cached.update(zip(missing, outputs, strict=True))

    def _layers(self) -> list[nn.Module]:
        if not self.watch:
            return []
        if not isinstance(self.critic, nn.Module):
            raise ValueError("loss.penalty needs the layers of the critic, and this model's critic is a function")
        return [self.critic, *(layer for layer in self.critic.modules() if isinstance(layer, self.watch))]

    def _record(self, layer: nn.Module, inputs: Any, output: Tensor) -> None:
        self._activations.append(output)
