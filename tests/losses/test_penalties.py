"""The gradient penalty of critics whose gradient is known, and its double backward."""

import pytest
import torch
from torch import Tensor, nn

from gan_cli.losses.penalties import DRAGAN, R1, GradientPenalty, SumPenalty, WassersteinDivergence, input_gradient
from gan_cli.utils import random


def batches(n: int = 4, requires_grad: bool = False) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    real = torch.randn(n, 2, 3, 3, generator=generator, dtype=torch.float64)
    fake = torch.randn(n, 2, 3, 3, generator=generator, dtype=torch.float64)
    return real.requires_grad_(requires_grad), fake.requires_grad_(requires_grad)


@pytest.mark.parametrize("requires_grad", [False, True])
@pytest.mark.parametrize("size", [0.5, 2.0])              # two-sided: below and above the target
def test_linear_critic(size: float, requires_grad: bool) -> None:
    """f(x) = w.x has gradient w everywhere: weight (|w| - 1)^2, with gradient 2 weight (|w| - 1) w / |w|."""
    real, fake = batches(requires_grad=requires_grad)
    w = torch.ones(18, dtype=torch.float64)
    w = (size * w / w.norm()).requires_grad_()
    penalty = GradientPenalty(weight=10.0)(lambda x: x.flatten(1) @ w, real, fake)
    assert penalty.item() == pytest.approx(10 * (size - 1) ** 2)
    (gradient,) = torch.autograd.grad(penalty, w)
    torch.testing.assert_close(gradient, 2 * 10 * (size - 1) * w.detach() / size)


def test_target() -> None:
    real, fake = batches()
    w = torch.zeros(18, dtype=torch.float64)
    w[0] = 3.0
    w.requires_grad_()
    penalty = GradientPenalty(weight=2.0, target=0.0)(lambda x: x.flatten(1) @ w, real, fake)
    assert penalty.item() == pytest.approx(18)


def test_x_hat_lies_between_with_one_eps_a_sample() -> None:
    """f(x) = sum x^2 / 2 has gradient x: with real 0 and fake 1 it is 1 - eps in every value of a sample."""
    real, fake = torch.zeros(64, 3, 2, 2), torch.ones(64, 3, 2, 2)
    seen = []
    random.seed(0)
    GradientPenalty()(lambda x: seen.append(x.detach()) or x.square().flatten(1).sum(1) / 2, real, fake)
    x_hat = seen[0].flatten(1)
    assert (x_hat == x_hat[:, :1]).all() and (x_hat >= 0).all() and (x_hat <= 1).all()
    assert 0.2 < x_hat[:, 0].std() < 0.4 and abs(x_hat[:, 0].mean() - 0.5) < 0.1          # U[0, 1]: std .289


def test_penalty_value_is_the_mean_over_samples_of_a_norm_over_all_values() -> None:
    real, fake = torch.zeros(2, 1, 1, 2), torch.zeros(2, 1, 1, 2)
    slopes = torch.tensor([[3.0, 4.0], [0.0, 1.0]])                                       # norms 5 and 1
    penalty = GradientPenalty(weight=1.0)(lambda x: (x.flatten(1) * slopes).sum(1), real, fake)
    assert penalty.item() == pytest.approx(((5 - 1) ** 2 + 0) / 2)


@pytest.mark.parametrize("norm", [nn.Identity(), nn.LayerNorm(5)])
def test_second_derivative_of_a_critic_with_kinks(norm: nn.Module) -> None:
    """As torch's own, which goes once more through the whole critic; with nothing but linear layers and kinks the
    biases take no part, so that pass was for nothing."""
    torch.manual_seed(0)
    critic = nn.Sequential(
        nn.Flatten(), nn.Linear(18, 5), norm, nn.LeakyReLU(0.2, inplace=True),
        nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 1),
    ).double()  # fmt: skip
    x, weights = batches(32)[0], list(critic.parameters())

    def penalty(gradient: Tensor) -> list[Tensor | None]:
        value = (gradient.norm(dim=1) - 1).square().mean()
        return list(torch.autograd.grad(value, weights, retain_graph=True, allow_unused=True))

    leaf = x.clone().requires_grad_()
    (plain,) = torch.autograd.grad(critic(leaf).sum(), leaf, create_graph=True)
    fast = input_gradient(critic, x)
    assert (penalty(fast)[1] is None) == isinstance(norm, nn.Identity)  # the first layer's bias
    torch.testing.assert_close(fast, plain.flatten(1), rtol=0, atol=0)
    for weight, ours, theirs in zip(weights, penalty(fast), penalty(plain.flatten(1)), strict=True):
        zero = torch.zeros_like(weight)
        torch.testing.assert_close(zero if ours is None else ours, zero if theirs is None else theirs)


