"""The models by their papers: which networks are trained, losses by hand, and where the gradients flow."""

import math
from typing import Any

import pytest
import torch
from helpers import run_turn
from torch import Tensor, nn

from gan_cli.data.base import Domains, Images
from gan_cli.losses.adversarial import LeastSquares, NonSaturating, Wasserstein
from gan_cli.losses.objective import Objective, WarmUp, WeightClip
from gan_cli.losses.penalties import GradientPenalty
from gan_cli.networks import conditional, infogan, mlp, patchgan, resnet
from gan_cli.systems.base import System
from gan_cli.systems.conditional_gan import ConditionalGAN
from gan_cli.systems.cyclegan import CycleGAN
from gan_cli.systems.gan import GAN
from gan_cli.systems.infogan import InfoGAN, categorical_information, continuous_information
from gan_cli.systems.many_fakes import ManyFakesGAN
from gan_cli.systems.shared_fakes import SharedFakesGAN
from gan_cli.utils import random

SIZE = 8


def gan(kind: type[GAN] = GAN, objective: Objective | None = None, **options: Any) -> GAN:
    torch.manual_seed(0)
    return kind(
        mlp.PointGenerator(1, 2, latent_dim=3, widths=[8]), mlp.PointDiscriminator(1, 2, widths=[8]),
        objective or Objective(NonSaturating()), latent_dim=3, **options,
    )  # fmt: skip


def conditional_gan(objective: Objective | None = None) -> ConditionalGAN:
    torch.manual_seed(0)
    return ConditionalGAN(
        conditional.Generator(SIZE, 1, 4, latent_dim=3, width=4),
        conditional.Discriminator(SIZE, 1, 4, width=4, norm="none"),
        objective or Objective(NonSaturating()), num_classes=4, latent_dim=3,
    )  # fmt: skip


def info_gan(**options: Any) -> InfoGAN:
    torch.manual_seed(0)
    codes = {"categorical": [4, 3], "continuous": 2}
    return InfoGAN(
        infogan.Generator(SIZE, 1, noise_dim=5, **codes), infogan.Trunk(SIZE, 1), infogan.Discriminator(),
        infogan.Posterior(**codes), Objective(NonSaturating()), noise_dim=5, **codes, **options,
    )  # fmt: skip


def cycle_gan(**options: Any) -> CycleGAN:
    torch.manual_seed(0)
    return CycleGAN(
        *[resnet.ResNetGenerator(SIZE, 1, width=2, blocks=1) for _ in "GF"],
        *[patchgan.Discriminator(SIZE, 1, width=2, n_layers=1) for _ in "XY"],
        Objective(LeastSquares(scale=1.0)), **options,
    )  # fmt: skip


def batch_for(system: System) -> Any:
    generator = torch.Generator().manual_seed(1)
    if system.batch_type is Domains:
        return Domains(*torch.rand(2, 3, 1, SIZE, SIZE, generator=generator))
    if isinstance(system, GAN) and not system.needs_labels:
        return Images(torch.rand(4, 2, 1, 1, generator=generator))
    return Images(torch.rand(4, 1, SIZE, SIZE, generator=generator), torch.tensor([0, 1, 2, 3]))


@pytest.mark.parametrize(
    "system",
    [
        gan(), gan(objective=Objective(Wasserstein(), GradientPenalty(), critic_steps=5)),
        conditional_gan(), conditional_gan(Objective(Wasserstein(), GradientPenalty())),
        info_gan(), info_gan(fix_std=False), cycle_gan(), cycle_gan(lambda_identity=0.5),
    ],
)  # fmt: skip
def test_every_loss_has_gradients_for_the_trained_networks_only(system: System) -> None:
    random.seed(0)
    for turn in system.turns():
        terms = run_turn(system, turn, batch_for(system))
        assert all(term.shape == () and term.isfinite() for term in terms.values())
        for name, network in system.named_children():
            grads = [p.grad for p in network.parameters()]
            if name in turn.trains:
                assert all(g is not None for g in grads), name
                assert sum(float(g.abs().sum()) for g in grads) > 0, name
            else:
                assert all(g is None for g in grads), name


