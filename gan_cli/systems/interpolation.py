"""Interpolation in latent space (Radford et al. 2016, figure 4)."""

from collections.abc import Callable

import torch
from torch import Tensor

from gan_cli.systems.base import Traversal

COLUMNS = 10


def straight_lines(start: Tensor, end: Tensor) -> Tensor:
    """Points on the lines between two samples of z (rows, latent_dim): (rows, 10, latent_dim), both ends included."""
    t = torch.linspace(0, 1, COLUMNS, device=start.device).view(1, -1, 1)
    return (1 - t) * start.unsqueeze(1) + t * end.unsqueeze(1)


def interpolation(
    generator: Callable[[Tensor], Tensor], prior: Callable[[int], Tensor], rows: int, fixed: str = ""
) -> dict[str, Traversal]:
    """{"interpolation": rows of 10 images on straight lines between two samples of z}.

    fixed: what else does not change along a row, for the title.
    """
    z = straight_lines(prior(rows), prior(rows))
    return {
        "interpolation": Traversal(
            generator(z.flatten(0, 1)).unflatten(0, (rows, COLUMNS)),
            title=f"G((1 - t) z1 + t z2): from one noise to another{fixed}; each row has noises of its own",
            headings=tuple(f"t = {t:.2g}" for t in torch.linspace(0, 1, COLUMNS).tolist()),
        )
    }
