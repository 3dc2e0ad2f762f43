"""Autograd functions with custom derivatives."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import leaky_relu, relu
from torch.overrides import TorchFunctionMode


class _Reverse(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return -gradients[0]


reverse: Callable[[Tensor], Tensor] = _Reverse.apply
"""Gradient reversal: the identity, whose backward pass changes the sign of the gradient. Parameters before it ascend on
the loss that those after it descend on."""


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


class _ConstantSlope(torch.autograd.Function):
    """Leaky ReLU whose slope is a constant for the second derivative, as it is everywhere except at 0.

    For a critic of linear layers and ReLUs, torch's own returns a tensor of zeros, which costs a second backward pass.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, slope: float) -> Tensor:
        ctx.save_for_backward(x)
        ctx.slope = slope
        return leaky_relu(x, slope)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (x,) = ctx.saved_tensors
        return torch.ops.aten.leaky_relu_backward(gradient, x.detach(), ctx.slope, False), None


class ConstantSlopes(TorchFunctionMode):
    """Context in which ReLU and leaky ReLU have a second derivative of zero without a second backward pass."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is relu:
            return _ConstantSlope.apply(args[0], 0.0)
        if func is leaky_relu:
            slope = args[1] if len(args) > 1 else (kwargs or {}).get("negative_slope", 0.01)
            return _ConstantSlope.apply(args[0], slope)
        return func(*args, **(kwargs or {}))
