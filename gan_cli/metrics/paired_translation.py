"""Translation scored against the true partner, where the data set knows it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from gan_cli.data.base import Pairs
from gan_cli.metrics.base import EvaluationData, Metric
from gan_cli.metrics.pixels import finite, symmetric
from gan_cli.metrics.similarity import WINDOW, psnr, ssim


def l1(a: Tensor, b: Tensor) -> float:
    """Mean absolute difference over all pixels and channels, in units of the images' range [-1, 1]."""
    return float((a.double() - b.double()).abs().mean())


def outlines(images: Tensor) -> Tensor:
    """(N, C, H, W) -> (N, 1, H - 1, W - 1): length of the brightness's gradient by forward differences."""
    grey = images.double().mean(1, keepdim=True)
    across, down = grey.diff(dim=3)[:, :, :-1], grey.diff(dim=2)[:, :, :, :-1]
    return torch.hypot(across, down)


def partners(data: Any) -> Callable[[int, int], Pairs] | None:
    """(start, count) -> held-out images beside their true partners; None where the data set does not know them."""
    if getattr(data, "batch_type", None) is Pairs:
        return data.test_batch
    return getattr(data, "test_pairs", None)


@dataclass
class PartnerL1(Metric):
    """L1, PSNR (dB) and SSIM to the true partner on held-out images in each direction, means over images, beside what
    copying the input scores (identity). outline: L1 between outlines, which hardly see the hue.

    style: the game is given the partner's attribute with the image, where what it leaves open is an attribute (DRIT).
    """

    style: bool = False

    better: ClassVar = {
        "x2y": "lower", "y2x": "lower", "identity": None,
        "outline_x2y": "lower", "outline_y2x": "lower", "outline_identity": None,
        "psnr_x2y": "higher", "psnr_y2x": "higher", "psnr_identity": None,
        "ssim_x2y": "higher", "ssim_y2x": "higher", "ssim_identity": None,
    }

    def check(self, system: Any, data: Any) -> None:
        if partners(data) is None or not system.directions:
            raise ValueError(
                "the paired metric needs a translation model and a data set with known partners: "
                "dataset=shapes_edges or shapes_stripes"
            )
        if self.style and not hasattr(system, "transfer"):
            raise ValueError("metric.paired.style=true needs a game that takes the style of a picture: model=drit")
        if data.image_size < WINDOW:
            raise ValueError(f"the paired metric's SSIM needs images of at least {WINDOW} pixels: dataset.image_size")

    def __call__(self, evidence: EvaluationData) -> dict[str, float]:
        system, data = evidence.system, evidence.data
        pairs = partners(data)
        assert pairs is not None
        n = evidence.test.used = evidence.test.size
        totals: dict[str, float] = dict.fromkeys((*system.directions, "identity"), 0.0)
        totals |= {f"{kind}_{name}": 0.0 for kind in ("outline", "psnr", "ssim") for name in list(totals)}
        for start in range(0, n, 50):
            count = min(50, n - start)
            raw = tuple(part.to(system.device) for part in pairs(start, count))
            seen = [symmetric(part, data.value_range) for part in raw]
            results = {
                name: (symmetric(self.output(system, raw, at, name), data.value_range), seen[1 - at])
                for at, name in enumerate(system.directions)
            }
            for name, (image, target) in {**results, "identity": (seen[0], seen[1])}.items():
                finite(image, f"translated {name}")
                totals[name] += count * l1(image, target)
                totals[f"outline_{name}"] += count * l1(outlines(image), outlines(target))
                totals[f"psnr_{name}"] += float(psnr(image, target).sum())
                totals[f"ssim_{name}"] += float(ssim(image, target).sum())
        return {name: total / n for name, total in totals.items()}

    def output(self, system: Any, pair: tuple[Tensor, ...], at: int, direction: str) -> Tensor:
        """pair[at] translated, in the game's range."""
        if self.style:
            return system.transfer(pair[at], pair[1 - at], direction)
        return system.translate(pair[at], direction)
