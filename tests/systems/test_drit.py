"""DRIT: what is swapped with what, each term by hand, the cadence, and the networks' shapes and sizes."""

import itertools
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from helpers import count, run_turn
from torch import Tensor, nn

from gan_cli.data.base import Domains
from gan_cli.data.shapes import ShapesStripes
from gan_cli.losses.adversarial import LeastSquares, NonSaturating
from gan_cli.losses.objective import Objective, WeightClip
from gan_cli.networks import drit
from gan_cli.systems.base import System, Terms, Turn
from gan_cli.systems.drit import DRIT, content_confusion
from gan_cli.training.trainer import Trainer
from gan_cli.utils import random

OFFSET = {"x": 0.0, "y": 10.0}


class Formula(nn.Module):
    """A network that is a formula."""

    def __init__(self, formula: Callable[..., Any], scales: int = 3) -> None:
        super().__init__()
        self.formula, self.scales = formula, scales
        self.somewhere = nn.Parameter(torch.zeros(1))

    def forward(self, *inputs: Any) -> Any:
        return self.formula(*inputs)


def encoded(image: Tensor, domain: str) -> tuple[Tensor, None]:
    return image[:, 1].mean((1, 2))[:, None] - OFFSET[domain], None


def composed(content: Tensor, attribute: Tensor, domain: str) -> Tensor:
    plane = attribute[:, :, None, None] + OFFSET[domain]
    return torch.cat([content, plane.expand(-1, -1, *content.shape[2:])], 1)


def ideal(objective: Objective | None = None, judge: Callable[..., Tensor] | None = None, **parts: Any) -> DRIT:
    """Perfect networks for images of two channels: content, and attribute + OFFSET of the domain, a constant. Critics
    score, at scale k, k + 1 times the mean of the second channel.
    """
    judge = judge or (lambda x, scale: (scale + 1) * x[:, 1].mean((1, 2)))
    networks: dict[str, Any] = {
        "content": Formula(lambda image, domain: image[:, :1]),
        "attribute": Formula(encoded),
        "generator": Formula(composed),
        **{name: Formula(judge) for name in ("D_X", "D_Y", "D2_X", "D2_Y")},
        "D_content": Formula(lambda content: content.mean((1, 2, 3))),
    }
    options = {key: parts.pop(key) for key in list(parts) if key not in networks}
    return DRIT(**{**networks, **parts}, objective=objective or Objective(NonSaturating()), latent_dim=1, **options)


def batch() -> Domains:
    """Two images of each domain: contents at random, attributes .3, -.2 and .6, .1."""
    torch.manual_seed(0)
    c_x, c_y = torch.randn(2, 2, 1, 2, 2)
    return Domains(
        composed(c_x, torch.tensor([[0.3], [-0.2]]), "x"), composed(c_y, torch.tensor([[0.6], [0.1]]), "y")
    )


def z_of(turn: Callable[[], Terms], count: int) -> tuple[list[float], Terms]:
    """The next `count` attributes, and the terms of a turn that draws them."""
    random.seed(5)
    z = [random.normal(1, 1).item() for _ in range(count)]
    random.seed(5)
    return z, turn()


def bce(score: float, target: float) -> float:
    p = 1 / (1 + math.exp(-score))
    return -target * math.log(p) - (1 - target) * math.log(1 - p)


# The swaps


def test_ideal_networks_find_their_images_again() -> None:
    """Both swaps, with content and attribute of the right image through the encoder of the right domain."""
    terms = ideal().eg_loss(batch())
    assert terms["cross_cycle"].item() == pytest.approx(0, abs=1e-5)
    assert terms["reconstruction"].item() == pytest.approx(0, abs=1e-5)


def test_first_swap() -> None:
    """u has y's content and x's attribute and is of domain x; v the other way round."""
    (x, y), system = batch(), ideal()
    swap = system.swap(x, y)
    torch.testing.assert_close(swap.u, torch.cat([y[:, :1], x[:, 1:]], 1))
    torch.testing.assert_close(swap.v, torch.cat([x[:, :1], y[:, 1:]], 1))


def test_cross_cycle_and_reconstruction_are_weighted_means() -> None:
    """A generator that adds .1 to all values: off by .1 after one pass, and after two by .2 in both channels."""
    system = ideal(generator=Formula(lambda c, a, domain: composed(c, a, domain) + 0.1))
    terms = system.eg_loss(batch())
    assert terms["reconstruction"].item() == pytest.approx(10 * 2 * 0.1, rel=1e-4)
    assert terms["cross_cycle"].item() == pytest.approx(10 * 2 * 0.2, rel=1e-4)


