"""Critics that know the class: projection and CLS-GAN by hand; batch normalization by class."""

import math
from types import SimpleNamespace

import pytest
import torch
from helpers import count
from torch import nn
from torch.nn.functional import cross_entropy

from gan_cli.data.base import Images
from gan_cli.losses.adversarial import Hinge
from gan_cli.losses.margin import L1Margin, LossSensitive, MarginObjective
from gan_cli.losses.objective import Objective
from gan_cli.metrics.classification_error import ClassificationError
from gan_cli.networks import cls_gan, conditional, dcgan, projection
from gan_cli.networks.conditional_norm import ConditionalBatchNorm2d
from gan_cli.systems.conditional_gan import ConditionalGAN
from gan_cli.utils import random

# projection


def test_projection_by_hand() -> None:
    """y^T V phi + psi(phi) with phi = (1, 2), V = ((1, 0), (0, 3), (-1, 1)), psi = 10 phi_1 + phi_2 + 0.5."""
    head = projection.Projection(2, num_classes=3)
    with torch.no_grad():
        head.V.weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 3.0], [-1.0, 1.0]]).T)
        head.psi.weight.copy_(torch.tensor([[10.0, 1.0]]))
        head.psi.bias.fill_(0.5)
    phi = torch.tensor([[1.0, 2.0]]).expand(3, 2)
    assert head(phi, torch.arange(3)).tolist() == [12.5 + 1, 12.5 + 6, 12.5 + 1]


def test_projection_discriminator_sums_the_last_map() -> None:
    """DCGAN's hidden layers, global sums, and V and psi instead of the last convolution."""
    torch.manual_seed(0)
    network = projection.Discriminator(32, 3, num_classes=10, width=8, norm="none")
    plain = dcgan.Discriminator(32, 3, width=8, norm="none")
    assert count(network) == count(plain) - 32 * 4 * 4 + (10 * 32 + 32 + 1)
    x, y = torch.rand(4, 3, 32, 32), torch.tensor([0, 9, 3, 3])
    phi = network.phi(x)
    assert phi.shape == (4, 32, 4, 4)
    phi = phi.flatten(2).sum(2)
    head = network.projection
    expected = torch.stack([phi[i] @ head.V.weight[:, k] for i, k in enumerate(y)]) + phi @ head.psi.weight[0]
    torch.testing.assert_close(network(x, y), expected + head.psi.bias)


def test_projection_with_spectral_norm() -> None:
    """Every weight has the largest singular value 1, the class matrix V and psi included."""
    torch.manual_seed(0)
    network = projection.Discriminator(16, 1, num_classes=5, width=4)
    x, y = torch.rand(2, 1, 16, 16), torch.tensor([1, 4])
    for _ in range(30):
        network(x, y)
    layers = [layer for layer in network.eval().modules() if isinstance(layer, (nn.Linear, nn.Conv2d))]
    assert len(layers) == 2 + 2
    for layer in layers:
        values = torch.linalg.svdvals(layer.weight.detach().flatten(1).double())
        assert values[0].item() == pytest.approx(1, abs=1e-3)


def test_a_conditional_gan_takes_the_projection_as_it_is() -> None:
    torch.manual_seed(0)
    random.seed(0)
    system = ConditionalGAN(
        conditional.Generator(8, 1, 4, latent_dim=3, width=4), projection.Discriminator(8, 1, 4, width=4),
        Objective(Hinge()), num_classes=4, latent_dim=3,
    )  # fmt: skip
    batch = Images(torch.rand(4, 1, 8, 8), torch.tensor([0, 1, 2, 3]))
    for loss, network in ((system.d_loss, system.discriminator), (system.g_loss, system.generator)):
        system.zero_grad()
        sum(loss(batch).values()).backward()  # type: ignore[union-attr]
        assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())
    scores = system.discriminator.eval()(batch.image[:1].expand(4, -1, -1, -1), torch.arange(4))
    assert len(set(scores.tolist())) == 4


@pytest.mark.parametrize("kind", ["Generator", "Discriminator"])
def test_the_networks_of_2014_take_the_label(kind: str) -> None:
    """Without dropout: the same noise or image with four labels gives four answers."""
    torch.manual_seed(0)
    network = getattr(conditional, f"MLP{kind}")(8, 1, num_classes=4).eval()
    x = torch.rand(1, 100) if kind == "Generator" else torch.rand(1, 1, 8, 8)
    answers = network(x.expand(4, *x.shape[1:]), torch.arange(4))
    assert len(answers.unique(dim=0)) == 4


# CLS-GAN


def test_cls_gan_scores_are_log_probabilities() -> None:
    torch.manual_seed(0)
    network = cls_gan.Discriminator(8, 1, num_classes=5, width=4).eval()
    x = torch.rand(3, 1, 8, 8)
    scores = torch.stack([network(x, torch.full((3,), k)) for k in range(5)], dim=1)
    torch.testing.assert_close(scores.exp().sum(1), torch.ones(3))
    logits = network.layers(x)
    for i, y in enumerate((4, 0, 2)):
        y_ = torch.tensor([y])
        torch.testing.assert_close(-network(x[i : i + 1], y_)[0], cross_entropy(logits[i : i + 1], y_))


