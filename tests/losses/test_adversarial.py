"""The losses against values worked out by hand, and the signs and sizes of their gradients."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, tensor

from gan_cli.losses.adversarial import (
    AdversarialLoss,
    Hinge,
    LeastSquares,
    MaximumLikelihood,
    Minimax,
    NonSaturating,
    Relativistic,
    RelativisticAverage,
    Wasserstein,
)
from gan_cli.losses.margin import LossSensitive

LN2, LN3 = math.log(2), math.log(3)


def gradient(loss: Callable[[Tensor], Tensor], score: float) -> float:
    x = tensor([score], dtype=torch.float64, requires_grad=True)
    loss(x).backward()
    assert x.grad is not None
    return x.grad.item()


@pytest.mark.parametrize("system", [Minimax(), NonSaturating(), MaximumLikelihood()])
def test_losses_on_sigmoids_share_the_loss_of_d(system: AdversarialLoss) -> None:
    # score ln 3 is D = 3/4: -log D = ln 4 - ln 3, -log(1 - D) = ln 4
    value = system.d_loss(tensor([LN3, 0.0]), tensor([LN3, 0.0]))
    torch.testing.assert_close(value, tensor((2 * LN2 - LN3 + LN2) / 2 + (2 * LN2 + LN2) / 2))
    torch.testing.assert_close(system.d_loss(tensor([0.0]), tensor([0.0])), tensor(2 * LN2))


def test_generator_losses_by_hand() -> None:
    a = tensor([LN3, 0.0])
    torch.testing.assert_close(Minimax().g_loss(a), tensor(-(2 * LN2 + LN2) / 2))          # E log(1 - D)
    torch.testing.assert_close(NonSaturating().g_loss(a), tensor((2 * LN2 - LN3 + LN2) / 2))   # -E log D
    torch.testing.assert_close(MaximumLikelihood().g_loss(a), tensor(-(3.0 + 1.0) / 2))    # -E D / (1 - D)


def test_minimax_plus_non_saturating_is_minus_the_score() -> None:
    """-softplus(a) + softplus(-a) = -a."""
    for a in torch.linspace(-30, 30, 101):
        torch.testing.assert_close(Minimax().g_loss(a) + NonSaturating().g_loss(a), -a)


@pytest.mark.parametrize("score", [-12.0, -1.0, 0.0, 2.0, 12.0])
def test_generator_gradients(score: float) -> None:
    d = 1 / (1 + math.exp(-score))
    assert gradient(Minimax().g_loss, score) == pytest.approx(-d)
    assert gradient(NonSaturating().g_loss, score) == pytest.approx(-(1 - d))
    assert gradient(MaximumLikelihood().g_loss, score) == pytest.approx(-math.exp(score))
    assert gradient(Wasserstein().g_loss, score) == -1
    assert gradient(LeastSquares().g_loss, score) == pytest.approx(score - 1)


LOSSES = [Minimax(), NonSaturating(), MaximumLikelihood(), LeastSquares(), LeastSquares(-1, 1, 0), Wasserstein()]


@pytest.mark.parametrize("system", LOSSES)
def test_d_raises_reals_and_lowers_fakes(system: AdversarialLoss) -> None:
    zero = torch.zeros(1, dtype=torch.float64)
    assert gradient(lambda real: system.d_loss(real, zero), 0.25) < 0
    assert gradient(lambda fake: system.d_loss(zero, fake), 0.25) > 0
    assert gradient(system.g_loss, -0.25) < 0


@pytest.mark.parametrize("system", [Minimax(), NonSaturating()])
@pytest.mark.parametrize("score", [-1e4, 1e4])
def test_huge_scores_stay_finite(system: AdversarialLoss, score: float) -> None:
    x = tensor([score])
    assert system.d_loss(x, x).item() == pytest.approx(1e4)
    assert math.isfinite(system.g_loss(x).item())
    assert math.isfinite(gradient(system.g_loss, score))


@pytest.mark.parametrize("mu", [-0.7, 0.2, 1.5])
def test_maximum_likelihood_has_the_gradient_of_kl(mu: float) -> None:
    """For an optimal D, E_q[g_loss] has the gradient of KL(p || q) in q's mean; with the sign + it would ascend."""
    x = torch.linspace(-12, 12, 4001, dtype=torch.float64)
    mean = tensor(mu, dtype=torch.float64, requires_grad=True)
    p = torch.distributions.Normal(tensor(0.0, dtype=torch.float64), 1.3)
    q = torch.distributions.Normal(mean, torch.ones((), dtype=torch.float64))
    log_p, log_q = p.log_prob(x), q.log_prob(x)
    score = (log_p - log_q).detach()  # of D* = p / (p + q)
    loss = torch.stack([MaximumLikelihood(limit=math.inf).g_loss(a) for a in score])
    weights = log_q.exp() * (x[1] - x[0])
    (slope,) = torch.autograd.grad((weights * loss).sum(), mean)
    assert slope.item() == pytest.approx(mu, abs=1e-8)  # d/dmu KL(N(0, 1.3^2) || N(mu, 1))


