"""Metrics on raw samples against closed forms, brute force and values by hand."""

import math
import sys
from collections.abc import Iterator
from itertools import product
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from gan_cli.data.base import Domains, Images, Pairs
from gan_cli.data.gaussians import Gaussians1200, Ring
from gan_cli.data.shapes import ShapesEdges, ShapesStripes
from gan_cli.metrics import ndb, parzen
from gan_cli.metrics.base import EvaluationData, Features, Samples
from gan_cli.metrics.conditional import ConditionalAccuracy, OneNearestNeighborError, class_accuracy, one_nn_error
from gan_cli.metrics.diversity import (
    FeatureDiversity,
    MultiScaleSimilarity,
    PerceptualDiversity,
    angular,
    within_classes,
)
from gan_cli.metrics.lpips import LPIPS
from gan_cli.metrics.memorization import Memorization
from gan_cli.metrics.modes import ModeCoverage, coverage
from gan_cli.metrics.ndb import StatisticallyDifferentBins, assign, different, jensen_shannon, z_scores
from gan_cli.metrics.paired_translation import PairedTranslation, l1
from gan_cli.metrics.parzen import KernelDensity, Parzen, cross_validated, log_density
from gan_cli.metrics.pixels import class_samples, nearest, pairs, pick, symmetric
from gan_cli.metrics.similarity import WEIGHTS, ms_ssim, psnr, scales, ssim
from gan_cli.utils.clustering import kmeans, squared_distances


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def samples(split: str, image: Tensor, label: Tensor | None = None, batch: int = 64) -> Samples:
    def batches() -> Iterator[Images]:
        for part in torch.arange(len(image)).split(batch):
            yield Images(image[part], None if label is None else label[part])

    return Samples(split, len(image), batches)


def evaluation(generated: Tensor, train: Tensor, test: Tensor | None = None, **more) -> EvaluationData:
    test = train if test is None else test
    return EvaluationData(samples("generated", generated), samples("train", train), samples("test", test), **more)


POINTS = SimpleNamespace(value_range=None, num_classes=None, image_size=1)
IMAGES = SimpleNamespace(value_range=(-1.0, 1.0), num_classes=3, image_size=32)


# distances


def test_nearest_is_brute_force_over_blocks() -> None:
    query, base = torch.randn(13, 5).double(), torch.randn(31, 5).double()
    base[7] = query[2]
    distance, number = nearest(query, base.split(4), k=3)
    brute, order = torch.cdist(query, base).sort(1)
    assert torch.equal(number, order[:, :3])
    torch.testing.assert_close(distance, brute[:, :3], atol=1e-6, rtol=0)
    assert number[2, 0] == 7
    with pytest.raises(ValueError, match="40 nearest"):
        nearest(query, base.split(4), k=40)


def test_pairs_are_of_two_and_even() -> None:
    drawn = pairs(5, 20_000, seed=1)
    assert (drawn[0] != drawn[1]).all() and torch.equal(drawn, pairs(5, 20_000, seed=1))
    counts = torch.bincount(drawn[0] * 5 + drawn[1], minlength=25).view(5, 5)
    assert (counts.diagonal() == 0).all()
    assert (counts[~torch.eye(5, dtype=torch.bool)] - 1000).abs().max() < 5 * math.sqrt(1000)
    with pytest.raises(ValueError, match="needs two"):
        pairs(1, 1, seed=0)


def test_pick_keeps_the_order_and_stops_early() -> None:
    image = torch.arange(100.0)[:, None, None, None]
    source = samples("train", image, batch=7)
    assert pick(source, torch.tensor([20, 3, 3, 8])).flatten().tolist() == [20, 3, 3, 8]
    assert source.used == 21
    with pytest.raises(ValueError, match="train samples hold NaN"):
        pick(samples("train", image * math.nan), torch.tensor([1]))


# Parzen


def test_log_density_is_brute_force(monkeypatch) -> None:
    monkeypatch.setattr(parzen, "BLOCK", 3)  # many blocks of both
    x, centres, sigmas = torch.rand(7, 4), torch.rand(30, 4), torch.tensor([0.05, 0.3, 2.0])
    found = log_density(x, centres, sigmas)
    for (s, sigma), (n, point) in product(enumerate(sigmas.tolist()), enumerate(x.tolist())):
        total = 0.0
        for centre in centres.tolist():
            square = sum((a - b) ** 2 for a, b in zip(point, centre))
            total += math.exp(-square / (2 * sigma**2)) / (sigma * math.sqrt(2 * math.pi)) ** 4
        assert found[s, n].item() == pytest.approx(math.log(total / 30), abs=1e-5)  # float32 inputs, sigma in float32
    exact = log_density(x.double(), centres.double(), sigmas.double())
    by_cdist = torch.cdist(x.double(), centres.double(), compute_mode="donot_use_mm_for_euclid_dist").square()
    brute = torch.stack([torch.logsumexp(-by_cdist / (2 * s**2), 1) - 4 * torch.log(s) for s in sigmas.double()])
    torch.testing.assert_close(exact, brute - math.log(30) - 2 * math.log(2 * math.pi), atol=1e-9, rtol=0)


def test_one_centre_is_a_gaussian_and_far_points_stay_finite() -> None:
    x = torch.tensor([[3.0, 4.0], [300.0, 400.0]])
    found = log_density(x, torch.zeros(1, 2), torch.tensor([0.5]))[0]
    norm = -2 * math.log(0.5 * math.sqrt(2 * math.pi))
    assert found.tolist() == pytest.approx([-25 / 0.5 + norm, -250_000 / 0.5 + norm])


