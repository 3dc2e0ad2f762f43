"""f-divergences: the variational bound is tight, conjugates are suprema, gradients live in float32."""

import math

import pytest
import torch
from torch import Tensor, tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from gan_cli.losses.divergences import (
    KL,
    Alpha,
    GANDivergence,
    Jeffrey,
    JensenShannon,
    NeymanChi2,
    PearsonChi2,
    ReverseKL,
    SquaredHellinger,
    TotalVariation,
)
from gan_cli.losses.fgan import FGAN, Divergence
from gan_cli.utils.autograd import log_w

SMOOTH: list[Divergence] = [
    KL(), ReverseKL(), PearsonChi2(), NeymanChi2(), SquaredHellinger(), Jeffrey(), JensenShannon(), GANDivergence(),
    Alpha(0.5), Alpha(-1.0), Alpha(3.0),
]
ALL: list[Divergence] = [*SMOOTH, TotalVariation()]
every = pytest.mark.parametrize("divergence", ALL, ids=repr)
smooth = pytest.mark.parametrize("divergence", SMOOTH, ids=repr)
U = torch.logspace(-2, 2, 81, dtype=torch.float64)
V = torch.linspace(-6, 6, 241, dtype=torch.float64)


def two(seed: int = 0, outcomes: int = 50) -> tuple[Tensor, Tensor]:
    """Two distributions of unlike outcomes."""
    generator = torch.Generator().manual_seed(seed)
    p, q = (torch.rand(outcomes, generator=generator, dtype=torch.float64) + 0.05 for _ in range(2))
    return p / p.sum(), q / q.sum()


def sums(p: Tensor, q: Tensor) -> dict[str, Tensor]:
    """Each divergence as the sum in its name, written out."""
    m = (p + q) / 2
    jensen_shannon = (p * (p / m).log() + q * (q / m).log()).sum()
    return {
        "KL()": (p * (p / q).log()).sum(),
        "ReverseKL()": (q * (q / p).log()).sum(),
        "PearsonChi2()": ((p - q) ** 2 / q).sum(),
        "NeymanChi2()": ((p - q) ** 2 / p).sum(),
        "SquaredHellinger()": ((p.sqrt() - q.sqrt()) ** 2).sum(),
        "Jeffrey()": ((p - q) * (p / q).log()).sum(),
        "JensenShannon()": jensen_shannon,
        "GANDivergence()": jensen_shannon - math.log(4),
        "TotalVariation()": (p - q).abs().sum() / 2,
        "Alpha(alpha=0.5)": 4 * (1 - (p * q).sqrt().sum()),  # 1/(a(a-1)) (sum q (p/q)^a - 1)
        "Alpha(alpha=-1.0)": ((q**2 / p).sum() - 1) / 2,
        "Alpha(alpha=3.0)": ((p**3 / q**2).sum() - 1) / 6,
    }


@every
@pytest.mark.parametrize("seed", [0, 1])
def test_the_bound_at_t_star_is_the_divergence(divergence: Divergence, seed: int) -> None:
    """Equation 4 holds with equality at T* = f'(p/q), and from below elsewhere."""
    p, q = two(seed)
    value = (q * divergence.f(p / q)).sum()
    assert value.item() == pytest.approx(sums(p, q)[repr(divergence)].item(), abs=1e-12)
    best = divergence.f_prime(p / q)
    bound = (p * best - q * divergence.conjugate(best)).sum()
    assert bound.item() == pytest.approx(value.item(), abs=1e-9)
    assert (p * divergence.activation(V[:50]) - q * divergence.conjugate_at(V[:50])).sum() < value
    assert (p * divergence.activation(V[100:150]) - q * divergence.conjugate_at(V[100:150])).sum() < value


