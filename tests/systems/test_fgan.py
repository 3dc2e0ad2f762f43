"""f-GAN: the single-step method, its networks and data, and the example on the line."""

import json
import math
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from helpers import TINY, count
from torch import Tensor, nn

from gan_cli.cli.main import main
from gan_cli.data.base import Images
from gan_cli.data.gaussians import Mixture1d
from gan_cli.losses import divergences as d
from gan_cli.losses.adversarial import AdversarialLoss, Minimax, NonSaturating, Wasserstein
from gan_cli.losses.fgan import FGAN
from gan_cli.losses.objective import Objective, WeightClip
from gan_cli.losses.penalties import GradientPenalty
from gan_cli.metrics.base import EvaluationData, Samples
from gan_cli.metrics.discriminator_accuracy import DiscriminatorAccuracy
from gan_cli.metrics.gaussian_fit import DIVERGENCES, GaussianFit, Line
from gan_cli.networks.fgan import (
    ConvDiscriminator,
    ConvGenerator,
    Discriminator,
    GaussianGenerator,
    Generator,
    TanhDiscriminator,
)
from gan_cli.systems.fgan_single_step import SingleStepGAN
from gan_cli.systems.gan import GAN
from gan_cli.tools.demos.gaussian import NAMES, PAPER, best_gaussian, off_diagonal
from gan_cli.training.schedules import LinearDecay
from gan_cli.training.trainer import Trainer
from gan_cli.utils import random
from gan_cli.utils.autograd import reverse

STDS = [0.254951, 1.414214]


def mixture(weights: list[float] | None = None) -> Mixture1d:
    """As conf/dataset/mixture_1d.yaml."""
    return Mixture1d(weights or [0.33, 0.67], [-1.0, 2.0], STDS)


def number(value: float) -> Tensor:
    return torch.tensor(value, dtype=torch.float64)


# -- Algorithm 1


class Double(Mixture1d):
    def train_batch(self, seed: int, start: int, count: int) -> Images:
        return Images(super().train_batch(seed, start, count).image.double())


def small_model(adversarial: AdversarialLoss, **parts: object) -> SingleStepGAN:
    """A small model in float64."""
    torch.manual_seed(3)
    generator = nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 1), nn.Unflatten(1, (1, 1, 1))).double()
    critic = TanhDiscriminator(1, 1, widths=[5, 5]).double()
    noise = lambda *shape, device: random.normal(*shape, device=device).double()  # noqa: E731
    return SingleStepGAN(generator, critic, Objective(adversarial, **parts), latent_dim=2, noise=noise)


@pytest.mark.parametrize(
    "adversarial", [FGAN(d.KL()), FGAN(d.Jeffrey(), practical=False), Minimax(), NonSaturating(), Wasserstein()],
    ids=["kl practical", "jeffrey", "minimax", "non-saturating", "wasserstein"],
)  # fmt: skip
def test_one_step_is_both_gradients_at_the_same_point(adversarial: AdversarialLoss) -> None:
    """w + eta grad_w F and theta - eta grad_theta F, each worked out by itself; the old weights in both."""
    system, eta = small_model(adversarial), 0.3
    data = Double([0.33, 0.67], [-1.0, 2.0], STDS)
    optimizers = {name: torch.optim.SGD(net.parameters(), eta) for name, net in system.named_children()}
    trainer = Trainer(system, data, optimizers, batch_size=16, iterations=1, seed=5)
    real = data.train_batch(5, 0, 16).image
    with random.fork(5):
        z = random.normal(16, 2).double()
    F = -adversarial.d_loss(system.discriminator(real), system.discriminator(system.generator(z)))
    w, theta = list(system.discriminator.parameters()), list(system.generator.parameters())
    up = torch.autograd.grad(F, w, retain_graph=True)
    down = torch.autograd.grad(F, theta)
    expected = [p + eta * g for p, g in zip(w, up, strict=True)]
    expected += [p - eta * g for p, g in zip(theta, down, strict=True)]
    expected = [value.detach().clone() for value in expected]
    trainer.iterate()
    for ours, wanted in zip([*w, *theta], expected, strict=True):
        torch.testing.assert_close(ours.detach(), wanted, rtol=0, atol=1e-7)
    assert max(float(g.abs().max()) for g in up) > 1e-3 and max(float(g.abs().max()) for g in down) > 1e-3


def test_one_forward_of_each_network() -> None:
    system, seen = small_model(FGAN(d.KL())), {"G": [], "D": []}
    system.generator.register_forward_hook(lambda module, x, y: seen["G"].append(y.detach()))
    system.discriminator.register_forward_hook(lambda module, x, y: seen["D"].append(x[0].detach()))
    batch = Double([0.33, 0.67], [-1.0, 2.0], STDS).train_batch(0, 0, 8)
    (turn,) = system.turns()
    assert turn.steps == 1 and set(turn.trains) == {"generator", "discriminator"}
    turn.loss(batch)["adversarial"].backward()
    assert [len(calls) for calls in seen.values()] == [1, 1]  # D: reals and fakes in one pass
    torch.testing.assert_close(seen["D"][0], torch.cat([batch.image, seen["G"][0]]))
    assert all(p.grad is not None for p in system.parameters())


