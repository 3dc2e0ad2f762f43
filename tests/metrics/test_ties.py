"""Equal distances: the values by their definition, whatever the order of the samples and the rounding of a product."""

import math
from collections import Counter
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from gan_cli.data.base import Images
from gan_cli.metrics import prdc as prdc_module
from gan_cli.metrics.base import EvaluationData, Features, Metric, Samples
from gan_cli.metrics.diversity import FeatureDiversity
from gan_cli.metrics.domain_modes import landing
from gan_cli.metrics.fid import FrechetInceptionDistance
from gan_cli.metrics.inception_score import InceptionScore, ModeScore, ModifiedInceptionScore
from gan_cli.metrics.kid import KernelInceptionDistance, MMDMetric, kid
from gan_cli.metrics.memorization import Memorization
from gan_cli.metrics.modes import ModeCoverage, coverage
from gan_cli.metrics.ndb import StatisticallyDifferentBins, assign
from gan_cli.metrics.nearest_neighbors import OneNearestNeighborTest, one_nn
from gan_cli.metrics.parzen import KernelDensity, Parzen
from gan_cli.metrics.prdc import PRDC, prdc


def whole(n: int, d: int, seed: int, high: int = 4) -> Tensor:
    """Whole numbers, so that many distances are equal, far from the origin, where a matrix product rounds."""
    return torch.randint(high, (n, d), generator=torch.Generator().manual_seed(seed)).double() / 10 + 7


def prdc_in_integers(real: Tensor, fake: Tensor, k: int, k_density: int) -> dict[str, float]:
    """The definition of Naeem et al. in exact arithmetic: open balls to the k-th neighbor, not counting the sample."""
    X, Y = ([tuple(round(10 * v) for v in row) for row in rows.tolist()] for rows in (real, fake))

    def square(a, b):
        return sum((p - q) ** 2 for p, q in zip(a, b))

    def radii(own, k):
        return [sorted(square(a, b) for j, b in enumerate(own) if j != i)[k - 1] for i, a in enumerate(own)]

    near, near_fake, dense = radii(X, k), radii(Y, k), radii(X, k_density)
    inside = [[square(x, y) < r for y in Y] for x, r in zip(X, dense)]
    return {
        "precision": sum(any(square(x, y) < r for x, r in zip(X, near)) for y in Y) / len(Y),
        "recall": sum(any(square(x, y) < r for y, r in zip(Y, near_fake)) for x in X) / len(X),
        "density": sum(map(sum, inside)) / (k_density * len(Y)),
        "coverage": sum(map(any, inside)) / len(X),
    }


@pytest.mark.parametrize("seed", range(5))
def test_prdc_of_rounded_features_is_the_definition_in_exact_arithmetic(seed: int) -> None:
    real, fake = whole(60, 5, seed), whole(50, 5, 100 + seed)
    assert prdc(real, fake, 3, 5) == pytest.approx(prdc_in_integers(real, fake, 3, 5), abs=1e-12)
    assert prdc(real, real.flip(0), 3, 5) == pytest.approx(prdc_in_integers(real, real, 3, 5), abs=1e-12)


@pytest.mark.parametrize("k", [1, 3, 5])
def test_copies_have_a_density_of_one(k: int) -> None:
    real = torch.randn(200, 64, generator=torch.Generator().manual_seed(0))
    assert prdc(real, real, k, k) == {"precision": 1, "recall": 1, "density": 1, "coverage": 1}


def test_one_nn_of_rounded_features_counts_a_tie_as_a_half() -> None:
    real, fake = whole(60, 3, 0), whole(50, 3, 1)
    points = [tuple(round(10 * v) for v in row) for row in torch.cat([real, fake]).tolist()]
    right = [0.0, 0.0]
    for i, a in enumerate(points):
        best = {kind: min(sum((p - q) ** 2 for p, q in zip(a, b)) for j, b in enumerate(points)
                          if j != i and (j < 60) == kind) for kind in (True, False)}  # fmt: skip
        same, other = best[i < 60], best[i >= 60]
        right[i >= 60] += 1.0 if same < other else 0.5 if same == other else 0.0
    assert one_nn(real, fake) == pytest.approx((right[0] / 60, right[1] / 50), abs=1e-12)


def test_a_point_between_two_centers_belongs_to_the_first() -> None:
    centers = torch.tensor([[0.1, 7.0], [0.3, 7.0], [0.5, 7.0]])
    between = torch.tensor([[0.2, 7.0], [0.4, 7.0]]).repeat(500, 1)
    assert assign(between + 100, centers + 100).tolist() == [500, 500, 0]


