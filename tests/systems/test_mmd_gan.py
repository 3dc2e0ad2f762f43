"""Moment matching: estimators against double loops, losses and penalties by hand, the systems by their papers."""

import json
import math
from collections.abc import Callable
from itertools import pairwise, product
from pathlib import Path

import pytest
import torch
from helpers import TINY, Affine, count, normal, run_turn
from torch import Tensor, nn

from gan_cli.cli.main import main
from gan_cli.data.base import Images
from gan_cli.losses import kernels
from gan_cli.losses.adversarial import Wasserstein
from gan_cli.losses.kernels import (
    RBF,
    Cubic,
    Distance,
    Dot,
    RationalQuadratic,
    biased_mmd2,
    root,
    unbiased_mmd2,
    witness,
)
from gan_cli.losses.mmd import MMD, ActivationPenalty, Repulsive, WitnessPenalty
from gan_cli.losses.objective import Objective, WarmUp, WeightClip
from gan_cli.networks import dcgan, features, gmmn, mlp, mmd_gan
from gan_cli.systems.base import System, Terms, Turn
from gan_cli.systems.gan import GAN
from gan_cli.systems.gmmn import GMMN
from gan_cli.systems.gmmn_autoencoder import GMMNAutoencoder
from gan_cli.systems.mmd_gan import MMDGAN, rank_hinge
from gan_cli.utils import random

Vector = list[float]


def r2(x: Vector, y: Vector) -> float:
    return sum((a - b) ** 2 for a, b in zip(x, y))


def dot(x: Vector, y: Vector) -> float:
    return sum(a * b for a, b in zip(x, y))


def norm(x: Vector) -> float:
    return math.sqrt(dot(x, x))


BY_HAND: dict[str, tuple[kernels.Kernel, Callable[[Vector, Vector], float]]] = {
    "rbf": (RBF([0.5, 3.0]), lambda x, y: math.exp(-r2(x, y) / 0.5) + math.exp(-r2(x, y) / 18)),
    "rq": (RationalQuadratic([0.2, 5.0]), lambda x, y: (1 + r2(x, y) / 0.4) ** -0.2 + (1 + r2(x, y) / 10) ** -5.0),
    "distance": (Distance(), lambda x, y: norm(x) + norm(y) - math.sqrt(r2(x, y))),
    "dot": (Dot(), dot),
    "cubic": (Cubic(), lambda x, y: (dot(x, y) / len(x) + 1) ** 3),
    "rq*": (
        kernels.SumKernel([RationalQuadratic([1.0]), Dot()]),
        lambda x, y: 1 / (1 + r2(x, y) / 2) + dot(x, y),
    ),
}
every_kernel = pytest.mark.parametrize(("kernel", "k"), BY_HAND.values(), ids=BY_HAND.keys())


# Estimators


@every_kernel
def test_estimators_in_loops(kernel: kernels.Kernel, k: Callable[[Vector, Vector], float]) -> None:
    x, y = normal(7, 3) + 1, normal(5, 3, seed=1)
    X, Y = x.tolist(), y.tolist()
    xy = sum(k(a, b) for a, b in product(X, Y)) / 35
    biased = sum(k(a, b) for a, b in product(X, X)) / 49 + sum(k(a, b) for a, b in product(Y, Y)) / 25 - 2 * xy
    xx = sum(k(X[i], X[j]) for i, j in product(range(7), range(7)) if i != j) / 42
    yy = sum(k(Y[i], Y[j]) for i, j in product(range(5), range(5)) if i != j) / 20
    assert biased_mmd2(kernel, x, y).item() == pytest.approx(biased, rel=1e-10)
    assert unbiased_mmd2(kernel, x, y).item() == pytest.approx(xx + yy - 2 * xy, rel=1e-10)
    t = normal(2, 3, seed=2)
    w = [sum(k(c, a) for a in X) / 7 - sum(k(c, b) for b in Y) / 5 for c in t.tolist()]
    torch.testing.assert_close(witness(kernel, t, x, y), torch.tensor(w, dtype=torch.float64))