def test_maximum_likelihood_clamps() -> None:
    system = MaximumLikelihood(limit=2.0)
    assert system.g_loss(tensor([500.0])).item() == pytest.approx(-math.exp(2))
    assert gradient(system.g_loss, 500.0) == 0
    assert gradient(system.g_loss, 1.9) == pytest.approx(-math.exp(1.9))


def test_least_squares_by_hand() -> None:
    real, fake = tensor([3.0, 1.0]), tensor([2.0, -1.0])
    system = LeastSquares(a=-1, b=1, c=0)
    assert system.d_loss(real, fake).item() == pytest.approx(0.5 * (4 + 0) / 2 + 0.5 * (9 + 0) / 2)
    assert system.g_loss(fake).item() == pytest.approx(0.5 * (4 + 1) / 2)
    cyclegan = LeastSquares(scale=1.0)
    assert cyclegan.d_loss(real, fake).item() == pytest.approx((4 + 0) / 2 + (4 + 1) / 2)
    assert cyclegan.g_loss(fake).item() == pytest.approx((1 + 4) / 2)


def test_wasserstein_by_hand_on_a_map_of_scores() -> None:
    real, fake = torch.full((2, 1, 3, 3), 5.0), torch.full((2, 1, 3, 3), 2.0)
    assert Wasserstein().d_loss(real, fake).item() == -3
    assert Wasserstein().g_loss(fake).item() == -2


def test_wasserstein_of_two_point_masses() -> None:
    """Example 1 of Arjovsky et al.: masses at 0 and theta; with the best 1-Lipschitz f(x) = -x, W = theta."""
    theta = 0.7
    real, fake = torch.zeros(4), torch.full((4,), theta)
    assert -Wasserstein().d_loss(-real, -fake).item() == pytest.approx(theta)


def test_optimal_d_of_the_losses_on_sigmoids() -> None:
    """Where p = 0.8 and q = 0.2 the best D = p / (p + q) has score ln 4; V there is -log 4 + 2 JSD."""
    p, q = tensor([0.8, 0.2]), tensor([0.2, 0.8])
    m = (p + q) / 2
    jsd = 0.5 * (p * (p / m).log()).sum() + 0.5 * (q * (q / m).log()).sum()
    score = (p / q).log()
    points = torch.arange(2)
    real = score[points.repeat_interleave(tensor([8, 2]))]
    fake = score[points.repeat_interleave(tensor([2, 8]))]
    torch.testing.assert_close(-Minimax().d_loss(real, fake), -math.log(4) + 2 * jsd)


def test_hinge_by_hand() -> None:
    real, fake = tensor([2.0, 0.0]), tensor([-2.0, 0.5])
    assert Hinge().d_loss(real, fake).item() == pytest.approx((0 + 1) / 2 + (0 + 1.5) / 2)
    assert Hinge().g_loss(fake).item() == pytest.approx(0.75)


