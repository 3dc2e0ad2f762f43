"""The unrolled GAN: gradients through D's future steps."""

import copy
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
from helpers import SMALL_BATCHES
from torch import Tensor, nn
from torch.optim import Optimizer

from gan_cli.cli.main import main
from gan_cli.data.base import Images
from gan_cli.losses.adversarial import NonSaturating, Wasserstein
from gan_cli.losses.objective import Objective
from gan_cli.losses.penalties import Critic, GradientPenalty
from gan_cli.systems.gan import GAN
from gan_cli.systems.unrolled import UnrolledGAN
from gan_cli.systems.unrolling import gradient_descent, next_steps, unroll
from gan_cli.utils import random


class Slope(nn.Module):
    """D(x) = w x."""

    def __init__(self, w: float) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.tensor(w, dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        return self.w * x


def test_steps_by_hand() -> None:
    """D's loss w (m_f - m_r) has gradient m_f - m_r = x_f - 1: after K steps of eta, w_K = w - K eta (x_f - 1).

    G's loss -w_K x_f then has the derivative -w_K - x_f dw_K/dx_f = -w_K + K eta x_f.
    """
    network, x_f = Slope(2.0), torch.tensor([3.0], dtype=torch.float64, requires_grad=True)
    objective, real = Objective(Wasserstein()), torch.ones(1, dtype=torch.float64)
    for steps in (0, 1, 4):
        D_K = unroll(network, lambda D: objective.d_loss(D, real, x_f), steps, gradient_descent(0.1))
        w_K = 2.0 - steps * 0.1 * (3.0 - 1.0)
        loss = objective.g_loss(D_K, x_f, real)["adversarial"]
        assert loss.item() == pytest.approx(-w_K * 3)
        (gradient,) = torch.autograd.grad(loss, x_f)
        assert gradient.item() == pytest.approx(-w_K + steps * 0.1 * 3)
    assert network.w.item() == 2.0 and network.w.grad is None


def test_g_is_paid_by_the_term_of_real_samples_too() -> None:
    """f_K = w_K (x_r - x_f) of the Wasserstein loss, dw_K/dx_f = -K eta: the derivative is -K eta (x_r - x_f) - w_K,
    and without the real term K eta x_f - w_K; both by the weight v of a generator x_f = v z, z = 1. D's penalty is
    none of G's."""
    for zero_sum, at_x_f in ((True, -4 * 0.1 * (1.0 - 3.0)), (False, 4 * 0.1 * 3.0)):
        G, D = nn.Linear(1, 1, bias=False).double(), Slope(2.0)
        nn.init.constant_(G.weight, 3.0)
        objective = Objective(Wasserstein(), penalty=lambda critic, real, fake: 0.0 * critic(fake).sum() + 5.0)
        system = UnrolledGAN(G, D, objective, 1, lambda *shape, device: torch.ones(shape, dtype=torch.float64),
                           unroll_steps=4, unroll_lr=0.1, zero_sum=zero_sum)  # fmt: skip
        terms = system.g_loss(Images(torch.ones(1, 1, dtype=torch.float64)))
        w_4 = 2.0 - 4 * 0.1 * (3.0 - 1.0)
        assert list(terms) == ["adversarial"]
        assert terms["adversarial"].item() == pytest.approx(w_4 * (1.0 - 3.0) if zero_sum else -w_4 * 3.0)
        terms["adversarial"].backward()
        assert G.weight.grad.item() == pytest.approx(at_x_f - w_4)


def test_gradient_against_finite_differences() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(2, 5), nn.Tanh(), nn.Linear(5, 1)).double()
    real, fake = torch.randn(6, 2, dtype=torch.float64), torch.randn(6, 2, dtype=torch.float64, requires_grad=True)
    objective = Objective(NonSaturating())

    def surrogate(x: Tensor) -> Tensor:
        D_K = unroll(network, lambda D: objective.d_loss(D, real, x), 3, gradient_descent(0.3))
        return objective.g_loss(D_K, x, real)["adversarial"]

    assert torch.autograd.gradcheck(surrogate, (fake,))


