"""AC-GAN: its terms by hand in the forms of both papers, trained networks, the class term, and what is refused."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gan_cli.cli.main import main
from gan_cli.data.base import Images
from gan_cli.losses.adversarial import AdversarialLoss, NonSaturating, Wasserstein
from gan_cli.losses.objective import Objective
from gan_cli.losses.penalties import GradientPenalty
from gan_cli.networks import acgan, conditional, dcgan
from gan_cli.systems.acgan import ACGAN
from gan_cli.utils import random


class Constant(nn.Module):
    """Every image is `value`, (N, 1, 1, 1); remembers the labels that it was given."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self.value = nn.Parameter(torch.tensor(value))

    def forward(self, z: Tensor, y: Tensor) -> Tensor:
        self.labels = y
        return self.value.expand(len(z), 1, 1, 1)


class Pixel(nn.Module):
    """The score is the pixel, the logits are (pixel, 0, ..., 0); counts its uses."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.classes, self.uses = classes, 0
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        self.uses += 1
        x = self.scale * x.flatten(1)
        return x[:, 0], torch.cat([x, torch.zeros(len(x), self.classes - 1)], dim=1)


REAL = Images(torch.full((2, 1, 1, 1), math.log(2)), torch.tensor([0, 1]))
"""Logits (ln 2, 0, 0): P(C) = 1/2, 1/4, 1/4. The fakes' are (ln 6, 0, 0): P(C) = 3/4, 1/8, 1/8."""
REAL_CLASS = (math.log(2) + math.log(4)) / 2
FAKE_CLASS = (math.log(4 / 3) + math.log(8)) / 2


def by_hand(objective: Objective | None = None, classes: int = 3, **options: Any) -> ACGAN:
    return ACGAN(
        Constant(math.log(6)), Pixel(classes), objective or Objective(NonSaturating()), num_classes=3, latent_dim=1,
        **options,
    )  # fmt: skip


def test_terms_by_hand() -> None:
    """Odena et al. 2017: scores ln 2 (D = 2/3) of reals and ln 6 (D = 6/7) of fakes; L_C has both halves in D."""
    system = by_hand()
    d = {name: term.item() for name, term in system.d_loss(REAL).items()}
    assert d == pytest.approx(
        {"adversarial": math.log(3 / 2) + math.log(7), "class_real": REAL_CLASS, "class_fake": FAKE_CLASS}
    )
    g = {name: term.item() for name, term in system.g_loss(REAL).items()}
    assert g == pytest.approx({"adversarial": math.log(7 / 6), "class": FAKE_CLASS})


def test_terms_of_wgan_gp() -> None:
    """gan_cifar_resnet.py: 1 on reals alone in the critic, .1 in G, and twice as many fakes in G's turn."""
    options = {"lambda_real": 1.0, "lambda_fake": 0.0, "lambda_G": 0.1, "fakes_per_real": 2}
    system = by_hand(Objective(Wasserstein(), GradientPenalty(weight=10.0, target=3.0)), **options)
    d = {name: term.item() for name, term in system.d_loss(REAL).items()}
    expected = {"adversarial": math.log(6) - math.log(2), "penalty": 10 * (1 - 3) ** 2, "class_real": REAL_CLASS}
    assert d == pytest.approx({**expected, "class_fake": 0.0})
    g = {name: term.item() for name, term in system.g_loss(REAL).items()}
    assert g == pytest.approx({"adversarial": -math.log(6), "class": 0.1 * FAKE_CLASS})
    assert system.generator.labels.tolist() == [0, 1, 0, 1]  # type: ignore[union-attr]


def test_each_image_is_judged_once() -> None:
    """D sees reals and fakes in its turn, the fakes in G's; a penalty looks at images of its own."""
    for objective, d_uses, g_uses in (
        (Objective(NonSaturating()), 2, 1),
        (Objective(NonSaturating(), GradientPenalty()), 3, 1),
        (Objective(Compare()), 2, 2),
    ):
        system = by_hand(objective)
        network = system.discriminator
        assert isinstance(network, Pixel)
        system.d_loss(REAL)
        assert network.uses == d_uses
        system.g_loss(REAL)
        assert network.uses == d_uses + g_uses


class Compare(AdversarialLoss):
    needs_real = True

    def d_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        return (fake - real).mean()

    def g_loss(self, fake: Tensor, real: Tensor) -> Tensor:
        return (real - fake).mean()