def test_density_of_gaussian_centres_is_the_wider_gaussian() -> None:
    """Centres from N(0, s^2 I): the expected kernel estimate is N(0, (s^2 + sigma^2) I)."""
    s, sigma, d = 0.8, 0.4, 2
    centres, x = s * torch.randn(40_000, d), s * torch.randn(400, d)
    variance = s**2 + sigma**2
    closed = -x.square().sum(1) / (2 * variance) - d / 2 * math.log(2 * math.pi * variance)
    found = log_density(x, centres, torch.tensor([sigma]))[0]
    assert (found - closed).abs().max() < 0.25 and (found - closed).mean().abs() < 0.01


def test_cross_validation_leaves_each_fold_out() -> None:
    centres, sigmas = torch.randn(9, 2), torch.tensor([0.3, 1.0])
    brute = []
    for fold in range(3):
        held = [i for i in range(9) if i % 3 == fold]
        rest = [i for i in range(9) if i % 3 != fold]
        brute.append(log_density(centres[held], centres[rest], sigmas).mean(1))
    torch.testing.assert_close(cross_validated(centres, sigmas, 3), torch.stack(brute).mean(0))


def test_parzen_maps_to_unit_range_and_takes_the_best_sigma() -> None:
    shape = (1, 3, 3)
    generated, train, test = (0.3 * torch.randn(n, *shape) for n in (200, 80, 50))
    values = Parzen(validation=60)(evaluation(generated, train, test))
    flat = [(part.flatten(1).double() + 1) / 2 for part in (generated, train[:60], test)]
    sigmas = [10 ** (-1 + i / 9) for i in range(10)]

    def mean(x: Tensor, sigma: float) -> Tensor:
        square = (x[:, None] - flat[0]).square().sum(2)
        return torch.logsumexp(-square / (2 * sigma**2), 1) - math.log(200) - 9 * math.log(sigma * 2.5066282746)

    best = max(sigmas, key=lambda sigma: mean(flat[1], sigma).mean().item())
    held_out = mean(flat[2], best)
    assert values["parzen_sigma"] == pytest.approx(best) and 0.1 < best < 0.3
    assert values["parzen"] == pytest.approx(held_out.mean().item(), abs=1e-5)
    assert values["parzen_error"] == pytest.approx((held_out.std() / math.sqrt(50)).item(), rel=1e-5)
    with pytest.raises(ValueError, match="80"):
        Parzen(validation=81)(evaluation(generated, train, test))
    with pytest.raises(ValueError, match="points"):
        Parzen().check(None, POINTS)
    with pytest.raises(ValueError, match="generated samples hold NaN"):
        Parzen(validation=60)(evaluation(generated.log(), train, test))


def brute_score(x: Tensor, centers: Tensor, sigma: float) -> float:
    """Mean log density of images in [-1, 1] (N, 1, 3, 3), whose pixels the protocols map to [0, 1]."""
    square = ((x.double()[:, None] - centers.double()) / 2).square().sum((2, 3, 4))
    density = torch.logsumexp(-square / (2 * sigma**2), 1) - math.log(len(centers))
    return density.mean().item() - 9 * math.log(sigma * math.sqrt(2 * math.pi))


def test_parzen_prints_what_training_images_reach_beside_the_score() -> None:
    """As many training images in place of the generated ones, with their own sigma by the same protocol."""
    generated, train, test, withheld = (s * torch.randn(n, 1, 3, 3) for s, n in
                                        ((0.05, 70), (0.3, 80), (0.3, 50), (0.3, 40)))  # fmt: skip
    grid = [0.1 + 0.01 * i for i in range(20)]
    metric = Parzen(validation=30, sigmas=grid)
    data = evaluation(generated, train, test, validation=samples("validation", withheld))
    values = metric(data)
    for name, centers in (("parzen", generated), ("parzen_real", train)):
        sigma = max(grid, key=lambda sigma: brute_score(withheld[:30], centers, sigma))
        assert values[name] == pytest.approx(brute_score(test, centers, sigma), abs=1e-5)
    assert metric(data) == values
    # Without withheld images those that choose sigma are no centers, or the smallest sigma would win.
    values = Parzen(validation=30, sigmas=grid)(evaluation(generated, train, test))
    sigma = max(grid, key=lambda sigma: brute_score(train[:30], train[30:], sigma))
    assert values["parzen_real"] == pytest.approx(brute_score(test, train[30:], sigma), abs=1e-5)
    with pytest.raises(ValueError, match="positive"):
        Parzen(sigmas=[0.1, 0.0])


def test_fgans_protocol_prints_what_training_images_reach_beside_the_score() -> None:
    generated, train, test = (s * torch.randn(n, 1, 3, 3) for s, n in ((0.05, 45), (0.3, 45), (0.3, 50)))
    values = KernelDensity(low=-1, high=0, steps=5)(evaluation(generated, train, test))
    groups = [(train[k::3], torch.cat([train[other::3] for other in range(3) if other != k])) for k in range(3)]
    sigma = max((10 ** (-1 + i / 4) for i in range(5)), key=lambda sigma: sum(brute_score(*g, sigma) for g in groups))
    assert values["kde_real"] == pytest.approx(brute_score(test, train, sigma), abs=1e-5)
    same = samples("train", train)  # two sources: the held-out images are the training images
    assert "kde_real" not in KernelDensity()(EvaluationData(samples("generated", generated), same, same))


def test_fgans_protocol_punishes_few_images() -> None:
    """Copies of few images: cross-validation on them chooses the smallest sigma, and held-out images are far off."""
    train, test = 0.3 * torch.randn(2, 90, 1, 3, 3)
    rich, poor = 0.3 * torch.randn(90, 1, 3, 3), train[:4].repeat(25, 1, 1, 1)
    values = {name: KernelDensity()(evaluation(x, train, test)) for name, x in (("rich", rich), ("poor", poor))}
    assert values["poor"]["kde_sigma"] == pytest.approx(0.01) and values["rich"]["kde_sigma"] > 0.05
    assert values["poor"]["kde"] < values["rich"]["kde"] - 100