def test_halves_of_the_batch() -> None:
    """The second images are nothing but real ones for D2: NaN in them shows there and nowhere else."""
    x, y = batch()
    x[1], y[1] = math.nan, math.nan
    spoilt, system = Domains(x, y), ideal()
    assert all(term.isfinite() for term in system.content_critic_loss(spoilt).values())
    assert all(term.isfinite() for term in system.eg_loss(spoilt).values())
    assert all(term.isfinite() for term in system.g_loss(spoilt).values())
    terms = system.d_loss(spoilt)
    assert {name for name, term in terms.items() if term.isnan()} == {"X2_adversarial", "Y2_adversarial"}
    assert DRIT.pack_size == 2


# The terms


def test_domain_adversary_is_summed_over_three_scales() -> None:
    """Scores of domain x are k .3 for the real and its swap alike, of y k 10.6; D2's real ones k (-.2), k 10.1."""
    (z1, z2), terms = z_of(lambda: ideal().d_loss(batch()), 2)
    scales = (1, 2, 3)
    expected = sum(bce(0.3 * k, 1) + bce(0.3 * k, 0) for k in scales)
    assert terms["X_adversarial"].item() == pytest.approx(expected, rel=1e-4)
    expected = sum(2 * bce(-0.2 * k, 1) + bce(z1 * k, 0) + bce(z2 * k, 0) for k in scales)
    assert terms["X2_adversarial"].item() == pytest.approx(expected, rel=1e-4)
    terms = ideal().eg_loss(batch())
    assert terms["X_adversarial"].item() == pytest.approx(sum(bce(0.3 * k, 1) for k in scales), rel=1e-4)
    assert terms["Y_adversarial"].item() == pytest.approx(sum(bce(10.6 * k, 1) for k in scales), rel=1e-3)


def test_random_attributes() -> None:
    """D2's verdict on both images, latent regression of the first, mode seeking in both directions."""
    (z1, z2), terms = z_of(lambda: ideal().g_loss(batch()), 2)
    expected = sum(bce(z * k, 1) for z in (z1, z2) for k in (1, 2, 3))
    assert terms["X2_adversarial"].item() == pytest.approx(expected, rel=1e-4)
    assert terms["latent"].item() == pytest.approx(0, abs=1e-4)
    assert terms["mode_seeking"].item() == pytest.approx(2 / (0.5 + 1e-5), rel=1e-4)  # one channel of two differs
    off = ideal(attribute=Formula(lambda image, domain: (encoded(image, domain)[0] + 0.25, None)))
    assert off.g_loss(batch())["latent"].item() == pytest.approx(10 * 2 * 0.25, rel=1e-4)
    (z1,), terms = z_of(lambda: ideal(lambda_ms=0.0).g_loss(batch()), 1)
    assert "mode_seeking" not in terms
    assert terms["X2_adversarial"].item() == pytest.approx(sum(bce(z1 * k, 1) for k in (1, 2, 3)), rel=1e-4)


def test_content_critic_and_content_confusion() -> None:
    """D^c calls y's content real. Encoders want 1/2: at least ln 2 for each domain, with no gradient at score 0."""
    x, y = batch()
    s_x, s_y = x[0, 0].mean().item(), y[0, 0].mean().item()
    assert ideal().content_critic_loss(batch())["adversarial"].item() == pytest.approx(bce(s_y, 1) + bce(s_x, 0))
    terms = ideal().eg_loss(batch())
    assert terms["content_adversarial"].item() == pytest.approx(bce(s_y, 0.5) + bce(s_x, 0.5))
    score = torch.tensor([0.0], requires_grad=True)
    loss = content_confusion(score)
    loss.backward()
    assert loss.item() == pytest.approx(math.log(2)) and score.grad is not None and score.grad.item() == 0
    without = ideal(lambda_content=0.0)
    assert "content_adversarial" not in without.eg_loss(batch()) and without.turns()[0].steps == 0