@every_kernel
def test_kernel_itself_less_what_it_is_at_equal_arguments(kernel: kernels.Kernel, k: Callable[..., float]) -> None:
    x, y = normal(4, 3), normal(2, 3, seed=1)
    constant = k([0.0] * 3, [0.0] * 3) if isinstance(kernel, (RBF, RationalQuadratic)) else 0
    if kernel is BY_HAND["rq*"][0]:
        constant = 1
    expected = [[k(a, b) - constant for b in y.tolist()] for a in x.tolist()]
    torch.testing.assert_close(kernel(x, y), torch.tensor(expected, dtype=torch.float64))


@every_kernel
def test_unbiased_estimate_of_equal_distributions_averages_0(kernel: kernels.Kernel, k: object) -> None:
    pairs = [(normal(12, 2, seed=s), normal(8, 2, seed=1000 + s)) for s in range(200)]

    def deviations(estimate: Callable[..., Tensor]) -> float:
        """The mean over many draws, in standard errors."""
        values = torch.stack([estimate(kernel, x, y) for x, y in pairs])
        return float(values.mean() / values.std() * math.sqrt(len(values)))

    assert abs(deviations(unbiased_mmd2)) < 3
    assert deviations(biased_mmd2) > 10


def test_closed_forms() -> None:
    x, y = torch.tensor([[0.0], [2.0]]), torch.tensor([[4.0], [10.0]])
    assert biased_mmd2(Dot(), x, y).item() == pytest.approx((7 - 1) ** 2)
    energy = 2 * (4 + 10 + 2 + 8) / 4 - 2 * 2 / 4 - 2 * 6 / 4
    assert biased_mmd2(Distance(), x, y).item() == pytest.approx(energy)
    a, b = torch.tensor([[0.0, 0.0]]), torch.tensor([[3.0, 4.0]])
    assert biased_mmd2(RBF([5.0]), a, b).item() == pytest.approx(2 - 2 * math.exp(-0.5))


def test_one_sample_has_no_pairs() -> None:
    with pytest.raises(ValueError, match="batch_size"):
        unbiased_mmd2(Dot(), torch.ones(1, 2), torch.ones(3, 2))


@pytest.mark.parametrize("build", [lambda: RBF([]), lambda: RBF([1.0, 0.0]), lambda: RationalQuadratic([-1.0])])
def test_kernels_refuse_bad_sizes(build: Callable[[], object]) -> None:
    with pytest.raises(ValueError, match="positive numbers"):
        build()


@every_kernel
@pytest.mark.parametrize("far", [0.0, 1.0, 1e6])
def test_gradients_are_finite(kernel: kernels.Kernel, k: object, far: float) -> None:
    """At equal samples, at nearly equal ones and at far ones, in float32; also the second one, of the penalty."""
    for shift in (0.0, 1e-7):
        x = normal(6, 3).float() + far
        y = (x + shift - 2 * far).requires_grad_()
        for estimate in (biased_mmd2, unbiased_mmd2):
            for value in (estimate(kernel, x, y), root(estimate(kernel, x, y))):
                (gradient,) = torch.autograd.grad(value, y, create_graph=True)
                assert value.isfinite() and gradient.isfinite().all()
                (second,) = torch.autograd.grad(gradient.sum(), y, allow_unused=True)
                assert second is None or second.isfinite().all()


@pytest.mark.parametrize(
    ("kernel", "plain"),
    [
        (RBF((0.5, 3.0)), lambda r2: sum(torch.exp(-r2 / (2 * s**2)) - 1 for s in (0.5, 3.0))),
        (RationalQuadratic((0.2, 5.0)), lambda r2: sum((1 + r2 / (2 * a)) ** -a - 1 for a in (0.2, 5.0))),
    ],
)
def test_derivatives_of_every_order(kernel: RBF | RationalQuadratic, plain: Callable[[Tensor], Tensor]) -> None:
    """The sums that share their exponentials, and autograd through them four times (an unrolled step of a critic with a
    penalty takes three), against autograd of the formula."""
    x = (3 * normal(9, 1)).requires_grad_()
    origin = torch.zeros(1, 1, dtype=torch.float64)
    r2 = x.detach().square().requires_grad_()
    by_r2, by_x, ours = plain(r2), plain(x.square()), kernel(x, origin)
    orders = kernel.derivatives(r2.detach(), range(5))
    torch.testing.assert_close(orders[0], by_r2.detach())
    for n in range(1, 5):
        (by_r2,) = torch.autograd.grad(by_r2.sum(), r2, create_graph=True)
        (by_x,) = torch.autograd.grad(by_x.sum(), x, create_graph=True)
        (ours,) = torch.autograd.grad(ours.sum(), x, create_graph=True)
        torch.testing.assert_close(orders[n], by_r2.detach())
        torch.testing.assert_close(kernel.derivatives(r2.detach(), range(n, n + 1)), [orders[n]])
        torch.testing.assert_close(ours, by_x)


