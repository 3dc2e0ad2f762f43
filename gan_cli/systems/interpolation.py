"""Interpolation in latent space (Radford et al. 2016, figure 4)."""

from collections.abc import Callable

import torch
from torch import Tensor

COLUMNS = 10


def straight_lines(start: Tensor, end: Tensor) -> Tensor:
    """Points on the lines between two samples of z (rows, latent_dim): (rows, 10, latent_dim), both ends included."""
    t = torch.linspace(0, 1, COLUMNS, device=start.device).view(1, -1, 1)
    return (1 - t) * start.unsqueeze(1) + t * end.unsqueeze(1)


def interpolation(
    generator: Callable[[Tensor], Tensor], prior: Callable[[int], Tensor], rows: int
) -> dict[str, Tensor]:
    """{"interpolation": (rows, 10, C, H, W)}: images on straight lines between two samples of z."""
    z = straight_lines(prior(rows), prior(rows))
    return {"interpolation": generator(z.flatten(0, 1)).unflatten(0, (rows, COLUMNS))}
