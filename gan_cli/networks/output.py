"""The last layer of a generator."""

from collections.abc import Sequence

from torch import nn


def bounded(value_range: Sequence[float] | None) -> nn.Module:
    """The activation whose range is the data's: tanh for [-1, 1], sigmoid for [0, 1], none for None
    (unbounded points).

    ValueError for another range.
    """
    if value_range is None:
        return nn.Identity()
    activations = {(-1.0, 1.0): nn.Tanh, (0.0, 1.0): nn.Sigmoid}
    low, high = value_range
    if (low, high) not in activations:
        raise ValueError(f"value_range [{low}, {high}]: a generator's is [-1, 1], [0, 1] or null (unbounded)")
    return activations[low, high]()
