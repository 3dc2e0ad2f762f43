"""Share one generated batch between the discriminator's and the generator's turn."""

from collections.abc import Callable

from torch import Tensor, nn


class SharedSample:
    """A generated batch that is computed in the first of two turns and used again, with its graph, in the second.

    The graph holds the generator's weights as they were, so they must not be updated between the two turns. A copy of
    this object is empty.
    """

    def __init__(self) -> None:
        self._sample: Tensor | None = None

    def draw_detached(self, network: nn.Module, generate: Callable[[], Tensor]) -> Tensor:
        """Store generate() with its graph and return it without. For a turn in which `network`, whose weights the
        graph must reach, is frozen.
        """
        frozen = [parameter for parameter in network.parameters() if not parameter.requires_grad]
        for parameter in frozen:
            parameter.requires_grad_(True)
        self._sample = generate()
        for parameter in frozen:
            parameter.requires_grad_(False)
        return self._sample.detach()

    def draw(self, generate: Callable[[], Tensor]) -> Tensor:
        """Return generate() with its graph and store it without. For the turn in which its own network is trained."""
        sample = generate()
        self._sample = sample.detach()
        return sample

    def pop(self) -> Tensor | None:
        """Return the stored batch and forget it; None if there is none."""
        sample, self._sample = self._sample, None
        return sample

    def __deepcopy__(self, memo: object) -> "SharedSample":
        return SharedSample()
