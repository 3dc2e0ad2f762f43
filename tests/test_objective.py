"""How an objective joins its parts, the cadence of the critic and the clip of its weights."""

import pytest
import torch
from torch import Tensor, nn, tensor

from gan_cli.losses import Wasserstein
from gan_cli.objective import Objective, WarmUp, WeightClip


def critic(x: Tensor) -> Tensor:
    return 2 * x


def test_terms() -> None:
    objective = Objective(Wasserstein())
    real, fake = tensor([1.0, 3.0]), tensor([0.0, 1.0])
    assert objective.d_loss(critic, real, fake) == {"adversarial": tensor(1.0 - 4.0)}
    assert objective.g_loss(critic, fake, real) == {"adversarial": tensor(-1.0)}


def test_penalty_sees_critic_real_and_fake() -> None:
    def penalty(f: object, real: Tensor, fake: Tensor) -> Tensor:
        assert f is critic
        return 7 * real.sum() + fake.sum()

    terms = Objective(Wasserstein(), penalty).d_loss(critic, tensor([1.0]), tensor([2.0]))
    assert terms == {"adversarial": tensor(2.0), "penalty": tensor(9.0)}


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
    assert all(p.abs().max() <= 0.01 for p in network.parameters())        # batch normalisation's too


def test_no_constraint() -> None:
    network = nn.Linear(2, 2)
    before = network.weight.clone()
    Objective(Wasserstein()).constrain(network)
    torch.testing.assert_close(network.weight, nn.Parameter(before))
