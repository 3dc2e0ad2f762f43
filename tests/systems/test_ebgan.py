"""EBGAN and BEGAN: energies, margins and the pulling-away term by hand, who sees what, k, the networks' parameters."""

import json
import math
from pathlib import Path

import pytest
import torch
from helpers import SMALL_BATCHES, TINY, checked, count, normal
from pytest import approx
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import Tensor, nn, tensor

from gan_cli.cli.main import main
from gan_cli.data.base import Images
from gan_cli.data.mnist_cifar import InMemoryImages
from gan_cli.experiments.experiment import variants_of
from gan_cli.losses.adversarial import Wasserstein
from gan_cli.losses.divergences import (
    KL,
    GANDivergence,
    Jeffrey,
    JensenShannon,
    NeymanChi2,
    PearsonChi2,
    ReverseKL,
    SquaredHellinger,
    TotalVariation,
)
from gan_cli.losses.energy import EnergyMargin, LinearMargin, need_finite_slope
from gan_cli.losses.fgan import FGAN, Divergence
from gan_cli.losses.margin import LossSensitive
from gan_cli.losses.objective import Objective
from gan_cli.networks import began, dcgan, ebgan
from gan_cli.systems.began import BEGAN
from gan_cli.systems.ebgan import EBGAN, pulling_away
from gan_cli.systems.gan import GAN
from gan_cli.training.monitor import Monitor
from gan_cli.utils import random

# -- the loss


def test_the_margin_loss_by_hand() -> None:
    real, fake = tensor([-2.0, -4.0]), tensor([-1.0, -12.0])  # energies 2, 4 and 1, 12
    loss = EnergyMargin(10.0)
    assert loss.d_loss(real, fake).item() == (2 + 4) / 2 + (9 + 0) / 2
    assert loss.g_loss(fake).item() == (1 + 12) / 2


def test_gradients_stop_at_the_margin() -> None:
    fake = tensor([-9.9, -10.1, -50.0, -0.5], requires_grad=True)
    real = tensor([-9.9, -10.1, -50.0, -0.5], requires_grad=True)
    EnergyMargin(10.0).d_loss(real, fake).backward()
    assert fake.grad is not None and fake.grad.tolist() == [0.25, 0, 0, 0.25]  # scores fall, energies rise
    assert real.grad is not None and real.grad.tolist() == [-0.25] * 4
    fake.grad = None
    EnergyMargin(10.0).g_loss(fake).backward()
    assert fake.grad.tolist() == [-0.25] * 4  # G lowers every energy, those beyond the margin too


def test_a_logit_above_zero_has_no_energy_but_a_fake_one_comes_down() -> None:
    real, fake = tensor([3.0], requires_grad=True), tensor([3.0], requires_grad=True)
    EnergyMargin(10.0).d_loss(real, fake).backward()
    assert real.grad is not None and real.grad.item() == 0
    assert fake.grad is not None and fake.grad.item() == 1
    assert EnergyMargin(10.0).g_loss(fake).item() == 0


def test_gradcheck_of_the_loss() -> None:
    real, fake = ((-4 * normal(6, seed=seed).abs()).requires_grad_() for seed in (0, 1))
    assert torch.autograd.gradcheck(EnergyMargin(3.0).d_loss, (real, fake))
    assert torch.autograd.gradcheck(EnergyMargin(3.0).g_loss, (fake,))