def test_attributes_stay_near_the_prior() -> None:
    """Deterministic ones (.3 and .6): .01 mean z^2. Variational ones: .01 KL, summed over images and dimensions."""
    assert ideal().eg_loss(batch())["attribute"].item() == pytest.approx(0.01 * (0.09 + 0.36), rel=1e-4)

    def variational(image: Tensor, domain: str) -> tuple[Tensor, Tensor]:
        mean = encoded(image, domain)[0]
        return mean, torch.full_like(mean, math.log(4))

    x, y = batch()
    twice = Domains(x[[0, 0, 1, 1]], y[[0, 0, 1, 1]])  # two translated images of each domain
    rest = (4 - 1 - math.log(4)) / 2
    expected = 0.01 * 2 * ((0.09 / 2 + rest) + (0.36 / 2 + rest))
    assert ideal(attribute=Formula(variational)).eg_loss(twice)["attribute"].item() == pytest.approx(expected, rel=1e-4)


def test_posterior_is_drawn_by_its_standard_deviation() -> None:
    fixed = Formula(lambda image, domain: (torch.full((len(image), 1), 3.0), torch.full((len(image), 1), math.log(4))))
    random.seed(1)
    z = ideal(attribute=fixed).encode(torch.zeros(4000, 2, 2, 2), "x")[0]
    assert z.mean().item() == pytest.approx(3, abs=0.2) and z.std().item() == pytest.approx(2, abs=0.1)


def test_contents_stay_small() -> None:
    x, y = batch()
    expected = 0.01 * (x[0, 0].square().mean() + y[0, 0].square().mean())
    assert ideal().eg_loss(batch())["content_norm"].item() == pytest.approx(expected.item(), rel=1e-4)


# What it shows


def test_translate_and_transfer() -> None:
    (x, y), system = batch(), ideal()
    random.seed(2)
    first, second = system.translate(x), system.translate(x)
    torch.testing.assert_close(first[:, :1], x[:, :1])
    assert (first[:, 1] != second[:, 1]).all() and first[:, 1].min() > 5  # of domain y
    assert system.translate(y, "BtoA")[:, 1].max() < 5
    torch.testing.assert_close(system.transfer(x, y), torch.cat([x[:, :1], y[:, 1:]], 1))
    torch.testing.assert_close(system.transfer(y, x[:1], "BtoA")[1, 1], x[0, 1])
    shown = system.sample(batch())
    assert all(images.shape == x.shape and name.isidentifier() for name, images in shown.items())
    assert DRIT.multimodal and DRIT.directions == ("AtoB", "BtoA")


# Which networks are trained, and when


def small(objective: Objective | None = None, deterministic: bool = False, **options: Any) -> DRIT:
    torch.manual_seed(0)
    attribute = drit.DeterministicAttributeEncoder if deterministic else drit.VariationalAttributeEncoder
    generator = drit.FeatureWiseGenerator if deterministic else drit.ConcatenatingGenerator
    return DRIT(
        drit.ContentEncoder(16, 3, width=2), attribute(16, 3, latent_dim=2, width=2),
        generator(3, latent_dim=2, width=2),
        *[drit.Discriminator(16, 3, width=2, scales=2, n_layers=2) for _ in range(4)],
        drit.ContentDiscriminator(16, width=2), objective or Objective(NonSaturating()), latent_dim=2, **options,
    )  # fmt: skip


def trainer(system: System) -> Trainer:
    optimizers = {name: torch.optim.SGD(network.parameters(), lr=0.1) for name, network in system.named_children()}
    data = ShapesStripes(image_size=16, size=20)
    return Trainer(system, data, optimizers, batch_size=2, iterations=10, seed=0)


@pytest.mark.parametrize("deterministic", [False, True])
def test_every_loss_reaches_its_networks_and_no_others(deterministic: bool) -> None:
    random.seed(0)
    system = small(deterministic=deterministic)
    data = Domains(*torch.rand(2, 2, 3, 16, 16))
    for turn in system.turns():
        run_turn(system, turn, data)
        for name, network in system.named_children():
            assert all((p.grad is not None) == (name in turn.trains) for p in network.parameters()), (turn.name, name)


def test_cadence() -> None:
    """D^c three times, each on a batch of its own; then the four critics, E and G, and again E^c and G, on the first of
    these batches.
    """
    system = small(Objective(NonSaturating(), constraint=WeightClip(0.01)))
    judges = ("D_X", "D_Y", "D2_X", "D2_Y")
    assert [(turn.trains, turn.steps, turn.clip_norm) for turn in system.turns()] == [
        (("D_content",), 3, 5.0), (judges, 1, None), (("content", "attribute", "generator"), 1, None),
        (("content", "generator"), 1, None),
    ]  # fmt: skip
    runs = trainer(system)
    for iteration in (1, 2):
        runs.iterate()
        assert runs.position == 6 * iteration
    assert max(float(p.detach().abs().max()) for p in system.D2_Y.parameters()) <= 0.01
    assert small(d_iter=1).turns()[0].steps == 1
    with pytest.raises(ValueError, match="lambda_content=0 removes the content critic"):
        small(d_iter=0)