def test_small_codes_keep_their_digits() -> None:
    """Codes some 1e-4 apart: MMD^2 of about 1e-8 in float32 as in float64, where 1 - k would be all rounding."""
    x, y = 1e-4 * normal(64, 8), 1e-4 * normal(64, 8, seed=1) + 1e-4
    for kernel in (RBF(), RationalQuadratic()):
        exact, ours = biased_mmd2(kernel, x, y), biased_mmd2(kernel, x.float(), y.float())
        assert 0 < exact < 1e-6 and ours.item() == pytest.approx(exact.item(), rel=1e-3)


def test_root() -> None:
    t = torch.tensor([-1.0, 0.0, 4.0], requires_grad=True)
    assert root(t).tolist() == [0, 0, 2]
    root(t).sum().backward()
    assert t.grad is not None and t.grad.tolist() == [0, 0, 0.25]


# Losses


def test_mmd_losses_by_hand() -> None:
    real, fake = torch.tensor([0.0, 2.0]), torch.tensor([4.0, 10.0])  # scores: features of length 1
    for loss, value in ((MMD(Dot()), 36.0), (MMD(Dot(), root=True), 6.0), (MMD(Dot(), unbiased=True), 0 + 40 - 14.0)):
        assert loss.g_loss(fake, real).item() == pytest.approx(value)
        assert loss.d_loss(real, fake).item() == pytest.approx(-value)
    maps = MMD(Dot()).g_loss(torch.ones(3, 1, 2, 2), torch.zeros(3, 1, 2, 2))
    assert maps.item() == pytest.approx(4)
    with pytest.raises(ValueError, match="no root"):
        MMD(Dot(), unbiased=True, root=True)


def test_repulsive_by_hand() -> None:
    """Squared distances of reals: 1, 9, 4 (9 counts as 4); of fakes: .01, 1, .81 (.01 counts as .25)."""
    real, fake = torch.tensor([0.0, 1.0, 3.0]), torch.tensor([0.0, 0.1, 1.0])
    loss = Repulsive(RBF([1.0]))
    k = [math.exp(-s / 2) for s in (1, 4, 4, 0.25, 1, 0.81)]
    assert loss.d_loss(real, fake).item() == pytest.approx((sum(k[:3]) - sum(k[3:])) / 3)
    assert loss.g_loss(fake, real).item() == pytest.approx(biased_mmd2(RBF([1.0]), real[:, None], fake[:, None]).item())


@pytest.mark.parametrize("lam", [-1.0, 0.5, 2.0])
def test_the_family_of_the_repulsive_loss_by_hand(lam: float) -> None:
    """Squared distances of reals: .01, 9, 8.41, at most 4 where they are pushed apart and at least .25 where they are
    pulled together; of fakes: .04, 1, .64 (.04 counts as .25); between the two as they are."""
    real, fake = torch.tensor([0.0, 0.1, 3.0]), torch.tensor([0.0, 0.2, 1.0])
    within = [math.exp(-s / 2) for s in ((0.25, 9, 8.41) if lam < 0 else (0.01, 4, 4))]
    fakes = [math.exp(-s / 2) for s in (0.25, 1, 0.64)]
    cross = [math.exp(-((x - y) ** 2) / 2) for x in (0, 0.1, 3) for y in (0, 0.2, 1)]
    loss = lam * sum(within) / 3 - (lam - 1) * sum(cross) / 9 - sum(fakes) / 3
    assert Repulsive(RBF([1.0]), lam=lam).d_loss(real, fake).item() == pytest.approx(loss)


def test_at_minus_one_the_family_is_mmd_gans() -> None:
    real, fake = normal(5, 3), normal(6, 3, seed=1)
    loss = Repulsive(RBF([2.0]), unbiased=True, sigma=2.0, lower=0.0, lam=-1.0)
    torch.testing.assert_close(loss.d_loss(real, fake), MMD(RBF([2.0]), unbiased=True).d_loss(real, fake))
    torch.testing.assert_close(loss.d_loss(real, fake), -loss.g_loss(fake, real))


