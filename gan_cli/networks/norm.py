"""Normalisation layers by name."""

from collections.abc import Callable

from torch import nn

LAYERS: dict[str, Callable[[int], nn.Module]] = {
    "batch": nn.BatchNorm2d,
    "layer": lambda channels: nn.GroupNorm(1, channels),      # over channels and pixels of a sample
    "none": lambda channels: nn.Identity(),
}


def norm_layer(name: str, channels: int) -> nn.Module:
    """Normalisation of (N, channels, H, W). name: batch, layer (allowed under a gradient penalty) or none;
    else ValueError.
    """
    if name not in LAYERS:
        raise ValueError(f"norm '{name}': choose one of {', '.join(LAYERS)}")
    return LAYERS[name](channels)
