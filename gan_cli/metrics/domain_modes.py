"""Mode collapse of a model that translates points between domains whose modes are known (DiscoGAN's toy experiment)."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from gan_cli.data.base import Dataset, HasDomainModes
from gan_cli.metrics.base import Better, EvaluationData, Metric, finite
from gan_cli.metrics.modes import distances
from gan_cli.metrics.pixels import held_out
from gan_cli.systems.base import System, Translates

SHARE = 0.01  # of all samples; a mode of the target with fewer of them is not hit
BATCH = 250


def landing(points: Tensor, modes: Tensor, source: Tensor, sources: int) -> Tensor:
    """How many points of each source mode lie nearest to each mode of the target, int64 (sources, K).

    points (N, 2), modes (K, 2), source (N,) in 0 .. sources - 1.
    """
    nearest = distances(points, modes).argmin(1)
    return torch.bincount(source * len(modes) + nearest, minlength=sources * len(modes)).view(sources, len(modes))


def sharing(counts: Tensor) -> int:
    """counts (S, K) -> how many of the S source modes send most of their points where another one does too."""
    favorite = counts.argmax(1)
    return int((torch.bincount(favorite, minlength=counts.shape[1])[favorite] > 1).sum())


@dataclass
class DomainModes(Metric):
    """Where y = G_AB(x) of held-out points x lies, on a data set that knows the modes of both domains.

    hit: modes of the target that are nearest to 1 % or more of all y. shared: modes of x that send most of their points
    to a mode of the target to which another mode of x sends most of its own. high_quality: share of y within three
    standard deviations of a mode. back: mean Euclidean |G_BA(y) - x|, if the model translates back.
    """

    better: ClassVar[Better] = {"shared": "lower", "hit": "higher", "high_quality": "higher", "back": "lower"}

    def check(self, system: System | None, data: Dataset | None) -> None:
        if not isinstance(data, HasDomainModes) or system is None or "AtoB" not in system.directions:
            raise ValueError(
                "the domain_modes metric needs a translation model and two domains with known modes: "
                "model=discogan network=discogan_toy dataset=mixture_domains"
            )

    def __call__(self, evaluation: EvaluationData) -> dict[str, float]:
        system, data, n = evaluation.system, evaluation.data, evaluation.test.size
        assert isinstance(system, Translates) and isinstance(data, HasDomainModes)
        x, y, back = [], [], []
        for source, _ in held_out(evaluation, BATCH):
            x.append(source.to(system.device))
            y.append(system.translate(x[-1], "AtoB"))
            if "BtoA" in system.directions:
                back.append(system.translate(y[-1], "BtoA"))
        points, modes = finite(torch.cat(y).flatten(1), "translated AtoB").cpu(), data.modes_y.cpu()
        counts = landing(points, modes, data.test_modes(0, n).cpu(), len(data.modes_x))
        near = distances(points, modes).amin(1) <= 3 * data.std
        values = {
            "shared": float(sharing(counts)),
            "hit": float((counts.sum(0) >= SHARE * n).sum()),
            "high_quality": float(near.double().mean()),
        }
        if back:
            distance = (torch.cat(back) - torch.cat(x)).flatten(1).norm(dim=1)
            values["back"] = float(finite(distance, "translated BtoA").mean())
        return values