def test_repulsive_pushes_reals_apart_and_fakes_together_within_bounds() -> None:
    near = torch.tensor([0.0, 1.0], requires_grad=True)
    far = torch.tensor([0.0, 2.1], requires_grad=True)
    close = torch.tensor([0.0, 0.4], requires_grad=True)
    loss, other = Repulsive(RBF([1.0])), torch.tensor([0.0, 5.0])
    descent = -torch.autograd.grad(loss.d_loss(near, other), near)[0]
    assert descent[0] < 0 < descent[1]
    assert not torch.autograd.grad(loss.d_loss(far, other), far)[0].any()
    descent = -torch.autograd.grad(loss.d_loss(other, near), near)[0]
    assert descent[1] < 0 < descent[0]
    assert not torch.autograd.grad(loss.d_loss(other, close), close)[0].any()


# Penalties


def test_witness_penalty_by_hand() -> None:
    """h(x) = a.x and the dot kernel: w(t) = (a.t) a.(mean x - mean y), so the gradient is a (a.(mean x - mean y))."""
    a = torch.tensor([3.0, 4.0], dtype=torch.float64, requires_grad=True)
    real, fake = torch.tensor([[1.0, 0.0], [3.0, 0.0]]).double(), torch.tensor([[0.0, 1.0], [0.0, 1.0]]).double()
    penalty = WitnessPenalty(Dot(), weight=2.0)(lambda x: x @ a, real, fake)
    size = 5 * (3 * 2 - 4 * 1)
    assert penalty.item() == pytest.approx(2 * (size - 1) ** 2)
    (gradient,) = torch.autograd.grad(penalty, a)
    d_size = 2 * a.detach() / 5 + 5 * torch.tensor([2.0, -1.0], dtype=torch.float64)
    torch.testing.assert_close(gradient, 4 * (size - 1) * d_size)


@every_kernel
def test_witness_penalty_against_finite_differences(kernel: kernels.Kernel, k: object) -> None:
    torch.manual_seed(0)
    critic = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)).double()
    real, fake = normal(3, 3), normal(3, 3, seed=1)

    def penalty(w: Tensor) -> Tensor:
        random.seed(1)
        return WitnessPenalty(kernel)(lambda x: torch.func.functional_call(critic, {"0.weight": w}, x), real, fake)

    assert torch.autograd.gradcheck(penalty, (critic[0].weight.detach().requires_grad_(),))


def test_activation_penalty_by_hand() -> None:
    """Layers x -> 2x -> relu -> -3 relu: for x = 1 and -1 the activations are (2, 0) and the outputs (-6, 0)."""
    critic = nn.Sequential(nn.Linear(1, 1, bias=False), nn.ReLU(), nn.Linear(1, 1, bias=False))
    nn.init.constant_(critic[0].weight, 2.0)
    nn.init.constant_(critic[2].weight, -3.0)
    x, zero = torch.tensor([[1.0], [-1.0]]), torch.zeros(2, 1)
    assert ActivationPenalty(weight=0.5)(critic, x, zero).item() == pytest.approx(0.5 * (4 / 2 + 36 / 2))
    assert ActivationPenalty(weight=0.5)(critic, x, x).item() == pytest.approx(2 * 0.5 * (4 / 2 + 36 / 2))
    assert not any(layer._forward_hooks for layer in critic.modules())
    with pytest.raises(ValueError, match="layers"):
        ActivationPenalty()(lambda x: critic(x), x, zero)


# Systems


def step(system: System, turn: Turn, batch: Images) -> Terms:
    """One step of plain descent, as in the trainer."""
    terms = run_turn(system, turn, batch)
    with torch.no_grad():
        for parameter in system.parameters():
            if parameter.grad is not None:
                parameter -= 0.1 * parameter.grad
    if turn.after_step:
        turn.after_step()
    return terms


def weights(system: System) -> dict[str, Tensor]:
    return {name: torch.cat([p.detach().flatten() for p in net.parameters()]) for name, net in system.named_children()}


def changed(before: dict[str, Tensor], system: System) -> set[str]:
    return {name for name, value in weights(system).items() if not torch.equal(value, before[name])}


