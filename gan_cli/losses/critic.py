"""What a critic has said of a batch, so that no term of its loss asks twice."""

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from gan_cli.losses.forward_together import joined


class Seen:
    """`critic` as a function that remembers: its outputs for `batches` are computed once (joined, where that may be),
    those of any other tensor when it is called.

    outputs: one for each batch. activations: outputs of the critic and of its layers of the types in `watch`, in the
    passes of `batches`. ValueError for layers to watch in a critic that is a function, as that of a conditional game.
    """

    def __init__(
        self, critic: Callable[[Tensor], Tensor], *batches: Tensor, watch: tuple[type[nn.Module], ...] = ()
    ) -> None:
        self.critic, self.batches, self.watch = critic, batches, watch
        self.activations: list[Tensor] = []
        hooks = [layer.register_forward_hook(self._note) for layer in self._layers()]
        try:
            self.outputs = joined(critic, *batches)
        finally:
            for hook in hooks:
                hook.remove()

    def __call__(self, x: Tensor) -> Tensor:
        for batch, output in zip(self.batches, self.outputs, strict=True):
            if x is batch:
                return output
        return self.critic(x)

    def _layers(self) -> list[nn.Module]:
        if not self.watch:
            return []
        if not isinstance(self.critic, nn.Module):
            raise ValueError("loss.penalty looks into the layers of a critic, and this game's critic is a function")
        return [self.critic, *(layer for layer in self.critic.modules() if isinstance(layer, self.watch))]

    def _note(self, layer: nn.Module, inputs: Any, output: Tensor) -> None:
        self.activations.append(output)
