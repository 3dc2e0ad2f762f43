"""Mode coverage on mixtures of Gaussians with known centres.

The protocol of VEEGAN (Srivastava et al. 2017, arXiv 1705.07761) and PacGAN (Lin et al. 2018, arXiv 1712.04086):
draw 2,500 points; one is of high quality within three standard deviations of its nearest mode; a mode is captured
if it is the nearest of at least one point of high quality. Real data scores 1 - exp(-4.5) = 98.89 %.
"""

import math
from typing import Any

import torch
from torch import Tensor

RADIUS = 3.0  # standard deviations


def coverage(points: Tensor, modes: Tensor, std: float) -> dict[str, float]:
    """points (N,2), modes (K,2) -> modes captured (0..K), high-quality share (0..1), reverse KL of the captured
    modes' histogram against the uniform one (nats; log K when a single mode is left, nan when none is)."""
    distance, nearest = torch.cdist(points.double(), modes.double()).min(1)
    good = nearest[distance <= RADIUS * std]
    share = torch.bincount(good, minlength=len(modes)).double() / max(1, len(good))
    hit = share[share > 0]
    divergence = float((hit * hit.log()).sum() + math.log(len(modes))) if len(hit) else math.nan
    return {"modes": float(len(hit)), "high_quality": len(good) / len(points), "reverse_kl": divergence}


class Modes:
    """Scores a generator on a data set that knows its `modes` and `std`."""

    def __call__(self, game: Any, data: Any, n: int) -> dict[str, float]:
        if not hasattr(data, "modes"):
            raise ValueError(
                "the modes metric needs a data set with known modes: dataset=ring or dataset=grid"
            )
        points = game.generate(n).reshape(n, 2).cpu()
        return coverage(points, data.modes.cpu(), data.std)
