"""MSGAN: the mode-seeking term on a conditional GAN and on pix2pix with noise, and what measures its effect."""

import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from helpers import run_turn
from torch import Tensor, nn

from gan_cli.data.base import Images, Pairs
from gan_cli.data.shapes import ShapesEdges
from gan_cli.losses.adversarial import LeastSquares, Wasserstein
from gan_cli.losses.objective import Objective
from gan_cli.metrics.diversity import ModeSeekingRatio
from gan_cli.metrics.multimodal import TranslationDiversity, mean_pairwise
from gan_cli.metrics.paired_translation import outlines
from gan_cli.metrics.pixels import symmetric
from gan_cli.networks import conditional, multiscale, unet_noise
from gan_cli.systems.drit import DRIT
from gan_cli.systems.msgan import MSGAN
from gan_cli.systems.pix2pix_noise import Pix2PixNoise
from gan_cli.utils import random


class Stub(nn.Module):
    """A network that is a formula."""

    def __init__(self, formula: Any, scales: int = 1) -> None:
        super().__init__()
        self.formula, self.scales = formula, scales
        self.somewhere = nn.Parameter(torch.zeros(1))

    def forward(self, *inputs: Any) -> Any:
        return self.formula(*inputs)


def drawn(n: int, d: int) -> tuple[Tensor, ...]:
    """What the next draw of 2 n noises will be, as pairs; the stream starts anew."""
    random.seed(3)
    z = random.normal(2 * n, d).chunk(2)
    random.seed(3)
    return z


# The conditional GAN


def conditional_msgan(**options: Any) -> MSGAN:
    """G(z|y) = z + y, D(x|y) = x y: scores tell which label went with which image."""
    return MSGAN(
        Stub(lambda z, y: (z + y[:, None])[:, :, None, None]), Stub(lambda x, y: x.flatten() * y),
        Objective(Wasserstein()), num_classes=4, latent_dim=1, **options,
    )  # fmt: skip


LABELS = torch.tensor([1, 3])
BATCH = Images(torch.tensor([5.0, 7.0]).view(2, 1, 1, 1), LABELS)


def test_d_sees_both_images_and_each_real_twice() -> None:
    z1, z2 = drawn(2, 1)
    scores = [((z.flatten() + LABELS) * LABELS).mean().item() for z in (z1, z2)]
    real = (5 * 1 + 7 * 3) / 2
    assert conditional_msgan().d_loss(BATCH)["adversarial"].item() == pytest.approx(sum(scores) - 2 * real)


def test_g_counts_both_images_and_the_term() -> None:
    z1, z2 = drawn(2, 1)
    scores = [((z.flatten() + LABELS) * LABELS).mean().item() for z in (z1, z2)]
    terms = conditional_msgan(lambda_ms=3.0).g_loss(BATCH)
    assert terms["adversarial"].item() == pytest.approx(-sum(scores))
    assert terms["mode_seeking"].item() == pytest.approx(3 / (1 + 1e-5))  # images are as far apart as the noises
    assert set(conditional_msgan(lambda_ms=0.0).g_loss(BATCH)) == {"adversarial"}


def test_networks_of_the_cifar_experiment() -> None:
    """z 100 + 10 classes -> 512, 256, 128, 3; image 3 + 10 planes -> 128, 256, 512, 1; 4 x 4 kernels, BN."""
    with torch.device("meta"):
        G = conditional.Generator(32, 3, 10, width=128)
        D = conditional.Discriminator(32, 3, 10, width=128)
    convolutions = 16 * (110 * 512 + 512 * 256 + 256 * 128 + 128 * 3)
    assert sum(p.numel() for p in G.parameters()) == convolutions + 2 * (512 + 256 + 128)
    convolutions = 16 * (13 * 128 + 128 * 256 + 256 * 512 + 512 * 1)
    assert sum(p.numel() for p in D.parameters()) == convolutions + 2 * (256 + 512)


def counted(network: nn.Module) -> list[Any]:
    """What the network gives from now on."""
    seen: list[Any] = []
    network.register_forward_hook(lambda module, inputs, output: seen.append(output))
    return seen