def test_relativistic_by_hand() -> None:
    """sigmoid(ln 3) = 3/4: the pairs are 3/4 and 1/2 sure, -log of which are ln 4 - ln 3 and ln 2."""
    real, fake = tensor([LN3, 1.0]), tensor([0.0, 1.0])
    assert Relativistic().d_loss(real, fake).item() == pytest.approx((2 * LN2 - LN3 + LN2) / 2)
    assert Relativistic().g_loss(fake, real).item() == pytest.approx((2 * LN2 + LN2) / 2)     # -log sigmoid(-ln 3)
    assert Relativistic().d_loss(real + 5, fake + 5).item() == pytest.approx(Relativistic().d_loss(real, fake).item())


def test_relativistic_average_by_hand() -> None:
    """Scores less the other kind's mean: reals ln 3 and -ln 3 (fakes' mean 0), fakes 0 (reals' mean 0)."""
    real, fake = tensor([LN3, -LN3]), tensor([0.0, 0.0])
    half_sure = (2 * LN2 - LN3 + 2 * LN2) / 2
    assert RelativisticAverage().d_loss(real, fake).item() == pytest.approx(half_sure + LN2)
    real, fake = tensor([2.0, 0.0]), tensor([-1.0, -3.0])                                      # means 1 and -2
    softplus = [math.log1p(math.exp(v)) for v in (-4.0, -2.0, -2.0, -4.0)]
    assert RelativisticAverage().d_loss(real, fake).item() == pytest.approx(sum(softplus) / 2)
    softplus = [math.log1p(math.exp(v)) for v in (4.0, 2.0, 2.0, 4.0)]
    assert RelativisticAverage().g_loss(fake, real).item() == pytest.approx(sum(softplus) / 2)


def test_relativistic_generator_pulls_on_both_samples() -> None:
    real, fake = tensor([0.5, -0.5], requires_grad=True), tensor([0.0, 1.0], requires_grad=True)
    RelativisticAverage().g_loss(fake, real).backward()
    assert real.grad is not None and fake.grad is not None
    assert (real.grad > 0).all() and (fake.grad < 0).all()                                     # reals down, fakes up
    torch.testing.assert_close(real.grad.sum(), -fake.grad.sum())


def test_loss_sensitive_by_hand() -> None:
    """L = -score: reals 1 and 3, fakes 2 and 7; margins 2 and 1 ask for 3 and 4, so the pairs lack 1 and -3."""
    real, fake, margin = tensor([-1.0, -3.0]), tensor([-2.0, -7.0]), tensor([2.0, 1.0])
    assert LossSensitive().d_loss(real, fake, margin).item() == pytest.approx((1 + 0) / 2)
    assert LossSensitive(gamma=0.5).d_loss(real, fake, margin).item() == pytest.approx(0.5 * 2 + 0.5)
    assert LossSensitive(slope=0.5).d_loss(real, fake, margin).item() == pytest.approx((1 - 1.5) / 2)
    assert LossSensitive(slope=-1.0).d_loss(real, fake, margin).item() == pytest.approx((1 + 3) / 2)
    assert LossSensitive().g_loss(fake).item() == pytest.approx(4.5)


def test_loss_sensitive_with_slope_1_is_wgan_but_for_the_margin() -> None:
    real, fake, margin = tensor([0.3, -1.0]), tensor([2.0, 0.1]), tensor([0.7, 0.2])
    free = LossSensitive(slope=1.0, nonnegative=False)
    assert free.d_loss(real, fake, margin).item() == pytest.approx(Wasserstein().d_loss(real, fake).item() + 0.45)
    assert free.g_loss(fake).item() == pytest.approx(Wasserstein().g_loss(fake).item())


def test_loss_sensitive_is_not_negative_and_takes_maps_of_scores() -> None:
    assert LossSensitive().g_loss(tensor([4.0, -2.0])).item() == pytest.approx(1.0)
    maps = torch.zeros(2, 1, 3, 3)
    assert LossSensitive().d_loss(maps, maps, tensor([1.0, 3.0])).item() == pytest.approx(2.0)
    with pytest.raises(ValueError, match="at most 1"):
        LossSensitive(slope=1.5)