# bins


def test_z_by_hand() -> None:
    z = z_scores(torch.tensor([30, 70, 0]), torch.tensor([50, 50, 0]))
    by_hand = (0.3 - 0.5) / math.sqrt(0.4 * 0.6 * (1 / 100 + 1 / 100))  # p = 80/200
    assert z.tolist() == pytest.approx([by_hand, -by_hand, 0])
    uneven = z_scores(torch.tensor([10, 90]), torch.tensor([10, 40]))[0].item()
    assert uneven == pytest.approx((0.1 - 0.2) / math.sqrt(20 / 150 * 130 / 150 * (1 / 100 + 1 / 50)))
    assert different(torch.tensor([30, 70, 0]), torch.tensor([50, 50, 0])) == 2
    assert different(torch.tensor([30, 70]), torch.tensor([43, 57])) == 0  # z = -1.91
    assert different(torch.tensor([30, 70]), torch.tensor([44, 56])) == 2  # z = -2.05


def test_the_test_has_its_level() -> None:
    share = torch.distributions.Dirichlet(torch.full((100,), 5.0)).sample()
    draws = torch.distributions.Multinomial(10_000, share)
    found = [different(draws.sample(), draws.sample()) for _ in range(200)]
    assert sum(found) / 200 == pytest.approx(5, abs=0.5)  # alpha K


def test_jensen_shannon_by_hand() -> None:
    assert jensen_shannon(torch.tensor([3, 0]), torch.tensor([0, 5])) == pytest.approx(math.log(2))
    assert jensen_shannon(torch.tensor([3, 6]), torch.tensor([1, 2])) == pytest.approx(0, abs=1e-12)
    by_hand = (math.log(4 / 3) + (math.log(2 / 3) + math.log(2)) / 2) / 2  # (1, 0) and (1/2, 1/2)
    assert jensen_shannon(torch.tensor([4, 0]), torch.tensor([1, 1])) == pytest.approx(by_hand)


def test_kmeans_finds_clusters_and_survives_copies() -> None:
    truth = 10 * torch.eye(6)
    data = truth.repeat(50, 1) + 0.1 * torch.randn(300, 6)
    centres = kmeans(data, 6, seed=3)
    match = torch.cdist(truth, centres).argmin(1)
    assert match.sort().values.tolist() == list(range(6))
    groups = torch.stack([data[i::6].mean(0) for i in range(6)])
    torch.testing.assert_close(centres[match], groups, atol=1e-4, rtol=0)
    assert assign(data, centres).tolist() == [50] * 6
    assert torch.equal(centres, kmeans(data, 6, seed=3))
    copies = kmeans(torch.tensor([[0.0], [1.0]]).repeat(20, 1), 5, seed=0)
    assert copies.isfinite().all() and set(copies.flatten().tolist()) == {0.0, 1.0}


def test_kmeans_is_a_fixed_point() -> None:
    data = torch.randn(400, 3)
    centres = kmeans(data, 12, seed=0)
    label = squared_distances(data, centres).argmin(1)
    means = torch.stack([data[label == k].mean(0) for k in range(12)])
    torch.testing.assert_close(means, centres, atol=1e-5, rtol=0)


def test_ndb_of_equal_halves_and_of_half_the_modes() -> None:
    draw = Ring().train_batch(0, 0, 9000).image
    train, same, test = draw.split(3000)
    half = same[same[:, 0, 0, 0] > 0]
    good = StatisticallyDifferentBins(bins=40)(evaluation(same, train, test))
    bad = StatisticallyDifferentBins(bins=40)(evaluation(half, train, test))
    assert good["NDB"] <= 8 and good["JSD"] < 0.02 and good["NDB_share"] == good["NDB"] / 40
    assert good["NDB_test"] <= 8 and bad["NDB_test"] == good["NDB_test"]
    assert bad["NDB"] >= 30 and bad["JSD"] > 0.15
    own = StatisticallyDifferentBins(bins=40)(evaluation(train, train, test))
    assert own["NDB"] == 0 and own["JSD"] == pytest.approx(0, abs=1e-12)
    with pytest.raises(ValueError, match="1000 training samples, and there are 999"):
        StatisticallyDifferentBins()(evaluation(same, train[:999]))


def test_whitening_takes_the_scale_away() -> None:
    train, generated = torch.randn(2, 600, 3, 1, 1)
    generated[:, 1] += 0.5
    scale = torch.tensor([1.0, 1e-3, 1.0])[:, None, None]
    plain, scaled = (
        StatisticallyDifferentBins(20, whiten=whiten)(evaluation(generated * scale, train * scale))
        for whiten in (False, True)
    )
    reference = StatisticallyDifferentBins(20, whiten=True)(evaluation(generated, train))
    assert scaled["JSD"] == pytest.approx(reference["JSD"], abs=1e-3)
    assert plain["JSD"] < scaled["JSD"] / 2  # what differs was too small to matter


def test_large_images_are_binned_by_a_sixth_of_their_pixels(monkeypatch) -> None:
    seen: list[Tensor] = []
    monkeypatch.setattr(ndb, "kmeans", lambda data, *more, **options: seen.append(data) or kmeans(data, *more))
    large, middling = torch.randn(200, 3, 20, 20), torch.randn(200, 1, 25, 40)
    assert StatisticallyDifferentBins(10)(evaluation(large, large))["NDB"] == 0
    StatisticallyDifferentBins(10)(evaluation(middling, middling))
    assert [data.shape for data in seen] == [(200, 200), (200, 1000)]
    columns = torch.cdist(seen[0].T, large.flatten(1).T).argmin(1)
    assert len(columns.unique()) == 200 and torch.equal(large.flatten(1)[:, columns], seen[0])
    assert columns.max() > 1000 and torch.equal(middling.flatten(1), seen[1])