def test_cls_gan_layers_of_clsgan_lua() -> None:
    """At 32 pixels: 4x4 and 3x3 convolutions of 64, 128 and 256 channels, no biases, no batch norm after the first."""
    network = cls_gan.Discriminator(32, 3, num_classes=10)
    convolutions = 3 * 64 * 16 + 64 * 64 * 9 + 64 * 128 * 16 + 128 * 128 * 9 + 128 * 256 * 16 + 256 * 256 * 9
    norms = 2 * (64 + 128 + 128 + 256 + 256)
    assert count(network) == convolutions + 256 * 10 * 16 + norms
    kinds = [type(layer).__name__ for layer in network.layers]
    block = ["Conv2d", "BatchNorm2d", "LeakyReLU"]
    assert kinds == ["Conv2d", "LeakyReLU", *block * 5, "Conv2d", "Flatten"]
    generator = conditional.Generator(32, 3, 10, width=128)
    assert [layer.in_channels for layer in generator.modules() if isinstance(layer, nn.ConvTranspose2d)] == [
        110, 512, 256, 128,
    ]  # fmt: skip


class Table(nn.Module):
    """log P(y | x) = ln(1/4), ln(3/4) for a pixel below 1/2, exchanged above."""

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        right = y == (x.flatten() < 0.5)
        return torch.where(right, math.log(3 / 4), math.log(1 / 4))


def test_cls_gan_loss_by_hand() -> None:
    """L = -log P(y|x): the real is right (ln 4/3), the fake wrong (ln 4); margin 2 |0 - 1|, so the hinge is
    2 + ln(4/3) - ln 4 = 2 - ln 3, and the cross-entropy of the real comes on top.
    """
    objective = MarginObjective(LossSensitive(gamma=1.0), margin=L1Margin(weight=2.0))
    y = torch.tensor([1])
    real, fake = torch.zeros(1, 1, 1, 1), torch.ones(1, 1, 1, 1)
    critic = ConditionalGAN(nn.Identity(), Table(), objective, num_classes=2).critic(y)
    d = objective.d_loss(critic, real, fake)["adversarial"].item()
    assert d == pytest.approx(math.log(4 / 3) + 2 - math.log(3))
    assert objective.g_loss(critic, fake, real)["adversarial"].item() == pytest.approx(math.log(4))


class Distance(nn.Module):
    """D(x|y) = -|x - y|."""

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return -(x.flatten() - y).abs()


def test_the_class_of_the_best_score() -> None:
    """.3 is nearest to 0 and farthest from 2, 1.8 the other way round, 1.2 nearest to 1 and farthest from 0. Of the
    labels 0, 1, 1 the second is missed."""
    system = ConditionalGAN(nn.Identity(), Distance(), Objective(Hinge()), num_classes=3)
    image, label = torch.tensor([0.3, 1.8, 1.2]).view(3, 1, 1, 1), torch.tensor([0, 1, 1])
    assert system.classify(image).tolist() == [0, 2, 1]
    held_out = SimpleNamespace(num_classes=3, test_batch=lambda start, n: Images(image, label))
    evidence = SimpleNamespace(
        system=system, data=held_out, test=SimpleNamespace(size=3, used=0), device=torch.device("cpu")
    )
    metric = ClassificationError()
    metric.check(system, held_out)
    assert metric(evidence) == {"error": 1 / 3}


def test_cls_gan_names_the_class_of_the_largest_logit() -> None:
    torch.manual_seed(0)
    network = cls_gan.Discriminator(8, 1, num_classes=5, width=4).eval()
    system = ConditionalGAN(nn.Identity(), network, Objective(Hinge()), num_classes=5)
    x = torch.rand(20, 1, 8, 8)
    assert system.classify(x).tolist() == network.layers(x).argmax(1).tolist()


# conditional batch normalization


def test_conditional_batch_norm_by_hand() -> None:
    """The moments are those of the whole batch, the scale and the shift those of the class."""
    layer = ConditionalBatchNorm2d(2, num_classes=3).double()
    assert count(layer) == 2 * 3 * 2
    torch.manual_seed(0)
    x = 5 + 2 * torch.randn(6, 2, 4, 4, dtype=torch.float64)
    y = torch.tensor([0, 1, 2, 0, 1, 2])
    plain = nn.BatchNorm2d(2).double()
    torch.testing.assert_close(layer(x, y), plain(x))  # gamma 1, beta 0
    with torch.no_grad():
        layer.gamma.weight.copy_(torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]))
        layer.beta.weight.copy_(torch.tensor([[0.0, -1.0], [0.5, 7.0], [2.0, 0.0]]))
    mean, var = x.mean((0, 2, 3)), x.var((0, 2, 3), unbiased=False)
    out = layer(x, y)
    for n in range(6):
        for c in range(2):
            z = (x[n, c] - mean[c]) / (var[c] + 1e-5).sqrt()
            torch.testing.assert_close(out[n, c], layer.gamma.weight[y[n], c] * z + layer.beta.weight[y[n], c])


def test_conditional_batch_norm_trains_the_classes_of_the_batch() -> None:
    layer = ConditionalBatchNorm2d(1, num_classes=3)
    torch.manual_seed(0)
    layer(torch.randn(4, 1, 2, 2), torch.tensor([0, 2, 2, 0])).square().sum().backward()
    assert layer.gamma.weight.grad is not None
    assert (layer.gamma.weight.grad != 0).flatten().tolist() == [True, False, True]


def test_conditional_batch_norm_in_evaluation_uses_running_moments() -> None:
    """After one batch: 10 % of its mean and of its unbiased variance, for every class."""
    layer = ConditionalBatchNorm2d(1, num_classes=2)
    x = torch.tensor([1.0, 3.0, 5.0, 7.0]).view(4, 1, 1, 1)
    layer(x, torch.tensor([0, 1, 0, 1]))
    mean, var = 0.1 * 4.0, 0.9 + 0.1 * 20 / 3
    out = layer.eval()(x[:2], torch.tensor([0, 1])).flatten()
    torch.testing.assert_close(out, (x[:2].flatten() - mean) / math.sqrt(var + 1e-5))