def test_a_point_at_the_radius_is_of_high_quality() -> None:
    modes = torch.tensor([[1000.0, 0.0], [0.0, 1000.0]])
    at = modes[0] + torch.tensor([[3.0, 0.0], [0.0, 3.0], [-3.0, 0.0], [3.001, 0.0]])
    points = torch.cat([at, at.flip(0), at])  # enough points that torch would use a matrix product
    for order in (points.repeat(10, 1), points.repeat(10, 1).flip(0)):
        assert coverage(order, modes, std=1.0)["high_quality"] == 0.75
    middle = torch.tensor([[500.0, 500.0]]).repeat(64, 1)
    assert landing(middle, modes, torch.zeros(64, dtype=torch.int64), 1).tolist() == [[64, 0]]


# Every metric of samples: an order of the generated samples is no property of a generator


class FirstNumbers:
    """Features: the pixels; logits: the first four of them."""

    name, hash = "inception", "0123456789ab"

    def prepare(self, data: object, device: object) -> None:
        return

    def __call__(self, images: Tensor) -> Features:
        flat = images.flatten(1)
        return Features(flat, 5 * flat[:, :4])


def scored(metric: Metric, fake: Tensor, shape: tuple[int, ...]) -> dict[str, float]:
    def samples(split: str, rows: Tensor) -> Samples:
        return Samples(split, len(rows), lambda: iter([Images(p.unflatten(1, shape)) for p in rows.float().split(50)]))

    train, test = whole(200, fake.shape[1], 1), whole(150, fake.shape[1], 2)
    data = SimpleNamespace(modes=train[:8], std=0.1, quality_radius=3.0, value_range=(-1.0, 1.0))
    return metric(EvaluationData(
        samples("generated", fake), samples("train", train), samples("test", test),
        extractor=FirstNumbers(), data=data,  # type: ignore[arg-type]
    ))  # fmt: skip


ORDERLESS = {
    "fid": FrechetInceptionDistance(), "kid": KernelInceptionDistance(subsets=1, size=150), "mmd": MMDMetric(),
    "prdc": PRDC(), "one_nn": OneNearestNeighborTest(), "is": InceptionScore(splits=1), "mode_score": ModeScore(),
    "modified_is": ModifiedInceptionScore(), "ndb": StatisticallyDifferentBins(bins=20),
    "memorization": Memorization(count=150), "parzen": Parzen(validation=100), "modes": ModeCoverage(),
}  # fmt: skip
RANDOM = {
    "kid": KernelInceptionDistance, "is": InceptionScore, "parzen_fgan": KernelDensity, "diversity": FeatureDiversity
}  # fmt: skip
"""Metrics that take random subsets, splits, folds or pairs by number: their expectation is without an order."""


@pytest.mark.parametrize("name", ORDERLESS)
def test_the_order_of_the_generated_samples_changes_nothing(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gan_cli.metrics.modes.HasModes", object, raising=False)
    fake = whole(150, 12, 3)
    before = scored(ORDERLESS[name], fake, (3, 2, 2))
    for seed in range(4):
        order = torch.randperm(len(fake), generator=torch.Generator().manual_seed(seed))
        after = scored(ORDERLESS[name], fake[order], (3, 2, 2))
        assert after.keys() == before.keys()
        for key, value in before.items():
            assert after[key] == pytest.approx(value, abs=1e-9, nan_ok=True), key


def test_every_metric_of_samples_is_in_one_of_the_lists() -> None:
    from helpers import config_names

    # Those that ask the model themselves; and lpips, layer_distance and ms_ssim, which pair images at random.
    of_model = {
        "classification_error", "conditional_accuracy", "discriminator_accuracy", "domain_modes", "gaussian_fit",
        "infogan_codes", "layer_distance", "lpips", "mode_seeking", "ms_ssim", "one_nn_classifier", "paired",
        "segmentation", "sharpness", "stacked_modes", "translation_diversity",
    }  # fmt: skip
    assert set(config_names("metric")) == of_model | ORDERLESS.keys() | RANDOM.keys()


# What one part has no spread


def test_the_spread_of_one_subset_and_of_one_split_is_not_defined() -> None:
    x, y = whole(50, 4, 0), whole(50, 4, 1)
    assert math.isnan(kid(x, y)[1]) and math.isnan(kid(x, y[:40], subsets=1)[1]) and kid(x, y[:40], subsets=2)[1] > 0
    assert math.isnan(scored(InceptionScore(splits=1), whole(150, 12, 3), (3, 2, 2))["IS_std"])
    assert Counter(map(math.isnan, scored(InceptionScore(), whole(150, 12, 3), (3, 2, 2)).values())) == {False: 2}
    assert prdc_module.limits(x, [1])[0].min() <= 0  # two equal rows have an empty ball
