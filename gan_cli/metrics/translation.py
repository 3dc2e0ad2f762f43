"""Unpaired translation scored against the true partner, where the data set knows it."""

from typing import Any

from torch import Tensor


def l1(a: Tensor, b: Tensor) -> float:
    """Mean absolute difference over all pixels and channels, in units of the images' range [-1, 1]."""
    return float((a.double() - b.double()).abs().mean())


class PartnerL1:
    """L1 to the true partner on n held-out images in each direction, beside what copying the input scores."""

    def __call__(self, game: Any, data: Any, n: int) -> dict[str, float]:
        if not hasattr(data, "test_pairs") or not game.directions:
            raise ValueError(
                "the partner metric needs a translation model and a data set with known partners: "
                "dataset=shapes_stripes"
            )
        totals = dict.fromkeys((*game.directions, "identity"), 0.0)
        for start in range(0, n, 50):
            count = min(50, n - start)
            x, y = (part.to(game.device) for part in data.test_pairs(start, count))
            for direction, source, target in zip(game.directions, (x, y), (y, x), strict=True):
                totals[direction] += count * l1(game.translate(source, direction), target)
            totals["identity"] += count * l1(x, y)
        return {name: total / n for name, total in totals.items()}
