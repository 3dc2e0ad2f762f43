"""Optimizer steps of a network through which gradients can flow."""

import math
from collections.abc import Callable
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.optim import SGD, Adam, AdamW, Optimizer

from gan_cli.losses.kernels import root
from gan_cli.losses.objective import Terms
from gan_cli.losses.penalties import Critic

Weights = dict[str, Tensor]


class Step(Protocol):
    """Maps weights and the loss's gradients to the weights after one step."""

    def __call__(self, w: Weights, gradients: Weights) -> Weights: ...


def gradient_descent(lr: float) -> Step:
    """w <- w - lr dloss/dw: eq. 7 of Metz et al. 2017 (arXiv 1611.02163)."""
    return lambda w, gradients: {name: w[name] - lr * gradients[name] for name in w}


class AdamSteps:
    """The next steps of `optimizer` on `network`, whose states are not changed.

    The division by sqrt(v) has no gradient where v = 0, that is, for weights that never had a gradient.
    """

    def __init__(self, optimizer: Adam | AdamW, network: nn.Module) -> None:
        self.decoupled = isinstance(optimizer, AdamW)
        self.group = _only_group(optimizer, refused=("amsgrad", "maximize"))
        self.m: Weights = {}
        self.v: Weights = {}
        self.t: Weights = {}
        for name, parameter in network.named_parameters():
            state: dict[str, Any] = optimizer.state.get(parameter, {})
            self.m[name] = state.get("exp_avg", torch.zeros_like(parameter))
            self.v[name] = state.get("exp_avg_sq", torch.zeros_like(parameter))
            self.t[name] = state.get("step", parameter.new_zeros(()))

    def __call__(self, w: Weights, gradients: Weights) -> Weights:
        return {name: self._step(name, value, gradients[name]) for name, value in w.items()}

    def _step(self, name: str, w: Tensor, gradient: Tensor) -> Tensor:
        lr, (beta1, beta2), eps, decay = (self.group[key] for key in ("lr", "betas", "eps", "weight_decay"))
        if self.decoupled or self.group.get("decoupled_weight_decay"):
            w = w * (1 - lr * decay)
        elif decay:
            gradient = gradient + decay * w
        self.m[name] = m = beta1 * self.m[name] + (1 - beta1) * gradient
        self.v[name] = v = beta2 * self.v[name] + (1 - beta2) * gradient.square()
        self.t[name] = t = self.t[name] + 1
        # 1 - beta^t without cancellation
        unbias1, unbias2 = (-torch.expm1(t * math.log(beta)) if beta else 1.0 for beta in (beta1, beta2))
        return w - lr / unbias1 * m / (root(v) / unbias2**0.5 + eps)


class SGDSteps:
    """The next steps of `optimizer` on `network`, whose states are not changed."""

    def __init__(self, optimizer: SGD, network: nn.Module) -> None:
        self.group = _only_group(optimizer, refused=("nesterov", "maximize", "dampening"))
        buffers = {name: optimizer.state.get(p, {}).get("momentum_buffer") for name, p in network.named_parameters()}
        self.buffers: Weights = {name: buffer for name, buffer in buffers.items() if buffer is not None}

    def __call__(self, w: Weights, gradients: Weights) -> Weights:
        lr, momentum, decay = (self.group[key] for key in ("lr", "momentum", "weight_decay"))
        for name in w:
            gradient = gradients[name] + decay * w[name]
            self.buffers[name] = momentum * self.buffers[name] + gradient if name in self.buffers else gradient
        return {name: w[name] - lr * self.buffers[name] for name in w}


def next_steps(optimizer: Optimizer, network: nn.Module) -> Step:
    """The next steps of `optimizer`. ValueError for an optimizer that is not implemented here."""
    if isinstance(optimizer, (Adam, AdamW)):  # AdamW became a subclass of Adam in a later torch
        return AdamSteps(optimizer, network)
    if isinstance(optimizer, SGD):
        return SGDSteps(optimizer, network)
    kind = type(optimizer).__name__
    raise ValueError(
        f"unrolling differentiates steps of Adam, AdamW and SGD, and this network's optimizer is {kind}: "
        "optimizer=adam, or model.unroll_lr=0.01 for plain gradient steps"
    )


def _only_group(optimizer: Optimizer, refused: tuple[str, ...]) -> dict[str, Any]:
    group = optimizer.param_groups[0]
    used = [key for key in refused if group.get(key)]
    if used:
        kind = type(optimizer).__name__
        raise ValueError(f"unrolling differentiates plain steps of {kind}: remove optimizer.{used[0]}")
    return group


def unroll(network: nn.Module, loss: Callable[[Critic], Terms], steps: int, step: Step) -> Critic:
    """`network` after `steps` steps on `loss`, as a function that is differentiable in all that the loss depends on.

    The network's own weights, gradients and buffers do not change.
    """
    w = {name: parameter.detach().clone().requires_grad_() for name, parameter in network.named_parameters()}
    buffers = {name: buffer.clone() for name, buffer in network.named_buffers()}
    for _ in range(steps):
        value = torch.stack([term.reshape(()) for term in loss(_critic(network, w, buffers)).values()]).sum()
        gradients = torch.autograd.grad(value, list(w.values()), create_graph=True)
        w = step(w, dict(zip(w, gradients, strict=True)))
    return _critic(network, w, buffers)


def _critic(network: nn.Module, w: Weights, buffers: dict[str, Tensor]) -> Critic:
    return lambda x: functional_call(network, {**w, **buffers}, (x,))