def test_a_generator_that_compares_sees_the_real_scores() -> None:
    system = by_hand(Objective(Compare()))
    assert system.g_loss(REAL)["adversarial"].item() == pytest.approx(math.log(2) - math.log(6))


def test_both_losses_have_the_log_likelihood_of_the_class() -> None:
    """By finite differences: G's class term pulls the pixel up for class 0 and down for class 1; so does D's scale."""
    for label, sign in ((0, -1), (1, 1)):
        system = by_hand()
        batch = Images(REAL.image, torch.tensor([label, label]))
        system.g_loss(batch)["class"].backward()
        generator, discriminator = system.generator, system.discriminator
        assert isinstance(generator, Constant) and isinstance(discriminator, Pixel)
        p = 6 / 8 if label == 0 else 1 / 8
        expected = -(1 - p) if label == 0 else 6 / 8
        assert generator.value.grad is not None and generator.value.grad.item() == pytest.approx(expected)
        assert math.copysign(1, generator.value.grad.item()) == sign
        system.zero_grad()
        system.d_loss(batch)["class_fake"].backward()
        assert discriminator.scale.grad is not None
        assert discriminator.scale.grad.item() == pytest.approx(expected * math.log(6))


@pytest.mark.parametrize("objective", [Objective(NonSaturating()), Objective(Wasserstein(), GradientPenalty())])
def test_every_loss_reaches_its_movers_and_nobody_else(objective: Objective) -> None:
    torch.manual_seed(0)
    random.seed(0)
    system = ACGAN(
        conditional.Generator(8, 1, 4, latent_dim=3, width=4), acgan.Discriminator(8, 1, 4, width=4, norm="none"),
        objective, num_classes=4, latent_dim=3,
    )  # fmt: skip
    batch = Images(torch.rand(4, 1, 8, 8), torch.tensor([0, 1, 2, 3]))
    assert [turn.trains for turn in system.turns()] == [("discriminator",), ("generator",)]
    for turn in system.turns():
        for name, network in system.named_children():
            network.requires_grad_(name in turn.trains)
        system.zero_grad()
        torch.stack(list(turn.loss(batch).values())).sum().backward()
        for name, network in system.named_children():
            grads = [p.grad for p in network.parameters()]
            assert all((g is not None and g.abs().sum() > 0) == (name in turn.trains) for g in grads), name


def test_two_heads_on_the_layers_of_dcgan() -> None:
    """By convolution: both heads see the same hidden map; the class head has K filters where the other has one."""
    torch.manual_seed(0)
    network = acgan.Discriminator(32, 3, num_classes=10, width=8).eval()
    plain = dcgan.Discriminator(32, 3, width=8)
    count = sum(p.numel() for p in network.parameters()) - sum(p.numel() for p in plain.parameters())
    assert count == 10 * 32 * 4 * 4
    x = torch.rand(2, 3, 32, 32)
    scores, logits = network(x)
    h = network.hidden(x)
    assert h.shape == (2, 32, 4, 4)
    torch.testing.assert_close(scores, torch.einsum("nchw,chw->n", h, network.source.weight[0]))
    torch.testing.assert_close(logits, torch.einsum("nchw,kchw->nk", h, network.classes.weight))


def test_classify() -> None:
    """The pixel is the logit of class 0, those of the others are 0."""
    system = by_hand()
    assert system.classify(torch.tensor([2.0, -1.0]).view(2, 1, 1, 1)).tolist() == [0, 1]


def test_wrong_number_of_classes_is_refused() -> None:
    for network in (Pixel(4), Pixel(2), nn.Flatten(0)):  # two many, too few, and scores of two images for a pair
        system = by_hand()
        system.discriminator = network
        for loss in (system.d_loss, system.g_loss):
            with pytest.raises(ValueError, match="returns scores and 3 logits: network=acgan_dcgan"):
                loss(REAL)
    with pytest.raises(ValueError, match="needs a labeled data set"):
        ACGAN(Constant(0.0), Pixel(3), Objective(NonSaturating()), num_classes=None)


@pytest.mark.parametrize("network", ["conditional_dcgan", "acgan_dcgan model.discriminator.num_classes=3"])
def test_a_run_with_other_networks_is_refused_in_a_line(
    network: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    narrow = ["model.generator.width=4", "model.discriminator.width=4"]
    assert main(["train", "model=acgan", *f"network={network}".split(), *narrow, "hydra.run.dir=run"]) == 2
    said = capsys.readouterr().err.strip()
    assert "cannot be trained" in said and len(said.splitlines()) == 1
    assert not Path("run").exists()