def test_g_is_trained_on_the_images_that_d_saw() -> None:
    """One pass of G for both turns, the mode-seeking term by the noises of that pass; D's turn gives G no gradient."""
    G = conditional.Generator(8, 1, 4, latent_dim=2, width=2)
    D = Stub(lambda x, y: x.flatten(1).mean(1) * y)
    system = MSGAN(G, D, Objective(Wasserstein()), num_classes=4, latent_dim=2)
    random.seed(5)
    z = random.normal(4, 2).chunk(2)
    random.seed(5)
    seen, batch = counted(G), Images(torch.zeros(2, 1, 8, 8), LABELS)
    d, g = system.turns()
    G.requires_grad_(False)
    assert not d.loss(batch)["adversarial"].requires_grad and len(seen) == 1
    G.requires_grad_(True)
    terms = g.loss(batch)
    fakes = seen[0].chunk(2)
    scores = [(fake.flatten(1).mean(1) * LABELS).mean().item() for fake in fakes]
    assert len(seen) == 1 and terms["adversarial"].item() == pytest.approx(-sum(scores), rel=1e-5)
    expected = 1 / ((fakes[0] - fakes[1]).abs().mean() / (z[0] - z[1]).abs().mean() + 1e-5)
    assert terms["mode_seeking"].item() == pytest.approx(expected.item(), rel=1e-5)
    sum(terms.values()).backward()
    assert all(p.grad is not None for p in G.parameters())
    g.loss(batch)
    assert len(seen) == 2  # nothing is left over


def test_msgan_draws_anew_for_several_steps_of_d() -> None:
    system = MSGAN(
        Stub(lambda z, y: (z + y[:, None])[:, :, None, None]), Stub(lambda x, y: x.flatten() * y),
        Objective(Wasserstein(), critic_steps=2), num_classes=4, latent_dim=1,
    )  # fmt: skip
    seen = counted(system.generator)
    for turn in system.turns():
        for _ in range(turn.steps):
            turn.loss(BATCH)
    assert len(seen) == 3


@pytest.mark.parametrize("torch_defaults", [False, True])
def test_weights_of_the_authors_networks(torch_defaults: bool) -> None:
    """Weights N(0, .02) in every convolution; torch's biases U(+-1 / sqrt(fan_in)) and batch normalization 1 and 0."""
    torch.manual_seed(0)
    options: dict[str, Any] = {"width": 16, "torch_defaults": torch_defaults}
    networks = (conditional.Generator(32, 3, 10, **options), conditional.Discriminator(32, 3, 10, **options))
    modules = [layer for network in networks for layer in network.modules()]
    layers = [layer for layer in modules if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d))]
    assert len(layers) == 8
    for layer in layers:
        bound = (layer.weight[0].numel()) ** -0.5  # torch counts a transposed convolution's fan likewise
        assert layer.weight.std().item() == pytest.approx(0.02, rel=0.1)
        assert (layer.bias is not None) == torch_defaults
        assert layer.bias is None or 0 < layer.bias.abs().max() <= bound
    for norm in (layer for layer in modules if isinstance(layer, nn.BatchNorm2d)):
        assert (norm.weight == 1).all() == torch_defaults and not norm.bias.any()


# pix2pix with noise


def noisy(**options: Any) -> Pix2PixNoise:
    """G(x, z) = x + z, and two scales whose scores are image - source and twice that."""
    return Pix2PixNoise(
        Stub(lambda x, z: x + z[:, :, None, None]), Stub(lambda x, y, scale: (scale + 1) * (y - x), scales=2),
        Objective(LeastSquares(scale=1.0)), latent_dim=1, **options,
    )  # fmt: skip


PAIRS = Pairs(torch.tensor([0.5, -1.0]).view(2, 1, 1, 1), torch.tensor([1.0, 2.0]).view(2, 1, 1, 1))


def test_generator_is_trained_first() -> None:
    assert [turn.trains for turn in noisy().turns()] == [("generator",), ("discriminator",)]
    assert Pix2PixNoise.multimodal and Pix2PixNoise.directions == ("AtoB",)