@pytest.mark.parametrize("system", [gan(), conditional_gan(), info_gan(), cycle_gan()])
def test_samples_have_the_shape_of_the_data(system: System) -> None:
    system.eval()
    batch = batch_for(system)
    for name, images in system.sample(batch).items():
        assert images.shape == batch[0].shape and name.isidentifier()


# GAN


def test_algorithm_1() -> None:
    system = gan(objective=Objective(Wasserstein(), constraint=WeightClip(0.01), critic_steps=WarmUp()))
    d, g = system.turns()
    assert (d.trains, d.steps, g.trains, g.steps) == (("discriminator",), 100, ("generator",), 1)
    system.iteration = 30
    assert system.turns()[0].steps == 5
    assert d.after_step is not None and g.after_step is None
    d.after_step()
    assert max(p.abs().max() for p in system.discriminator.parameters()) <= 0.01
    assert max(p.abs().max() for p in system.generator.parameters()) > 0.01


def record_inputs(system: GAN) -> list[Tensor]:
    """The list of G's inputs from now on."""
    recorded: list[Tensor] = []
    system.generator.register_forward_pre_hook(lambda _, inputs: recorded.append(inputs[0]))
    return recorded


@pytest.mark.parametrize("share_fakes", [False, True])
def test_fakes_that_both_turns_share(share_fakes: bool) -> None:
    """G's gradient through the shared images is that of generating them anew from the same z; D's turn gives G none."""
    system, x = gan(SharedFakesGAN, share_fakes=share_fakes), Images(torch.randn(5, 2, 1, 1))
    inputs = record_inputs(system)
    d, g = system.turns()
    system.generator.requires_grad_(False)
    sum(d.loss(x).values()).backward()  # type: ignore[union-attr]
    assert all(p.grad is None for p in system.generator.parameters())
    assert not any(p.requires_grad for p in system.generator.parameters())
    with torch.no_grad():
        system.discriminator.layers[1].weight.add_(0.1)  # as after D's step
    system.generator.requires_grad_(True)
    sum(g.loss(x).values()).backward()  # type: ignore[union-attr]
    assert len(inputs) == (1 if share_fakes else 2)
    gradients = [p.grad.clone() for p in system.generator.parameters()]  # type: ignore[union-attr]
    system.generator.zero_grad()
    fake = system.generator(inputs[-1])
    sum(system.objective.g_loss(system.discriminator, fake, x.image).values()).backward()  # type: ignore[union-attr]
    for gradient, p in zip(gradients, system.generator.parameters(), strict=True):
        assert gradient.any() or p.dim() == 1
        torch.testing.assert_close(gradient, p.grad)
    g.loss(x)
    assert len(inputs) == (3 if share_fakes else 4)  # no images are stored any more: a second call generates


def test_algorithm_1_with_several_steps_of_d_shares_no_fakes() -> None:
    objective, x = Objective(NonSaturating(), critic_steps=2), Images(torch.randn(5, 2, 1, 1))
    system = gan(SharedFakesGAN, objective)
    inputs = record_inputs(system)
    for turn in system.turns():
        for _ in range(turn.steps):
            turn.loss(x)
    assert len(inputs) == 3


def test_many_fakes_per_real_in_the_turn_of_g() -> None:
    """D sees as many fakes as reals, G's turn three times as many."""
    system, x = gan(ManyFakesGAN, Objective(Wasserstein()), fakes_per_real=3), Images(torch.randn(5, 2, 1, 1))
    inputs = record_inputs(system)
    d, g = system.turns()
    d.loss(x)
    loss = g.loss(x)["adversarial"]
    assert [len(z) for z in inputs] == [5, 15]
    torch.testing.assert_close(loss, -system.discriminator(system.generator(inputs[1])).mean())
    with pytest.raises(ValueError, match="at least 1"):
        gan(ManyFakesGAN, fakes_per_real=0)