# likeness


def test_psnr_by_hand() -> None:
    a = torch.zeros(3, 2, 4, 4)
    b = a.clone()
    b[0] += 0.2  # mse .04: 10 log10(4 / .04)
    b[1, :, :2] += 0.4  # mse .08
    assert psnr(a, b).tolist() == pytest.approx([20, 10 * math.log10(50), 10 * math.log10(4e10)], rel=1e-5)


def naive_ssim(a: Tensor, b: Tensor) -> tuple[float, float]:
    """One channel (H, W) in [0, 1], by loops -> mean of l cs, mean of cs."""
    at = [(i, j, math.exp(-((i - 5) ** 2 + (j - 5) ** 2) / (2 * 1.5**2))) for i in range(11) for j in range(11)]
    total = sum(w for *_, w in at)
    whole, contrast = [], []
    for top, left in product(range(a.shape[0] - 10), range(a.shape[1] - 10)):
        x = [(w / total, a[top + i, left + j].item(), b[top + i, left + j].item()) for i, j, w in at]
        ma, mb = sum(w * p for w, p, _ in x), sum(w * q for w, _, q in x)
        va, vb = sum(w * (p - ma) ** 2 for w, p, _ in x), sum(w * (q - mb) ** 2 for w, _, q in x)
        ab = sum(w * (p - ma) * (q - mb) for w, p, q in x)
        contrast.append((2 * ab + 0.03**2) / (va + vb + 0.03**2))
        whole.append(contrast[-1] * (2 * ma * mb + 0.01**2) / (ma**2 + mb**2 + 0.01**2))
    return sum(whole) / len(whole), sum(contrast) / len(contrast)


def test_ssim_is_the_formula_by_loops() -> None:
    a = 2 * torch.rand(1, 2, 13, 12).double() - 1
    b = (a + 0.3 * torch.randn_like(a)).clamp(-1, 1)
    by_loops = [naive_ssim((a[0, c] + 1) / 2, (b[0, c] + 1) / 2)[0] for c in range(2)]
    assert ssim(a, b).item() == pytest.approx(sum(by_loops) / 2, rel=1e-9)
    torch.testing.assert_close(ssim(a, a), torch.ones(1, dtype=torch.float64))
    with pytest.raises(ValueError, match="at least 11"):
        ssim(a[..., :10], b[..., :10])


def test_ssim_of_even_images_is_luminance() -> None:
    a, b = torch.full((1, 1, 16, 16), -0.6), torch.full((1, 1, 16, 16), 0.2)  # .2 and .6 of [0, 1]
    assert ssim(a, b).item() == pytest.approx((2 * 0.12 + 1e-4) / (0.04 + 0.36 + 1e-4), rel=1e-6)


def test_ms_ssim_is_the_product_over_scales() -> None:
    a = (2 * torch.rand(1, 1, 24, 24).double() - 1) * 0.8
    b = (a + 0.2 * torch.randn_like(a)).clamp(-1, 1)
    contrast = naive_ssim(*((x[0, 0] + 1) / 2 for x in (a, b)))[1]
    whole = naive_ssim(*((avg_pool2d(x, 2)[0, 0] + 1) / 2 for x in (a, b)))[0]
    first = 0.0448 / (0.0448 + 0.2856)
    assert ms_ssim(a, b).item() == pytest.approx(contrast**first * whole ** (1 - first), rel=1e-9)


def test_ms_ssim_of_like_turned_and_even_images() -> None:
    a, b = (2 * torch.rand(2, 3, 3, 180, 180) - 1).unbind()
    b = 0.7 * a + 0.3 * b
    value = ms_ssim(a, b)
    torch.testing.assert_close(ms_ssim(a, a), torch.ones(3, dtype=torch.float64))
    torch.testing.assert_close(ms_ssim(b, a), value)
    torch.testing.assert_close(ms_ssim(a[:, [2, 0, 1]], b[:, [2, 0, 1]]), value)
    torch.testing.assert_close(ms_ssim(a[:, :, :176, :176].mT, b[:, :, :176, :176].mT),
                               ms_ssim(a[:, :, :176, :176], b[:, :, :176, :176]))
    assert ((value > 0) & (value < 1)).all()
    even = ms_ssim(torch.full((1, 1, 176, 176), -0.6), torch.full((1, 1, 176, 176), 0.2)).item()
    assert even == pytest.approx(((0.24 + 1e-4) / (0.4 + 1e-4)) ** (0.1333 / sum(WEIGHTS)), rel=1e-5)
    assert ms_ssim(a, -a).tolist() == [0, 0, 0]  # anticorrelated


def test_scales_that_fit() -> None:
    assert [scales(size) for size in (22, 28, 32, 43, 44, 64, 88, 175, 176, 1024)] == [2, 2, 2, 2, 3, 3, 4, 4, 5, 5]
    with pytest.raises(ValueError, match="22 pixels"):
        scales(21)


# diversity


class Bars:
    """Images of one of three classes, `wrong` of them of the class after; the class is a bright third of the rows."""

    needs_labels, directions = True, ()

    def __init__(self, noise: float = 0.0, wrong: int | None = None, low: float = -1.0) -> None:
        self.noise, self.wrong, self.low = noise, wrong, low

    def generate(self, n: int, label: Tensor) -> Tensor:
        label = torch.where(label == (-1 if self.wrong is None else self.wrong), (label + 1) % 3, label)
        image = torch.full((n, 1, 24, 24), self.low)
        for row, number in enumerate(label.tolist()):
            image[row, :, 8 * number : 8 * number + 8] = 1.0
        return image + self.noise * torch.randn_like(image)


