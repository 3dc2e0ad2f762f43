"""A sample that two turns see: made once, in the first, and kept with its graph for the second."""

from collections.abc import Callable

from torch import Tensor, nn


class Once:
    """`make` gives the sample without its graph; `take` gives it with the graph, once, or None if there is none. `keep`
    is for a sample whose own network moves first: it gives it with the graph, and `take` without.

    The graph that `make` keeps holds the network's weights as they were: in between they must not move. A copy of this
    object is empty.
    """

    def __init__(self) -> None:
        self._kept: Tensor | None = None

    def make(self, network: nn.Module, draw: Callable[[], Tensor]) -> Tensor:
        """draw(), which asks `network`, although another network moves in this turn."""
        frozen = [parameter for parameter in network.parameters() if not parameter.requires_grad]
        for parameter in frozen:
            parameter.requires_grad_(True)
        self._kept = draw()
        for parameter in frozen:
            parameter.requires_grad_(False)
        return self._kept.detach()

    def keep(self, draw: Callable[[], Tensor]) -> Tensor:
        """draw(), which asks the network that moves in this turn, or none."""
        made = draw()
        self._kept = made.detach()
        return made

    def take(self) -> Tensor | None:
        kept, self._kept = self._kept, None
        return kept

    def __deepcopy__(self, memo: object) -> "Once":
        return Once()