def test_the_margin_falls_linearly_to_zero_and_stays() -> None:
    margin = LinearMargin(16.0, 8)
    assert [margin(t) for t in (0, 1, 4, 7, 8, 9, 1000)] == [16, 14, 8, 2, 0, 0, 0]
    loss = EnergyMargin(margin)
    assert loss.at(4) == EnergyMargin(8.0) and EnergyMargin(3.0).at(4) == EnergyMargin(3.0)
    objective = Objective(loss)
    assert objective.at(7).adversarial == EnergyMargin(2.0) and objective.scalars(7) == {"energy/margin": 2.0}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: EnergyMargin(-1.0), "0 or more"),
        (lambda: LinearMargin(-1.0), "0 or more"),
        (lambda: LinearMargin(1.0, 0), "at least 1"),
        (lambda: EnergyMargin(LinearMargin()).d_loss(tensor([0.0]), tensor([0.0])), "use model=ebgan"),
        (lambda: pulling_away(torch.ones(1, 4)), "two samples"),
        (lambda: EBGAN(nn.Linear(2, 2), nn.Linear(2, 1), Objective(Wasserstein())), "Linear has no energy"),
        (lambda: began_system(gamma=0.0), "gamma lies in"),
        (lambda: ebgan.GridGenerator(8, 1, layers=1), "at least 2"),
        (lambda: ebgan.ConvAutoEncoder(20, 3), "nearest: 16 and 24"),
        (lambda: ebgan.NoisyGenerator(64, 3), "lead to 128 pixels"),
        (lambda: ebgan.NoisyGenerator(128, 3, latent_dim=100), "take 31844"),
        (lambda: began.Generator(48, 3), r"8\*2\^k"),
    ],
)
def test_what_is_refused(make, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


# -- the pulling-away term


def test_pulling_away_at_its_ends() -> None:
    same = tensor([[1.0, 2.0, 2.0]]).double()
    assert pulling_away(torch.cat([same, 3 * same, -same, 0.1 * same])).item() == approx(1, abs=1e-12)
    assert pulling_away(torch.eye(5, 7)).item() == 0


@pytest.mark.parametrize("t", [0.3, 1.1, 2.0])
def test_pulling_away_of_a_pair_is_the_squared_cosine(t: float) -> None:
    S = tensor([[2.0, 0.0], [5 * math.cos(t), 5 * math.sin(t)]])
    assert pulling_away(S).item() == approx(math.cos(t) ** 2, abs=1e-6)


def test_pulling_away_by_a_double_loop() -> None:
    S = normal(6, 2, 3)
    rows, total = S.flatten(1).tolist(), 0.0
    for i, a in enumerate(rows):
        for j, b in enumerate(rows):
            if i != j:
                cosine = sum(p * q for p, q in zip(a, b)) / (math.hypot(*a) * math.hypot(*b))
                total += cosine**2 / (6 * 5)
    assert pulling_away(S).item() == approx(total, abs=1e-12)
    assert torch.autograd.gradcheck(pulling_away, (S.requires_grad_(),))


def test_pulling_away_of_a_dead_code_has_a_finite_gradient() -> None:
    S = torch.cat([torch.zeros(1, 3), normal(2, 3).float()]).requires_grad_()
    pulling_away(S).backward()
    assert S.grad is not None and S.grad.isfinite().all() and S.grad[1:].abs().sum() > 0


# -- energies


class Halve(ebgan.AutoEncoder):
    """Enc halves, Dec gives it back times `gain`: at gain 2 a perfect reconstruction."""

    def __init__(self, gain: float = 2.0) -> None:
        super().__init__()
        self.gain = nn.Parameter(tensor(gain))

    def encode(self, x: Tensor) -> Tensor:  # type: ignore[override]
        return x / 2

    def decode(self, S: Tensor) -> Tensor:  # type: ignore[override]
        return self.gain * S


def test_energy_is_the_norm_of_an_image() -> None:
    x = torch.zeros(2, 1, 2, 2)
    x[0, 0, 0] = tensor([3.0, 4.0])
    x[1] = 1.0
    assert Halve(0.0)(x).tolist() == [-5, -2]  # sqrt(9 + 16), sqrt(4): neither squared nor by pixel
    assert Halve(0.0).distance(x + 3, x).tolist() == [6, 6]


def test_a_perfect_reconstruction_has_energy_zero_and_a_finite_gradient() -> None:
    D, x = Halve(), torch.randn(3, 1, 2, 2)
    assert D(x).tolist() == [0, 0, 0]
    D(x).sum().backward()
    assert D.gain.grad is not None and D.gain.grad.item() == 0


def test_gradcheck_of_the_energy() -> None:
    D = ebgan.PointAutoEncoder(1, 2, code_dim=3, widths=[4]).double()
    assert torch.autograd.gradcheck(D, (normal(3, 2, 1, 1).requires_grad_(),))


def test_mean_absolute_error_is_began_s() -> None:
    D = began.BEGANAutoEncoder(16, 1, code_dim=2, width=2)
    x, y = torch.zeros(2, 1, 2, 2), tensor([[[[1.0, -1.0], [0.0, 0.0]]], [[[4.0, 0.0], [0.0, 0.0]]]])
    assert D.distance(y, x).tolist() == [0.5, 1.0]


# -- the system


class Sheet(nn.Module):
    """z -> its first value times a weight, on every pixel."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(tensor(2.0))

    def forward(self, z: Tensor) -> Tensor:
        return (self.w * z[:, :1]).view(-1, 1, 1, 1).expand(-1, 1, 2, 2)


def ones(n: int, *shape: int, device: object = "cpu") -> Tensor:
    """Noise that is known: 1, 2, ..., n."""
    return torch.arange(1.0, n + 1).view(n, 1).expand(n, *shape)


def ebgan_system(margin: float | LinearMargin = 10.0, **settings: float) -> EBGAN:
    return EBGAN(Sheet(), Halve(0.0), Objective(EnergyMargin(margin)), 1, ones, **settings)


def began_system(**settings: float) -> BEGAN:
    return BEGAN(Sheet(), Halve(0.0), Objective(Wasserstein()), 1, ones, **settings)


BATCH = Images(torch.full((3, 1, 2, 2), 1.5))  # energy 3; the fakes 2, 4, 6 on each of 4 pixels: energies 4, 8, 12


def test_both_losses_by_hand() -> None:
    terms = ebgan_system().d_loss(BATCH)
    assert list(terms) == ["adversarial"] and terms["adversarial"].item() == approx(3 + (6 + 2 + 0) / 3)
    terms = ebgan_system().g_loss(BATCH)
    assert list(terms) == ["adversarial"] and terms["adversarial"].item() == approx(8)


def test_pulling_away_is_in_the_loss_of_g_alone() -> None:
    """The fakes' codes are multiples of (1, 1, 1, 1): f_PT is 1."""
    system = ebgan_system(lambda_pt=0.1)
    assert list(system.d_loss(BATCH)) == ["adversarial"]
    terms = system.g_loss(BATCH)
    assert terms["adversarial"].item() == approx(8) and terms["pulling_away"].item() == approx(0.1)


def test_the_pulling_away_term_reaches_g_through_its_codes() -> None:
    torch.manual_seed(0)
    G, D = ebgan.GridGenerator(4, 1, latent_dim=3, layers=2, size=8), ebgan.GridAutoEncoder(4, 1, layers=3, size=8)
    system = EBGAN(G, D, Objective(EnergyMargin()), 3, lambda_pt=0.1)
    with random.fork(0):
        term = system.g_loss(Images(torch.zeros(4, 1, 4, 4)))["pulling_away"]
    with random.fork(0):
        S = D.encode(system.generate(4))
    assert term.item() == approx(0.1 * pulling_away(S).item(), rel=1e-5)
    term.backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in G.layers[0].parameters() if parameter.dim() > 1)
    assert all(parameter.grad is None for parameter in D.decode.parameters())