def real(n: int, noise: float) -> tuple[Tensor, Tensor]:
    label = torch.randint(3, (n,))
    return Bars(noise).generate(n, label), label


def conditional(
    system: Bars, n: int = 60, noise: float = 0.3, value_range: tuple = (-1.0, 1.0), **more
) -> EvaluationData:
    data = SimpleNamespace(value_range=value_range, num_classes=3, image_size=24)
    unconditional = samples("generated", system.generate(n, torch.randint(3, (n,))))
    train, test = samples("train", *real(200, noise)), samples("test", *real(90, noise))
    return EvaluationData(unconditional, train, test, system=system, data=data, **more)


def test_pairs_within_classes() -> None:
    label = torch.tensor([0] * 50 + [4] * 5 + [7] * 2)
    drawn = within_classes(label, 30, seed=0)
    assert torch.equal(label[drawn[0]], label[drawn[1]]) and (drawn[0] != drawn[1]).all()
    assert torch.bincount(label[drawn[0]]).tolist() == [10, 0, 0, 0, 10, 0, 0, 10]
    with pytest.raises(ValueError, match="needs two"):
        within_classes(torch.tensor([0, 0, 1]), 4, seed=0)


def test_ms_ssim_sees_collapse_and_pairs_by_class() -> None:
    train = 2 * torch.rand(100, 1, 24, 24) - 1
    collapsed = MultiScaleSimilarity(50)(evaluation(train[:1].repeat(40, 1, 1, 1), train, data=IMAGES))
    assert collapsed["MS-SSIM[2 scales]"] == pytest.approx(1) and collapsed["MS-SSIM_real[2 scales]"] < 0.3
    by_class = MultiScaleSimilarity(50)(conditional(Bars()))
    assert by_class["MS-SSIM[2 scales]"] == pytest.approx(1)  # classes differ, images of a class do not
    system = Bars()
    system.needs_labels = False
    assert MultiScaleSimilarity(50)(conditional(system))["MS-SSIM[2 scales]"] < 0.9
    large = 2 * torch.rand(4, 1, 176, 176) - 1
    assert set(MultiScaleSimilarity(4)(evaluation(large, large))) == {"MS-SSIM", "MS-SSIM_real"}
    with pytest.raises(ValueError, match="22 pixels"):
        MultiScaleSimilarity().check(None, SimpleNamespace(value_range=(0, 1), image_size=16))


class Reader:
    """Extractor: features are the pixels; logits the brightness of the three thirds."""

    name, hash = "reader", "abcdef"

    def __init__(self, classes: int = 3) -> None:
        self.classes = classes

    def prepare(self, data: object, device: torch.device) -> None:
        pass

    def __call__(self, images: Tensor) -> Features:
        logits = images.flatten(1).unflatten(1, (self.classes, -1)).mean(2) if self.classes else None
        return Features(images.flatten(1), logits)


def test_feature_diversity_by_hand() -> None:
    a, b = torch.tensor([[1.0, 0], [2.0, 0], [3.0, 0]]), torch.tensor([[0.0, 5], [-1.0, 0], [7.0, 0]])
    assert angular(a, b).tolist() == pytest.approx([2, 4, 0])
    corners = torch.eye(4)[:, :, None, None]
    one = torch.ones(6, 4, 1, 1)
    values = FeatureDiversity(500)(evaluation(one, corners, extractor=Reader(0)))
    assert values == {"diversity[reader:abcd]": pytest.approx(0), "diversity_real[reader:abcd]": pytest.approx(2)}


def fake_lpips(folder, monkeypatch) -> str:
    """A package lpips with random weights, and a file of a random AlexNet."""
    from torchvision.models import alexnet

    (folder / "lpips" / "weights" / "v0.1").mkdir(parents=True)
    (folder / "lpips" / "__init__.py").touch()
    linear = {f"lin{i}.model.1.weight": torch.rand(1, c, 1, 1) for i, c in enumerate((64, 192, 384, 256, 256))}
    torch.save(linear, folder / "lpips" / "weights" / "v0.1" / "alex.pth")
    with torch.device("meta"):
        layers = alexnet().features
    layers.to_empty(device="cpu")
    for parameter in layers.parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    torch.save({f"features.{key}": value for key, value in layers.state_dict().items()}, folder / "alexnet.pth")
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delitem(sys.modules, "lpips", raising=False)
    return str(folder / "alexnet.pth")


def test_lpips_is_its_formula(tmp_path, monkeypatch) -> None:
    weights = fake_lpips(tmp_path, monkeypatch)
    network = LPIPS(weights)
    a, b = 2 * torch.rand(2, 2, 3, 64, 64) - 1
    total = torch.zeros(2)
    x, y = ((i - torch.tensor([-0.030, -0.088, -0.188])[:, None, None])
            / torch.tensor([0.458, 0.448, 0.450])[:, None, None] for i in (a, b))
    linear = torch.load(tmp_path / "lpips" / "weights" / "v0.1" / "alex.pth")
    level = 0
    for layer in network.layers:
        x, y = layer(x), layer(y)
        if isinstance(layer, torch.nn.ReLU):
            w = linear[f"lin{level}.model.1.weight"][0, :, 0, 0]
            p, q = (v / v.square().sum(1, keepdim=True).sqrt().clamp(min=1e-10) for v in (x, y))
            total += torch.einsum("c,nchw->n", w, (p - q) ** 2) / p[0, 0].numel()
            level += 1
    assert level == 5
    torch.testing.assert_close(network(a, b), total)
    assert network(a, a).tolist() == [0, 0] and (total > 0.01).all()
    gray = a[:, :1]
    torch.testing.assert_close(network(gray, b), network(gray.expand(-1, 3, -1, -1), b))
    images = 2 * torch.rand(6, 3, 64, 64) - 1
    values = PerceptualDiversity(weights, pairs=8)(evaluation(images[:1].repeat(3, 1, 1, 1), images))
    assert values["LPIPS"] == 0 and values["LPIPS_real"] > 0.01


