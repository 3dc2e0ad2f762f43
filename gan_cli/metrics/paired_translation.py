"""Distance of translations to the true counterparts of the images, for data sets that know them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from gan_cli.data.base import Batch, Dataset, HasTestPairs, Pairs
from gan_cli.metrics.base import Better, EvaluationData, Metric, finite
from gan_cli.metrics.pixels import held_out, symmetric
from gan_cli.metrics.similarity import WINDOW, psnr, ssim
from gan_cli.systems.base import System, TransfersStyle, Translates
from gan_cli.utils.image_size import sides

BATCH = 50


def l1(a: Tensor, b: Tensor) -> float:
    """Mean absolute difference over all pixels and channels, in units of the images' range [-1, 1]."""
    return float((a.double() - b.double()).abs().mean())


def outlines(images: Tensor) -> Tensor:
    """Length of the gradient of the brightness, by forward differences: (N, C, H, W) -> (N, 1, H - 1, W - 1)."""
    gray = images.double().mean(1, keepdim=True)
    across, down = gray.diff(dim=3)[:, :, :-1], gray.diff(dim=2)[:, :, :, :-1]
    return torch.hypot(across, down)


def test_pairs(data: Dataset | None) -> Callable[[int, int], Batch] | None:
    """(start, count) -> held-out images with their true counterparts; None if the data set does not know them."""
    if isinstance(data, HasTestPairs):
        return data.test_pairs
    return data.test_batch if data is not None and data.batch_type is Pairs else None


@dataclass
class PairedTranslation(Metric):
    """L1, PSNR (dB) and SSIM of held-out translations to the true counterparts, in each direction; means over images.

    The value named by the direction alone is L1 in units of the range [-1, 1]. outline: L1 between outlines, which
    hardly depend on the hue. identity: the score of the untranslated input. style: the model gets the counterpart's
    attribute together with the image (DRIT, where the attribute is not determined by the image).
    """

    style: bool = False

    better: ClassVar[Better] = {
        "AtoB": "lower", "BtoA": "lower", "identity": None,
        "outline_AtoB": "lower", "outline_BtoA": "lower", "outline_identity": None,
        "psnr_AtoB": "higher", "psnr_BtoA": "higher", "psnr_identity": None,
        "ssim_AtoB": "higher", "ssim_BtoA": "higher", "ssim_identity": None,
    }

    def check(self, system: System | None, data: Dataset | None) -> None:
        if data is None or test_pairs(data) is None or system is None or not system.directions:
            raise ValueError(
                "the paired metric needs a translation model and a data set with known counterparts: "
                "dataset=shapes_edges or shapes_stripes"
            )
        if self.style and not isinstance(system, TransfersStyle):
            raise ValueError("metric.paired.style=true needs a model that takes the style of an image: model=drit")
        if min(sides(data.image_size)) < WINDOW:
            raise ValueError(f"the paired metric's SSIM needs images of at least {WINDOW} pixels: dataset.image_size")

    def __call__(self, evaluation: EvaluationData) -> dict[str, float]:
        system, data = evaluation.system, evaluation.data
        assert system is not None and data is not None
        totals: dict[str, float] = dict.fromkeys((*system.directions, "identity"), 0.0)
        totals |= {f"{kind}_{name}": 0.0 for kind in ("outline", "psnr", "ssim") for name in list(totals)}
        for x, y in held_out(evaluation, BATCH, test_pairs(data)):
            raw = (x.to(system.device), y.to(system.device))
            real = [symmetric(part, data.value_range) for part in raw]
            results = {
                name: (symmetric(self._output(system, raw, source, name), data.value_range), real[1 - source])
                for source, name in enumerate(system.directions)
            }
            for name, (image, target) in {**results, "identity": (real[0], real[1])}.items():
                finite(image, f"translated {name}")
                totals[name] += len(x) * l1(image, target)
                totals[f"outline_{name}"] += len(x) * l1(outlines(image), outlines(target))
                totals[f"psnr_{name}"] += float(psnr(image, target).sum())
                totals[f"ssim_{name}"] += float(ssim(image, target).sum())
        return {name: total / evaluation.test.size for name, total in totals.items()}

    def _output(self, system: System, pair: tuple[Tensor, Tensor], source: int, direction: str) -> Tensor:
        """The translation of pair[source], in the data's own range."""
        if self.style:
            assert isinstance(system, TransfersStyle)
            return system.transfer(pair[source], pair[1 - source], direction)
        assert isinstance(system, Translates)
        return system.translate(pair[source], direction)