def test_gmmn_is_one_turn_of_the_discrepancy() -> None:
    system = GMMN(nn.Unflatten(1, (2, 1, 1)), Objective(MMD(Dot(), root=True)), latent_dim=2)
    system.register_parameter("somewhere", nn.Parameter(torch.zeros(1)))
    assert [(turn.trains, turn.steps) for turn in system.turns()] == [(("generator",), 1)]
    x = torch.tensor([[1.0, 2.0], [3.0, 0.0], [2.0, 4.0]])
    random.seed(5)
    z = random.uniform(3, 2)
    random.seed(5)
    terms = system.turns()[0].loss(Images(x[:, :, None, None]))
    assert terms["adversarial"].item() == pytest.approx((x.mean(0) - z.mean(0)).norm().item())
    assert system.traverse(2)["interpolation"].images.shape == (2, 10, 2, 1, 1)


@pytest.mark.parametrize(
    "objective",
    [
        Objective(Wasserstein()),
        Objective(MMD(Dot()), penalty=WitnessPenalty(Dot())),
        Objective(MMD(Dot()), constraint=WeightClip()),
    ],
)
def test_gmmn_refuses_what_needs_a_critic(objective: Objective) -> None:
    with pytest.raises(ValueError, match="loss=gmmn"):
        GMMN(nn.Identity(), objective)


def test_gmmn_learns_a_line_of_two_modes() -> None:
    """Points at -1 and 1, std .1: after a second of training both modes have their half and nothing lies between."""
    torch.manual_seed(0)
    random.seed(0)
    system = GMMN(gmmn.Generator(1, 1, None, latent_dim=2, widths=[32, 32]),
                Objective(MMD(RBF([0.1, 0.3, 1.0]), root=True)), latent_dim=2)  # fmt: skip
    optimizer = torch.optim.Adam(system.parameters(), lr=5e-3)
    for _ in range(600):
        side = torch.randint(2, (64, 1, 1, 1)) * 2.0 - 1
        (turn,) = system.turns()
        optimizer.zero_grad()
        turn.loss(Images(side + 0.1 * torch.randn(64, 1, 1, 1)))["adversarial"].backward()
        optimizer.step()
    points = system.generate(2000).detach().flatten()
    assert ((points.abs() - 1).abs() < 0.3).float().mean() > 0.85
    assert 0.4 < (points > 0).float().mean() < 0.6


def autoencoder() -> GMMNAutoencoder:
    torch.manual_seed(0)
    random.seed(0)
    return GMMNAutoencoder(
        gmmn.CodeGenerator(code_dim=3, latent_dim=2, widths=[8]), gmmn.Encoder(4, 1, code_dim=3, width=8),
        gmmn.Decoder(4, 1, code_dim=3, width=8), nn.BCELoss(),
        Objective(MMD(RBF(), root=True)), pretrain=2, latent_dim=2,
    )  # fmt: skip


def test_two_phases_of_the_autoencoder() -> None:
    system, batch = autoencoder(), Images(torch.rand(6, 1, 4, 4))
    seen = []
    for system.iteration in range(4):
        (turn,) = system.turns()
        before = weights(system)
        terms = step(system, turn, batch)
        seen.append((list(terms), changed(before, system)))
    ae, g = (["reconstruction"], {"encoder", "decoder"}), (["adversarial"], {"generator"})
    assert seen == [ae, ae, g, g]
    assert system.generate(3).shape == (3, 1, 4, 4) and system.sample(batch)["generated"].shape == (6, 1, 4, 4)


def test_dropout_acts_in_the_first_phase_only_and_codes_are_compared() -> None:
    system, x = autoencoder(), torch.rand(6, 1, 4, 4)
    system.turns()
    assert not torch.equal(system.encoder(x), system.encoder(x))
    system.iteration = 2
    (turn,) = system.turns()
    code = system.encoder(x)
    assert torch.equal(code, system.encoder(x))
    random.seed(3)
    fake = system.generator(system.prior(6))
    random.seed(3)
    expected = root(biased_mmd2(RBF(), code, fake))
    torch.testing.assert_close(turn.loss(Images(x))["adversarial"], expected)
    system.train()
    system.turns()
    assert torch.equal(system.encoder(x), code)  # as after a grid of samples
    expected = nn.functional.binary_cross_entropy(system.decoder(code), x)
    torch.testing.assert_close(system.ae_loss(Images(x))["reconstruction"], expected)