def test_codes_are_made_once() -> None:
    """Of an encoder with batch normalization the running means are updated once per turn, with and without the term."""
    for lambda_pt in (0.0, 0.1):
        torch.manual_seed(0)
        D = ebgan.GridAutoEncoder(2, 1, layers=3, size=4)
        EBGAN(Sheet(), D, Objective(EnergyMargin()), 1, ones, lambda_pt=lambda_pt).g_loss(BATCH)
        norm = next(m for m in D.modules() if isinstance(m, nn.BatchNorm1d))
        assert norm.num_batches_tracked.item() == 1


def test_a_scheduled_margin_follows_the_iteration() -> None:
    system = ebgan_system(LinearMargin(12.0, 4))
    losses, scalars = [], []
    for system.iteration in (0, 1, 2, 4, 9):
        losses.append(system.d_loss(BATCH)["adversarial"].item())
        scalars.append(system.scalars()["energy/margin"])
    assert scalars == [12, 9, 6, 0, 0]
    assert losses == approx([3 + 12 / 3, 3 + 6 / 3, 3 + 2 / 3, 3, 3])  # fakes' energies: 4, 8, 12


def test_v_is_compared_with_the_margin() -> None:
    """V = E D(x) + E [m - D(G(z))]_+ of D's last batch; real energies are 3, generated ones 4, 8 and 12."""
    system = ebgan_system(10.0)
    assert system.scalars() == {"energy/margin": 10}  # D has not been trained yet
    system.d_loss(BATCH)
    state = set(system.state_dict())
    assert system.scalars() == approx({"energy/margin": 10, "energy/V_over_margin": (3 + (6 + 2 + 0) / 3) / 10})
    system.g_loss(BATCH)
    assert system.scalars()["energy/V_over_margin"] == approx((3 + 8 / 3) / 10)
    assert set(system.state_dict()) == state == set(ebgan_system().state_dict())
    falling = ebgan_system(LinearMargin(12.0, 4))
    falling.iteration = 2
    falling.d_loss(BATCH)
    assert falling.scalars() == approx({"energy/margin": 6, "energy/V_over_margin": (3 + 2 / 3) / 6})
    falling.iteration = 4
    falling.d_loss(BATCH)
    assert falling.scalars() == {"energy/margin": 0}