OPTIMIZERS: dict[str, Callable[..., Optimizer]] = {
    "adam": partial(torch.optim.Adam, lr=0.02, betas=(0.5, 0.9)),
    "adam_decay": partial(torch.optim.Adam, lr=0.02, weight_decay=0.1),
    "adamw": partial(torch.optim.AdamW, lr=0.02, weight_decay=0.1),
    "sgd": partial(torch.optim.SGD, lr=0.1),
    "sgd_momentum": partial(torch.optim.SGD, lr=0.1, momentum=0.7, weight_decay=0.1),
}


def critic(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(2, 5), nn.Tanh(), nn.Linear(5, 1)).double()


@pytest.mark.parametrize("build", OPTIMIZERS.values(), ids=OPTIMIZERS)
@pytest.mark.parametrize("past", [0, 3])
def test_steps_are_those_that_the_optimizer_takes(build: Callable[..., Optimizer], past: int) -> None:
    """After `past` steps of its own and K unrolled ones D is where the optimizer takes it, and the gradient
    through the K steps is that of finite differences; the optimizer's state is as before."""
    network, objective = critic(0), Objective(NonSaturating())
    optimizer = build(network.parameters())
    real, fake = torch.randn(6, 2, dtype=torch.float64), torch.randn(6, 2, dtype=torch.float64, requires_grad=True)

    def step() -> None:
        optimizer.zero_grad()
        sum(objective.d_loss(network, real, fake.detach()).values()).backward()
        optimizer.step()

    for _ in range(past):
        step()
    state = copy.deepcopy(optimizer.state_dict())

    def D_3(x: Tensor) -> Critic:
        return unroll(network, lambda D: objective.d_loss(D, real, x), 3, next_steps(optimizer, network))

    ahead = D_3(fake)(real)
    assert torch.autograd.gradcheck(lambda x: objective.g_loss(D_3(x), x, real)["adversarial"], (fake,))
    torch.testing.assert_close(optimizer.state_dict(), state, rtol=0, atol=0)
    for _ in range(3):
        step()
    torch.testing.assert_close(ahead, network(real), rtol=1e-6, atol=1e-7)


def test_a_weight_that_never_had_a_gradient() -> None:
    """The third input is 0 in every sample: Adam's v is 0 for its weights, and sqrt(v) has no infinite gradient."""
    torch.manual_seed(0)
    network, objective = nn.Linear(3, 1), Objective(NonSaturating())
    optimizer = torch.optim.Adam(network.parameters())
    real = torch.tensor([[1.0, 2.0, 0.0]])
    fake = torch.tensor([[0.5, -1.0, 0.0]], requires_grad=True)
    D_2 = unroll(network, lambda D: objective.d_loss(D, real, fake), 2, next_steps(optimizer, network))
    objective.g_loss(D_2, fake, real)["adversarial"].backward()
    assert fake.grad is not None and fake.grad.isfinite().all()


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (torch.optim.RMSprop, "this network's optimizer is RMSprop"),
        (partial(torch.optim.Adam, amsgrad=True), "remove optimizer.amsgrad"),
        (partial(torch.optim.SGD, lr=0.1, momentum=0.5, nesterov=True), "remove optimizer.nesterov"),
    ],
)
def test_other_optimizers_are_refused(build: Callable[..., Optimizer], message: str) -> None:
    network = critic(0)
    with pytest.raises(ValueError, match=message):
        next_steps(build(network.parameters()), network)


def test_the_unrolled_loss_takes_the_steps_of_d_s_optimizer() -> None:
    """unroll_lr unset: the steps are those of the optimizer that the trainer gave the system."""
    system = UnrolledGAN(*networks(), Objective(NonSaturating()), latent_dim=3, unroll_steps=3)
    system.optimizers = {"discriminator": torch.optim.SGD(system.discriminator.parameters(), lr=0.1)}
    other = UnrolledGAN(*networks(), Objective(NonSaturating()), latent_dim=3, unroll_steps=3, unroll_lr=0.1)
    values = []
    for one in (system, other):
        random.seed(3)
        values.append(one.g_loss(Images(torch.ones(8, 4, 1, 1)))["adversarial"].item())
    assert values[0] == values[1]


