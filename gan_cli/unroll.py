"""Gradient steps of a network that later gradients can look through."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.func import functional_call

from gan_cli.objective import Terms
from gan_cli.penalties import Critic


def unroll(network: nn.Module, loss: Callable[[Critic], Terms], steps: int, lr: float) -> Critic:
    """`network` after `steps` steps w <- w - lr dloss/dw, as a function that is differentiable in all that the loss
    depends on.

    The network itself keeps its weights and buffers, and gets no gradient.
    """
    w = {name: parameter.detach().clone().requires_grad_() for name, parameter in network.named_parameters()}
    buffers = {name: buffer.clone() for name, buffer in network.named_buffers()}
    for _ in range(steps):
        value = torch.stack([term.reshape(()) for term in loss(_critic(network, w, buffers)).values()]).sum()
        gradients = torch.autograd.grad(value, list(w.values()), create_graph=True)
        w = {name: old - lr * gradient for (name, old), gradient in zip(w.items(), gradients, strict=True)}
    return _critic(network, w, buffers)


def _critic(network: nn.Module, w: dict[str, Tensor], buffers: dict[str, Tensor]) -> Critic:
    return lambda x: functional_call(network, {**w, **buffers}, (x,))