def test_the_penalty_is_the_discriminators_alone_and_the_constraint_holds() -> None:
    batch = Double([0.33, 0.67], [-1.0, 2.0], STDS).train_batch(0, 0, 8)
    gradients = []
    for penalty in (None, GradientPenalty(weight=1000.0)):
        system = small_model(Wasserstein(), penalty=penalty, constraint=WeightClip(0.01))
        random.seed(0)
        sum(system.dg_loss(batch).values()).backward()
        gradients.append(system.generator[0].weight.grad)
        (turn,) = system.turns()
        turn.after_step()
        assert max(float(p.detach().abs().max()) for p in system.discriminator.parameters()) <= 0.01
    torch.testing.assert_close(gradients[0], gradients[1])


def test_steps_of_the_critic_are_refused() -> None:
    with pytest.raises(ValueError, match="critic_steps=1"):
        small_model(Wasserstein(), critic_steps=5).turns()


def test_reverse() -> None:
    x = torch.tensor([1.0, -2.0], requires_grad=True)
    y = reverse(x)
    torch.testing.assert_close(y, x)
    (gradient,) = torch.autograd.grad((3 * y).sum(), x)
    torch.testing.assert_close(gradient, torch.tensor([-3.0, -3.0]))


# -- the mixture on the line


def test_samples_follow_the_density() -> None:
    data = Mixture1d([0.33, 0.67], [-1.0, 2.0], STDS, num_classes=2)
    image, label = data.train_batch(0, 0, 200_000)
    x = image.flatten().double()
    assert image.shape == (200_000, 1, 1, 1) and image.dtype == torch.float32
    assert abs(float(label.double().mean()) - 0.67) < 5e-3
    for k, (mean, std) in enumerate(zip([-1.0, 2.0], STDS, strict=True)):
        assert abs(float(x[label == k].mean()) - mean) < 0.015 and abs(float(x[label == k].std()) - std) < 0.01
    line = Line(data, number(0.0), number(1.0))
    assert float(line.p.sum() * line.dx) == pytest.approx(1, abs=1e-7)
    inside = (line.x > -1.25) & (line.x < -0.75)
    share = float(((x > -1.25) & (x < -0.75)).double().mean())
    assert float(line.p[inside].sum() * line.dx) == pytest.approx(share, abs=5e-3)