def test_score_map_counts_through_its_sum() -> None:
    x = torch.ones(2, 1, 2, 2)
    torch.testing.assert_close(input_gradient(lambda x: 3 * x, x), torch.full((2, 4), 3.0))


def test_double_backward_against_finite_differences() -> None:
    torch.manual_seed(0)
    critic = nn.Sequential(nn.Conv2d(2, 3, 2), nn.Softplus(), nn.Flatten(), nn.Linear(12, 1)).double()
    real, fake = batches(3)
    weight = critic[0].weight

    def penalty(w: Tensor) -> Tensor:
        random.seed(1)
        return GradientPenalty()(lambda x: torch.func.functional_call(critic, {"0.weight": w}, x), real, fake)

    assert torch.autograd.gradcheck(penalty, (weight.detach().requires_grad_(),))


def test_fakes_get_no_gradient() -> None:
    real, fake = batches(requires_grad=True)
    w = torch.ones(18, dtype=torch.float64, requires_grad=True)
    GradientPenalty()(lambda x: x.flatten(1).square() @ w, real, fake).backward()
    assert w.grad is not None and real.grad is None and fake.grad is None


def test_wasserstein_divergence_of_a_linear_critic() -> None:
    """k |w|^p: with |w| = 2, k = 2 and p = 6, 2 * 64; its gradient k p |w|^(p - 2) w."""
    real, fake = batches()
    w = torch.ones(18, dtype=torch.float64)
    w = (2 * w / w.norm()).requires_grad_()
    penalty = WassersteinDivergence()(lambda x: x.flatten(1) @ w, real, fake)
    assert penalty.item() == pytest.approx(128)
    (gradient,) = torch.autograd.grad(penalty, w)
    torch.testing.assert_close(gradient, 2 * 6 * 2**4 * w.detach())
    assert WassersteinDivergence(3.0, 2.0)(lambda x: x.flatten(1) @ w, real, fake).item() == pytest.approx(12)


def test_wasserstein_divergence_has_no_gradient_where_the_critic_is_flat() -> None:
    """k p |w|^(p - 2) w is 0 at w = 0, and no NaN."""
    real, fake = batches()
    w = torch.zeros(18, dtype=torch.float64, requires_grad=True)
    WassersteinDivergence()(lambda x: x.flatten(1) @ w, real, fake).backward()
    assert w.grad is not None and (w.grad == 0).all()


def test_r1_looks_at_real_samples_only() -> None:
    """f(x) = |x|^2 / 2 has gradient x: gamma / 2 * mean |x|^2."""
    real, fake = torch.tensor([[3.0, 4.0], [0.0, 1.0]]), torch.full((2, 2), 100.0)
    penalty = R1(gamma=10.0)(lambda x: x.square().sum(1) / 2, real, fake)
    assert penalty.item() == pytest.approx(10 / 2 * (25 + 1) / 2)


def test_dragan_looks_near_real_samples() -> None:
    """At x + alpha * scale * std * u: never below x, at most scale * std above, one alpha a sample."""
    real = torch.cat([torch.zeros(128, 1, 2, 2), torch.full((128, 1, 2, 2), 8.0)])             # std 4, population's
    seen = []
    random.seed(0)
    DRAGAN()(lambda x: seen.append(x.detach()) or x.flatten(1).sum(1), real, torch.full_like(real, 1e6))
    step = (seen[0] - real).flatten(1)
    assert (step >= 0).all() and 1.9 < step.max() <= 0.5 * 4
    assert abs(step.mean() - 0.5 * 4 / 4) < 0.05                                               # E alpha E u = 1/4
    largest = step.max(dim=1).values
    assert (largest < 0.4).float().mean() > 0.15                                          # a small alpha spares all


def test_dragan_by_hand() -> None:
    real, fake = batches()
    w = torch.zeros(18, dtype=torch.float64)
    w[3] = 4.0
    assert DRAGAN(weight=10.0, target=1.0)(lambda x: x.flatten(1) @ w.requires_grad_(), real, fake).item() == 10 * 9


def test_sum_of_penalties() -> None:
    real, fake = batches()

    def critic(x: Tensor) -> Tensor:
        return 3 * x.flatten(1)[:, 0]

    both = SumPenalty([R1(2.0), GradientPenalty(1.0)])(critic, real, fake)
    assert both.item() == pytest.approx(9 + 4)
