"""The terms of regularizers.py, by hand."""

import math

import pytest
import torch

from gan_cli.losses.regularizers import kl_to_normal, mode_seeking


def test_value_by_hand() -> None:
    """Images half a unit apart, noises a whole one."""
    i1, i2 = torch.zeros(2, 3, 4, 4), torch.full((2, 3, 4, 4), 0.5)
    z1, z2 = torch.zeros(2, 8), torch.ones(2, 8)
    assert mode_seeking(i1, i2, z1, z2).item() == pytest.approx(1 / (0.5 + 1e-5), rel=1e-6)
    assert mode_seeking(i1, i2, z1, z2, eps=0.5).item() == pytest.approx(1.0)


def test_ratio_of_batch_means() -> None:
    """Ratios of the two samples: .1 / 1 and 4 / 2; their mean is 1.05, the ratio of means 4.1 / 3."""
    i2 = torch.tensor([0.1, -4.0]).view(2, 1, 1, 1)
    z2 = torch.tensor([[1.0], [-2.0]])
    found = mode_seeking(torch.zeros_like(i2), i2, torch.zeros_like(z2), z2, eps=0.0)
    assert found.item() == pytest.approx(3 / 4.1)


def test_means_and_not_norms() -> None:
    """More pixels or more noises that differ by as much change nothing."""
    i, z = torch.full((1, 1, 2, 2), 0.3), torch.full((1, 2), 0.7)
    small = mode_seeking(i, -i, z, -z)
    i, z = i.repeat(1, 3, 4, 4), z.repeat(1, 9)
    torch.testing.assert_close(mode_seeking(i, -i, z, -z), small)


def test_symmetric_in_the_samples() -> None:
    (i1, i2), (z1, z2) = torch.rand(2, 3, 1, 4, 4), torch.rand(2, 3, 5)
    assert mode_seeking(i1, i2, z1, z2) == mode_seeking(i2, i1, z2, z1)


def test_finite_where_images_coincide() -> None:
    i = torch.rand(2, 1, 4, 4, requires_grad=True)
    loss = mode_seeking(i, i * 1, torch.zeros(2, 3), torch.ones(2, 3))
    assert loss.item() == pytest.approx(1e5, rel=1e-5)
    loss.backward()
    assert i.grad is not None and i.grad.isfinite().all()


def test_descent_sets_images_apart_and_noises_stay_out_of_it() -> None:
    i1 = torch.tensor([[0.2, -0.4]], requires_grad=True)
    i2 = torch.tensor([[0.1, 0.3]], requires_grad=True)
    mode_seeking(i1, i2, torch.zeros(1, 2), torch.ones(1, 2), eps=0.0).backward()
    # d = (.1 + .7) / 2 = .4;  -1 / d^2 * sign / 2 = -3.125 sign
    torch.testing.assert_close(i1.grad, torch.tensor([[-3.125, 3.125]]))
    torch.testing.assert_close(i2.grad, torch.tensor([[3.125, -3.125]]))


def test_kl_is_summed() -> None:
    """N(1, 1): 1/2; N(0, 2): (1 - ln 2) / 2; N(0, 1): nothing."""
    mean = torch.tensor([[1.0, 0.0], [0.0, 0.0]])
    log_variance = torch.tensor([[0.0, math.log(2)], [0.0, 0.0]])
    found = kl_to_normal(mean, log_variance)
    assert found.item() == pytest.approx(0.5 + (1 - math.log(2)) / 2)
    assert kl_to_normal(mean.repeat(3, 1), log_variance.repeat(3, 1)).item() == pytest.approx(3 * found.item())
