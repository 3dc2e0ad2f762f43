"""Gradients that are not those of the value."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


class _Reverse(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return -gradients[0]


reverse: Callable[[Tensor], Tensor] = _Reverse.apply
"""x -> x; the gradient that comes back changes its sign. What lies before it climbs where what lies behind descends."""
