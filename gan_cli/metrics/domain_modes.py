"""Where a translator of points sends the modes of its domain: DiscoGAN's mode collapse in numbers of ours."""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from gan_cli.metrics.base import EvaluationData, Metric
from gan_cli.metrics.pixels import finite

SHARE = 0.01  # of all samples, below which a mode of the target is not hit
BATCH = 250


def landing(points: Tensor, modes: Tensor, source: Tensor, sources: int) -> Tensor:
    """points (N, 2), modes (K, 2), source (N,) in 0 .. sources - 1 -> int64 (sources, K): how many points of each
    source mode lie nearest to each mode of the target."""
    nearest = torch.cdist(points.double(), modes.double()).argmin(1)
    cells = source * len(modes) + nearest
    return torch.bincount(cells, minlength=sources * len(modes)).view(sources, len(modes))


def sharing(counts: Tensor) -> int:
    """counts (S, K) -> how many of the S source modes send most of their points where another one does too."""
    favourite = counts.argmax(1)
    return int((torch.bincount(favourite, minlength=counts.shape[1])[favourite] > 1).sum())


@dataclass
class DomainModes(Metric):
    """Of held-out points x and y = G_AB(x), on a data set that knows its modes:

    hit: modes of the target that are nearest to 1 % or more of all y. shared: modes of x that send most of their points
    to a mode of the target to which another mode of x sends most of its own. high_quality: share of y within three std
    of a mode. back: mean Euclidean |G_BA(y) - x|, where the game leads back.
    """

    better: ClassVar = {"shared": "lower", "hit": "higher", "high_quality": "higher", "back": "lower"}

    def check(self, system: Any, data: Any) -> None:
        if not hasattr(data, "test_modes") or "x2y" not in system.directions:
            raise ValueError(
                "the domain_modes metric needs a translation model and two domains with known modes: "
                "model=discogan network=discogan_toy dataset=mixture_domains"
            )

    def __call__(self, evidence: EvaluationData) -> dict[str, float]:
        system, data = evidence.system, evidence.data
        n = evidence.test.used = evidence.test.size
        x, y, back = [], [], []
        for start in range(0, n, BATCH):
            x.append(data.test_batch(start, min(BATCH, n - start)).x.to(system.device))
            y.append(system.translate(x[-1], "x2y"))
            if "y2x" in system.directions:
                back.append(system.translate(y[-1], "y2x"))
        points, modes = finite(torch.cat(y).flatten(1), "translated x2y").cpu(), data.modes_y.cpu()
        counts = landing(points, modes, data.test_modes(0, n).cpu(), len(data.modes_x))
        near = torch.cdist(points.double(), modes.double()).amin(1) <= 3 * data.std
        values = {
            "shared": float(sharing(counts)),
            "hit": float((counts.sum(0) >= SHARE * n).sum()),
            "high_quality": float(near.double().mean()),
        }
        if back:
            distance = (torch.cat(back) - torch.cat(x)).flatten(1).norm(dim=1)
            values["back"] = float(finite(distance, "translated y2x").mean())
        return values
