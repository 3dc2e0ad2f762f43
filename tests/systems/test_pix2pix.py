"""pix2pix: parameter counts, receptive fields, noise at test, losses by hand, turns, sharpness."""

import copy
import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from helpers import Affine, composed, count
from torch import Tensor, nn

from gan_cli.data.base import Pairs
from gan_cli.losses.adversarial import NonSaturating
from gan_cli.losses.objective import Objective
from gan_cli.metrics.sharpness import Sharpness, gradient_energy
from gan_cli.networks.noise import NoiseDropout, UntrackedBatchNorm
from gan_cli.networks.patchgan import Discriminator, PairDiscriminator
from gan_cli.networks.sizes import halvings
from gan_cli.networks.unet import UNet
from gan_cli.systems.base import test_mode as evaluation
from gan_cli.systems.pix2pix import Pix2Pix
from gan_cli.training import build

# networks


@pytest.fixture(scope="module")
def unet() -> UNet:
    return UNet(256, 3)


def test_published_parameter_counts(unet: UNet) -> None:
    """The authors' PyTorch code: unet_256 with batch norm, and the 70-pixel PatchGAN on six channels."""
    assert count(unet) == 54_413_955
    assert count(PairDiscriminator(256, 3)) == 2_768_705
    assert count(PairDiscriminator(256, 3, condition=False)) == 2_768_705 - 3 * 64 * 16
    assert count(Discriminator(256, 3)) == 2_764_737
    pixel = PairDiscriminator(256, 3, n_layers=0)
    assert count(pixel) == (6 * 64 + 64) + 64 * 128 + 2 * 128 + (128 + 1)


def test_layers_of_the_256_pixel_net(unet: UNet) -> None:
    """C64-C128-C256-C512-C512-C512-C512-C512, CD512-CD512-CD512-C512-C256-C128-C64-out."""
    plain, small = UNet(256, 3, width=8, skips=False), UNet(128, 3, width=2)
    down = [m for m in unet.down.modules() if isinstance(m, nn.Conv2d)]
    up = [m for m in unet.up.modules() if isinstance(m, nn.ConvTranspose2d)]
    assert [m.out_channels for m in down] == [64, 128, 256, 512, 512, 512, 512, 512]
    assert [m.out_channels for m in up] == [512, 512, 512, 512, 256, 128, 64, 3]
    assert [m.in_channels for m in up] == [512, 1024, 1024, 1024, 1024, 512, 256, 128]
    assert [m.in_channels for m in plain.modules() if isinstance(m, nn.ConvTranspose2d)] == [
        64, 64, 64, 64, 64, 32, 16, 8,
    ]  # fmt: skip
    assert [any(isinstance(m, nn.BatchNorm2d) for m in block) for block in unet.down] == [False, *[True] * 6, False]
    assert [any(isinstance(m, nn.BatchNorm2d) for m in block) for block in unet.up] == [True] * 7 + [False]
    assert [any(isinstance(m, NoiseDropout) for m in block) for block in unet.up] == [True] * 3 + [False] * 5
    assert [any(isinstance(m, NoiseDropout) for m in block) for block in small.up] == [True] * 3 + [False] * 4
    assert all(m.p == 0.5 for m in unet.modules() if isinstance(m, NoiseDropout))
    assert [m.bias is not None for m in (*down, *up)] == [False] * 15 + [True]
    assert all(m.negative_slope == 0.2 for m in unet.modules() if isinstance(m, nn.LeakyReLU))


@pytest.mark.parametrize("skips", [True, False])
@pytest.mark.parametrize("size", [8, 16, 32, 64])
def test_sizes_and_channels(size: int, skips: bool) -> None:
    network = UNet(size, 2, in_channels=1, width=2, skips=skips)
    assert network(torch.randn(2, 1, size, size)).shape == (2, 2, size, size)
    assert network(torch.randn(1, 1, 2 * size, size)).shape == (1, 2, 2 * size, size)  # convolutionally
    assert UNet(size, 1, value_range=(0, 1), width=2)(torch.randn(1, 1, size, size)).min() >= 0


def test_skips_carry_what_the_bottleneck_does_not() -> None:
    """With the innermost decoder layer silent, the U-Net still sees its input; the encoder-decoder does not."""
    torch.manual_seed(0)
    for skips in (True, False):
        network = UNet(16, 1, width=2, skips=skips).eval()
        nn.init.zeros_(network.up[0][1].weight)
        nn.init.zeros_(network.up[0][2].weight)
        network.up[0] = network.up[0][:3]  # no dropout
        for block in network.up:
            for layer in block:
                if isinstance(layer, NoiseDropout):
                    layer.p = 0.0
        a, b = network(torch.randn(1, 1, 16, 16)), network(torch.randn(1, 1, 16, 16))
        assert torch.equal(a, b) != skips