def test_turns_and_samples() -> None:
    system = ebgan_system()
    assert [(turn.trains, turn.steps) for turn in system.turns()] == [(("discriminator",), 1), (("generator",), 1)]
    samples = system.sample(BATCH)
    assert list(samples) == ["generated", "generated_reconstructed", "real", "real_reconstructed"]
    assert samples["real"] is BATCH.image and samples["real_reconstructed"].abs().sum() == 0
    assert system.histograms(BATCH)["energy/real"].tolist() == [3, 3, 3]
    assert system.histograms(BATCH)["energy/generated"].tolist() == [4, 8, 12]
    assert GAN(Sheet(), nn.Flatten(0), Objective(Wasserstein())).histograms(BATCH) == {}


# -- BEGAN


def test_k_by_hand() -> None:
    """L(x) = mean |x| = 1.5; L(G(z)) = mean of 2, 4, 6 = 4, by Halve(0)'s L2 norm twice as much: 3 and 8."""
    system = began_system(gamma=0.5, lambda_k=0.1)
    assert system.k.item() == 0
    assert system.d_loss(BATCH)["adversarial"].item() == approx(3)
    assert system.g_loss(BATCH)["adversarial"].item() == approx(8)
    assert system.scalars() == approx({"began/k": 0, "began/M": 3 + abs(0.5 * 3 - 8)})
    system.update_k()
    assert system.k.item() == 0  # .1 (1.5 - 8) < 0
    system = began_system(gamma=1.0, lambda_k=0.1)
    with torch.no_grad():
        system.generator.w.fill_(0.25)  # energies .5, 1, 1.5
    system.d_loss(BATCH), system.g_loss(BATCH), system.update_k()
    assert system.k.item() == approx(0.1 * (3 - 1))
    assert system.d_loss(BATCH)["adversarial"].item() == approx(3 - 0.2 * 1)
    assert system.g_loss(BATCH)["adversarial"].item() == approx(1)  # k is D's alone
    for _ in range(9):
        system.update_k()
    assert system.k.item() == 1
    assert system.turns()[0].after_step != system.update_k and system.turns()[1].after_step == system.update_k