@every
def test_fenchel_equality_and_threshold(divergence: Divergence) -> None:
    t = divergence.f_prime(U)
    torch.testing.assert_close(divergence.f(U) + divergence.conjugate(t), U * t, rtol=1e-9, atol=1e-9)
    one = torch.ones(1, dtype=torch.float64)
    assert divergence.f_prime(one).item() == pytest.approx(divergence.threshold, abs=1e-15)
    at_one = -math.log(4) if isinstance(divergence, GANDivergence) else 0
    assert divergence.f(one).item() == pytest.approx(at_one, abs=1e-15)


@smooth
def test_f_prime_is_the_derivative(divergence: Divergence) -> None:
    u = U.clone().requires_grad_()
    (slope,) = torch.autograd.grad(divergence.f(u).sum(), u)
    torch.testing.assert_close(divergence.f_prime(U), slope, rtol=1e-9, atol=1e-9)


@every
def test_conjugate_is_the_supremum(divergence: Divergence) -> None:
    """f*(t) = sup_u ut - f(u) by brute force, also where the closed form stops (Pearson below -2, alpha 3)."""
    u = torch.logspace(-14, 4, 400_001, dtype=torch.float64)
    t = torch.cat([divergence.f_prime(torch.logspace(-1, 1.5, 9, dtype=torch.float64)), tensor([-9.0, -2.5, -0.3])])
    brute = torch.stack([(u * x - divergence.f(u)).max() for x in t.double()])
    torch.testing.assert_close(divergence.conjugate(t.double()), brute, rtol=1e-6, atol=1e-5)


@pytest.mark.parametrize(
    ("divergence", "inside", "outside"),
    [
        (ReverseKL(), -1e-3, 0.0), (NeymanChi2(), 1.0, 1.001), (SquaredHellinger(), 0.999, 1.0),
        (JensenShannon(), 0.69, math.log(2)), (GANDivergence(), -1e-3, 0.0), (TotalVariation(), 0.5, 0.501),
        (Alpha(0.5), 1.999, 2.0), (Alpha(-1.0), 0.499, 0.501),
    ],
)  # fmt: skip
def test_conjugate_is_infinite_outside_its_domain(divergence: Divergence, inside: float, outside: float) -> None:
    values = divergence.conjugate(tensor([inside, outside, outside + 1], dtype=torch.float64))
    assert values.isfinite().tolist() == [True, False, False] and (values[1:] == math.inf).all()


@every
def test_activation_increases_into_the_domain(divergence: Divergence) -> None:
    t = divergence.activation(V)
    assert (t.diff() > 0).all()
    conjugate = divergence.conjugate(t)
    assert conjugate.isfinite().all()
    torch.testing.assert_close(divergence.conjugate_at(V), conjugate, rtol=1e-9, atol=1e-9)


@every
@pytest.mark.parametrize("practical", [True, False])
def test_gradients_are_finite_in_float32(divergence: Divergence, practical: bool) -> None:
    loss = FGAN(divergence, practical)
    scores = torch.linspace(-50, 50, 401).requires_grad_()
    for value in (loss.d_loss(scores, scores.flip(0)), loss.g_loss(scores)):
        (gradient,) = torch.autograd.grad(value, scores)
        assert value.isfinite() and gradient.isfinite().all()


@smooth
def test_gradients_of_both_orders_against_finite_differences(divergence: Divergence) -> None:
    v = torch.linspace(-1.83, 3.0, 7, dtype=torch.float64, requires_grad=True)
    for function in (divergence.activation, divergence.conjugate_at):
        assert torch.autograd.gradcheck(function, (v,))
        assert torch.autograd.gradgradcheck(function, (v,))


@smooth
def test_slope_of_the_conjugate_is_u_star(divergence: Divergence) -> None:
    """(f*)'(f'(u)) = u: the density ratio."""
    t = divergence.f_prime(U).requires_grad_()
    (slope,) = torch.autograd.grad(divergence.conjugate(t).sum(), t)
    torch.testing.assert_close(slope, U, rtol=1e-8, atol=0)


