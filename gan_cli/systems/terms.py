"""Sums and names of loss terms that are computed several times: per scale of a critic, per generated image."""

from collections.abc import Iterable

from torch import Tensor, nn

from gan_cli.losses.penalties import Critic
from gan_cli.systems.base import Terms


def total(parts: Iterable[Terms]) -> Terms:
    """Sum of the terms of each name over all parts."""
    sums: Terms = {}
    for terms in parts:
        for name, term in terms.items():
            sums[name] = sums[name] + term if name in sums else term
    return sums


def at_scales(D: nn.Module, *given: Tensor) -> list[Critic]:
    """The critics x -> D(*given, x, scale), one per scale of a networks.multiscale.MultiScale."""
    return [lambda x, scale=scale: D(*given, x, scale) for scale in range(int(D.scales))]  # type: ignore[arg-type, misc]


def named(prefix: str, terms: Terms) -> Terms:
    """The same terms under the names prefix_name."""
    return {f"{prefix}_{name}": term for name, term in terms.items()}