def test_k_carries_no_graph_but_the_losses_do() -> None:
    system = began_system()
    (system.d_loss(BATCH)["adversarial"] + system.g_loss(BATCH)["adversarial"]).backward()
    system.update_k()
    assert system.generator.w.grad is not None and system.discriminator.gain.grad is not None
    assert not (system.k.requires_grad or system.L_real.requires_grad or system.L_fake.requires_grad)


# -- networks, counted layer by layer


def test_the_grid_s_networks() -> None:
    dense = lambda inputs, outputs: inputs * outputs + outputs  # noqa: E731
    g = dense(100, 800) + 2 * 800 + 3 * (dense(800, 800) + 2 * 800) + dense(800, 1024)
    assert count(ebgan.GridGenerator(32, 1)) == g == 2_829_824
    assert count(ebgan.GridAutoEncoder(32, 1)) == dense(1024, 1024) + dense(1024, 1024) == 2_099_200
    four = dense(1024, 128) + 2 * (dense(128, 128) + 2 * 128) + dense(128, 1024)
    assert count(ebgan.GridAutoEncoder(32, 1, layers=4, size=128)) == four == 296_832
    assert count(ebgan.GridDiscriminator(32, 1)) == dense(1024, 1024) + dense(1024, 1) == 1_050_625
    three = dense(1024, 512) + dense(512, 512) + 2 * 512 + dense(512, 1)
    assert count(ebgan.GridDiscriminator(32, 1, layers=3, size=512)) == three


def test_the_grid_s_layers_and_initial_weights() -> None:
    torch.manual_seed(0)
    G, D = ebgan.GridGenerator(32, 1, layers=3), ebgan.GridAutoEncoder(32, 1, layers=4, size=512, dropout=True)
    names = [type(layer).__name__ for layer in G.layers]
    assert names == ["Linear", "BatchNorm1d", "ReLU"] * 2 + ["Linear", "Unflatten", "Tanh"]
    names = [type(layer).__name__ for layer in D.encode]
    assert names == ["Flatten", "Linear", "ReLU", "Dropout", *["Linear", "BatchNorm1d", "ReLU", "Dropout"] * 2]
    assert [type(layer).__name__ for layer in D.decode] == ["Linear", "Unflatten"]
    assert not any(isinstance(m, nn.Dropout) for m in ebgan.GridDiscriminator(8, 1).modules())
    for network, std in ((G, 0.02), (D, 0.002)):
        for layer in (m for m in network.modules() if isinstance(m, nn.Linear)):
            assert layer.weight.std().item() == approx(std, rel=0.05) and not layer.bias.any()
    assert D.encode(torch.randn(3, 1, 32, 32)).min() == 0  # codes after a ReLU


def test_the_convolutional_autoencoders() -> None:
    k = 4 * 4  # taps
    down = 3 * 64 * k + 64 + 64 * 128 * k + 2 * 128 + 128 * 256 * k + 2 * 256
    up = 256 * 128 * k + 2 * 128 + 128 * 64 * k + 2 * 64 + 64 * 3 * k + 3
    D = ebgan.ConvAutoEncoder(64, 3)
    assert count(D) == down + up == 1_318_083
    assert count(dcgan.Discriminator(64, 3)) == 2_765_568 and count(dcgan.Generator(64, 3)) == 3_576_704  # beside it
    deeper = 256 * 512 * k + 2 * 512 + 512 * 256 * k + 2 * 256
    assert count(ebgan.ConvAutoEncoder(128, 3, halvings=4)) == down + up + deeper == 5_513_923
    x = torch.randn(2, 3, 64, 64)
    assert D.encode(x).shape == (2, 256, 8, 8) and D.decode(D.encode(x)).shape == x.shape and D(x).shape == (2,)
    assert ebgan.ConvAutoEncoder(256, 3, width=2, halvings=4)(torch.randn(1, 3, 256, 256)).shape == (1,)


