"""Scores against hand-computed numbers."""

import math

import pytest
import torch
from torch import nn

from gan_cli.data.base import Images
from gan_cli.losses.adversarial import Minimax
from gan_cli.losses.objective import Objective
from gan_cli.metrics.base import EvaluationData, Samples
from gan_cli.metrics.code_error import CodeError, best_assignment, count_pairs
from gan_cli.metrics.modes import coverage
from gan_cli.metrics.paired_translation import l1
from gan_cli.systems.infogan import InfoGAN

MODES = torch.tensor([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0], [10.0, 10.0]])


def test_coverage_by_hand() -> None:
    points = torch.tensor(
        [[0.0, 0.29], [0.0, 0.31], [10.0, 0.0], [5.0, 5.0]]
    )  # std .1: within .3 is high quality
    values = coverage(points, MODES, std=0.1)
    assert values["modes"] == 2 and values["high_quality"] == 0.5
    assert values["reverse_kl"] == pytest.approx(math.log(2))  # half of four modes, evenly


def test_coverage_extremes() -> None:
    assert coverage(MODES, MODES, 0.1) == {
        "modes": 4,
        "high_quality": 1,
        "reverse_kl": pytest.approx(0, abs=1e-12),
    }
    nothing = coverage(MODES + 4, MODES, 0.1)
    assert nothing["modes"] == nothing["high_quality"] == 0 and math.isnan(nothing["reverse_kl"])


def test_real_gaussians_score_the_ceiling() -> None:
    torch.manual_seed(0)
    points = MODES.repeat(25_000, 1) + 0.05 * torch.randn(100_000, 2)
    assert coverage(points, MODES, 0.05)["high_quality"] == pytest.approx(1 - math.exp(-4.5), abs=1e-3)


def test_majority_names_codes() -> None:
    codes = torch.tensor([0, 0, 0, 1, 1, 3])
    labels = torch.tensor([7, 7, 2, 5, 5, 1])
    assert count_pairs(codes, labels, 4, 10).argmax(1).tolist() == [7, 5, 0, 1]


class Coded:
    """Images that are a latent vector: one noise number and a one-hot code; labels as given."""

    num_classes, test_size = 10, 4

    def batch(self, codes: list[int], labels: list[int]) -> Images:
        image = torch.cat([torch.zeros(len(codes), 1), nn.functional.one_hot(torch.tensor(codes), 3).float()], 1)
        return Images(image, torch.tensor(labels))

    def train_batch(self, seed: int, start: int, count: int) -> Images:
        return Images(*(part[start : start + count] for part in self.batch([0, 0, 0, 0, 1, 2], [7, 7, 7, 2, 5, 7])))

    def test_batch(self, start: int, count: int) -> Images:
        return Images(*(part[start : start + count] for part in self.batch([0, 0, 1, 2], [7, 2, 5, 7])))


def test_one_code_per_label_is_the_best_assignment() -> None:
    """Greedily, code 0 would take label 0 and 11 would be right; two codes are left over where labels are fewer."""
    assert best_assignment(torch.tensor([[10.0, 9.0], [9.0, 1.0]])).tolist() == [1, 0]
    assert best_assignment(torch.tensor([[1.0], [5.0], [2.0]])).tolist() == [-1, 0, -1]
    linear_sum_assignment = pytest.importorskip("scipy.optimize").linear_sum_assignment
    generator = torch.Generator().manual_seed(0)
    for k, c in ((10, 10), (12, 7), (4, 9)):
        counts = torch.randint(0, 50, (k, c), generator=generator).float()
        names = best_assignment(counts)
        rows, columns = linear_sum_assignment(-counts.numpy())
        matched = names >= 0
        assert counts[matched, names[matched]].sum() == counts[rows, columns].sum()
        assert len(names[matched].unique()) == matched.sum() == min(k, c)


def test_code_error_and_information_by_hand() -> None:
    """Codes 0 and 2 stand for 7, code 1 for 5; with one code per class, 2 does not. Q gives .8 to the code of three."""
    posterior = nn.Linear(4, 3)
    posterior.weight.data = math.log(8) * torch.eye(4)[1:]  # 8 / (8 + 1 + 1)
    posterior.bias.data.zero_()
    one = nn.Identity()
    system = InfoGAN(one, one, one, posterior, Objective(Minimax()), noise_dim=1, categorical=(3,), continuous=0)
    data, empty = Coded(), Samples("train", 0, lambda: iter(()))
    evaluation = EvaluationData(
        Samples("generated", 1100, lambda: iter(())), empty, Samples("test", 4, lambda: iter(())),
        system=system, data=data,  # type: ignore[arg-type]
    )  # fmt: skip
    metric = CodeError(fit=6)
    metric.check(system, data)  # type: ignore[arg-type]
    with torch.no_grad():
        assert metric(evaluation) == {
            "error": 0.25, "error_assigned": 0.5, "digits_named": 2.0, "H": math.log(3),
            "L_I": pytest.approx(math.log(0.8) + math.log(3), abs=1e-6),
        }  # fmt: skip
    assert evaluation.test.used == 4
    with pytest.raises(ValueError, match="model=infogan"):
        metric.check(None, data)  # type: ignore[arg-type]


def test_l1_is_a_mean_over_everything() -> None:
    assert l1(torch.zeros(2, 3, 4, 4), torch.full((2, 3, 4, 4), -0.25)) == 0.25
