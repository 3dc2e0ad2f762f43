"""Sharpness of translations: the energy of their gradients relative to that of real images of the target domain."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from gan_cli.metrics.base import Better, Dataset, EvaluationData, Metric, finite
from gan_cli.metrics.pixels import held_out, need_images, symmetric
from gan_cli.systems.base import System, Translates

BATCH = 50


def gradient_energy(images: Tensor) -> Tensor:
    """Mean squared difference of horizontal neighbors plus that of vertical ones: (N, C, H, W) -> (N,), float64."""
    images = images.double()
    return sum(images.diff(dim=dim).square().flatten(1).mean(1) for dim in (2, 3))  # type: ignore[return-value]


@dataclass
class Sharpness(Metric):
    """Gradient energy of translated held-out images, divided by that of real images of the target domain.

    1 is as sharp as real images; blurred images lie below, noise above (Isola et al. 2017, section 4.2: L1 alone
    blurs). energy, energy_real: the energies themselves, means over images in [-1, 1]. Each in each direction.
    """

    better: ClassVar[Better] = {
        "sharpness_AtoB": None, "sharpness_BtoA": None, "energy_AtoB": None, "energy_BtoA": None,
        "energy_real_AtoB": None, "energy_real_BtoA": None,
    }  # fmt: skip

    def check(self, system: System | None, data: Dataset | None) -> None:
        if system is None or not system.directions:
            raise ValueError("the sharpness metric needs a translation model: model=pix2pix")
        need_images("sharpness", data)

    def __call__(self, evaluation: EvaluationData) -> dict[str, float]:
        system, data = evaluation.system, evaluation.data
        assert isinstance(system, Translates) and data is not None
        n = evaluation.test.size
        values: dict[str, float] = {}
        for source, name in enumerate(system.directions):
            fake = real = 0.0
            for batch in held_out(evaluation, BATCH):
                output = symmetric(system.translate(batch[source].to(system.device), name), data.value_range)
                fake += float(gradient_energy(finite(output, f"translated {name}")).sum()) / n
                real += float(gradient_energy(symmetric(batch[1 - source], data.value_range)).sum()) / n
            if real == 0:
                raise ValueError("the real images are all of one color: there is no sharpness to compare with")
            values |= {f"sharpness_{name}": fake / real, f"energy_{name}": fake, f"energy_real_{name}": real}
        return values
