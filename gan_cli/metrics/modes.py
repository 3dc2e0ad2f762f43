"""Mode coverage on mixtures of Gaussians with known centers.

The protocol of VEEGAN (Srivastava et al. 2017, arXiv 1705.07761) and PacGAN (Lin et al. 2018, arXiv 1712.04086) samples
2,500 points. A point within three standard deviations of its nearest mode (ten on the 1200-D set) is of high quality;
a mode is captured if it is the nearest one of at least one point of high quality. In the plane, 1 - exp(-4.5) = 98.89 %
of real points are of high quality.
"""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from gan_cli.data.base import Dataset, HasModes
from gan_cli.metrics.base import Better, EvaluationData, Metric, System
from gan_cli.metrics.ndb import jensen_shannon

RADIUS = 3.0  # standard deviations


def distances(points: Tensor, modes: Tensor) -> Tensor:
    """Euclidean distances of points (N, d) to modes (K, d), float64 (N, K).

    Not by a matrix product, whose rounding would decide for a point at the radius, and depend on the order of points.
    """
    return torch.cdist(points.double(), modes.double(), compute_mode="donot_use_mm_for_euclid_dist")


def captured(points: Tensor, modes: Tensor, std: float, radius: float = RADIUS) -> Tensor:
    """How many points of high quality each mode has: points (N, d), modes (K, d) -> int64 (K,)."""
    distance, nearest = distances(points, modes).min(1)
    return torch.bincount(nearest[distance <= radius * std], minlength=len(modes))


def coverage(points: Tensor, modes: Tensor, std: float, radius: float = RADIUS) -> dict[str, float]:
    """Coverage of modes (K, d) by points (N, d).

    modes: captured modes, 0 .. K. high_quality: share of the points, 0 .. 1. reverse_kl: KL of the histogram over
    captured modes from the uniform one, in nats; log K if a single mode is captured, nan if none is.
    """
    counts = captured(points, modes, std, radius)
    good = int(counts.sum())
    shares = counts[counts > 0].double() / max(1, good)
    divergence = float((shares * shares.log()).sum() + math.log(len(modes))) if len(shares) else math.nan
    return {"modes": float(len(shares)), "high_quality": good / len(points), "reverse_kl": divergence}


@dataclass
class ModeCoverage(Metric):
    """Mode coverage of a generator, on a data set that knows its modes.

    Beside the values of `coverage`, two columns of PacGAN's code: mode_entropy, the entropy of the histogram over
    captured modes, and mode_jsd, its Jensen-Shannon divergence from the uniform one, both in nats. radius: of high
    quality, in standard deviations; None: the data set's own (`quality_radius`).
    """

    radius: float | None = None

    better: ClassVar[Better] = {
        "modes": "higher", "high_quality": "higher", "reverse_kl": "lower",
        "mode_entropy": "higher", "mode_jsd": "lower",
    }

    def check(self, system: System | None, data: Dataset | None) -> None:
        if not isinstance(data, HasModes):
            raise ValueError(
                "the modes metric needs a data set with known modes: dataset=ring, dataset=grid or "
                "dataset=gaussians_1200"
            )
        if self.radius is not None and not self.radius > 0:
            raise ValueError(f"metric.modes.radius must be positive, not {self.radius}")

    def __call__(self, evaluation: EvaluationData) -> dict[str, float]:
        data = evaluation.data
        assert isinstance(data, HasModes)
        points, modes = evaluation.generated.take().image.flatten(1), data.modes.cpu()
        radius = data.quality_radius if self.radius is None else self.radius
        values = coverage(points, modes, data.std, radius)
        counts = captured(points, modes, data.std, radius)
        return values | {
            "mode_entropy": math.log(len(modes)) - values["reverse_kl"],
            "mode_jsd": jensen_shannon(counts, torch.ones(len(modes))) if counts.any() else math.nan,
        }