def test_skips_join_layers_of_one_size_in_the_authors_order() -> None:
    """Encoder layer i before the output of decoder layer k - i: the weights' rows of either half show it."""
    torch.manual_seed(0)
    network = UNet(8, 1, width=1).double().eval()  # 8 -> 4 -> 2 -> 1
    x = torch.randn(1, 1, 8, 8, dtype=torch.float64)
    encoded = [x]
    for down in network.down:
        encoded.append(down(encoded[-1]))
    inner = network.up[0](encoded[3])
    middle = network.up[1](torch.cat([encoded[2], inner], 1))
    torch.testing.assert_close(network(x), network.up[2](torch.cat([encoded[1], middle], 1)))


def test_illegal_sizes() -> None:
    assert [halvings(2**k) for k in range(3, 11)] == list(range(3, 11))
    for call in (lambda: UNet(100, 3), lambda: halvings(100)):
        with pytest.raises(ValueError, match=r"image_size 100.*powers of two; nearest: 64 and 128"):
            call()
    with pytest.raises(ValueError, match=r"image_size 4.*nearest: 8"):
        UNet(4, 3)
    with pytest.raises(ValueError, match=r"image_size 40.*multiples of 32; nearest: 32 and 64"):
        UNet(32, 1, width=1)(torch.zeros(1, 1, 32, 40))
    with pytest.raises(ValueError, match="n_layers -1"):
        Discriminator(32, 3, n_layers=-1)
    with pytest.raises(ValueError, match=r"image_size 64: n_layers=5 needs 96 pixels"):
        Discriminator(64, 3, n_layers=5)


def test_dropout_is_noise_at_test() -> None:
    torch.manual_seed(0)
    network, x = UNet(64, 1, width=2).eval(), torch.randn(1, 1, 64, 64)
    assert not torch.equal(network(x), network(x))
    with torch.random.fork_rng():
        torch.manual_seed(1)
        first = network(x)
        torch.manual_seed(1)
        assert torch.equal(network(x), first)
    ones = NoiseDropout().eval()(torch.ones(100_000))
    assert set(ones.tolist()) == {0.0, 2.0} and abs(ones.mean() - 1) < 0.02


@pytest.mark.parametrize("training", [True, False])
def test_batch_norm_by_hand(training: bool) -> None:
    """Training: over the batch. Evaluation: each image is its own batch, as the authors test."""
    torch.manual_seed(0)
    norm = UntrackedBatchNorm(3).double().train(training)
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    x = torch.randn(4, 3, 5, 6, dtype=torch.float64) + torch.arange(4.0).view(4, 1, 1, 1)
    axes = (0, 2, 3) if training else (2, 3)
    mean = x.mean(axes, keepdim=True)
    variance = (x - mean).square().mean(axes, keepdim=True)
    by_hand = (x - mean) / (variance + 1e-5).sqrt() * norm.weight.view(3, 1, 1) + norm.bias.view(3, 1, 1)
    torch.testing.assert_close(norm(x), by_hand)
    torch.testing.assert_close(norm(x[:1]), norm.train(not training)(x[:1]))  # a batch of one: the same in both
    assert not list(norm.buffers())


def unnormalized(n_layers: int, image_size: int) -> nn.Module:
    """The PatchGAN without the norms, which see the whole image, its weights positive."""
    network = Discriminator(image_size, 1, width=1, n_layers=n_layers, norm="none").double()
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.constant_(layer.weight, 0.1)
    return network


