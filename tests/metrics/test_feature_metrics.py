"""Scores on features against closed forms, loops written out, and torch-fidelity's own functions."""

import math
from collections.abc import Callable, Iterator

import numpy
import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf
from torch import Tensor

from gan_cli.config.paths import conf_dir
from gan_cli.data.base import Images
from gan_cli.metrics import kid as kid_module
from gan_cli.metrics import nearest_neighbors
from gan_cli.metrics.base import EvaluationData, Features, Metric, Samples
from gan_cli.metrics.fid import FrechetInceptionDistance, Moments, fid, frechet, moments, trace_sqrt
from gan_cli.metrics.inception_score import (
    FLOOR,
    InceptionScore,
    ModeScore,
    ModifiedInceptionScore,
    i_prime,
    inception_score,
    mode_score,
)
from gan_cli.metrics.kid import KernelInceptionDistance, MMDMetric, kid, median_distance, polynomial_mmd2, rbf_mmd2
from gan_cli.metrics.nearest_neighbors import OneNearestNeighborTest, one_nn
from gan_cli.metrics.prdc import PRDC, prdc

CONF = conf_dir() / "metric"


def normal(n: int, d: int, seed: int = 0) -> Tensor:
    return torch.randn(n, d, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def correlated(n: int, d: int, seed: int = 0) -> Tensor:
    return normal(n, d, seed) @ (normal(d, d, seed + 50) / d**0.5) + seed * 0.3


def one_hot(classes: list[int], K: int) -> Tensor:
    """Logits of a classifier without doubt: probabilities 1 and exp(-1000)."""
    return 1000 * torch.nn.functional.one_hot(torch.tensor(classes), K).float()


# FID


def test_frechet_distance_closed_forms() -> None:
    eye, zero, m = torch.eye(5).double(), torch.zeros(5).double(), normal(1, 5)[0]
    assert frechet(zero, eye, m, eye) == pytest.approx(float(m @ m), rel=1e-12)
    one = torch.ones(1, 1).double()
    assert frechet(one[0], 9 * one, 3 * one[0], 0.25 * one) == pytest.approx((1 - 3) ** 2 + (3 - 0.5) ** 2)
    assert frechet(m, eye, m, eye) == pytest.approx(0, abs=1e-12)


def test_trace_of_covariances_that_do_not_commute() -> None:
    S, T = torch.tensor([[2.0, 1.0], [1.0, 3.0]]).double(), torch.tensor([[1.0, -0.5], [-0.5, 4.0]]).double()
    A = S @ T  # the eigenvalues a, b of a 2x2 matrix: (sqrt a + sqrt b)^2 = tr A + 2 sqrt(det A)
    assert trace_sqrt(S, T) == pytest.approx(math.sqrt(A.trace() + 2 * math.sqrt(torch.det(A))), rel=1e-12)
    assert float(S.diagonal().sqrt() @ T.diagonal().sqrt()) != pytest.approx(trace_sqrt(S, T), rel=1e-2)


def test_trace_of_singular_covariances() -> None:
    S, T = torch.tensor([4.0, 0.0]).double().diag(), torch.tensor([9.0, 1.0]).double().diag()
    assert trace_sqrt(S, T) == pytest.approx(6) and trace_sqrt(T, S) == pytest.approx(6)
    assert trace_sqrt(0 * S, T) == 0
    x, y = correlated(5, 8), correlated(6, 8, 1)  # S = X^T X / 4, T = Y^T Y / 5: the trace is a nuclear norm
    products = (x - x.mean(0)) @ (y - y.mean(0)).T / math.sqrt(4 * 5)
    expected = float(torch.linalg.svdvals(products).sum())
    assert trace_sqrt(torch.cov(x.T), torch.cov(y.T)) == pytest.approx(expected, rel=1e-6)


def test_moments_of_a_stream_are_those_of_the_batch() -> None:
    x = correlated(1003, 6) + 1e6  # a difference of sums of squares would lose 12 of 16 digits
    stream = Moments(6)
    for part in x.split([1, 2, 500, 37, 463]):
        stream.update(part)
    assert stream.n == 1003
    torch.testing.assert_close(stream.mean, x.mean(0), rtol=1e-14, atol=0)
    torch.testing.assert_close(stream.covariance, torch.cov(x.T), rtol=1e-8, atol=1e-10)
    torch.testing.assert_close(moments(x).covariance, torch.cov(x.T), rtol=1e-8, atol=1e-10)


def test_fid_of_samples_is_that_of_their_moments_and_of_equal_sets_0() -> None:
    x, y = correlated(300, 8), correlated(500, 8, 1)
    by_hand = frechet(x.mean(0), torch.cov(x.T), y.mean(0), torch.cov(y.T))
    assert fid(x, y) == pytest.approx(by_hand, rel=1e-10) and fid(y, x) == pytest.approx(by_hand, rel=1e-10)
    assert fid(x, x) == pytest.approx(0, abs=1e-9)


def test_fid_refuses_covariances_of_deficient_rank() -> None:
    x, y = normal(9, 8), normal(8, 8, 1)
    assert fid(x, x) == pytest.approx(0, abs=1e-9)
    for real, fake, which in ((x, y, "8 generated"), (y, x, "8 real")):
        with pytest.raises(ValueError, match=rf"{which} samples .* 8 features.*n=.*allow_singular=true"):
            fid(real, fake)
    assert fid(x, y, allow_singular=True) > 0


# Inception Score, Mode Score, I'


def test_inception_score_of_sure_and_of_clueless_classifiers() -> None:
    assert inception_score(one_hot([0, 1, 2, 3] * 5, 4), splits=1)[0] == pytest.approx(4)
    assert inception_score(torch.zeros(20, 4), splits=2) == (pytest.approx(1), pytest.approx(0, abs=1e-12))
    assert inception_score(one_hot([2] * 20, 4), splits=2) == (1, 0)  # one class: 1, not NaN


def test_log_inception_score_is_a_difference_of_entropies() -> None:
    p = (2 * normal(50, 7)).softmax(1)
    marginal = p.mean(0)
    entropies = -(marginal * marginal.log()).sum() + (p * p.log()).sum(1).mean()
    assert math.log(inception_score(p.log() + 3, splits=1)[0]) == pytest.approx(float(entropies), rel=1e-12)


def test_inception_score_splits_in_order() -> None:
    logits = one_hot([0, 1, 0, 1, 2, 2], 3)  # 2 classes in the first two thirds, 1 in the last
    mean, std = inception_score(logits, splits=3)
    assert mean == pytest.approx((2 + 2 + 1) / 3) and std == pytest.approx(math.sqrt(2) / 3)


def test_mode_score() -> None:
    fake = 2 * normal(40, 5)
    assert mode_score(fake, fake.flip(0)) == pytest.approx(inception_score(fake, splits=1)[0], rel=1e-12)
    # p = (3/4, 1/4) of sure classes, p* = (1/2, 1/2): IS = exp H(p), and KL(p || p*) = log 2 - H(p)
    H = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    score = mode_score(one_hot([0, 0, 0, 1], 2), one_hot([0, 1], 2))
    assert math.log(score) == pytest.approx(H - (math.log(2) - H))
    assert mode_score(one_hot([1, 1], 2), one_hot([0, 1], 2)) == pytest.approx(1 / 2)
    assert math.isfinite(mode_score(one_hot([1, 1], 2), one_hot([0, 0], 2)))


@pytest.mark.parametrize(("confidence", "expected"), [(0.9, 3.1), (0.999, 34.7), (0.9999, 63.4), (0.99999, 100.7)])
def test_i_prime_grows_with_the_classifier_s_confidence(confidence: float, expected: float) -> None:
    p = torch.full((10, 10), (1 - confidence) / 9).double().fill_diagonal_(confidence)
    assert i_prime(p.log()) == pytest.approx(expected, abs=0.05)


def test_i_prime_squares_inside_the_mean_and_is_clipped() -> None:
    p = torch.tensor([[0.5, 0.5], [0.9, 0.1]]).double()
    kl = [sum(m * math.log(m / q) for m, q in zip((0.7, 0.3), row)) for row in p.tolist()]
    assert i_prime(p.log()) == pytest.approx((kl[0] ** 2 + kl[1] ** 2) / 2)
    assert i_prime(one_hot([0, 1], 2)) == pytest.approx((math.log(0.5) - 0.5 * math.log(FLOOR)) ** 2)
    assert i_prime(one_hot([1, 1, 1], 2)) == pytest.approx(0, abs=1e-12)


# KID and MMDMetric


def polynomial(x: Tensor, y: Tensor) -> float:
    return (float(x @ y) / len(x) + 1) ** 3


def mmd2_in_loops(X: Tensor, Y: Tensor, k: Callable[[Tensor, Tensor], float]) -> float:
    m, n = len(X), len(Y)
    xx = sum(k(X[i], X[j]) for i in range(m) for j in range(m) if i != j)
    yy = sum(k(Y[i], Y[j]) for i in range(n) for j in range(n) if i != j)
    xy = sum(k(x, y) for x in X for y in Y)
    return xx / (m * (m - 1)) + yy / (n * (n - 1)) - 2 * xy / (m * n)


def test_polynomial_mmd2_in_loops() -> None:
    x, y = correlated(9, 4), correlated(7, 4, 1)
    assert polynomial_mmd2(x, y) == pytest.approx(mmd2_in_loops(x, y, polynomial), rel=1e-12)


def test_kid_of_equal_distributions_averages_0() -> None:
    scores = torch.tensor([kid(normal(40, 3, s), normal(40, 3, 1000 + s))[0] for s in range(300)])
    assert abs(scores.mean()) < 3 * scores.std() / math.sqrt(300) and (scores < 0).any()
    assert kid(normal(40, 3), normal(40, 3, 1) + 2)[0] > 10 * scores.std()


def test_kid_draws_subsets_without_replacement_by_its_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    real, fake = normal(12, 3), normal(30, 3, 1)
    assert kid(real, fake, 5, seed=1) == kid(real, fake, 5, seed=1) != kid(real, fake, 5, seed=2)
    drawn: list[tuple[Tensor, Tensor]] = []
    monkeypatch.setattr(kid_module, "polynomial_mmd2", lambda x, y: float(drawn.append((x, y)) or len(drawn)))
    assert kid(real, fake, subsets=5) == (3, pytest.approx(math.sqrt(2)))  # of 1, 2, 3, 4, 5
    for x, y in drawn:
        assert torch.equal(x.sort(0).values, real.sort(0).values)  # 12 of 12
        assert len(y) == 12 == len(y.unique(dim=0))
    assert not torch.equal(drawn[0][1], drawn[1][1])


def test_kid_of_no_more_than_one_subset_has_no_spread() -> None:
    x, y = normal(12, 3), normal(12, 3, 1)
    mean, std = kid(x, y)
    assert mean == polynomial_mmd2(x, y) and math.isnan(std)


def test_rbf_mmd2_in_loops(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nearest_neighbors, "BLOCK", 4)
    x, y, bandwidths = correlated(9, 3), correlated(7, 3, 1), (0.5, 2.0)

    def k(a: Tensor, b: Tensor) -> float:
        return sum(math.exp(-float((a - b).square().sum()) / (2 * s**2)) for s in bandwidths)

    assert rbf_mmd2(x, y, bandwidths) == pytest.approx(mmd2_in_loops(x, y, k), rel=1e-10)


def test_rbf_mmd2_of_equal_distributions_averages_0() -> None:
    scores = torch.tensor([rbf_mmd2(normal(30, 2, s), normal(20, 2, 1000 + s), [1.0]) for s in range(300)])
    assert abs(scores.mean()) < 3 * scores.std() / math.sqrt(300) and (scores < 0).any()
    assert rbf_mmd2(normal(30, 2), normal(20, 2, 1) + 2, [1.0]) > 10 * scores.std()


def test_median_distance(monkeypatch: pytest.MonkeyPatch) -> None:
    x = torch.tensor([[0.0], [1.0], [3.0], [10.0]])  # distances 1 2 3 7 9 10
    assert median_distance(x[:3]) == 2
    monkeypatch.setattr(kid_module, "MEDIAN_OF", 2)
    assert median_distance(x.flip(0)) == 9  # of rows 10 and 1
    with pytest.raises(ValueError, match="median=false"):
        median_distance(torch.ones(5, 2))


# Precision, recall, density, coverage; 1-NN


def prdc_in_loops(X: Tensor, Y: Tensor, k: int, k_density: int) -> dict[str, float]:
    def radius(x: Tensor, own: Tensor, k: int) -> float:
        return sorted(float((x - other).norm()) for other in own)[k]

    def holds(x: Tensor, own: Tensor, y: Tensor, k: int) -> bool:
        return float((x - y).norm()) < radius(x, own, k)

    dense = [[holds(x, X, y, k_density) for y in Y] for x in X]
    return {
        "precision": sum(any(holds(x, X, y, k) for x in X) for y in Y) / len(Y),
        "recall": sum(any(holds(y, Y, x, k) for y in Y) for x in X) / len(X),
        "density": sum(map(sum, dense)) / (k_density * len(Y)),
        "coverage": sum(map(any, dense)) / len(X),
    }


@pytest.mark.parametrize("block", [128, 4])
def test_prdc_in_loops(monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    monkeypatch.setattr(nearest_neighbors, "BLOCK", block)
    x, y = normal(18, 2), 1.2 * normal(13, 2, 1) + 1
    expected = prdc_in_loops(x, y, 2, 4)
    assert prdc(x, y, 2, 4) == pytest.approx(expected) and all(0 < value < 1 for value in expected.values())


def test_prdc_of_copies_and_of_sets_apart() -> None:
    x = normal(40, 3)
    copies = prdc(x, x)  # each of the 40 open balls holds its center and k - 1 = 4 neighbors
    assert copies == {"precision": 1, "recall": 1, "density": 1, "coverage": 1}
    assert prdc(x, x + 100) == dict.fromkeys(copies, 0)


def test_prdc_tells_what_is_missing() -> None:
    x = torch.cat([normal(100, 2), normal(100, 2, 1) + 50])
    half = prdc(x, normal(200, 2, 2))  # one of two modes
    assert half["precision"] > 0.9 and half["recall"] < 0.6 and half["coverage"] < 0.6
    wide = prdc(normal(200, 2, 2), x)  # one mode too many
    assert wide["precision"] < 0.6 and wide["recall"] > 0.9


def one_nn_in_loops(X: Tensor, Y: Tensor) -> tuple[float, float]:
    points, label = torch.cat([X, Y]), [0] * len(X) + [1] * len(Y)
    right: tuple[list[bool], list[bool]] = ([], [])
    for i, point in enumerate(points):
        others = [j for j in range(len(points)) if j != i]
        near = min(others, key=lambda j: float((points[j] - point).norm()))
        right[label[i]].append(label[near] == label[i])
    return sum(right[0]) / len(X), sum(right[1]) / len(Y)


@pytest.mark.parametrize("block", [128, 4])
def test_one_nn_in_loops(monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    monkeypatch.setattr(nearest_neighbors, "BLOCK", block)
    x, y = normal(21, 2), 0.5 * normal(13, 2, 1)
    expected = one_nn_in_loops(x, y)
    assert one_nn(x, y) == pytest.approx(expected) and expected[0] != expected[1]


def test_one_nn_of_copies_sets_apart_and_a_collapse() -> None:
    x = normal(60, 3)
    assert one_nn(x, x) == (0, 0) and one_nn(x, x + 100) == (1, 1)
    on_real, on_fake = one_nn(x, x[:1] + 1e-3 * normal(60, 3, 1))
    assert on_real > 0.8 and on_fake > 0.8
    assert one_nn(torch.ones(4, 2), torch.ones(6, 2)) == (0.5, 0.5)  # nothing but ties


def test_distances_far_from_the_origin() -> None:
    x, y = normal(60, 3), normal(60, 3, 1)
    assert one_nn(x + 1e8, y + 1e8) == one_nn(x, y)
    assert prdc(x + 1e8, y + 1e8) == prdc(x, y)


def test_one_nn_of_equal_distributions_is_the_share_of_each() -> None:
    parts = torch.tensor([one_nn(normal(200, 2, s), normal(100, 2, 1000 + s)) for s in range(10)]).mean(0)
    torch.testing.assert_close(parts, torch.tensor([2 / 3, 1 / 3]), atol=0.05, rtol=0)


# torch-fidelity's functions on the same features


def test_fid_against_torch_fidelity() -> None:
    pytest.importorskip("torch_fidelity")
    from torch_fidelity.metric_fid import KEY_METRIC_FID, fid_features_to_statistics, fid_statistics_to_metric

    x, y = correlated(400, 64), correlated(500, 64, 1)
    theirs = fid_statistics_to_metric(fid_features_to_statistics(y), fid_features_to_statistics(x), False)
    assert fid(x, y) == pytest.approx(theirs[KEY_METRIC_FID], rel=1e-6)


def test_kid_against_torch_fidelity() -> None:
    pytest.importorskip("torch_fidelity")
    from torch_fidelity.metric_kid import KEY_METRIC_KID_MEAN, KEY_METRIC_KID_STD, kid_features_to_metric

    x, y = correlated(90, 32), correlated(90, 32, 1)
    whole = kid_features_to_metric(x, y, kid_subsets=2, kid_subset_size=90, verbose=False)
    assert kid(x, y)[0] == pytest.approx(whole[KEY_METRIC_KID_MEAN], rel=1e-6)
    theirs = kid_features_to_metric(x, y, kid_subsets=7, kid_subset_size=40, rng_seed=3, verbose=False)
    rng = numpy.random.RandomState(3)
    pairs = [(rng.choice(90, 40, replace=False), rng.choice(90, 40, replace=False)) for _ in range(7)]
    ours = [polynomial_mmd2(x[i], y[j]) for i, j in pairs]
    assert numpy.mean(ours) == pytest.approx(theirs[KEY_METRIC_KID_MEAN], rel=1e-6)
    assert numpy.std(ours) == pytest.approx(theirs[KEY_METRIC_KID_STD], rel=1e-6)


def test_inception_score_against_torch_fidelity() -> None:
    pytest.importorskip("torch_fidelity")
    from torch_fidelity.metric_isc import KEY_METRIC_ISC_MEAN, KEY_METRIC_ISC_STD, isc_features_to_metric

    logits = (3 * normal(507, 12)).float()  # 507 is not a multiple of 10
    theirs = isc_features_to_metric(logits, splits=10, shuffle=False)
    mean, std = inception_score(logits)
    assert mean == pytest.approx(theirs[KEY_METRIC_ISC_MEAN], rel=1e-6)
    assert std == pytest.approx(theirs[KEY_METRIC_ISC_STD], rel=1e-6)
    shuffled = InceptionScore()(evaluation(extractor=Linear(seed=1)))["IS[linear:0123]"]
    features = Linear(seed=1)(normal(120, 8, 0).float()[:, :, None, None]).logits
    assert shuffled == pytest.approx(isc_features_to_metric(features)[KEY_METRIC_ISC_MEAN], rel=0.1)


def test_precision_and_recall_against_torch_fidelity() -> None:
    pytest.importorskip("torch_fidelity")
    from torch_fidelity.metric_prc import KEY_METRIC_PRECISION, KEY_METRIC_RECALL, prc_features_to_metric

    x, y = normal(300, 6), 0.8 * normal(250, 6, 1) + 0.4
    for k in (1, 3, 5):
        theirs = prc_features_to_metric(y, x, prc_neighborhood=k, prc_batch_size=100, save_cpu_ram=False, verbose=False)
        ours = prdc(x, y, k)
        assert ours["precision"] == pytest.approx(theirs[KEY_METRIC_PRECISION], rel=1e-6)
        assert ours["recall"] == pytest.approx(theirs[KEY_METRIC_RECALL], rel=1e-6)


# What they refuse

PAIRS: list[Callable[[Tensor, Tensor], object]] = [
    fid,
    kid,
    prdc,
    one_nn,
    mode_score,
    lambda x, y: rbf_mmd2(x, y, [1.0]),
]


@pytest.mark.parametrize("score", PAIRS)
def test_broken_features_get_one_clear_line(score: Callable[[Tensor, Tensor], object]) -> None:
    good = normal(20, 4)
    score(good, good + 1)
    for value in (math.nan, math.inf):
        bad = good.clone()
        bad[3, 2] = value
        for pair in ((good, bad), (bad, good)):
            with pytest.raises(ValueError, match="NaN or infinite"):
                score(*pair)
    for pair in ((good, good[:0]), (good[:0], good)):
        with pytest.raises(ValueError, match=r"0 (real|generated) (features|logits) are too few .* see n="):
            score(*pair)


@pytest.mark.parametrize("score", [fid, kid, prdc, one_nn])
def test_images_of_two_sizes(score: Callable[[Tensor, Tensor], object]) -> None:
    with pytest.raises(ValueError, match="4 features and generated ones 3"):
        score(normal(20, 4), normal(20, 3))


@pytest.mark.parametrize(("score", "least"), [(kid, 2), (one_nn, 2), (prdc, 6)])
def test_too_few_samples(score: Callable[[Tensor, Tensor], object], least: int) -> None:
    score(normal(least, 2), normal(least, 2, 1))
    with pytest.raises(ValueError, match=f"{least - 1} generated features are too few .* needs {least} or more"):
        score(normal(least, 2), normal(least - 1, 2))


def test_classifier_scores_refuse_nan_and_too_few() -> None:
    for score in (inception_score, i_prime):
        with pytest.raises(ValueError, match="NaN"):
            score(torch.full((20, 3), math.nan))
        with pytest.raises(ValueError, match="too few"):
            score(torch.zeros(0, 3))
    with pytest.raises(ValueError, match="9 generated logits are too few for this score, which needs 10"):
        inception_score(torch.zeros(9, 3), splits=10)


# As metrics


class Linear:
    """Flattened samples, and their first three numbers as logits."""

    hash = "0123456789abcdef"

    def __init__(self, name: str = "linear", classes: int = 3, seed: int = 0) -> None:
        self.name, self.classes, self.seed = name, classes, seed

    def prepare(self, data: object, device: torch.device) -> None:
        self.ready = True

    def __call__(self, images: Tensor) -> Features:
        values = images.flatten(1)
        return Features(values, 2 * values[:, : self.classes] if self.classes else None)


def samples(split: str, points: Tensor) -> Samples:
    def batches() -> Iterator[Images]:
        for part in points.float()[:, :, None, None].split(50):
            yield Images(part)

    return Samples(split, len(points), batches)


def evaluation(
    fake: Tensor | None = None, test: Tensor | None = None, extractor: Linear | None = None
) -> EvaluationData:
    return EvaluationData(
        samples("generated", normal(120, 8) if fake is None else fake),
        samples("train", normal(130, 8, 1)),
        samples("test", normal(110, 8, 2) if test is None else test),
        extractor=extractor or Linear(),  # type: ignore[arg-type]
        seed=5,
    )


METRICS: dict[str, type[Metric]] = {
    "is": InceptionScore,
    "mode_score": ModeScore,
    "modified_is": ModifiedInceptionScore,
    "fid": FrechetInceptionDistance,
    "kid": KernelInceptionDistance,
    "prdc": PRDC,
    "one_nn": OneNearestNeighborTest,
    "mmd": MMDMetric,
}
WITH_REFERENCE = [name for name in METRICS if name != "is"]


@pytest.mark.parametrize("name", METRICS)
def test_the_config_has_the_defaults_of_the_class(name: str) -> None:
    text = (CONF / f"{name}.yaml").read_text().splitlines()
    assert text[0] == f"# @package metric.{name}" and text[1].startswith("# ") and len(text[1]) <= 120
    built = instantiate(OmegaConf.load(CONF / f"{name}.yaml"), _convert_="all")
    default = vars(METRICS[name]())
    assert type(built) is METRICS[name] and vars(built).keys() == default.keys()
    for field, value in vars(built).items():
        assert (tuple(value) if isinstance(value, list) else value) == default[field]


@pytest.mark.parametrize("name", METRICS)
def test_values_are_named_after_the_extractor(name: str) -> None:
    metric = METRICS[name]()
    assert list(metric(evaluation())) == [f"{key}[linear:0123]" for key in metric.better]
    plain = metric(evaluation(extractor=Linear("inception")))
    assert list(plain) == list(metric.better) and all(map(math.isfinite, plain.values()))


@pytest.mark.parametrize("name", WITH_REFERENCE)
def test_reference_chooses_the_real_samples(name: str) -> None:
    metric = METRICS[name]
    other = normal(110, 8, 2) + torch.arange(8) / 2
    scores = {}
    for reference in ("train", "test"):
        seen = evaluation(test=other)
        scores[reference] = metric(reference=reference)(seen)  # type: ignore[call-arg]
        used = {"train": seen.train.used, "test": seen.test.used}
        assert used == {"train": 0, "test": 0, reference: 130 if reference == "train" else 110}
        assert seen.generated.used == 120
    assert scores["train"] != scores["test"]
    with pytest.raises(ValueError, match="train, test, not 'valid'"):
        metric(reference="valid")  # type: ignore[call-arg]


@pytest.mark.parametrize("name", [name for name in METRICS if name not in ("is", "modified_is", "one_nn")])
def test_a_generator_that_is_off_scores_worse(name: str) -> None:
    metric = METRICS[name]()
    key = next(iter(metric.better))
    fakes = normal(120, 8), 0.2 * normal(120, 8) + 2
    good, bad = (metric(evaluation(fake, extractor=Linear("inception")))[key] for fake in fakes)
    assert good > bad if metric.better[key] == "higher" else good < bad


def test_kid_takes_the_evaluation_s_seed() -> None:
    found = KernelInceptionDistance(subsets=3, size=50)(evaluation(extractor=Linear("inception")))
    mean, std = kid(normal(130, 8, 1).float(), normal(120, 8).float(), subsets=3, size=50, seed=5)
    assert found == {"KID": mean, "KID_std": std}


def test_nearest_neighbor_test_has_the_distance_from_one_half() -> None:
    apart = OneNearestNeighborTest()(evaluation(normal(120, 8) + 50, extractor=Linear("inception")))
    assert apart == {"one_nn": 1, "one_nn_gap": 0.5, "one_nn_real": 1, "one_nn_fake": 1}
    copies = OneNearestNeighborTest()(evaluation(normal(130, 8, 1), extractor=Linear("inception")))
    assert copies == {"one_nn": 0, "one_nn_gap": 0.5, "one_nn_real": 0, "one_nn_fake": 0}
    fair = OneNearestNeighborTest()(evaluation(extractor=Linear("inception")))
    assert fair["one_nn_gap"] == abs(fair["one_nn"] - 0.5) < 0.15
    assert fair["one_nn"] == (fair["one_nn_real"] + fair["one_nn_fake"]) / 2


def test_inception_score_shuffles_samples_that_are_sorted_by_class() -> None:
    classes = torch.nn.functional.one_hot(torch.arange(4).repeat_interleave(50)).double() * 1000
    found = InceptionScore(splits=4)(evaluation(classes, extractor=Linear("inception", classes=4)))
    assert inception_score(classes, splits=4)[0] == 1 and found["IS"] > 3.5


def test_scores_of_one_class_are_finite() -> None:
    one = evaluation(torch.eye(8)[:1].repeat(120, 1) * 1000, extractor=Linear("inception"))
    assert InceptionScore()(one) == {"IS": 1, "IS_std": 0}
    found = ModifiedInceptionScore()(one)
    assert found["I_prime"] == pytest.approx(0, abs=1e-9) and found["I_prime_real"] > 0 and found["IS_1split"] == 1
    assert math.isfinite(ModeScore()(one)["mode_score"])


@pytest.mark.parametrize("name", ["is", "mode_score", "modified_is"])
def test_an_extractor_that_is_no_classifier(name: str) -> None:
    with pytest.raises(ValueError, match=r"'linear' gives none: choose extractor=classifier or extractor=inception"):
        METRICS[name]()(evaluation(extractor=Linear(classes=0)))


@pytest.mark.parametrize("name", METRICS)
def test_nothing_and_nan_to_score(name: str) -> None:
    with pytest.raises(ValueError, match="no generated samples"):
        METRICS[name]()(evaluation(torch.zeros(0, 8)))
    with pytest.raises(ValueError, match="NaN"):
        METRICS[name]()(evaluation(torch.full((120, 8), math.nan)))


def test_fid_metric_needs_more_samples_than_features() -> None:
    few = normal(8, 8)
    with pytest.raises(ValueError, match="8 generated samples give no covariance of full rank"):
        FrechetInceptionDistance()(evaluation(few))
    assert FrechetInceptionDistance(allow_singular=True)(evaluation(few, extractor=Linear("inception")))["FID"] > 0


def test_mmd_unit_depends_on_real_samples_only() -> None:
    fakes = (normal(120, 8), normal(120, 8) * 9)
    a, b = (MMDMetric()(evaluation(fake, extractor=Linear("inception"))) for fake in fakes)
    assert a["MMD2_unit"] == b["MMD2_unit"] == pytest.approx(4, rel=0.1)  # sqrt(2 d), d = 8
    fixed = MMDMetric(bandwidths=[2.0, 5.0], median=False)(evaluation(extractor=Linear("inception")))
    expected = rbf_mmd2(normal(130, 8, 1), normal(120, 8), [2.0, 5.0])
    assert fixed["MMD2"] == pytest.approx(expected, abs=1e-6) and fixed["MMD2_unit"] == 1


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: InceptionScore(splits=0), "splits must be at least 1"),
        (lambda: KernelInceptionDistance(subsets=0), "subsets must be at least 1"),
        (lambda: KernelInceptionDistance(size=1), "size must be at least 2"),
        (lambda: PRDC(k=0), "k must be at least 1"),
        (lambda: MMDMetric(bandwidths=[]), "positive numbers"),
        (lambda: MMDMetric(bandwidths=[1.0, -1.0]), "positive numbers"),
    ],
)
def test_settings_that_make_no_sense(build: Callable[[], Metric], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build()
