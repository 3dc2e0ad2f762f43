"""Lower precision for single networks.

The forward pass of a network runs under autocast and returns float32, so that losses, penalties and the double backward
of a gradient penalty are computed in float32.
"""

from typing import Any

import torch
from torch import Tensor, nn


def lower(network: nn.Module, device: torch.device, dtype: torch.dtype) -> None:
    """Let `network` compute in `dtype` (torch.bfloat16), in place, and return float32. Weights stay float32."""
    forward = network.forward

    def lowered(*inputs: Any, **named: Any) -> Any:
        with torch.autocast(device.type, dtype):
            return _float(forward(*inputs, **named))

    network.forward = lowered


def _float(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.float() if value.is_floating_point() else value
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*map(_float, value))
    if isinstance(value, (tuple, list)):
        return type(value)(map(_float, value))
    return value


def slow_bfloat16(device: torch.device) -> bool:
    """Whether bfloat16 is emulated, as on a CPU without units for it: a convolution is then some 270 times slower."""
    if device.type != "cpu":
        return False
    # Private functions, which older versions of torch lack: without an answer the CPU is taken for a slow one.
    cpu = getattr(torch, "cpu", None)
    checks = [getattr(cpu, name, None) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported")]
    try:
        return not any(check() for check in checks if check is not None)
    except RuntimeError:
        return True