def test_log_lambert_w() -> None:
    y = torch.linspace(-60, 60, 241, dtype=torch.float64)
    s = log_w(y)
    torch.testing.assert_close(s.exp() + s, y, rtol=1e-14, atol=1e-13)
    assert log_w(torch.ones(1)).item() == pytest.approx(0, abs=1e-7)  # W(e) = 1
    single = log_w(y.float())
    torch.testing.assert_close(single.double(), s, rtol=1e-6, atol=2e-6)


# -- the loss


def test_values_by_hand() -> None:
    real, fake = tensor([1.0, 3.0]), tensor([0.0, -2.0])
    torch.testing.assert_close(FGAN(KL()).d_loss(real, fake), tensor(-2 + (math.exp(-1) + math.exp(-3)) / 2))
    torch.testing.assert_close(FGAN(KL()).g_loss(fake), tensor(1.0))  # -mean of V
    torch.testing.assert_close(FGAN(KL(), practical=False).g_loss(fake), tensor(-(math.exp(-1) + math.exp(-3)) / 2))
    torch.testing.assert_close(FGAN(PearsonChi2()).d_loss(real, fake), tensor(-2 + (0 - 1) / 2))  # 4/4 - 2 = -1
    torch.testing.assert_close(FGAN(ReverseKL()).g_loss(fake), tensor((1 + math.exp(2)) / 2))
    torch.testing.assert_close(FGAN(TotalVariation()).d_loss(real, -real), -tensor([1.0, 3.0]).tanh().mean())


def test_the_gan_row_is_binary_cross_entropy() -> None:
    real, fake = torch.linspace(-30, 30, 7), torch.linspace(-4, 9, 5)
    loss, cross_entropy = FGAN(GANDivergence()), binary_cross_entropy_with_logits
    ones, zeros = torch.ones_like, torch.zeros_like
    torch.testing.assert_close(
        loss.d_loss(real, fake), cross_entropy(real, ones(real)) + cross_entropy(fake, zeros(fake))
    )
    torch.testing.assert_close(loss.g_loss(fake), cross_entropy(fake, ones(fake)))  # the non-saturating loss


@every
def test_the_practical_generator_climbs_where_the_zero_sum_one_saturates(divergence: Divergence) -> None:
    """Both climb D's score; at a score of -3 (D is sure) the practical gradient is g_f', the other (f* o g_f)'."""
    score = tensor([-3.0], dtype=torch.float64, requires_grad=True)
    step = 1e-6
    for practical, function in ((True, divergence.activation), (False, divergence.conjugate_at)):
        (gradient,) = torch.autograd.grad(FGAN(divergence, practical).g_loss(score), score)
        slope = (function(score + step) - function(score - step)) / (2 * step)
        torch.testing.assert_close(gradient, -slope.detach(), rtol=1e-5, atol=1e-9)
        assert gradient <= 0


@every
def test_the_threshold_is_where_p_exceeds_q(divergence: Divergence) -> None:
    """The score of a ratio p/q above 1 says real, below 1 not."""
    scores = V[V != 0]
    says, t = FGAN(divergence).says_real(scores), divergence.activation(scores)
    above, below = (divergence.f_prime(tensor([u], dtype=torch.float64)) for u in (1.01, 0.99))
    assert says[t >= above].all() and not says[t <= below].any() and says.any() and not says.all()


@pytest.mark.parametrize("alpha", [0.0, 1.0])
def test_alpha_at_the_limits_names_them(alpha: float) -> None:
    with pytest.raises(ValueError, match="ReverseKL for 0 and KL for 1"):
        Alpha(alpha)


@pytest.mark.parametrize(("alpha", "limit"), [(1e-6, ReverseKL()), (1 - 1e-6, KL()), (1 + 1e-6, KL())])
def test_alpha_goes_over_into_kl(alpha: float, limit: Divergence) -> None:
    p, q = two()
    ours = (q * Alpha(alpha).f(p / q)).sum()
    assert ours.item() == pytest.approx(sums(p, q)[repr(limit)].item(), abs=1e-5)
