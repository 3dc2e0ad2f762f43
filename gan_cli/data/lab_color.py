"""Conversion between sRGB and CIE L*a*b* (CIE 15:2004; sRGB: IEC 61966-2-1, white D65)."""

from dataclasses import dataclass

import torch
from torch import Tensor

XYZ = ((0.4124564, 0.3575761, 0.1804375), (0.2126729, 0.7151522, 0.0721750), (0.0193339, 0.1191920, 0.9503041))
WHITE = tuple(sum(row) for row in XYZ)  # from the rounded matrix, so that white has exactly a = b = 0
DELTA = 6 / 29


def rgb_to_lab(rgb: Tensor) -> Tensor:
    """Convert sRGB in [0, 1] to L in [0, 100] and a, b in about [-108, 99], (N, 3, H, W)."""
    linear = torch.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    t = torch.einsum("ij,njhw->nihw", rgb.new_tensor(XYZ), linear) / rgb.new_tensor(WHITE)[:, None, None]
    x, y, z = torch.where(t > DELTA**3, t.clamp(min=DELTA**3) ** (1 / 3), t / (3 * DELTA**2) + 4 / 29).unbind(1)
    return torch.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], 1)


def lab_to_rgb(lab: Tensor) -> Tensor:
    """Convert L*a*b* to sRGB, (N, 3, H, W); colors outside of sRGB are clamped to [0, 1]."""
    L, a, b = lab.unbind(1)
    y = (L + 16) / 116
    f = torch.stack([y + a / 500, y, y - b / 200], 1)
    t = torch.where(f > DELTA, f**3, 3 * DELTA**2 * (f - 4 / 29)) * lab.new_tensor(WHITE)[:, None, None]
    linear = torch.einsum("ij,njhw->nihw", torch.linalg.inv(lab.new_tensor(XYZ)), t).clamp(0, 1)
    return torch.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


@dataclass(frozen=True)
class LabToRGB:
    """View of a colorization's source L / 50 - 1 and target ab / 110 as one RGB image in [-1, 1]."""

    def __call__(self, source: Tensor, target: Tensor) -> Tensor:
        return 2 * lab_to_rgb(torch.cat([50 * (source + 1), 110 * target], 1)) - 1