class Slope(System):
    """One weight w, whose gradient is `slope`."""

    def __init__(self, slope: float, clip_norm: float | None) -> None:
        super().__init__()
        self.network = nn.Linear(1, 1, bias=False)
        self.slope, self.clip_norm = slope, clip_norm

    def turns(self) -> list[Turn]:
        return [Turn("t", ("network",), self.loss, clip_norm=self.clip_norm)]

    def loss(self, batch: Any) -> Terms:
        return {"loss": self.slope * self.network.weight.sum()}

    def sample(self, batch: Any) -> dict[str, Tensor]:
        return {}


@pytest.mark.parametrize("slope, clip_norm, step", [(50.0, 5.0, 0.5), (2.0, 5.0, 0.2), (50.0, None, 5.0)])
def test_clip_norm_shortens_long_gradients_only(slope: float, clip_norm: float | None, step: float) -> None:
    system = Slope(slope, clip_norm)
    before = system.network.weight.item()
    runs = trainer(system)
    scalars = runs.iterate()
    assert before - system.network.weight.item() == pytest.approx(step, rel=1e-4)
    assert scalars["t/grad_norm/network"].item() == pytest.approx(slope)  # the log has it as it was


# Networks


def layer(before: int, after: int, kernel: int) -> int:
    return kernel * kernel * before * after + after


def test_sizes_of_the_paper() -> None:
    """216 pixels: content 256 x 54 x 54, content critic 54 -> 25 -> 11 -> 4 -> 1; weights counted by hand."""
    block = 2 * layer(256, 256, 3)
    with torch.device("meta"):
        content, critic = drit.ContentEncoder(216, 3), drit.ContentDiscriminator(216)
        domain, single = drit.Discriminator(216, 3), drit.Discriminator(216, 3, scales=1, n_layers=6, kernel=3)
        apart = drit.ContentEncoder(216, 3, share=False)
        variational = drit.VariationalAttributeEncoder(216, 3)
        deterministic = drit.DeterministicAttributeEncoder(216, 3)
        concatenating, transforming = drit.ConcatenatingGenerator(3), drit.FeatureWiseGenerator(3)
    private = layer(3, 64, 7) + layer(64, 128, 3) + layer(128, 256, 3) + 3 * block
    assert count(content) == 2 * private + block and count(apart) == 2 * (private + block)
    assert count(critic) == 3 * layer(256, 256, 7) + layer(256, 256, 4) + layer(256, 1, 1)
    assert count(domain) == 3 * (
        layer(3, 64, 4) + layer(64, 128, 4) + layer(128, 256, 4) + layer(256, 512, 4) + layer(512, 1, 1)
    )
    widths = [3, 64, 128, 256, 512, 1024, 2048]
    assert count(single) == sum(layer(a, b, 3) for a, b in itertools.pairwise(widths)) + layer(2048, 1, 1)
    bends = sum(layer(a, a, 3) + layer(a, b, 3) + layer(a, b, 1) for a, b in ((64, 128), (128, 192), (192, 256)))
    assert count(variational) == 2 * (layer(3, 64, 4) + bends + 2 * layer(256, 8, 1))
    convolutions = layer(3, 64, 7) + layer(64, 128, 4) + layer(128, 256, 4) + 2 * layer(256, 256, 4) + layer(256, 8, 1)
    assert count(deterministic) == 2 * convolutions
    ups = layer(272, 136, 3) + 2 * 136 + layer(144, 72, 3) + 2 * 72 + layer(80, 3, 1)
    assert count(concatenating) == block + 2 * (6 * layer(264, 264, 3) + ups)
    mlp = layer(8, 256, 1) + layer(256, 256, 1) + layer(256, 1024, 1)
    mixing = 2 * layer(256, 256, 3) + 2 * (layer(512, 512, 1) + layer(512, 256, 1))
    ups = layer(256, 128, 3) + 2 * 128 + layer(128, 64, 3) + 2 * 64 + layer(64, 3, 1)
    assert count(transforming) == 2 * (mlp + 4 * mixing + ups)
    code = content(torch.empty(1, 3, 216, 216, device="meta"), "x")
    assert code.shape == (1, 256, 54, 54) and critic(code).shape == (1, 1, 1, 1)
    assert concatenating(code, torch.empty(1, 8, device="meta"), "y").shape == (1, 3, 216, 216)