def test_gan_losses_by_hand() -> None:
    """G(z) = z, D(x) = sum of x: the fakes' scores are the noise."""
    system = GAN(nn.Unflatten(1, (1, 1, 1)), nn.Flatten(0), Objective(Wasserstein()), latent_dim=1)
    system.register_parameter("somewhere", nn.Parameter(torch.zeros(1)))
    batch = Images(torch.tensor([1.0, 5.0]).view(2, 1, 1, 1))
    random.seed(7)
    z = random.normal(2, 1)
    random.seed(7)
    assert system.d_loss(batch)["adversarial"].item() == pytest.approx(z.mean().item() - 3)
    random.seed(7)
    assert system.g_loss(batch)["adversarial"].item() == pytest.approx(-z.mean().item())


def test_prior_is_a_part() -> None:
    system = gan(noise=lambda *shape, device: random.uniform(*shape, device=device, low=2.0, high=3.0))
    z = system.prior(100)
    assert z.shape == (100, 3) and z.min() >= 2 and z.max() <= 3
    z = gan().prior(2000)
    assert abs(z.mean()) < 0.1 and abs(z.std() - 1) < 0.1


def test_interpolation_is_a_straight_line() -> None:
    system = GAN(nn.Unflatten(1, (3, 1, 1)), nn.Linear(1, 1), Objective(NonSaturating()), latent_dim=3)
    traversal = system.traverse(4)["interpolation"]
    table = traversal.images
    assert traversal.headings[0] == "t = 0" and traversal.headings[9] == "t = 1" and len(traversal.headings) == 10
    assert table.shape == (4, 10, 3, 1, 1)
    steps = table[:, 1:] - table[:, :-1]
    torch.testing.assert_close(steps, steps[:, :1].expand_as(steps))
    assert not torch.equal(table[0, 0], table[0, 9]) and not torch.equal(table[0], table[1])


def test_gan_takes_no_label() -> None:
    with pytest.raises(ValueError, match="no label"):
        gan().generate(2, torch.tensor([0, 1]))


# ConditionalGAN


class Spy(nn.Module):
    """Keeps its arguments; returns the mean of the first per sample, plus its parameter."""

    def __init__(self, shape: tuple[int, ...] = ()) -> None:
        super().__init__()
        self.shape, self.calls = shape, []
        self.w = nn.Parameter(torch.zeros(1))

    def forward(self, *inputs: Tensor) -> Tensor:
        self.calls.append(inputs)
        mean = inputs[0].flatten(1).mean(1) + self.w
        return mean.view(-1, *[1] * len(self.shape)).expand(-1, *self.shape)


def test_fakes_take_the_batch_s_labels_and_the_critic_sees_them() -> None:
    system = ConditionalGAN(Spy((1, 2, 2)), Spy(), Objective(NonSaturating()), num_classes=3, latent_dim=5)
    y = torch.tensor([2, 0])
    batch = Images(torch.ones(2, 1, 2, 2), y)
    system.d_loss(batch)
    system.g_loss(batch)
    assert all(torch.equal(call[1], y) for call in [*system.generator.calls, *system.discriminator.calls])
    assert len(system.generator.calls) == 2 and len(system.discriminator.calls) == 3
    assert torch.equal(system.discriminator.calls[0][0], batch.image)


def test_conditional_samples() -> None:
    system = ConditionalGAN(Spy((1, 2, 2)), Spy(), Objective(NonSaturating()), num_classes=3, latent_dim=5)
    system.sample(Images(torch.ones(5, 1, 2, 2)))
    assert system.generator.calls[-1][1].tolist() == [0, 1, 2, 0, 1]
    system.generate(300)
    assert set(system.generator.calls[-1][1].tolist()) == {0, 1, 2}
    traversal = system.traverse(2)["class"]
    table = traversal.images
    assert traversal.headings == ("class 0", "class 1", "class 2")
    z, y = system.generator.calls[-1]
    assert table.shape == (2, 3, 1, 2, 2) and y.tolist() == [0, 1, 2, 0, 1, 2]
    assert torch.equal(z[0], z[2]) and not torch.equal(z[0], z[3])