def test_rank_hinge_is_one_sided() -> None:
    x, y = torch.tensor([[1.0, 5.0], [3.0, 5.0]]), torch.tensor([[4.0, 0.0], [6.0, 0.0]])
    assert rank_hinge(x, y).item() == pytest.approx((3 + 0) / 2)
    assert rank_hinge(y, x).item() == pytest.approx((0 + 5) / 2)


def test_mmd_gan_terms_by_hand() -> None:
    """f doubles, d thrices, G(z) = z + 10: f(x) = 2x, f(y) = 2y, d(f(x)) = 6x."""
    system = MMDGAN(Affine(1.0, 10.0), Affine(2.0), Affine(3.0), Objective(MMD(Dot(), root=True)), latent_dim=1)
    x = torch.tensor([[1.0], [3.0]])
    random.seed(2)
    y = random.normal(2, 1) + 10
    gap = 2 * float(y.mean() - 2)  # E f(y) - E f(x) > 0: the wrong order
    random.seed(2)
    d = system.d_loss(Images(x))
    assert {name: term.item() for name, term in d.items()} == pytest.approx(
        {"adversarial": -gap, "rank": 16 * gap, "reconstruction": 8 * 25 * float(x.square().mean() + y.square().mean())}
    )
    random.seed(2)
    g = system.g_loss(Images(x))
    assert {name: term.item() for name, term in g.items()} == pytest.approx({"adversarial": gap, "rank": -16 * gap})


def test_mmd_gan_s_critic_looks_at_each_batch_once() -> None:
    system = MMDGAN(Affine(1.0), Affine(2.0), Affine(3.0), Objective(MMD(Dot())), latent_dim=1)
    looks = []
    system.discriminator.register_forward_hook(lambda *_: looks.append(1))
    for turn in system.turns():
        turn.loss(Images(torch.ones(2, 1)))
    assert len(looks) == 4


def test_mmd_gan_cadence_movers_and_clipping_of_the_encoder_only() -> None:
    torch.manual_seed(0)
    random.seed(0)
    system = MMDGAN(
        dcgan.Generator(8, 1, latent_dim=5, width=2), mmd_gan.Encoder(8, 1, code_dim=5, width=2),
        dcgan.Generator(8, 1, latent_dim=5, width=2),
        Objective(MMD(RBF(), root=True), constraint=WeightClip(0.01), critic_steps=WarmUp()), latent_dim=5,
    )  # fmt: skip
    steps = []
    for system.iteration in (0, 24, 25, 499, 500, 501):
        steps.append([turn.steps for turn in system.turns()])
    assert steps == [[100, 1], [100, 1], [5, 1], [5, 1], [100, 1], [5, 1]]
    batch, (d, g) = Images(torch.rand(4, 1, 8, 8)), system.turns()
    before = weights(system)
    step(system, d, batch)
    assert changed(before, system) == {"discriminator", "decoder"}
    sizes = {name: value.abs().max().item() for name, value in weights(system).items()}
    assert sizes["discriminator"] <= 0.01 < min(sizes["decoder"], sizes["generator"])
    before = weights(system)
    step(system, g, batch)
    assert changed(before, system) == {"generator"}


def test_features_and_a_penalty_in_the_plain_gan() -> None:
    """Binkowski's MMD-GAN is the plain GAN with another loss: G descends MMD^2 of h(x), h(G(z)) for fixed h."""
    torch.manual_seed(0)
    random.seed(0)
    objective = Objective(MMD(RationalQuadratic(), unbiased=True), WitnessPenalty(RationalQuadratic()))
    generator, critic = mlp.PointGenerator(1, 2, latent_dim=3, widths=[8]), features.PointFeatures(1, 2, widths=[8])
    system = GAN(generator, critic, objective, 3)
    batch = Images(torch.rand(4, 2, 1, 1))
    d, g = system.turns()
    assert list(step(system, d, batch)) == ["adversarial", "penalty"]
    random.seed(1)
    h_y = system.discriminator(system.generate(4))
    expected = unbiased_mmd2(RationalQuadratic(), system.discriminator(batch.image), h_y)
    random.seed(1)
    torch.testing.assert_close(g.loss(batch)["adversarial"], expected)