def test_g_loss_of_pix2pix_with_noise() -> None:
    """Scores of a fake are z and 2 z. L1 sees the first image only; the adversary both, at both scales."""
    z1, z2 = (z.flatten().double() for z in drawn(2, 1))
    adversarial = sum((k * z - 1).square().mean() for z in (z1, z2) for k in (1, 2))
    l1 = (torch.tensor([0.5, -1.0]) + z1 - torch.tensor([1.0, 2.0])).abs().mean()
    terms = noisy().g_loss(PAIRS)
    assert terms["adversarial"].item() == pytest.approx(adversarial.item(), rel=1e-5)
    assert terms["L1"].item() == pytest.approx(10 * l1.item(), rel=1e-5)
    assert terms["mode_seeking"].item() == pytest.approx(1 / (1 + 1e-5), rel=1e-5)
    assert set(noisy(lambda_ms=0.0).g_loss(PAIRS)) == {"adversarial", "L1"}


def test_d_loss_of_pix2pix_with_noise() -> None:
    """fake1 + fake2 + real + real, at both scales, without a half: reals score .5 and 3 at scale 0."""
    z1, z2 = (z.flatten().double() for z in drawn(2, 1))
    real = torch.tensor([0.5, 3.0])
    expected = sum(2 * (k * real - 1).square().mean() for k in (1, 2))
    expected += sum((k * z).square().mean() for z in (z1, z2) for k in (1, 2))
    assert noisy().d_loss(PAIRS)["adversarial"].item() == pytest.approx(expected.item(), rel=1e-5)


def test_d_sees_the_fakes_that_g_generated_before_its_step() -> None:
    """D's turn takes the images of G's, without their graph; a second step of D draws anew."""
    system = noisy()
    seen = counted(system.generator)
    z1, z2 = (z.flatten().double() for z in drawn(2, 1))
    g, d = system.turns()
    g.loss(PAIRS)
    system.generator.formula = lambda x, z: 100 * x  # G has been trained
    real = torch.tensor([0.5, 3.0])
    expected = sum(2 * (k * real - 1).square().mean() for k in (1, 2))
    expected += sum((k * z).square().mean() for z in (z1, z2) for k in (1, 2))
    assert d.loss(PAIRS)["adversarial"].item() == pytest.approx(expected.item(), rel=1e-5) and len(seen) == 1
    assert d.loss(PAIRS)["adversarial"].item() > 1000 and len(seen) == 2


def test_xavier_weights_of_bicyclegan() -> None:
    """N(0, .02^2 2 / (fan_in + fan_out)) and biases 0, in the U-Net and in both critics."""
    torch.manual_seed(0)
    critics = multiscale.MultiScalePairDiscriminator(16, 3, width=32, n_layers=1)
    for network in (unet_noise.NoiseUNet(16, 3, width=16), critics):
        for layer in network.modules():
            if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d)):
                std = 0.02 * math.sqrt(2 / (16 * (layer.in_channels + layer.out_channels)))
                n = layer.weight.numel()
                assert abs(layer.weight.std().item() / std - 1) < 4 / math.sqrt(2 * n)
                assert layer.bias is not None and not layer.bias.any()


def test_translate_draws_and_sample_shows_it() -> None:
    system = noisy()
    random.seed(0)
    first, second = system.translate(PAIRS.source), system.translate(PAIRS.source)
    assert (first != second).all()
    assert set(system.sample(PAIRS)) == {"source", "translated_1", "translated_2", "translated_3", "target"}
    with pytest.raises(KeyError):
        system.translate(PAIRS.source, "BtoA")


# Networks


def test_unet_sees_the_noise_at_every_layer() -> None:
    """With the noise's weights at zero in all halvings but one, the output still depends on z."""
    torch.manual_seed(0)
    network = unet_noise.NoiseUNet(16, 1, latent_dim=3, width=4)
    x, z = torch.rand(1, 1, 16, 16), torch.randn(2, 3)
    weights = [layer[1].weight for layer in network.down]
    assert len(weights) == 4
    kept = [weight.detach().clone() for weight in weights]
    for k in range(4):
        with torch.no_grad():
            for j, (weight, old) in enumerate(zip(weights, kept)):
                weight.copy_(old)
                weight[:, -3:] *= j == k
            assert (network(x, z[:1]) - network(x, z[1:])).abs().max() > 1e-4, k
            weights[k][:, -3:] = 0
            torch.testing.assert_close(network(x, z[:1]), network(x, z[1:]))