def test_lpips_beside_its_authors_code(tmp_path) -> None:
    theirs = pytest.importorskip("lpips").LPIPS(net="alex", pnet_rand=True, verbose=False)
    slices = [getattr(theirs.net, f"slice{part}").state_dict() for part in range(1, 6)]
    state = {f"features.{key}": value for part in slices for key, value in part.items()}
    torch.save(state, tmp_path / "alexnet.pth")
    a, b = 2 * torch.rand(2, 3, 3, 64, 64) - 1
    with torch.no_grad():
        torch.testing.assert_close(LPIPS(str(tmp_path / "alexnet.pth"))(a, b), theirs(a, b).flatten())


def test_lpips_names_what_is_missing(tmp_path, monkeypatch) -> None:
    with monkeypatch.context() as absent:
        absent.setattr("importlib.util.find_spec", lambda name: None)
        with pytest.raises(ValueError, match="pip install lpips"):
            LPIPS(None)
    weights = fake_lpips(tmp_path, monkeypatch)
    with pytest.raises(ValueError, match="alexnet=FILE"):
        PerceptualDiversity().check(None, None)
    with pytest.raises(ValueError, match="not there"):
        PerceptualDiversity("nowhere.pth").check(None, None)
    with pytest.raises(ValueError, match="64 pixels, not 32"):
        PerceptualDiversity(weights).check(None, IMAGES)
    for content in (b"text", b""):
        (tmp_path / "broken.pth").write_bytes(content)
        with pytest.raises(ValueError, match="not a file of weights"):
            LPIPS(str(tmp_path / "broken.pth"))
    torch.save({"x": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(ValueError, match="does not hold the weights"):
        LPIPS(str(tmp_path / "other.pth"))


# labels


def test_one_nn_on_separable_points() -> None:
    label = torch.arange(60) % 3
    train, test = (10 * torch.eye(3)[label] + torch.randn(60, 3) for _ in range(2))
    blocks = list(zip(train.split(7), label.split(7)))
    assert one_nn_error(iter(blocks), test, label) == 0
    assert one_nn_error(iter([(x, (y + 1) % 3) for x, y in blocks]), test, label) == 1
    third = [(x, torch.where(y == 1, 0, y)) for x, y in blocks]
    assert one_nn_error(iter(third), test, label) == pytest.approx(1 / 3)


@pytest.mark.parametrize("system, value_range", [(Bars(), (-1.0, 1.0)), (Bars(low=0.0), (0.0, 1.0))])
def test_labeled_samples_take_the_classes_in_turn_and_lie_in_the_common_range(system, value_range) -> None:
    there = conditional(system, value_range=value_range)
    image, label = (torch.cat(column) for column in zip(*class_samples(there, 400)))
    assert label.tolist() == [number % 3 for number in range(400)] and there.generated.used == 400
    assert torch.equal(image, Bars().generate(400, label))
    with pytest.raises(ValueError, match="generated samples hold NaN"):
        list(class_samples(conditional(Bars(math.nan)), 3))


def test_one_nn_classifier_on_generated_samples() -> None:
    assert OneNearestNeighborError()(conditional(Bars(0.1))) == {"one_nn_error": 0, "one_nn_error_real": 0}


def test_one_nn_classifier_tells_wrong_classes() -> None:
    values = OneNearestNeighborError()(conditional(Bars(0.1, wrong=2)))  # images of class 2 are those of class 0
    assert 0.2 < values["one_nn_error"] <= 1 and values["one_nn_error_real"] == 0
    for metric in (OneNearestNeighborError(), ConditionalAccuracy()):
        with pytest.raises(ValueError, match="model=cgan"):
            metric.check(SimpleNamespace(needs_labels=False), IMAGES)
        with pytest.raises(ValueError, match="labeled data set"):
            metric.check(Bars(), POINTS)
        metric.check(Bars(), IMAGES)


def test_class_accuracy_by_hand() -> None:
    predicted, label = torch.tensor([0, 1, 1, 2, 0]), torch.tensor([0, 1, 1, 1, 2])
    assert class_accuracy(predicted, label, 3).tolist() == pytest.approx([1, 2 / 3, 0])
    assert class_accuracy(predicted, label, 4)[3].isnan()


def test_conditional_accuracy() -> None:
    good = ConditionalAccuracy()(conditional(Bars(0.1), extractor=Reader()))
    assert good["accuracy[reader:abcd]"] == good["accuracy_real[reader:abcd]"] == 1
    bad = ConditionalAccuracy()(conditional(Bars(0.1, wrong=1), extractor=Reader()))
    assert bad["accuracy[reader:abcd]"] == pytest.approx(2 / 3)
    assert bad["worst_class_accuracy[reader:abcd]"] == 0 and bad["worst_class[reader:abcd]"] == 1
    assert {name.split("[")[0] for name in good} == set(ConditionalAccuracy.better)
    for classes in (0, 4):
        with pytest.raises(ValueError, match="extractor=classifier"):
            ConditionalAccuracy()(conditional(Bars(), extractor=Reader(classes)))


# translation


class Translator:
    directions = ("AtoB", "BtoA")
    device = torch.device("cpu")

    def __init__(self, offset: float) -> None:
        self.offset = offset

    def translate(self, image: Tensor, direction: str) -> Tensor:
        return image + self.offset * (1 if direction == "AtoB" else -1)


@pytest.mark.parametrize("value_range, factor", [((-1.0, 1.0), 1), ((0.0, 1.0), 2)])
def test_partner_in_units_of_minus_one_to_one(value_range, factor) -> None:
    class Data:
        image_size, test_size = 16, 60

        def test_pairs(self, start: int, count: int) -> Pairs:
            x = 0.4 + 0.02 * torch.arange(start, start + count)[:, None, None, None].expand(-1, 1, 16, 16) / 60
            return Pairs(x, x + 0.1)

    data = Data()
    data.value_range = value_range
    system = Translator(0.03)  # .07 are missing, either way
    values = PairedTranslation()(evaluation(torch.zeros(60, 1), torch.zeros(60, 1), system=system, data=data))
    assert set(values) == set(PairedTranslation.better)
    assert values["AtoB"] == pytest.approx(0.07 * factor, rel=1e-4) == values["BtoA"]
    assert values["identity"] == pytest.approx(0.1 * factor, rel=1e-4)
    assert values["psnr_AtoB"] == pytest.approx(20 * math.log10(2 / (0.07 * factor)), rel=1e-4)
    assert values["psnr_identity"] == pytest.approx(20 * math.log10(2 / (0.1 * factor)), rel=1e-4)
    assert values["ssim_identity"] < values["ssim_AtoB"] < 1


def test_partner_compares_outlines() -> None:
    """Another brightness has the same outlines; a step of height 2 between columns is 2 on one of 15 columns."""

    class Data:
        image_size, value_range = 16, (-1.0, 1.0)

        def test_pairs(self, start: int, count: int) -> Pairs:
            x = torch.full((count, 1, 16, 16), -0.5)
            y = torch.where(torch.arange(16) < 8, -1.0, 1.0).expand(count, 1, 16, 16)
            return Pairs(x, y)

    class Given(Translator):
        def translate(self, image: Tensor, direction: str) -> Tensor:
            return image + 0.25

    values = PairedTranslation()(evaluation(torch.zeros(3, 1), torch.zeros(3, 1), system=Given(0), data=Data()))
    assert values["outline_AtoB"] == values["outline_identity"] == pytest.approx(2 / 15)
    assert values["AtoB"] == pytest.approx(1.0)
    assert PairedTranslation.better["outline_AtoB"] == PairedTranslation.better["outline_BtoA"] == "lower"


def test_partner_with_the_style_of_the_partner() -> None:
    """transfer(image, style) gives the style: no error at all; translate knows nothing of it."""

    class Styled(Translator):
        def transfer(self, image: Tensor, style: Tensor, direction: str) -> Tensor:
            assert direction in ("AtoB", "BtoA")
            return style

    data, system = ShapesStripes(16), Styled(0.03)
    both = [PairedTranslation(style=style) for style in (False, True)]
    found = evaluation(torch.zeros(60, 1), torch.zeros(60, 1), system=system, data=data)
    free, given = (metric(found) for metric in both)
    assert given["AtoB"] == given["BtoA"] == given["outline_AtoB"] == 0 < free["AtoB"]
    assert given["identity"] == free["identity"] > 0
    both[1].check(system, data)
    with pytest.raises(ValueError, match=r"style=true .* model=drit"):
        both[1].check(Translator(0), data)


def test_partner_of_known_scenes_and_of_paired_data() -> None:
    class Perfect(Translator):
        """Knows the answers of the batch that it is asked for."""

        def __init__(self, data: object, directions: tuple[str, ...]) -> None:
            self.data, self.directions = data, directions

        def translate(self, image: Tensor, direction: str) -> Tensor:
            whole = self.data.test_batch(0, 60)
            at = self.directions.index(direction)
            first = (whole[at] - image[:1]).flatten(1).abs().sum(1).argmin()
            return whole[1 - at][first : first + len(image)]

    for data, directions in ((ShapesStripes(16), ("AtoB", "BtoA")), (ShapesEdges(16), ("AtoB",))):
        system = Perfect(data, directions)
        PairedTranslation().check(system, data)
        values = PairedTranslation()(evaluation(torch.zeros(60, 1), torch.zeros(60, 1), system=system, data=data))
        assert values["AtoB"] == 0 and values["ssim_AtoB"] == pytest.approx(1) and values["psnr_AtoB"] > 100
        assert all(values[name] == 0 for name in directions) and set(values) <= set(PairedTranslation.better)
        whole = data.test_batch(0, 60)
        assert values["identity"] == pytest.approx(l1(*whole), rel=1e-6) and values["ssim_identity"] < 0.9
        assert values["ssim_identity"] == pytest.approx(ssim(*whole).mean().item())
    for wrong in (Ring(), SimpleNamespace(batch_type=Domains)):
        with pytest.raises(ValueError, match="shapes_stripes"):
            PairedTranslation().check(Translator(0), wrong)
    with pytest.raises(ValueError, match="11 pixels"):
        PairedTranslation().check(Translator(0), ShapesStripes(8))


# memory


def test_neighbours_tells_copies_from_fresh_images(tmp_path) -> None:
    from PIL import Image

    train, test, fresh = (2 * torch.rand(n, 1, 6, 6) - 1 for n in (150, 90, 90))
    copies = train[torch.randperm(150)[:90]]
    learned = Memorization(k=3)(evaluation(fresh, train, test, folder=tmp_path))
    assert learned["nearest_ratio"] == pytest.approx(1, abs=0.05)
    assert learned["nearest_test"] == pytest.approx(
        torch.cdist(test.flatten(1), train.flatten(1)).min(1).values.mean().item(), rel=1e-5
    )
    before = (tmp_path / "memorization.png").read_bytes()
    memorised = Memorization(k=3)(evaluation(copies, train, test, folder=tmp_path))
    assert memorised["nearest_generated"] < 1e-6 and memorised["nearest_ratio"] < 1e-6
    assert (tmp_path / "memorization.png").read_bytes() != before
    assert [path.name for path in tmp_path.iterdir()] == ["memorization.png"]
    grid = torch.tensor(list(Image.open(tmp_path / "memorization.png").convert("L").getdata()))
    grid = grid.view(10 * 8 + 2, 4 * 8 + 2)  # 10 rows of a sample and 3 neighbors, 6 pixels and a rim of 2
    tiles = grid[2:].unfold(0, 6, 8).unfold(1, 6, 8)[:, 0:0]  # only the layout
    assert tiles.shape[0] == 10
    for row in range(10):
        top = 2 + 8 * row
        sample, first, second = (grid[top : top + 6, 2 + 8 * c : 8 + 8 * c] for c in range(3))
        assert torch.equal(sample, first) and not torch.equal(sample, second)
        expected = ((copies[row, 0] + 1) / 2 * 255).round()
        assert (sample - expected).abs().max() <= 1


def test_neighbours_of_points_and_of_a_full_disk(tmp_path) -> None:
    points = torch.randn(50, 2, 1, 1)
    values = Memorization()(evaluation(points, torch.randn(70, 2, 1, 1), torch.randn(40, 2, 1, 1), folder=tmp_path))
    assert 0.3 < values["nearest_ratio"] < 3 and not list(tmp_path.iterdir())
    images = torch.rand(20, 1, 4, 4)
    with pytest.raises(ValueError, match="cannot write image"):
        Memorization()(evaluation(images, images, folder=tmp_path / "absent"))
    with pytest.raises(ValueError, match="5 nearest"):
        Memorization()(evaluation(images, images[:4], images))


# modes


def test_modes_of_1200_dimensions_by_the_papers_radius_and_by_one_that_real_points_meet() -> None:
    data = Gaussians1200()
    points = data.test_batch(0, 2500).image
    where = {"data": data}
    literal = ModeCoverage()(evaluation(points, points, **where))
    assert literal["high_quality"] == 0 and literal["modes"] == 0 and math.isnan(literal["mode_jsd"])
    wide = ModeCoverage(radius=30.0)(evaluation(points, points, **where))
    assert wide["modes"] == 10 and wide["high_quality"] > 0.999 and wide["mode_jsd"] < 0.002
    assert wide["mode_entropy"] == pytest.approx(math.log(10), abs=0.01)
    narrow = data.modes[[0, 0, 3]][:, :, None, None]
    assert ModeCoverage()(evaluation(narrow, points, **where))["modes"] == 2


def test_entropy_and_divergence_of_the_captured_modes_by_hand() -> None:
    data = SimpleNamespace(modes=torch.tensor([[0.0, 0.0], [1.0, 0.0]]), std=0.1, quality_radius=3.0)
    points = data.modes[[0, 0, 0, 1]][:, :, None, None]
    values = ModeCoverage()(evaluation(points, points, data=data))
    entropy = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    assert values["mode_entropy"] == pytest.approx(entropy)
    assert values["reverse_kl"] == pytest.approx(math.log(2) - entropy)
    m = (0.625, 0.375)
    by_hand = (0.75 * math.log(0.75 / m[0]) + 0.25 * math.log(0.25 / m[1])
               + 0.5 * math.log(0.5 / m[0]) + 0.5 * math.log(0.5 / m[1])) / 2
    assert values["mode_jsd"] == pytest.approx(by_hand)
    assert set(values) == set(ModeCoverage.better)
    near = data.modes[:1] + torch.tensor([[0.35, 0.0]])
    assert coverage(near, data.modes, 0.1)["modes"] == 0 and coverage(near, data.modes, 0.1, radius=4)["modes"] == 1


def test_gaussians_1200_is_pacgans_mixture() -> None:
    data = Gaussians1200(num_classes=10)
    image, label = data.train_batch(3, 7, 3000)
    assert image.shape == (3000, 1200, 1, 1) and data.modes.shape == (10, 1200)
    shifts = [-1, -0.5, 0, 0.5, -2, -2.5, 10, 0.25, -13, -5.5]
    assert data.modes[:, 0].tolist() == shifts and (data.modes == data.modes[:, :1]).all()
    noise = image.flatten(1) - data.modes[label]
    assert (noise[:, 700:] == 0).all()
    assert noise[:, :700].mean().abs() < 0.005 and (noise[:, :700].std() - 1).abs() < 0.005
    assert torch.corrcoef(noise[:, :700].T).sub(torch.eye(700)).abs().max() < 0.12  # 6 / sqrt(3000)
    assert torch.equal(torch.cdist(image.flatten(1), data.modes).argmin(1), label)
    parts = [data.train_batch(3, start, 1000).image for start in (7, 1007, 2007)]
    assert torch.equal(torch.cat(parts), image) and Gaussians1200().train_batch(3, 0, 2).label is None
    assert not torch.equal(data.test_batch(0, 3).image, data.train_batch(0, 0, 3).image)
    with pytest.raises(ValueError, match="1200"):
        Gaussians1200(channels=2)


def test_symmetric_range() -> None:
    x = torch.tensor([0.0, 0.5, 1.0])
    assert symmetric(x, (0.0, 1.0)).tolist() == [-1, 0, 1]
    assert symmetric(x, (-1.0, 1.0)) is x and symmetric(x, None) is x