def test_batches_are_pure() -> None:
    data = mixture()
    whole = data.train_batch(1, 0, 10).image
    torch.testing.assert_close(whole, torch.cat([data.train_batch(1, 0, 3).image, data.train_batch(1, 3, 7).image]))
    assert not (whole == data.train_batch(2, 0, 10).image).any()
    assert data.test_batch(9_999, 2).image[1] == data.test_batch(0, 1).image[0]
    assert data.fingerprint() != mixture([0.5, 0.5]).fingerprint()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"weights": [0.5, 0.6]}, "sum to 1"), ({"weights": [1.0, 0.0]}, "positive"), ({"stds": [1.0]}, "one length"),
        ({"stds": [1.0, 0.0]}, "positive"), ({"channels": 2}, "1 and 1"), ({"num_classes": 3}, "2 labels"),
    ],
)  # fmt: skip
def test_wrong_mixtures_are_one_clear_line(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Mixture1d(**{"weights": [0.5, 0.5], "means": [0.0, 1.0], "stds": [1.0, 1.0]} | wrong)


# -- networks


def test_networks() -> None:
    g, v = GaussianGenerator(mu=1.5, sigma=-2.0), TanhDiscriminator(1, 1)
    torch.testing.assert_close(g(torch.tensor([[3.0]])), torch.full((1, 1, 1, 1), -4.5))
    assert count(g) == 2 and count(v) == (64 + 64) + (64 * 64 + 64) + (64 + 1)
    _, first, _, second, _, last = v.layers
    x = torch.linspace(-3, 3, 7)
    hidden = torch.tanh(torch.tanh(x[:, None] @ first.weight.T + first.bias) @ second.weight.T + second.bias)
    torch.testing.assert_close(v(x[:, None, None, None]), (hidden @ last.weight.T + last.bias).flatten())
    generator, critic = Generator(28, 1), Discriminator(28, 1)
    assert count(generator) == 101 * 1200 + 2400 + 1201 * 1200 + 2400 + 1201 * 784
    assert count(critic) == 785 * 240 + 241 * 240 + 241
    image = generator(torch.rand(3, 100))
    assert image.shape == (3, 1, 28, 28) and image.min() >= 0 and image.max() <= 1 and critic(image).shape == (3,)
    elus = [layer for layer in critic.modules() if isinstance(layer, nn.ELU)]
    assert len(elus) == 2 and isinstance(critic.layers[-1], nn.Linear)


def test_convolutions_at_96_pixels() -> None:
    generator, critic = ConvGenerator(96, 3), ConvDiscriminator(96, 3)
    linear, norms = 101 * 512 * 36, 2 * (512 + 256 + 128 + 64)
    convolutions = 16 * (512 * 256 + 256 * 128 + 128 * 64 + 64 * 3) + 256 + 128 + 64 + 3
    assert count(generator) == linear + norms + convolutions
    halvings = 16 * (3 * 64 + 64 * 128 + 128 * 256 + 256 * 512) + 64 + 128 + 256 + 512
    assert count(critic) == halvings + 2 * (128 + 256 + 512) + 512 * 36 + 1
    small = ConvGenerator(32, 3, width=2)(torch.rand(2, 100))
    assert small.shape == (2, 3, 32, 32) and small.min() < 0 and ConvDiscriminator(32, 3, width=2)(small).shape == (2,)
    with pytest.raises(ValueError, match="multiples of 16"):
        ConvGenerator(28, 3)


# -- metrics


def test_divergences_between_two_gaussians_in_closed_form() -> None:
    """P = N(-1, .5^2) as a mixture, Q = N(.5, .8^2)."""
    m, s, mu, sigma = -1.0, 0.5, 0.5, 0.8
    line = Line(Mixture1d([0.4, 0.6], [m, m], [s, s]), number(mu), number(sigma))
    kl = math.log(sigma / s) + (s**2 + (m - mu) ** 2) / (2 * sigma**2) - 0.5
    reverse_kl = math.log(s / sigma) + (sigma**2 + (m - mu) ** 2) / (2 * s**2) - 0.5
    affinity = math.sqrt(2 * s * sigma / (s**2 + sigma**2)) * math.exp(-((m - mu) ** 2) / (4 * (s**2 + sigma**2)))
    width = 2 * sigma**2 - s**2  # int p^2/q, for s^2 < 2 sigma^2
    pearson = sigma**2 / (s * math.sqrt(width)) * math.exp((m - mu) ** 2 / width) - 1
    closed = {"kl": kl, "reverse_kl": reverse_kl, "hellinger": 2 - 2 * affinity, "jeffrey": kl + reverse_kl}
    for name, value in (closed | {"pearson": pearson}).items():
        assert float(line.divergence(DIVERGENCES[name])) == pytest.approx(value, rel=1e-6), name


class Score(nn.Module):
    """The score 1 + log(p/q): T* of KL."""

    def __init__(self, line: Line) -> None:
        super().__init__()
        self.scores = 1 + (line.p / line.q).log()

    def forward(self, x: Tensor) -> Tensor:
        return self.scores


def evidence(system: object, data: object, **samples: Samples) -> EvaluationData:
    none = Samples("none", 0, lambda: iter(()))
    return EvaluationData(**{"generated": none, "train": none, "test": none} | samples, system=system, data=data)


def test_the_metric_reads_the_generator_and_the_bound() -> None:
    data, generator = mixture(), GaussianGenerator(mu=0.9, sigma=-1.7)
    line = Line(data, generator.mu.double().detach(), -generator.sigma.double().detach())
    system = GAN(generator, Score(line), Objective(FGAN(d.KL())), latent_dim=1)
    values = GaussianFit()(evidence(system, data))
    assert set(values) == set(GaussianFit.better)
    assert values["mu"] == pytest.approx(0.9) and values["sigma"] == pytest.approx(1.7)
    assert values["bound"] == pytest.approx(values["kl"], abs=1e-9) and values["kl"] > 0.28
    system.objective = Objective(FGAN(d.PearsonChi2()))
    assert GaussianFit()(evidence(system, data))["bound"] < values["pearson"] - 0.01  # T* of another divergence
    system.objective = Objective(Wasserstein())
    assert "bound" not in GaussianFit()(evidence(system, data))


def test_the_metric_names_what_it_needs() -> None:
    system = GAN(GaussianGenerator(), nn.Identity(), Objective(Minimax()))
    GaussianFit().check(system, mixture())
    with pytest.raises(ValueError, match="dataset=mixture_1d"):
        GaussianFit().check(system, object())
    with pytest.raises(ValueError, match="network=fgan_gaussian"):
        GaussianFit().check(GAN(nn.Linear(1, 1), nn.Identity(), Objective(Minimax())), mixture())
    system.generator.sigma.data.zero_()
    with pytest.raises(ValueError, match="no density"):
        GaussianFit()(evidence(system, mixture()))
    with pytest.raises(ValueError, match="loss=fgan"):
        DiscriminatorAccuracy().check(system, None)


def test_decision_counts_both_kinds_by_the_threshold_in_the_datas_range() -> None:
    """KL's threshold is 1. Pixels in [0, 1] reach D as such, -1, .2 and 1 as 0, .6 and 1; scores are twice that."""
    twice = nn.Linear(1, 1, bias=False)
    twice.weight.data.fill_(2.0)
    system = GAN(nn.Identity(), nn.Sequential(nn.Flatten(), twice, nn.Flatten(0)), Objective(FGAN(d.KL())))
    real = Images(torch.tensor([-1.0, 0.2, 1.0, 1.0]).view(4, 1, 1, 1))
    fake = Images(torch.tensor([-1.0, -1.0, -0.5, 0.2, 1.0]).view(5, 1, 1, 1))
    values = DiscriminatorAccuracy()(
        evidence(
            system, SimpleNamespace(value_range=(0, 1)),
            test=Samples("test", 4, lambda: iter([real])), generated=Samples("generated", 5, lambda: iter([fake])),
        )
    )  # fmt: skip
    wanted = {"decision": (0.75 + 0.6) / 2, "decision_real": 0.75, "decision_fake": 0.6}
    assert values == pytest.approx(wanted)


# -- the example on the line


def test_the_inferred_mixture_gives_the_papers_optima() -> None:
    """D_f, mu and sigma of the best Gaussian by five divergences: 15 numbers, to 7.5e-4."""
    assert len(NAMES) == 5
    for name, (value, _, mu, _, sigma, _) in PAPER.items():
        ours = best_gaussian(mixture(), DIVERGENCES[name])
        assert ours == pytest.approx((value, mu, sigma), abs=7.5e-4), name
    moments = (0.67 * 2 - 0.33, math.sqrt(0.33 * 0.065 + 0.67 * 2 + 0.33 * 0.67 * 9))
    assert best_gaussian(mixture(), d.KL())[1:] == pytest.approx(moments, abs=1e-5)  # KL matches mean and variance


def test_off_diagonal() -> None:
    matrix = [[1.0 + (i != j) for j in range(5)] for i in range(5)]
    assert off_diagonal(matrix) == []
    matrix[1][2] = 0.5
    assert off_diagonal(matrix) == [
        "by Jensen-Shannon the fit trained by reverse KL (0.5000) is better than its own (1.0000)"
    ]


def test_a_short_run_learns_the_gaussian_and_its_bound() -> None:
    """KL covers (mean 1.01, sigma 1.83), reverse KL seeks the large mode (1.58, 1.63); F lies below D_f."""
    fits = {}
    for name in ("kl", "reverse_kl"):
        torch.manual_seed(0)
        objective = Objective(FGAN(DIVERGENCES[name]))
        system = SingleStepGAN(GaussianGenerator(), TanhDiscriminator(1, 1, [32, 32]), objective, latent_dim=1)
        optimizers = {n: torch.optim.Adam(net.parameters(), 0.02, (0.5, 0.999)) for n, net in system.named_children()}
        trainer = Trainer(
            system, mixture(), optimizers, batch_size=256, iterations=400, seed=0, schedule=LinearDecay(0.3)
        )
        for _ in range(400):
            trainer.iterate()
        with torch.no_grad():
            fits[name] = GaussianFit()(evidence(system, mixture()))
    for name, (mu, sigma) in {"kl": (1.01, 1.83), "reverse_kl": (1.58, 1.63)}.items():
        fit = fits[name]
        assert fit["mu"] == pytest.approx(mu, abs=0.15) and fit["sigma"] == pytest.approx(sigma, abs=0.15)
        assert 0.8 * fit[name] < fit["bound"] <= fit[name]
    assert fits["kl"]["kl"] < fits["reverse_kl"]["kl"] and fits["reverse_kl"]["reverse_kl"] < fits["kl"]["reverse_kl"]


def test_the_experiment_trains_and_is_scored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    scores = ["metric=[gaussian_fit,discriminator_accuracy]", "trainer.evaluate_every=2", "trainer.evaluate_count=50"]
    words = ["experiment=fgan_gaussian", "loss=fgan_pearson", *TINY, "trainer.batch_size=8", *scores]
    assert main(["train", *words, "hydra.run.dir=run"]) == 0
    logged = {}
    for line in Path("run/metrics.jsonl").read_text().splitlines():
        logged |= json.loads(line)
    assert {"metric/bound", "metric/mu", "metric/pearson", "metric/decision", "dg/adversarial"} <= set(logged)
    assert logged["dg/grad_norm/generator"] > 0 and logged["dg/grad_norm/discriminator"] > 0
    assert 0 <= logged["metric/decision"] <= 1 and logged["metric/bound"] < logged["metric/pearson"]