def test_unet_256_parameters() -> None:
    """pix2pix's count, 54,413,955, without the two weights a channel of its batch normalizations, with the biases that
    come in their place and those that its first and innermost halvings lack, and 16 weights for each of 8 planes of
    noise and each output of the eight halvings.
    """
    with torch.device("meta"):
        network = unet_noise.NoiseUNet(256, 3)
    normalized = (128 + 256 + 4 * 512) + (4 * 512 + 256 + 128 + 64)
    noise = 16 * 8 * (64 + 128 + 256 + 5 * 512)
    assert sum(p.numel() for p in network.parameters()) == 54_413_955 - 2 * normalized + normalized + 64 + 512 + noise
    assert network(torch.empty(1, 3, 256, 256, device="meta"), torch.empty(1, 8, device="meta")).shape[2] == 256


def test_unet_sizes() -> None:
    for size in (24, 4):
        with pytest.raises(ValueError, match="powers of two; nearest"):
            unet_noise.NoiseUNet(size, 1)
    network = unet_noise.NoiseUNet(8, 1, width=2)
    assert network(torch.zeros(1, 1, 16, 8), torch.zeros(1, 8)).shape == (1, 1, 16, 8)
    with pytest.raises(ValueError, match="multiples of 8"):
        network(torch.zeros(1, 1, 12, 12), torch.zeros(1, 8))


def test_second_critic_has_half_the_width_and_sees_half_the_size() -> None:
    D = multiscale.MultiScalePairDiscriminator(64, 3)
    first = 16 * (6 * 64 + 64 * 128 + 128 * 256 + 256 * 512 + 512) + 64 + 128 + 256 + 512 + 1
    second = 16 * (6 * 32 + 32 * 64 + 64 * 128 + 128 * 256 + 256) + 32 + 64 + 128 + 256 + 1
    assert [sum(p.numel() for p in D.critics[k].parameters()) for k in (0, 1)] == [first, second]
    x, y = torch.rand(2, 1, 3, 64, 64)
    assert D(x, y, 0).shape == (1, 1, 6, 6) and D(x, y, 1).shape == (1, 1, 2, 2)
    with pytest.raises(ValueError, match="2 scales of n_layers=3 need 48 pixels"):
        multiscale.MultiScalePairDiscriminator(32, 3)


def test_pooling_leaves_a_flat_image_flat() -> None:
    """The padding is not counted in the means."""
    D = multiscale.MultiScale([Stub(lambda x: x) for _ in range(3)])
    flat = torch.full((1, 1, 8, 8), 0.7)
    torch.testing.assert_close(D(flat, 1), flat[:, :, :4, :4])
    ramp = torch.arange(8.0).expand(1, 1, 8, 8)
    assert D(ramp, 1)[0, 0, 0].tolist() == [0.5, 2.0, 4.0, 6.0] and D(ramp, 2).shape == (1, 1, 2, 2)


def test_every_loss_reaches_its_networks_and_no_others() -> None:
    torch.manual_seed(0)
    random.seed(0)
    G, D = unet_noise.NoiseUNet(16, 1, width=2), multiscale.MultiScalePairDiscriminator(16, 1, width=2, n_layers=1)
    system = Pix2PixNoise(G, D, Objective(LeastSquares(scale=1.0)))
    for turn in system.turns():
        run_turn(system, turn, Pairs(*torch.rand(2, 2, 1, 16, 16)))
        for name, network in system.named_children():
            assert all((p.grad is not None) == (name in turn.trains) for p in network.parameters())


# The data and the metric