def test_both_phases_and_a_vector_critic_from_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    tiny = [*TINY, "trainer.batch_size=4"]
    small = ["dataset.image_size=8", "model.generator.widths=[8]", "model.encoder.width=8", "model.decoder.width=8"]
    assert main(["train", "model=gmmn_ae", "model.pretrain=1", *small, *tiny, "hydra.run.dir=ae"]) == 0
    lines = [json.loads(line) for line in Path("ae/metrics.jsonl").read_text().splitlines()]
    assert "ae/reconstruction" in lines[0] and "g/adversarial" not in lines[0]
    assert "g/adversarial" in lines[1] and "ae/reconstruction" not in lines[1]
    ring = ["dataset=ring", "network=mlp_points_features"]
    assert main(["train", *ring, "loss=mmd_rq", *tiny, "hydra.run.dir=rq"]) == 0
    lines = [json.loads(line) for line in Path("rq/metrics.jsonl").read_text().splitlines()]
    assert all(line["d/penalty"] > 0 and line["d/adversarial"] * line["g/grad_norm/generator"] != 0 for line in lines)
    state = torch.load("rq/checkpoints/last.pt", weights_only=True)["system"]
    assert state["discriminator.layers.7.weight"].shape == (16, 128)  # 16 features and not a score
    capsys.readouterr()
    assert main(["train", "model=gmmn", "loss=wgan_gp", *tiny, "hydra.run.dir=refused"]) == 2
    assert "loss=gmmn" in capsys.readouterr().err
    assert main(["train", "model=cgan", "loss=mmd_rq", *tiny, "hydra.run.dir=refused"]) == 2
    assert "critic is a function" in capsys.readouterr().err


# Networks


def dense(*widths: int) -> int:
    return sum(wide_in * wide_out + wide_out for wide_in, wide_out in pairwise(widths))


def test_gmmn_s_initial_weights_are_those_of_its_authors_library() -> None:
    """pynn/layer.py: gnp.randn(in_dim, out_dim) * sqrt(init_scale / in_dim) of scale 1, and b = 0."""
    torch.manual_seed(0)
    for network in (gmmn.Generator(28, 1), gmmn.CodeGenerator(), gmmn.Encoder(28, 1), gmmn.Decoder(28, 1)):
        for layer in (layer for layer in network.modules() if isinstance(layer, nn.Linear)):
            assert (layer.weight.std() * layer.in_features**0.5).item() == pytest.approx(1, abs=0.1)
            assert layer.weight.abs().max() > 2.5 * layer.in_features**-0.5  # normal: a uniform one ends at 1.73
            assert not layer.bias.any()


def test_gmmn_s_networks() -> None:
    assert count(gmmn.Generator(28, 1)) == dense(10, 64, 256, 256, 1024, 784)
    assert count(gmmn.CodeGenerator()) == dense(10, 64, 256, 256, 1024, 32)
    assert count(gmmn.Encoder(28, 1)) == dense(784, 1024, 32)
    assert count(gmmn.Decoder(28, 1)) == dense(32, 1024, 784)
    x = gmmn.Decoder(28, 1)(gmmn.Encoder(28, 1)(torch.rand(2, 1, 28, 28)))
    assert x.shape == (2, 1, 28, 28) and x.min() > 0 and x.max() < 1
    assert gmmn.Generator(6, 3, (-1.0, 1.0))(torch.rand(2, 10)).shape == (2, 3, 6, 6)


def test_mmd_gan_s_networks() -> None:
    """32 pixels: 3-64-128-256 of 4x4 kernels, two batch normalizations, and a 4x4 convolution to the code."""
    kernels_of_4 = 16 * (3 * 64 + 64 * 128 + 128 * 256 + 256 * 128)
    assert count(mmd_gan.Encoder(32, 3, code_dim=128)) == kernels_of_4 + 2 * (128 + 256)
    kernels_of_5 = 25 * (3 * 64 + 64 * 128 + 128 * 256 + 256 * 512)
    assert count(mmd_gan.Critic(32, 3)) == kernels_of_5 + (64 + 128 + 256 + 512) + dense(512 * 2 * 2, 16)
    up = 25 * (512 * 256 + 256 * 128 + 128 * 64 + 64 * 3) + (256 + 128 + 64 + 3) + 2 * (512 + 256 + 128 + 64)
    assert count(mmd_gan.Generator(32, 3)) == dense(128, 512 * 2 * 2) + up


