"""How an objective joins its parts, the cadence of the critic and the clip of its weights."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn, tensor

from gan_cli.losses.adversarial import Relativistic, Wasserstein
from gan_cli.losses.critic import separately
from gan_cli.losses.kernels import RationalQuadratic
from gan_cli.losses.margin import L1Margin, LossSensitive, MarginObjective
from gan_cli.losses.mmd import MMD, ActivationPenalty, WitnessPenalty
from gan_cli.losses.objective import Objective, WarmUp, WeightClip
from gan_cli.losses.penalties import SumPenalty
from gan_cli.utils import random


def critic(x: Tensor) -> Tensor:
    return 2 * x


def test_terms() -> None:
    objective = Objective(Wasserstein())
    real, fake = tensor([1.0, 3.0]), tensor([0.0, 1.0])
    assert objective.d_loss(critic, real, fake) == {"adversarial": tensor(1.0 - 4.0)}
    assert objective.g_loss(critic, fake, real) == {"adversarial": tensor(-1.0)}


def test_penalty_sees_critic_real_and_fake() -> None:
    def penalty(f: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor) -> Tensor:
        return 7 * f(real).sum() + f(fake).sum() + 100 * f(real + 1).sum()

    terms = Objective(Wasserstein(), penalty).d_loss(critic, tensor([1.0]), tensor([2.0]))
    assert terms == {"adversarial": tensor(2.0), "penalty": tensor(7 * 2.0 + 4 + 100 * 4)}


def test_no_term_asks_the_critic_twice() -> None:
    """Binkowski's loss of the critic: one pass of real and generated samples and one of those between; the same terms
    and gradients as with each term by itself."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(3, 4), nn.LeakyReLU(0.2), nn.Linear(4, 2)).double()
    passes: list[int] = []
    network.register_forward_hook(lambda layer, inputs, output: passes.append(len(output)))
    real, fake = torch.randn(5, 3).double(), torch.randn(5, 3).double()
    kernel, activations = RationalQuadratic(), ActivationPenalty(0.5)
    witness = WitnessPenalty(kernel)
    objective = Objective(MMD(kernel, unbiased=True), SumPenalty([witness, activations]))
    random.seed(0)
    terms = objective.d_loss(network, real, fake)
    assert passes == [10, 5]

    with separately():
        random.seed(0)
        alone = MMD(kernel, unbiased=True).d_loss(network(real), network(fake))
        penalties = witness(network, real, fake) + activations(network, real, fake)
    torch.testing.assert_close([terms["adversarial"], terms["penalty"]], [alone, penalties])
    expected = torch.autograd.grad(alone + penalties, list(network.parameters()))
    got = torch.autograd.grad(terms["adversarial"] + terms["penalty"], list(network.parameters()))
    torch.testing.assert_close(got, expected)


def test_steps() -> None:
    assert Objective(Wasserstein()).steps_at(0) == 1
    assert Objective(Wasserstein(), critic_steps=5).steps_at(3) == 5
    assert Objective(Wasserstein(), critic_steps=lambda iteration: iteration + 1).steps_at(3) == 4


@pytest.mark.parametrize(
    ("iteration", "steps"),
    [(0, 100), (24, 100), (25, 5), (26, 5), (499, 5), (500, 100), (501, 5), (1000, 100), (1500, 100)],
)
def test_warm_up_of_the_wgan_code(iteration: int, steps: int) -> None:
    assert Objective(Wasserstein(), critic_steps=WarmUp()).steps_at(iteration) == steps


def test_clip_every_parameter() -> None:
    network = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3))
    with torch.no_grad():
        network[0].weight.copy_(tensor([[1.0, -1.0, 0.005]] * 3))
    Objective(Wasserstein(), constraint=WeightClip(0.01)).constrain(network)
    torch.testing.assert_close(network[0].weight, nn.Parameter(tensor([[0.01, -0.01, 0.005]] * 3)))
    assert all(p.abs().max() <= 0.01 for p in network.parameters())        # batch normalization's too


def test_no_constraint() -> None:
    network = nn.Linear(2, 2)
    before = network.weight.clone()
    Objective(Wasserstein()).constrain(network)
    torch.testing.assert_close(network.weight, nn.Parameter(before))


def test_the_generator_compares_two_samples() -> None:
    real, fake = tensor([1.0, 3.0]), tensor([0.0, 1.0])
    terms = Objective(Relativistic()).g_loss(critic, fake, real)
    expected = Relativistic().g_loss(2 * fake, 2 * real)
    torch.testing.assert_close(terms["adversarial"], expected)


def test_a_plain_generator_does_not_pay_for_real_scores() -> None:
    seen = []
    Objective(Wasserstein()).g_loss(lambda x: seen.append(x) or x, tensor([1.0]), tensor([2.0]))
    assert [x.item() for x in seen] == [1.0]


def test_margin_of_lsgan_lua() -> None:
    """The sum over all values: 12,288 pixels half a unit apart, by 2e-4, are 1.2288."""
    margin = L1Margin()(torch.zeros(2, 3, 64, 64), torch.full((2, 3, 64, 64), 0.5))
    assert margin.tolist() == pytest.approx([1.2288] * 2)


def test_pairs_are_set_apart_by_their_own_distance_and_the_margin_has_no_gradient() -> None:
    real, fake = tensor([[0.0, 0.0], [1.0, 1.0]]), tensor([[1.0, 2.0], [1.0, 1.0]], requires_grad=True)
    objective = MarginObjective(LossSensitive(nonnegative=False), margin=L1Margin(2.0))
    terms = objective.d_loss(lambda x: x[:, 0] * 0, real, fake)
    assert terms["adversarial"].item() == pytest.approx((6 + 0) / 2)
    (gradient,) = torch.autograd.grad(terms["adversarial"], fake)
    assert (gradient == 0).all()


def test_margin_objective_with_a_penalty() -> None:
    """Scores 3, 1 and -1, -2; margins 4, 3: the hinges are 4 + 0 - 1 and 3 + 0 - 2."""

    def penalty(f: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor) -> Tensor:
        return 7 * f(real).sum() + f(fake).sum() + 100 * f(real + 1).sum()

    objective = MarginObjective(LossSensitive(), margin=L1Margin(1.0), penalty=penalty)
    real, fake = tensor([[1.0, 2.0], [0.0, 1.0]]), tensor([[0.0, -1.0], [-2.0, 0.0]])
    terms = objective.d_loss(lambda x: x.sum(1), real, fake)
    assert terms == {"adversarial": tensor(2.0), "penalty": tensor(7 * 4.0 - 3 + 100 * 8)}