def test_freedom_of_color() -> None:
    """0: a color for each of the six kinds. 1: any. The default is as it was, in name too."""

    def colors(freedom: float) -> int:
        image = ShapesEdges(image_size=16, size=200, freedom=freedom).test_batch(0, 200).target
        brightest = (image.amax(1) - image.amin(1)).flatten(1).argmax(1)  # the most colorful pixel
        return len({tuple((10 * c).round().tolist()) for c in image.flatten(2)[torch.arange(200), :, brightest]})

    assert colors(0.0) == 6 and 12 < colors(0.08) < 60 < colors(1.0)
    names = [ShapesEdges(freedom=freedom).fingerprint() for freedom in (0.08, 0.3, 1.0)]
    assert ShapesEdges().fingerprint() == names[0] and len(set(names)) == 3
    with pytest.raises(ValueError, match="freedom=2"):
        ShapesEdges(freedom=2)


def test_mean_pairwise_by_hand() -> None:
    """Outputs 0, 1, 4 of one input: distances 1, 4, 3."""
    outputs = torch.tensor([0.0, 1.0, 4.0]).view(3, 1, 1, 1, 1)
    assert mean_pairwise(outputs, lambda a, b: (a - b).abs().flatten(1).mean(1)).item() == pytest.approx(8 / 3)


def test_outlines_by_hand() -> None:
    """A step of 2 between columns; a diagonal ramp."""
    step = torch.tensor([[0.0, 0.0, 2.0]]).expand(1, 1, 3, 3)
    assert outlines(step)[0, 0].tolist() == [[0, 2], [0, 2]]
    ramp = torch.arange(3.0)[:, None] + torch.arange(3.0)
    torch.testing.assert_close(outlines(ramp[None, None]), torch.full((1, 1, 2, 2), math.sqrt(2)).double())


class Data:
    """One-pixel-high truth: targets are the sources plus 1."""

    batch_type, value_range, test_size, image_size = Pairs, (-1, 1), 3, 4

    @staticmethod
    def test_batch(start: int, count: int) -> Pairs:
        source = torch.arange(start, start + count).float().view(-1, 1, 1, 1).expand(-1, 1, 4, 4)
        return Pairs(source, source + 1)


class Extractor:
    name, hash = "inception", "0000"

    def __call__(self, images: Tensor) -> Any:
        return SimpleNamespace(values=torch.stack([images.flatten(1)[:, 0], torch.ones(len(images))], 1))


def test_translation_diversity_by_hand() -> None:
    """The k-th call adds k / 2 to its input: outputs differ by .5, 1, .5; the third is the partner."""
    calls = iter(range(100))
    system = SimpleNamespace(
        multimodal=True, directions=("AtoB",), device="cpu",
        translate=lambda image, direction: image + (next(calls) % 3) / 2,
    )  # fmt: skip
    test = SimpleNamespace(size=3, used=0)
    evidence: Any = SimpleNamespace(
        system=system, data=Data(), test=test, extractor=Extractor(), device="cpu", named=lambda name: name
    )
    metric = TranslationDiversity(outputs=3)
    metric.check(system, Data())
    found = metric(evidence)
    assert found["pixels_AtoB"] == pytest.approx(2 / 3)
    assert found["best_AtoB"] == pytest.approx(0.0) and found["first_AtoB"] == pytest.approx(1.0)
    assert found["outline_AtoB"] == found["outline_true_AtoB"] == 0.0
    assert found["features_AtoB"] > 0 and test.used == 3
    assert set(found) <= set(metric.better)