def test_imagenet_s_generators() -> None:
    k = 4 * 4
    widths, planes = [1024, 512, 256, 128, 64, 64], [100, 64, 32, 16, 8, 4]
    expected = 100 * 1024 * k + 2 * 1024 + 64 * 3 * 9 + 3
    expected += sum((w + p) * n * k + 2 * n for w, p, n in zip(widths, planes[1:], widths[1:]))
    assert count(ebgan.NoisyGenerator(128, 3)) == expected == 13_551_299
    values = 100 + 64 * 4**2 + 32 * 8**2 + 16 * 16**2 + 8 * 32**2 + 4 * 64**2
    assert ebgan.noise_values(planes) == values == 31844
    assert ebgan.noise_values([*planes, 2]) == values + 2 * 128**2 == 64612
    G = ebgan.NoisyGenerator(256, 3, latent_dim=64612, width=2, planes=[*planes, 2])
    assert G(torch.randn(2, 64612)).shape == (2, 3, 256, 256)


def test_every_noise_plane_reaches_the_image() -> None:
    torch.manual_seed(0)
    G, z = ebgan.NoisyGenerator(16, 1, latent_dim=3 + 2 * 16 + 64, width=4, planes=[3, 2, 1]), torch.randn(4, 99)
    z.requires_grad_()
    G(z).square().sum().backward()
    assert z.grad is not None and (z.grad != 0).float().mean() > 0.99
    first, middle, last = (z.grad[:, part].abs().sum() for part in (slice(3), slice(3, 35), slice(35, 99)))
    assert min(first, middle, last) > 0


def test_began_s_networks() -> None:
    conv = lambda inputs, outputs: 9 * inputs * outputs + outputs  # noqa: E731
    g = 64 * 4096 + 4096 + 8 * conv(64, 64) + conv(64, 3)
    assert count(began.Generator(64, 3)) == g == 563_395
    enc = conv(3, 64)
    for level, (before, wide) in enumerate([(64, 64), (64, 128), (128, 192), (192, 256)]):
        enc += conv(before, wide) + conv(wide, wide) + (conv(before, before) if level else 0)
    enc += 256 * 64 * 64 + 64
    D = began.BEGANAutoEncoder(64, 3)
    assert count(D) == enc + g == 4_011_651
    assert D.encode(torch.randn(1, 3, 64, 64)).shape == (1, 64)


# -- data


def test_zero_padding() -> None:
    pixels = torch.arange(1, 33).byte().view(2, 1, 4, 4)
    label = tensor([0, 1])
    split = (pixels, label)
    data = InMemoryImages(split, split, image_size=8, channels=1, num_classes=2, value_range=(-1, 1), padding=2)
    assert torch.equal(data.test[:, :, 2:6, 2:6], pixels) and data.test.sum() == pixels.sum()  # 0 around, not resized
    image = data.test_batch(0, 2).image
    assert image.shape == (2, 1, 8, 8) and (image[:, :, :2] == -1).all() and (image[:, :, :, 6:] == -1).all()
    assert data.train_batch(0, 0, 2).image.shape == (2, 1, 8, 8)
    with pytest.raises(ValueError, match="padding=4"):
        InMemoryImages((pixels, label), (pixels, label), image_size=8, channels=1, num_classes=2, value_range=(-1, 1),
               padding=4)  # fmt: skip


# -- what a run shows of it


