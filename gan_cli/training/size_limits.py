"""Bounds on what a configuration may build: a count with a digit too many would otherwise take hours, or all memory."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn
from torch.nn.modules.module import (
    register_module_module_registration_hook,
    register_module_parameter_registration_hook,
)

MOST_LAYERS = 5_000  # several times as many as the largest model here has


@contextmanager
def bounded_networks() -> Iterator[None]:
    """Raise ValueError in this context as soon as networks have more layers, or more weights than memory can hold."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    layers, size = 0, 0

    def count_layer(module: nn.Module, name: str, layer: nn.Module | None) -> None:
        nonlocal layers
        layers += 1
        if layers > MOST_LAYERS:
            raise ValueError(f"these networks have more than {MOST_LAYERS} layers; choose fewer or smaller blocks")

    def count_weights(module: nn.Module, name: str, weights: nn.Parameter | None) -> None:
        nonlocal size
        size += 0 if weights is None or weights.is_meta else weights.nbytes
        if size > memory:
            raise ValueError(
                f"the weights of these networks need more than the {memory / 2**30:.0f} GiB of this machine; "
                "choose smaller widths"
            )

    hooks = [
        register_module_module_registration_hook(count_layer),
        register_module_parameter_registration_hook(count_weights),
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