def test_conditional_gan_needs_classes() -> None:
    with pytest.raises(ValueError, match="labeled"):
        ConditionalGAN(Spy(), Spy(), Objective(NonSaturating()), num_classes=None)


# InfoGAN


def test_categorical_information_by_hand() -> None:
    c = torch.tensor([0, 1])
    assert categorical_information(torch.zeros(2, 10), c).item() == pytest.approx(0, abs=1e-6)
    sure = 100 * torch.eye(10)[:2]
    assert categorical_information(sure, c).item() == pytest.approx(math.log(10))      # I(c; x) <= H(c)
    posterior = torch.tensor([[0.5, 0.25, 0.25], [0.2, 0.2, 0.6]])
    expected = (math.log(0.5) + math.log(0.2)) / 2 + math.log(3)
    assert categorical_information(posterior.log(), c).item() == pytest.approx(expected)


def test_continuous_information_by_hand() -> None:
    u, mean = torch.tensor([[0.5, 0.0]]), torch.tensor([[-0.5, 0.0]])
    log_variance = torch.tensor([[0.0, math.log(0.25)]])
    log_normal = -0.5 * math.log(2 * math.pi)
    expected = (log_normal - 0.5) + (log_normal + math.log(2)) + 2 * math.log(2)
    assert continuous_information(mean, log_variance, u).item() == pytest.approx(expected)


def test_information_of_a_known_posterior() -> None:
    """With Q's logits 0 and means 0 at sigma 1: L_I of the classes 0, of u  -E u^2 / 2 - ln(2 pi) / 2 + ln 2 each."""
    system = info_gan(lambda_categorical=3.0, lambda_continuous=2.0)
    nn.init.zeros_(system.posterior.layers[-1].weight)
    latent = system.prior(6)
    terms = system.information(system.trunk(torch.rand(6, 1, SIZE, SIZE)), latent)
    expected = -latent.u.square().sum(1).mean() / 2 - math.log(2 * math.pi) + 2 * math.log(2)
    assert terms["minus_L_I"].item() == pytest.approx(0, abs=1e-5)
    assert terms["minus_L_I_continuous"].item() == pytest.approx(-2 * expected.item(), rel=1e-5)


def test_information_of_a_sure_posterior_is_the_entropy() -> None:
    """Q that reads the codes off: L_I = ln 4 + ln 3, and lambda weighs it."""
    system = info_gan(lambda_categorical=0.5)
    latent = system.prior(6)
    hot = [50 * torch.eye(k)[c] for c, k in zip(latent.c.unbind(1), [4, 3], strict=True)]
    system.posterior = nn.Identity()
    system.trunk = nn.Flatten()
    x = torch.cat([*hot, latent.u, torch.full((6, 2), 7.0)], dim=1)          # the variances are not used: sigma is 1
    terms = system.information(system.trunk(x), latent)
    assert terms["minus_L_I"].item() == pytest.approx(-0.5 * math.log(12))
    assert terms["minus_L_I_continuous"].item() == pytest.approx(math.log(2 * math.pi) - 2 * math.log(2), rel=1e-5)
    system.fix_std = False
    learned = system.information(system.trunk(x), latent)["minus_L_I_continuous"].item()
    assert learned == pytest.approx(math.log(2 * math.pi) + 7 - 2 * math.log(2), rel=1e-5)