@pytest.mark.parametrize(
    ("energies", "says"),
    [([11.0, 12.0], "never opens"), ([1.0, 9.0], "never closes"), ([1.0, 11.0], None), ([11.0, 9.9], None)],
)
def test_a_hinge_that_never_opens_or_never_closes_gives_one_warning(energies: list[float], says: str | None) -> None:
    monitor = Monitor(ebgan_system())
    warnings = [monitor.hinge(i, {"energy/generated": tensor(energies)}, {"energy/margin": 10.0}) for i in range(8)]
    assert [len(lines) for lines in warnings] == ([0, 0, 0, 0, 1, 0, 0, 0] if says else [0] * 8)
    assert not says or (says in warnings[4][0] and "margin 10" in warnings[4][0] and "\n" not in warnings[4][0])


def test_a_hinge_that_opened_and_closed_is_no_warning() -> None:
    monitor = Monitor(ebgan_system())
    for i, energy in enumerate([11.0, 1.0, *[2.0] * 8]):
        assert not monitor.hinge(i, {"energy/generated": tensor([energy])}, {"energy/margin": 10.0})
    for scalars in ({}, {"energy/margin": 0.0}):  # BEGAN; a margin that has fallen to 0
        assert not any(Monitor(ebgan_system()).hinge(i, {"energy/generated": tensor([1.0])}, scalars) for i in range(9))


