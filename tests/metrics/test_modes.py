"""Scores against hand-computed numbers."""

import math

import pytest
import torch

from gan_cli.metrics.code_error import majority
from gan_cli.metrics.modes import coverage
from gan_cli.metrics.paired_translation import l1

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
    assert majority(codes, labels, 4).tolist() == [7, 5, 0, 1]


def test_l1_is_a_mean_over_everything() -> None:
    assert l1(torch.zeros(2, 3, 4, 4), torch.full((2, 3, 4, 4), -0.25)) == 0.25