def test_ratio_of_translations_by_hand() -> None:
    """G(x, z) adds half the mean of z to x, so |G(z1) - G(z2)| over the mean |z1 - z2| is known; the noise is that of
    `translate`, so no other value changes."""
    generator = Stub(lambda x, z: x + 0.5 * z.mean(1).view(-1, 1, 1, 1))
    system = Pix2PixNoise(generator, nn.Linear(1, 1), Objective(LeastSquares()), latent_dim=3)
    evidence: Any = SimpleNamespace(
        system=system, data=Data(), test=SimpleNamespace(size=3, used=0), extractor=Extractor(), device="cpu",
        named=lambda name: name,
    )  # fmt: skip
    random.seed(3)
    found = TranslationDiversity(outputs=2)(evidence)
    random.seed(3)
    z1, z2 = random.normal(3, 3), random.normal(3, 3)
    d_i = 0.5 * (z1.mean(1) - z2.mean(1)).abs()
    assert found["pixels_AtoB"] == pytest.approx(d_i.mean().item(), rel=1e-5)
    assert found["ratio_AtoB"] == pytest.approx((d_i / (z1 - z2).abs().mean(1)).mean().item(), rel=1e-5)
    blind: Any = SimpleNamespace(multimodal=True, directions=("AtoB",), device="cpu",
                                 translate=lambda image, direction: image)  # fmt: skip
    evidence.system = blind
    assert "ratio_AtoB" not in TranslationDiversity(outputs=2)(evidence)  # its noise is not known


def test_drit_translates_with_given_noise() -> None:
    class Generator(nn.Module):
        def forward(self, content: Tensor, z: Tensor, domain: str) -> Tensor:
            return content + z.sum(1).view(-1, 1, 1, 1) + (10 if domain == "y" else 20)

    system = DRIT(Stub(lambda image, domain: image), nn.Identity(), Generator(), *(nn.Identity() for _ in range(5)),
                  Objective(LeastSquares()), latent_dim=2)  # fmt: skip
    image, z = torch.zeros(2, 1, 1, 1), torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    assert system.translate_from(image, z).flatten().tolist() == [13, 17]
    assert system.translate_from(image, z, "BtoA").flatten().tolist() == [23, 27]
    random.seed(3)
    z = random.normal(2, 2)
    random.seed(3)
    assert torch.equal(system.translate(image), system.translate_from(image, z))


def test_ratio_of_a_conditional_model_by_hand() -> None:
    """G(z|y) = (1 + y) z with one dimension of noise: the ratio of class y is 1 + y, and of the classes 0 to 3 in turn
    2.5 on average, however the noises are. Images of [0, 1] count twice in [-1, 1]."""
    system = MSGAN(Stub(lambda z, y: ((1 + y)[:, None] * z)[:, :, None, None]), nn.Linear(1, 1),
                   Objective(Wasserstein()), num_classes=4, latent_dim=1)  # fmt: skip
    for value_range, factor in (((-1, 1), 1), ((0, 1), 2)):
        data = SimpleNamespace(num_classes=4, value_range=value_range)
        generated = SimpleNamespace(used=0)
        evidence: Any = SimpleNamespace(system=system, data=data, device="cpu", generated=generated)
        metric = ModeSeekingRatio(pairs=80)
        metric.check(system, data)  # type: ignore[arg-type]
        random.seed(3)
        found = metric(evidence)
        assert found["ratio"] == pytest.approx(2.5 * factor, rel=1e-5) and generated.used == 160
        random.seed(3)
        pairs = [(random.normal(n, 1), random.normal(n, 1)) for n in (50, 30)]
        d_z = torch.cat([(one - two).abs() for one, two in pairs]).flatten()
        assert found["d_z"] == pytest.approx(d_z.mean().item(), rel=1e-5)
        d_i = factor * d_z * (1 + torch.arange(80) % 4)
        assert found["d_I"] == pytest.approx(d_i.mean().item(), rel=1e-5)


def test_mode_seeking_refuses() -> None:
    with pytest.raises(ValueError, match="conditional on labels"):
        ModeSeekingRatio().check(SimpleNamespace(needs_labels=False), SimpleNamespace(num_classes=4))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="pairs=0"):
        ModeSeekingRatio(pairs=0).check(conditional_msgan(), SimpleNamespace(num_classes=4))  # type: ignore[arg-type]


def test_translation_diversity_refuses() -> None:
    with pytest.raises(ValueError, match="model=pix2pix_noise or drit"):
        TranslationDiversity().check(SimpleNamespace(multimodal=False), Data())
    with pytest.raises(ValueError, match="needs two"):
        TranslationDiversity(outputs=1).check(SimpleNamespace(multimodal=True), Data())
    assert symmetric(torch.zeros(1), (0, 1)).item() == -1