@pytest.mark.parametrize(
    ("n_layers", "field"), [(0, 1), (1, 16), (2, 34), (3, 70), (4, 142), (5, 286), (6, 574)]
)
def test_receptive_fields(n_layers: int, field: int) -> None:
    """Both ways: the pixels that reach one score, and the scores that one pixel reaches."""
    stride = 2**n_layers  # pixels between neighboring scores
    size = 64 * -(-(2 * field + 4 * stride) // 64)
    network = unnormalized(n_layers, size)
    x = torch.ones(1, 1, size, size, dtype=torch.float64, requires_grad=True)
    scores = network(x)
    middle = scores.shape[-1] // 2
    (gradient,) = torch.autograd.grad(scores[0, 0, middle, middle], x, retain_graph=True)
    rows, columns = gradient[0, 0].nonzero(as_tuple=True)
    assert rows.unique().numel() == columns.unique().numel() == field
    top = int(rows.min())
    with torch.no_grad():
        for at, reached in ((top - 1, False), (top, True), (top + field - 1, True), (top + field, False)):
            moved = x.clone()
            moved[0, 0, at, size // 2] += 1.0
            change = (network(moved) - scores)[0, 0]
            assert bool(change[middle].any()) == reached
            assert len(change.any(1).nonzero()) in (field // stride, -(-field // stride))


@pytest.mark.parametrize(("n_layers", "side"), [(0, 256), (1, 126), (3, 30), (5, 6)])
def test_score_maps_of_256_pixels(n_layers: int, side: int) -> None:
    x = torch.zeros(1, 1, 256, 256)
    assert PairDiscriminator(256, 1, width=1, n_layers=n_layers)(x, x).shape == (1, 1, side, side)


def test_cyclegan_keeps_its_names() -> None:
    names = list(Discriminator(32, 3, width=2).state_dict())
    assert names == [f"layers.{i}.{part}" for i in (0, 2, 5, 8, 11) for part in ("weight", "bias")]


def test_the_condition_is_seen_or_not() -> None:
    torch.manual_seed(0)
    y, first, second = torch.randn(3, 1, 2, 16, 16).expand(3, 1, 2, 16, 16)
    for condition in (True, False):
        network = PairDiscriminator(16, 2, condition=condition, width=2, n_layers=1, norm="none")
        assert torch.equal(network(first, y), network(second, y)) != condition
        assert not torch.equal(network(first, y), network(first, second))
    wide = PairDiscriminator(16, 2, in_channels=1, width=2, n_layers=1)
    assert wide.layers[0].in_channels == 3


def test_initial_weights() -> None:
    """N(0, .02), gamma N(1, .02), biases 0."""
    torch.manual_seed(0)
    for network in (UNet(32, 3), PairDiscriminator(32, 3)):
        weights = torch.cat([m.weight.flatten() for m in network.modules() if isinstance(m, nn.modules.conv._ConvNd)])
        gammas = torch.cat([m.weight for m in network.modules() if isinstance(m, nn.BatchNorm2d)])
        assert abs(weights.std() - 0.02) < 1e-4 and abs(weights.mean()) < 1e-4
        assert abs(gammas.mean() - 1) < 0.004 and 0.017 < gammas.std() < 0.023
        assert not any(m.bias.any() for m in network.modules() if getattr(m, "bias", None) is not None)


# the system


class Difference(nn.Module):
    """D(x, y) = scale (y - x), a map of scores."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(1.0))

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return self.scale * (y - x)


def system(**options: Any) -> Pix2Pix:
    return Pix2Pix(Affine(2.0), Difference(), Objective(NonSaturating()), **options)


def batch() -> Pairs:
    """x = ln 3 and 0, G(x) = 2 ln 3 and 0, y = 3 ln 3 and ln 3, on maps of two pixels."""
    x = torch.tensor([math.log(3), 0.0]).view(2, 1, 1, 1).expand(2, 1, 1, 2)
    return Pairs(x, torch.tensor([3 * math.log(3), math.log(3)]).view(2, 1, 1, 1).expand(2, 1, 1, 2))


def test_losses_by_hand() -> None:
    """Scores of the real pairs: 2 ln 3 and ln 3, D = 9/10 and 3/4; of the fakes: ln 3 and 0, D = 3/4 and 1/2."""
    d = system().d_loss(batch())
    real = (math.log(10 / 9) + math.log(4 / 3)) / 2
    fake = (math.log(4) + math.log(2)) / 2
    assert list(d) == ["adversarial"] and d["adversarial"].item() == pytest.approx((real + fake) / 2, rel=1e-6)
    g = system().g_loss(batch())
    assert g["adversarial"].item() == pytest.approx((math.log(4 / 3) + math.log(2)) / 2, rel=1e-6)
    assert g["L1"].item() == pytest.approx(100 * math.log(3), rel=1e-6)
    weighted = system(lambda_L1=3.0, lambda_GAN=0.5).g_loss(batch())
    assert weighted["adversarial"].item() == pytest.approx(g["adversarial"].item() / 2)
    assert weighted["L1"].item() == pytest.approx(3 * math.log(3), rel=1e-6)


@pytest.mark.parametrize("share_fakes", [False, True])
def test_one_image_for_both_turns(share_fakes: bool) -> None:
    """The authors' code: G(x, z) is drawn once, and G learns from the image that D saw."""
    torch.manual_seed(0)
    noisy = nn.Sequential(nn.Conv2d(1, 1, 1), NoiseDropout())
    one = Pix2Pix(noisy, Difference(), Objective(NonSaturating()), share_fakes=share_fakes)
    made: list[Tensor] = []
    noisy.register_forward_hook(lambda _, __, image: made.append(image))
    one.d_loss(batch())
    terms = one.g_loss(batch())
    assert len(made) == (1 if share_fakes else 2)
    assert terms["L1"].item() == pytest.approx(100 * (made[-1] - batch().target).abs().mean().item())
    gradient = torch.autograd.grad(terms["L1"], noisy[0].weight)[0]
    assert bool(gradient.any()) == bool(made[-1].any())  # dropout may have removed the only pixel


def test_turns_and_ablations() -> None:
    def shown(**options: Any) -> tuple[list[tuple[str, tuple[str, ...], int]], list[str]]:
        one = system(**options)
        return [(turn.name, turn.trains, turn.steps) for turn in one.turns()], list(one.g_loss(batch()))

    d, g = ("d", ("discriminator",), 1), ("g", ("generator",), 1)
    assert shown() == ([d, g], ["adversarial", "L1"])
    assert shown(lambda_L1=0.0) == ([d, g], ["adversarial"])
    assert shown(lambda_GAN=0.0) == ([("d", ("discriminator",), 0), g], ["L1"])
    for wrong in ({"lambda_L1": 0.0, "lambda_GAN": 0.0}, {"lambda_L1": -1.0}, {"lambda_GAN": -0.5}):
        with pytest.raises(ValueError, match=r"lambda_L1.*none is negative"):
            system(**wrong)


def test_l1_alone_leaves_the_discriminator() -> None:
    for words, trained in ((["model.lambda_GAN=0"], {"generator"}), ([], {"generator", "discriminator"})):
        cfg = composed(
            "model=pix2pix", "dataset.image_size=16", "dataset.size=8", "model.generator.width=2",
            "model.discriminator.width=2", "model.discriminator.n_layers=1", *words,
        )  # fmt: skip
        model = build.system(cfg)
        before = copy.deepcopy(model.state_dict())
        build.trainer(cfg, model, build.dataset(cfg)).iterate()
        changed = {n.split(".")[0] for n, v in model.named_parameters() if not before[n].equal(v)}
        assert changed == trained


def test_translation_and_sample() -> None:
    torch.manual_seed(0)
    network = UNet(64, 1, width=1)
    one = Pix2Pix(network, Difference(), Objective(NonSaturating()), show=lambda x, y: y - x)
    x, y = torch.randn(2, 2, 1, 64, 64)
    assert one.directions == ("AtoB",) and one.multimodal
    with evaluation(one, 3):
        first, second = one.translate(x), one.translate(x, "AtoB")
    assert not torch.equal(first, second)  # the noise goes on
    with evaluation(one, 3):
        images = one.sample(Pairs(x, y))
    assert list(images) == ["source", "translated", "target"] and torch.equal(images["source"], x)
    assert torch.equal(images["translated"], first - x) and torch.equal(images["target"], y - x)


# sharpness


def test_gradient_energy_by_hand() -> None:
    image = torch.tensor([[0.0, 1.0], [0.0, 3.0]]).view(1, 1, 2, 2)
    assert gradient_energy(image).tolist() == [(1 + 9) / 2 + (0 + 4) / 2]
    assert gradient_energy(torch.stack([image[0], 2 * image[0]])).tolist() == [7.0, 28.0]
    assert gradient_energy(image.expand(1, 3, 2, 2)).tolist() == [7.0]


def test_sharpness_falls_with_blur() -> None:
    torch.manual_seed(0)
    x, y = 2 * torch.rand(2, 60, 1, 8, 8) - 1

    def score(translate: Any, low: float = -1.0) -> dict[str, float]:
        shown = Pairs(*((part + 1) / 2 if low == 0 else part for part in (x, y)))
        data = SimpleNamespace(
            value_range=(low, 1.0), test_batch=lambda start, n: Pairs(*(part[start : start + n] for part in shown))
        )
        system = SimpleNamespace(directions=("AtoB",), device="cpu", translate=lambda image, _: translate(image))
        evidence: Any = SimpleNamespace(system=system, data=data, test=SimpleNamespace(size=60, used=0))
        return Sharpness()(evidence)

    truth = gradient_energy(y).mean().item()
    for low in (-1.0, 0.0):
        as_it_is = score(lambda image: image, low)
        assert as_it_is["energy_real_AtoB"] == pytest.approx(truth)
        assert as_it_is["energy_AtoB"] == pytest.approx(gradient_energy(x).mean().item())
        assert as_it_is["sharpness_AtoB"] == pytest.approx(as_it_is["energy_AtoB"] / truth)
    assert score(lambda image: image / 2)["sharpness_AtoB"] == pytest.approx(as_it_is["sharpness_AtoB"] / 4)
    with pytest.raises(ValueError, match="model=pix2pix"):
        Sharpness().check(SimpleNamespace(directions=()), None)
