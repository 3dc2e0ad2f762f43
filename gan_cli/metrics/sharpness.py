"""How sharp translations are: the energy of their gradients beside that of real images of the target domain."""

from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from gan_cli.metrics.base import EvaluationData, Metric
from gan_cli.metrics.pixels import finite, need_images, symmetric

BATCH = 50


def gradient_energy(images: Tensor) -> Tensor:
    """(N, C, H, W) -> (N,) float64: mean of the squared differences of neighbours to the right, plus that of neighbours
    below.
    """
    images = images.double()
    return sum(images.diff(dim=dim).square().flatten(1).mean(1) for dim in (2, 3))  # type: ignore[return-value]


@dataclass
class Sharpness(Metric):
    """Gradient energy of the translated held-out images over that of the real ones of the target domain, in each
    direction: 1 is as sharp as the truth, a blurred image lies below, noise above (Isola et al. 2017, section 4.2: L1
    alone blurs). The energies themselves are means over images in [-1, 1].
    """

    better: ClassVar = {
        "sharpness_x2y": None, "sharpness_y2x": None, "energy_x2y": None, "energy_y2x": None,
        "energy_real_x2y": None, "energy_real_y2x": None,
    }  # fmt: skip

    def check(self, system: Any, data: Any) -> None:
        if not getattr(system, "directions", ()):
            raise ValueError("the sharpness metric needs a translation model: model=pix2pix")
        need_images("sharpness", data)

    def __call__(self, evidence: EvaluationData) -> dict[str, float]:
        system, data = evidence.system, evidence.data
        n = evidence.test.used = evidence.test.size
        values: dict[str, float] = {}
        for at, name in enumerate(system.directions):
            fake = real = 0.0
            for start in range(0, n, BATCH):
                batch = data.test_batch(start, min(BATCH, n - start))
                output = symmetric(system.translate(batch[at].to(system.device), name), data.value_range)
                fake += float(gradient_energy(finite(output, f"translated {name}")).sum()) / n
                real += float(gradient_energy(symmetric(batch[1 - at], data.value_range)).sum()) / n
            if real == 0:
                raise ValueError("the real images are all of one colour: there is no sharpness to compare with")
            values |= {f"sharpness_{name}": fake / real, f"energy_{name}": fake, f"energy_real_{name}": real}
        return values
