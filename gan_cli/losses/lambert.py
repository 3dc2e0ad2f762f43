"""Lambert's W function, differentiable as often as one likes."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


class _LogW(torch.autograd.Function):
    """Newton's method on a convex increasing function, from a point above the root: it falls monotonically."""

    @staticmethod
    def forward(ctx: Any, y: Tensor) -> Tensor:
        s = torch.where(y > 1, y.clamp(min=1).log(), y)
        for _ in range(8):
            s = s - (s.exp() + s - y) / (s.exp() + 1)
        ctx.save_for_backward(s)
        return s

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (s,) = ctx.saved_tensors
        return gradients[0] / (1 + s.exp())


log_w: Callable[[Tensor], Tensor] = _LogW.apply
"""log W(e^y), elementwise: the s with e^s + s = y. Its derivative is 1 / (1 + e^s)."""