def networks() -> tuple[nn.Module, nn.Module]:
    torch.manual_seed(1)
    generator = nn.Sequential(nn.Linear(3, 4), nn.Unflatten(1, (4, 1, 1)))
    discriminator = nn.Sequential(nn.Flatten(), nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 1))
    return generator, discriminator


def test_k_0_is_the_plain_gan() -> None:
    values = []
    for kind, options in ((GAN, {}), (UnrolledGAN, {"unroll_steps": 0})):
        system = kind(*networks(), Objective(NonSaturating()), latent_dim=3, **options)
        random.seed(3)
        values.append(system.g_loss(Images(torch.ones(8, 4, 1, 1)))["adversarial"].item())
    assert values[0] == pytest.approx(values[1])


def test_d_keeps_its_weights_and_running_statistics() -> None:
    system = UnrolledGAN(*networks(), Objective(NonSaturating()), latent_dim=3, unroll_steps=4, unroll_lr=0.1)
    system.discriminator.requires_grad_(False)                                  # as the trainer does in G's turn
    before = {name: value.clone() for name, value in system.discriminator.state_dict().items()}
    sum(system.g_loss(Images(torch.randn(8, 4, 1, 1))).values()).backward()
    after = system.discriminator.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    assert all(p.grad is None for p in system.discriminator.parameters())
    assert all(p.grad is not None for p in system.generator.parameters())


@pytest.mark.parametrize(("steps", "w_K", "dw_K"), [(1, 1.7, -0.1), (2, 1.43, -0.19)])
def test_unrolls_penalties_too(steps: int, w_K: float, dw_K: float) -> None:
    """D(x) = w x has the gradient w everywhere, so D's loss is w (x_f - x_r) + (w - 1)^2 / 2. From w = 2 with x_f = 3,
    x_r = 1 and eta = .1:  w_1 = 2 - .1 (2 + 1) = 1.7 (1.8 without the penalty),  w_2 = 1.7 - .1 (2 + .7) = 1.43, and
    dw_1/dx_f = -.1,  dw_2/dx_f = -.1 (1 - .1) - .1 = -.19.  G's loss is -w_K (x_f - x_r).
    """
    G, D = nn.Linear(1, 1, bias=False).double(), Slope(2.0)
    nn.init.constant_(G.weight, 3.0)
    objective = Objective(Wasserstein(), GradientPenalty(0.5))
    system = UnrolledGAN(G, D, objective, 1, lambda *shape, device: torch.ones(shape, dtype=torch.float64),
                       unroll_steps=steps, unroll_lr=0.1)  # fmt: skip
    terms = system.g_loss(Images(torch.ones(1, 1, dtype=torch.float64)))
    assert list(terms) == ["adversarial"] and terms["adversarial"].item() == pytest.approx(-w_K * 2)
    terms["adversarial"].backward()
    assert G.weight.grad.item() == pytest.approx(-w_K - dw_K * 2)


def test_negative_steps_are_refused() -> None:
    with pytest.raises(ValueError, match="unroll_steps lies in"):
        UnrolledGAN(*networks(), Objective(NonSaturating()), unroll_steps=-1)


@pytest.mark.parametrize("loss", ["wgan_gp", "wgan_gp_1_step", "wgan_div", "dragan", "r1"])
def test_a_penalty_of_a_network_with_batch_normalization_is_refused_before_the_run(
    loss: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its third derivative does not exist in torch, which only a backward pass shows."""
    monkeypatch.chdir(tmp_path)
    narrow = ["dataset.image_size=16", "model.generator.width=4", "model.discriminator.width=4", *SMALL_BATCHES]
    assert main(["train", "model=unrolled", f"loss={loss}", *narrow, "trainer.iterations=2"]) == 2
    error = capsys.readouterr().err
    assert "batch_norm does not support 3rd+ order derivatives" in error and error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