@pytest.mark.parametrize("size", [32, 64, 128])
@pytest.mark.parametrize("kind", ["concatenating", "transforming"])
def test_smaller_sizes(size: int, kind: str) -> None:
    attribute, generator = {
        "concatenating": (drit.VariationalAttributeEncoder, drit.ConcatenatingGenerator),
        "transforming": (drit.DeterministicAttributeEncoder, drit.FeatureWiseGenerator),
    }[kind]
    x = torch.rand(2, 3, size, size)
    code = drit.ContentEncoder(size, 3, width=2)(x, "x")
    z, _ = attribute(size, 3, width=2)(x, "y")
    assert code.shape == (2, 8, size // 4, size // 4) and z.shape == (2, 8)
    assert generator(3, width=2)(code, z, "y").shape == x.shape
    assert drit.ContentDiscriminator(size, width=2)(code).ndim == 4
    D = drit.Discriminator(size, 3, width=2, scales=2 if size == 32 else 3)
    assert [D(x, k).shape[-1] for k in range(D.scales)] == [size // 2 ** (4 + k) for k in range(D.scales)]


def test_what_is_shared() -> None:
    """One block of the content encoder and of the concatenating generator is in both domains' paths, no other."""
    for network, inputs in (
        (drit.ContentEncoder(16, 3, width=2), (torch.rand(1, 3, 16, 16),)),
        (drit.ConcatenatingGenerator(3, width=2), (torch.rand(1, 8, 4, 4), torch.rand(1, 8))),
    ):
        network.zero_grad()
        network(*inputs, "x").square().sum().backward()
        reached = {name for name, p in network.named_parameters() if p.grad is not None}
        assert reached == {name for name, _ in network.named_parameters() if name.startswith(("private.x.", "shared."))}
        assert any(name.startswith("shared.") for name in reached)


def test_content_is_noisy_in_training_only() -> None:
    network, x = drit.ContentEncoder(16, 3, width=2), torch.rand(1, 3, 16, 16)
    assert (network(x, "x") != network(x, "x")).all()
    noise = torch.cat([network(x, "x") for _ in range(60)])
    network.eval()
    assert torch.equal(network(x, "x"), network(x, "x"))
    assert (noise - network(x, "x")).std().item() == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("deterministic", [False, True])
def test_attribute_matters_and_content_does(deterministic: bool) -> None:
    system = small(deterministic=deterministic).eval()
    x, y = torch.rand(2, 1, 3, 16, 16)
    random.seed(0)
    assert (system.translate(x) - system.translate(x)).abs().max() > 1e-6
    assert (system.transfer(x, y) - system.transfer(y, y)).abs().max() > 1e-6
    assert torch.equal(system.transfer(x, y), system.transfer(x, y))


def test_no_critic_normalises_unless_asked() -> None:
    D = drit.Discriminator(32, 3, width=2, scales=2)
    assert {type(m) for m in D.modules()} == {
        drit.Discriminator, nn.ModuleList, nn.Sequential, nn.Conv2d, nn.LeakyReLU, nn.AvgPool2d
    }  # fmt: skip
    assert {m.negative_slope for m in D.modules() if isinstance(m, nn.LeakyReLU)} == {0.01}
    spectral = drit.Discriminator(32, 3, width=2, scales=2, norm="spectral")
    assert sum("parametrizations" in name for name, _ in spectral.named_parameters()) == 2 * 5


def test_sizes_that_do_not_fit() -> None:
    with pytest.raises(ValueError, match="3 scales and 4 layers needs 64 pixels"):
        drit.Discriminator(32, 3)
    with pytest.raises(ValueError, match="multiples of 4; nearest: 28 and 32"):
        drit.ContentEncoder(30, 3)
    with pytest.raises(ValueError, match="multiples of 4"):
        drit.ContentEncoder(32, 3, width=2)(torch.zeros(1, 3, 33, 32), "x")
    for attribute in (drit.VariationalAttributeEncoder, drit.DeterministicAttributeEncoder):
        with pytest.raises(ValueError, match="needs 16 pixels"):
            attribute(12, 3)


def test_other_losses_by_hand() -> None:
    system = ideal(Objective(LeastSquares(scale=1.0)))
    expected = sum((0.3 * k - 1) ** 2 for k in (1, 2, 3))
    assert system.eg_loss(batch())["X_adversarial"].item() == pytest.approx(expected, rel=1e-4)
