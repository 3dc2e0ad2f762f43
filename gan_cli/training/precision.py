"""Lower precision, network by network.

A network's forward runs under autocast and its result comes back as float32, so losses, penalties and the double
backward of a gradient penalty never see half precision.
"""

from typing import Any

import torch
from torch import Tensor, nn


def lower(network: nn.Module, device: torch.device, dtype: torch.dtype) -> None:
    """Make `network(...)` compute in `dtype` (torch.bfloat16) and return float32. Weights stay float32."""
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
    """True where bfloat16 is emulated: a CPU without its units computes a convolution some 270 times slower."""
    if device.type != "cpu":
        return False
    cpu = getattr(torch, "cpu", None)
    checks = [getattr(cpu, name, None) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported")]
    try:
        return not any(check() for check in checks if check is not None)
    except RuntimeError:
        return True