@pytest.mark.parametrize("model", ["ebgan_pt", "began"])
def test_shows_its_energy_and_resumes_to_the_bit(model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    command = ["train", f"model={model}", "dataset=ring", "network=mlp_points_autoencoder", *SMALL_BATCHES]
    command += ["trainer.sample_every=1"]
    assert main([*command, "trainer.iterations=4", "hydra.run.dir=whole"]) == 0
    assert main([*command, "trainer.iterations=2", "hydra.run.dir=parts"]) == 0
    assert main(["resume", "parts", "trainer.iterations=4"]) == 0
    whole, parts = (torch.load(f"{run}/checkpoints/last.pt", weights_only=True)["system"] for run in ("whole", "parts"))
    assert whole.keys() == parts.keys() and all(torch.equal(whole[name], parts[name]) for name in whole)
    board = EventAccumulator("whole")
    board.Reload()
    assert set(board.Tags()["histograms"]) == {"energy/real", "energy/generated"}
    lines = [json.loads(line) for line in Path("whole/metrics.jsonl").read_text().splitlines()]
    if model == "began":
        assert "began/M" in lines[0] and lines[-1]["began/k"] == approx(whole["k"].item(), abs=1e-9)
        assert [line["began/k"] > 0 for line in lines] != [False] * 4
    else:
        assert [line["energy/margin"] for line in lines] == [10] * 4 and "g/pulling_away" in lines[0]
        assert [line["energy/V_over_margin"] * 10 for line in lines] == approx(
            [line["d/adversarial"] for line in lines]
        )


def test_a_margin_that_falls_from_the_command_line(tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    points = ["dataset=ring", "network=mlp_points_autoencoder", *SMALL_BATCHES, "trainer.iterations=3"]
    falling = "loss.adversarial.margin={_target_: gan_cli.losses.energy.LinearMargin, start: 4, length: 2}"
    assert main(["train", "model=ebgan", *points, falling, "hydra.run.dir=run"]) == 0
    lines = [json.loads(line) for line in Path("run/metrics.jsonl").read_text().splitlines()]
    assert [line["energy/margin"] for line in lines] == [4, 2, 0]
    capsys.readouterr()
    assert main(["train", "loss=ebgan", "dataset=ring", "network=mlp_points", falling, *TINY, "hydra.run.dir=no"]) == 2
    assert "use model=ebgan" in capsys.readouterr().err
    assert main(["train", "model=ebgan", "network=mlp_points", "dataset=ring", *TINY, "hydra.run.dir=no"]) == 2
    error = capsys.readouterr().err
    assert "PointDiscriminator' is not allowed here: it is not of the kind AutoEncoder" in error
    assert "PointAutoEncoder" in error


def test_the_margin_loss_on_a_plain_discriminator(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    small = [f"model.{name}.width=4" for name in ("generator", "discriminator")]
    options = [*small, *TINY, "dataset.image_size=16", "hydra.run.dir=run"]
    assert main(["train", "model=dcgan", "loss=ebgan", *options]) == 0
    line = json.loads(Path("run/metrics.jsonl").read_text().splitlines()[0])
    assert line["d/adversarial"] == approx(10, abs=0.3)  # scores near 0: the energy of reals and the whole margin


def test_the_experiments_have_the_settings_of_the_paper() -> None:
    margins = {name: checked("experiment=ebgan_margin", *words) for name, words in
               variants_of("ebgan_margin", []).items()}  # fmt: skip
    assert [cfg.loss.adversarial.margin for cfg in margins.values()] == [1, 2, 4, 6, 8, 12, 16, 32]
    sides = {name: checked("experiment=ebgan_vs_dcgan", *words) for name, words in
             variants_of("ebgan_vs_dcgan", []).items()}  # fmt: skip
    assert sides["dcgan"].model.generator == sides["ebgan"].model.generator == sides["ebgan_pt"].model.generator
    assert len({str(cfg.optimizer) for cfg in sides.values()}) == len({str(cfg.trainer) for cfg in sides.values()}) == 1
    targets = [cfg.model.discriminator._target_.rpartition(".")[2] for cfg in sides.values()]
    assert targets == ["Discriminator", "ConvAutoEncoder", "ConvAutoEncoder"]
    assert [cfg.model.get("lambda_pt") for cfg in sides.values()] == [None, 0, 0.1]
    best = {name: checked(f"experiment={name}_mnist") for name in ("gan_grid", "ebgan", "ebgan_pt")}
    for name, cfg in best.items():
        G, D = cfg.model.generator, cfg.model.discriminator
        size = 1600 if name == "gan_grid" else 800
        assert (G.layers, D.layers, G["size"], D["size"], D.dropout) == (5, 2, size, 1024, False)
        assert (cfg.dataset.image_size, cfg.dataset.padding) == (32, 2)
    assert best["gan_grid"].optimizer._target_ == "torch.optim.SGD" and best["gan_grid"].optimizer.lr == 0.01
    assert best["ebgan"].optimizer.lr == 0.001 and best["ebgan_pt"].model.lambda_pt == 0.1


def test_lsgan_is_least_squares() -> None:
    assert checked("loss=lsgan").loss == checked("loss=least_squares").loss


@pytest.mark.parametrize(
    ("divergence", "finite"),
    [
        (SquaredHellinger(), False), (NeymanChi2(), False), (ReverseKL(), False), (KL(), True), (JensenShannon(), True),
        (PearsonChi2(), True), (TotalVariation(), True), (Jeffrey(), True), (GANDivergence(), True),
    ],
)  # fmt: skip
def test_divergences_of_unbounded_slope_are_refused(divergence: Divergence, finite: bool) -> None:
    """exp(-V) at V = -energy overflows float32 from an energy of 89 on."""
    if finite:
        need_finite_slope(FGAN(divergence))
    else:
        with pytest.raises(ValueError, match=f"the slope of {type(divergence).__name__} grows like exp"):
            need_finite_slope(FGAN(divergence))


def test_the_losses_of_energies_pass() -> None:
    need_finite_slope(EnergyMargin(LinearMargin()).at(0))
    need_finite_slope(LossSensitive())


@pytest.mark.parametrize("model", ["ebgan", "ebgan_pt"])
@pytest.mark.parametrize("loss", ["fgan_hellinger", "fgan_neyman", "fgan_reverse_kl"])
def test_a_divergence_of_infinite_gradient_is_refused_before_the_run(
    model: str, loss: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    narrow = ["dataset.image_size=16", "model.generator.width=4", "model.discriminator.width=4", *TINY]
    assert main(["train", f"model={model}", f"loss={loss}", *narrow]) == 2
    error = capsys.readouterr().err
    assert "grows like exp(energy)" in error and "loss=ebgan" in error and error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
