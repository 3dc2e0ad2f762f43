"""Mode coverage on mixtures of Gaussians with known centres.

The protocol of VEEGAN (Srivastava et al. 2017, arXiv 1705.07761) and PacGAN (Lin et al. 2018, arXiv 1712.04086):
draw 2,500 points; one is of high quality within three standard deviations of its nearest mode (ten on the 1200-D
set); a mode is captured if it is the nearest of at least one point of high quality. In the plane real data scores
1 - exp(-4.5) = 98.89 %.
"""

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from gan_cli.metrics.base import EvaluationData, Metric
from gan_cli.metrics.ndb import jensen_shannon

RADIUS = 3.0  # standard deviations


def captured(points: Tensor, modes: Tensor, std: float, radius: float = RADIUS) -> Tensor:
    """points (N,d), modes (K,d) -> how many points of high quality each mode has, int64 (K,)."""
    distance, nearest = torch.cdist(points.double(), modes.double()).min(1)
    return torch.bincount(nearest[distance <= radius * std], minlength=len(modes))


def coverage(points: Tensor, modes: Tensor, std: float, radius: float = RADIUS) -> dict[str, float]:
    """points (N,d), modes (K,d) -> modes captured (0..K), high-quality share (0..1), reverse KL of the captured
    modes' histogram against the uniform one (nats; log K when a single mode is left, nan when none is)."""
    counts = captured(points, modes, std, radius)
    good = int(counts.sum())
    hit = counts[counts > 0].double() / max(1, good)
    divergence = float((hit * hit.log()).sum() + math.log(len(modes))) if len(hit) else math.nan
    return {"modes": float(len(hit)), "high_quality": good / len(points), "reverse_kl": divergence}


@dataclass
class Modes(Metric):
    """Scores a generator on a data set that knows its `modes` and `std`. Besides the papers' table, other columns of
    PacGAN's code: the entropy of the captured modes' histogram, and its JS divergence from the uniform one, in nats.

    radius: of high quality, in standard deviations; None: the data set's own (`quality_radius`).
    """

    radius: float | None = None

    better: ClassVar = {
        "modes": "higher", "high_quality": "higher", "reverse_kl": "lower",
        "mode_entropy": "higher", "mode_jsd": "lower",
    }

    def check(self, system: Any, data: Any) -> None:
        if not hasattr(data, "modes"):
            raise ValueError(
                "the modes metric needs a data set with known modes: dataset=ring, dataset=grid or "
                "dataset=gaussians_1200"
            )
        if self.radius is not None and not self.radius > 0:
            raise ValueError(f"metric.modes.radius is a positive number, not {self.radius}")

    def __call__(self, evidence: EvaluationData) -> dict[str, float]:
        data = evidence.data
        points, modes = evidence.generated.take().image.flatten(1), data.modes.cpu()
        radius = getattr(data, "quality_radius", RADIUS) if self.radius is None else self.radius
        values = coverage(points, modes, data.std, radius)
        counts = captured(points, modes, data.std, radius)
        return values | {
            "mode_entropy": math.log(len(modes)) - values["reverse_kl"],
            "mode_jsd": jensen_shannon(counts, torch.ones(len(modes))) if counts.any() else math.nan,
        }