def test_binkowskis_initial_weights() -> None:
    """core/ops.py: linear N(0, .01), convolutions N(0, .02) cut at two deviations (.880 of the std), transposed ones
    not cut; biases 0, batch normalization at 1 and 0."""
    torch.manual_seed(0)
    layers = [*mmd_gan.Generator(32, 3).modules(), *mmd_gan.Critic(32, 3).modules()]
    deviations = {nn.Linear: 0.01, nn.ConvTranspose2d: 0.02, nn.Conv2d: 0.880 * 0.02}
    seen = [layer for layer in layers if type(layer) in deviations]
    assert len(seen) == 1 + 4 + 4 + 1
    for layer in seen:
        deviation, largest = deviations[type(layer)], layer.weight.abs().max()
        assert layer.weight.std().item() == pytest.approx(deviation, rel=0.03) and not layer.bias.any()
        assert largest <= 0.04 if isinstance(layer, nn.Conv2d) else largest > 3 * deviation
    norms = [layer for layer in layers if isinstance(layer, nn.BatchNorm2d)]
    assert len(norms) == 4 and all((layer.weight == 1).all() and not layer.bias.any() for layer in norms)


def test_spectral_features() -> None:
    """Seven convolutions and a linear layer of spectral norm 1; the seven gains are one factor at the end."""
    torch.manual_seed(0)
    network = features.SpectralFeatures(8, 1, features=5, width=2, gain=2.0).eval()
    plain = features.SpectralFeatures(8, 1, features=5, width=2, gain=1.0).eval()
    plain.load_state_dict(network.state_dict())
    x = torch.rand(3, 1, 8, 8)
    torch.testing.assert_close(network(x), 2.0**7 * plain(x))
    last = network.layers[-1]
    assert network(x).shape == (3, 5) and torch.linalg.matrix_norm(last.weight, 2).item() == pytest.approx(1, rel=0.05)


def test_toy_features_under_spectral_normalization() -> None:
    """The slope is at most the gain of each hidden layer; by default the weights are plain."""
    torch.manual_seed(0)
    network = features.PointFeatures(1, 2, features=5, widths=[8, 8], norm="spectral", gain=3.0).eval()
    x = torch.randn(64, 2, 1, 1)
    slopes = torch.pdist(network(x)) / torch.pdist(x.flatten(1))
    assert 1 < slopes.max() <= 3.0**2 * 1.05
    drawn = features.PointFeatures(1, 2, features=5, widths=[8, 8])
    weights = [name for name, _ in network.named_parameters() if name.endswith("weight.original")]
    assert len(weights) == 3 and all(name.endswith(("weight", "bias")) for name, _ in drawn.named_parameters())


@pytest.mark.parametrize(
    ("size", "widths", "start", "smallest"),
    [(28, [1, 2, 4], 7, 2), (32, [1, 2, 4, 8], 4, 2), (64, [1, 2, 4, 8, 16], 4, 4)],
)
def test_convolutions_at_three_sizes(size: int, widths: list[int], start: int, smallest: int) -> None:
    """Width 2. The encoder: kernels of 4 down to `start` pixels; the critic and the generator: 4 kernels of 5."""
    encoder, critic = mmd_gan.Encoder(size, 1, code_dim=7, width=2), mmd_gan.Critic(size, 1, features=3, width=2)
    generator = mmd_gan.Generator(size, 1, latent_dim=7, width=2)
    kernels_of_4 = sum(16 * a * b for a, b in pairwise(widths)) + 7 * start**2 * widths[-1]
    assert count(encoder) == kernels_of_4 + 2 * sum(widths[2:])  # two numbers per normalized channel
    corner = 16 * smallest**2
    kernels_of_5 = 25 * (2 + 8 + 32 + 128)
    assert count(critic) == kernels_of_5 + 2 + 4 + 8 + 16 + dense(corner, 3)
    assert count(generator) == dense(7, corner) + kernels_of_5 + 8 + 4 + 2 + 1 + 2 * (16 + 8 + 4 + 2)
    x, z = torch.rand(2, 1, size, size), torch.rand(2, 7)
    assert encoder(x).shape == (2, 7) and critic(x).shape == (2, 3)
    assert generator(z).shape == dcgan.Generator(size, 1, latent_dim=7, width=2)(encoder(x)).shape == x.shape