def test_infogan_turns_and_the_way_of_information() -> None:
    system = info_gan()
    d, g = system.turns()
    assert d.trains == ("trunk", "discriminator", "posterior") and g.trains == ("generator",)
    for turn, trained in ((d, ("trunk", "posterior")), (g, ("generator",))):
        for name, network in system.named_children():
            network.requires_grad_(name in turn.trains)
        terms = turn.loss(batch_for(system))
        assert list(terms) == ["adversarial", "minus_L_I", "minus_L_I_continuous"]
        parameters = [p for name in trained for p in getattr(system, name).parameters()]
        for name in ("minus_L_I", "minus_L_I_continuous"):
            gradients = torch.autograd.grad(terms[name], parameters, retain_graph=True, allow_unused=True)
            assert all(gradient is not None for gradient in gradients), (turn.name, name)


def test_infogan_prior() -> None:
    latent = info_gan().prior(2000)
    assert latent.z.shape == (2000, 5) and latent.c.shape == (2000, 2) and latent.u.shape == (2000, 2)
    assert latent.z.abs().max() <= 1 and abs(latent.u.std() - 1 / math.sqrt(3)) < 0.05
    assert latent.c[:, 0].bincount().min() > 400 and len(latent.c[:, 1].unique()) == 3


def test_infogan_tables() -> None:
    system = info_gan()
    system.generator = nn.Unflatten(1, (5 + 4 + 3 + 2, 1, 1))            # shows the latent vector itself
    tables = system.traverse(2)
    columns = [("c1", 4), ("c2", 3), ("c3", 10), ("c4", 10), ("interpolation", 10)]
    assert [(name, table.images.shape[1]) for name, table in tables.items()] == columns
    c1, c3, line = (tables[name].images.flatten(2) for name in ("c1", "c3", "interpolation"))
    torch.testing.assert_close(c1[0, :, 5:9], torch.eye(4))
    torch.testing.assert_close(c3[1, :, 12], torch.linspace(-2, 2, 10))
    changed = torch.ones(14, dtype=torch.bool)
    changed[5:9] = False
    assert (c1[:, :1, changed] == c1[..., changed]).all()              # a row differs in its code only
    assert not torch.equal(c1[0, 0, :5], c1[1, 0, :5])
    assert (line[:, :1, 5:] == line[..., 5:]).all()                    # codes are fixed, and the noise is on a line
    steps = line[:, 1:, :5] - line[:, :-1, :5]
    torch.testing.assert_close(steps, steps[:, :1].expand_as(steps))
    assert steps.abs().min() > 0


def test_infogan_tables_say_what_they_show() -> None:
    """A column is headed by the value of its code; a line is where a continuous code leaves its training range."""
    system = info_gan()
    system.generator = nn.Unflatten(1, (5 + 4 + 3 + 2, 1, 1))
    tables = system.traverse(2)
    assert tables["c2"].headings == ("c2 = 0", "c2 = 1", "c2 = 2") and not tables["c2"].lines
    values = [float(text.removeprefix("c4 = ")) for text in tables["c4"].headings]
    assert values == pytest.approx(tables["c4"].images[0, :, 13].flatten().tolist(), abs=0.005)
    left, right = tables["c4"].lines
    assert values[left - 1] < -1 <= values[left] and values[right - 1] <= 1 < values[right]


def test_infogan_labels_set_the_first_code_and_classify_reads_it() -> None:
    system = info_gan()
    system.generator = nn.Unflatten(1, (14, 1, 1))
    x = system.generate(3, torch.tensor([3, 0, 2])).flatten(1)
    torch.testing.assert_close(x[:, 5:9], torch.eye(4)[[3, 0, 2]])
    system.trunk, system.posterior = nn.Identity(), nn.Identity()
    system.categorical, system.continuous = [4, 3], 2
    posterior = torch.zeros(2, 11)
    posterior[0, 2] = posterior[1, 1] = 1
    posterior[:, 4:] = 9
    assert system.classify(posterior).tolist() == [2, 1]


def test_infogan_needs_a_code() -> None:
    with pytest.raises(ValueError, match="at least one code"):
        InfoGAN(*[nn.Identity()] * 4, Objective(NonSaturating()), categorical=[], continuous=0)
