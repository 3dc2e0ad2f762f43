"""The ladder network, alone and inside EBGAN; few labels; the classification error."""

import json
import math
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from helpers import TEST, TINY, TRAIN, checked, write_mnist
from torch import Tensor, nn

from gan_cli.cli.main import main
from gan_cli.data.base import Dataset, Images, SemiSupervised, normal, order
from gan_cli.data.few_labels import FewLabels, FewLabelsMNIST, FewLabelsShapes
from gan_cli.data.shapes import Shapes
from gan_cli.losses.adversarial import Minimax, NonSaturating
from gan_cli.losses.energy import EnergyMargin, LinearMargin
from gan_cli.losses.objective import Objective
from gan_cli.metrics.classification_error import ClassificationError
from gan_cli.metrics.code_error import CodeError
from gan_cli.metrics.samples import from_model
from gan_cli.networks.ladder import Combinator, Ladder, moments
from gan_cli.systems.base import System
from gan_cli.systems.ebgan_ladder import EBGANLadder
from gan_cli.systems.infogan import InfoGAN
from gan_cli.systems.ladder import LadderClassifier
from gan_cli.training.trainer import Trainer

ENERGIES = Objective(EnergyMargin())
X = torch.tensor([1.0, 3.0], dtype=torch.float64).view(2, 1, 1, 1)


def by_hand() -> Ladder:
    """Of a pixel and two classes, a2 = a7 = 1 as ever, and so simple that X's passes can be done in the head.

    a = W x = (2 x, -x): means (4, -2), standard deviations (2, 1), z = (-1, 1), (1, -1); P(y|x) normalized is the same.
    z^1 = z / 2, from a10 = 1/2; u^0 = V z^1 = (-.5, .5), normalized (-1, 1); z^0 = u / 2 + 2 = 1.5, 2.5 from a4 and a5.
    """
    net = Ladder(1, 1, 2, widths=(), noise=0.0, weights=(1000.0, 10.0)).double()
    with torch.no_grad():
        net.W[0].weight.copy_(torch.tensor([[2.0], [-1.0]]))
        net.V[0].weight.copy_(torch.tensor([[1.0, 0.0]]))
        net.g[1].a[9] = 0.5
        net.g[0].a[3], net.g[0].a[4] = 0.5, 2.0
    return net


# Layer 0: (.5)^2 of each image, times 1000/1. Layer 1: z^1, less the mean and over the standard deviation of a, is
# (-2.25, 2.5) and (-1.75, 1.5); the squares are 1.25^2 + 1.5^2 = 3.8125 and 2.75^2 + 2.5^2 = 13.8125, times 10/2.
ENERGY = torch.tensor([250 + 19.0625, 250 + 69.0625], dtype=torch.float64)


def small(noise: float = 0.3, weights: tuple[float, ...] = (1000.0, 10.0, 0.1)) -> Ladder:
    """Float64, all parameters away from their initial values."""
    torch.manual_seed(0)
    net = Ladder(2, 1, 3, widths=(5,), noise=noise, weights=weights).double()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return net


def images(n: int = 6) -> Tensor:
    return torch.rand(n, 1, 2, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(5))


# the network


def test_clean_and_noisy_paths_agree_at_zero_noise() -> None:
    net, x = small(noise=0.0), images()
    clean, noisy = net.clean(x), net.noisy(x)
    for a, b in zip((*clean.z, clean.logits), (*noisy.z, noisy.logits), strict=True):
        assert torch.equal(a, b)
    assert torch.equal(net(x), clean.logits)
    loud = small(noise=0.3)
    assert not torch.equal(loud.noisy(x).logits, loud.clean(x).logits)


def test_noise_is_added_to_the_image_and_to_each_normalised_layer() -> None:
    net = small(noise=0.3)
    x = images(1).expand(4000, -1, -1, -1).contiguous()  # one image, so that layer 0 varies by its noise alone
    path = net.noisy(x)
    assert (path.z[0] - x.flatten(1)).detach().std() == pytest.approx(0.3, rel=0.02)
    for z in path.z[1:]:
        assert z.detach().var(0).mean() == pytest.approx(1 + 0.09, rel=0.02)


def test_moments_and_passes_by_hand() -> None:
    mean, std = moments(torch.tensor([[1.0, 5.0], [3.0, 5.0]]))
    assert mean.tolist() == [2, 5] and std[0].item() == pytest.approx(1) and std[1].item() == pytest.approx(1e-5)
    net = by_hand()
    path = net.clean(X)
    assert torch.equal(path.z[0], X.flatten(1))
    expected = torch.tensor([[-1.0, 1.0], [1.0, -1.0]], dtype=torch.float64)
    torch.testing.assert_close(path.z[1], expected)
    torch.testing.assert_close(path.logits, expected)
    torch.testing.assert_close(path.moments[1][0], torch.tensor([4.0, -2.0], dtype=torch.float64))
    torch.testing.assert_close(path.moments[1][1], torch.tensor([2.0, 1.0], dtype=torch.float64))
    with torch.no_grad():
        net.beta[0].copy_(torch.tensor([1.0, 2.0]))
        net.gamma.copy_(torch.tensor([3.0, 5.0]))
    torch.testing.assert_close(net(X), torch.tensor([[0.0, 15.0], [6.0, 5.0]], dtype=torch.float64))


def test_energy_corrects_by_the_clean_moments_by_hand() -> None:
    net = by_hand()
    z_hat = net.denoise(net.noisy(X))
    torch.testing.assert_close(z_hat[0], torch.tensor([[1.5], [2.5]], dtype=torch.float64))
    torch.testing.assert_close(z_hat[1], torch.tensor([[-0.5, 0.5], [0.5, -0.5]], dtype=torch.float64))
    torch.testing.assert_close(net.energy(X), ENERGY)
    net.weights = (1000.0,)
    torch.testing.assert_close(net.energy(X), torch.tensor([250.0, 250.0], dtype=torch.float64))
    with torch.no_grad():
        net.g[0].a[3] = 1.0  # z^0 = u + 2 = 1, 3: nothing is left to pay
    assert net.energy(X).abs().max().item() < 1e-12
    assert net.reconstruct(X).shape == X.shape


def test_the_bottom_cost_of_a_wide_image_is_1000_over_784() -> None:
    torch.manual_seed(0)
    net, x = Ladder(28, 1, 10), torch.rand(3, 1, 28, 28)
    expected = 1000 / 784 * x.square().sum((1, 2, 3))  # at first z^ = 0
    torch.testing.assert_close(net.energy(x), expected)
    assert sum(p.numel() for p in net.parameters()) == 3_105_710
    # W and V: 784 1000 + 1000 500 + 500 250 + 2 250^2 + 2500 each; g: 10 (784 + 2260); beta 2260, gamma 10
    assert float(net.W[0].weight.detach().std()) == pytest.approx(784**-0.5, rel=0.01)
    assert float(net.V[0].weight.detach().std()) == pytest.approx(1000**-0.5, rel=0.01)


def test_hidden_layers_by_loops() -> None:
    """h = relu(z + beta) feeds the next W; only the softmax has a gain."""
    net, x = small(noise=0.0), images(3)
    rows = x.flatten(1).tolist()
    for layer, (W, beta) in enumerate(zip(net.W, net.beta, strict=True)):
        a = [[sum(w * v for w, v in zip(ws, row, strict=True)) for ws in W.weight.tolist()] for row in rows]
        columns = []
        for column, b in zip(zip(*a, strict=True), beta.tolist(), strict=True):
            mean = sum(column) / 3
            std = math.sqrt(sum((v - mean) ** 2 for v in column) / 3 + 1e-10)
            columns.append([(v - mean) / std + b for v in column])
        rows = [[max(v, 0.0) if layer == 0 else v for v in row] for row in zip(*columns, strict=True)]
    expected = torch.tensor(rows, dtype=torch.float64) * net.gamma
    torch.testing.assert_close(net(x), expected)


def test_combinator_by_hand() -> None:
    g = Combinator(2).double()
    assert g.a.detach()[:, 0].tolist() == [0, 1, 0, 0, 0, 0, 1, 0, 0, 0]
    ln3 = math.log(3)
    with torch.no_grad():
        g.a[:, 0] = torch.tensor([2, -ln3, ln3, 3, 0.5, 4, ln3, -ln3, 0.25, -0.5], dtype=torch.float64)
    z, u = torch.tensor([[3.0, 7.0], [3.0, 7.0]]).double(), torch.tensor([[0.0, 4.0], [1.0, 4.0]]).double()
    # u = 0: mu = 2 (3/4) + 1/2 = 2, v = 4/4 - 1/2 = 1/2; u = 1: mu = 2/2 + 3 + 1/2 = 4.5, v = 4/2 + 1/4 - 1/2 = 1.75
    torch.testing.assert_close(g(z, u), torch.tensor([[2.5, 0.0], [(3 - 4.5) * 1.75 + 4.5, 0.0]]).double())


def test_gradients_against_finite_differences() -> None:
    """Through both passes, the moments of the clean one among them, in float64 under fixed noise."""
    net, x = small(), images().requires_grad_()
    names, values = zip(*((name, p.detach().requires_grad_()) for name, p in net.named_parameters()), strict=True)

    class Energy(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = net

        def forward(self, image: Tensor) -> Tensor:
            torch.manual_seed(3)
            return self.net.energy(image)

    def energy(image: Tensor, *parameters: Tensor) -> Tensor:
        given = {f"net.{name}": value for name, value in zip(names, parameters, strict=True)}
        return torch.func.functional_call(Energy(), given, (image,))

    assert torch.autograd.gradcheck(energy, (x, *values), fast_mode=True)


@pytest.mark.parametrize("weights", [(1000.0,), (1000.0, 10.0, 0.1)])
def test_gradients_reach_what_they_should(weights: tuple[float, ...]) -> None:
    net, x = small(weights=weights), images()
    net.energy(x).mean().backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in net.parameters())
    net.zero_grad(set_to_none=True)
    nn.functional.cross_entropy(net.noisy(x).logits, torch.tensor([0, 1, 2, 0, 1, 2])).backward()
    reached = {name.split(".")[0] for name, p in net.named_parameters() if p.grad is not None}
    assert reached == {"W", "beta", "gamma"}


def test_running_statistics_by_hand() -> None:
    net = by_hand()
    net.track(X)  # 2 x has mean 4 and standard deviation 2
    assert net.mean0.tolist() == [4, -2] and net.std0[0].item() == pytest.approx(2)
    net.track(2 * X + 1)  # 4 x + 2: 10, 4; the mean of both
    assert net.mean0[0].item() == 7 and net.std0[0].item() == pytest.approx(3)
    net.tracked.fill_(400)
    net.track(X)
    assert net.mean0[0].item() == pytest.approx(7 - 0.1 * 3)
    before = {name: value.clone() for name, value in net.named_buffers()}
    net.energy(X), net.noisy(X), net(X)
    assert all(torch.equal(value, before[name]) for name, value in net.named_buffers())
    net.eval()
    alone, together = net(X[:1]), net(X)[:1]
    assert torch.equal(alone, together)
    expected = (2 * 1.0 - net.mean0[0].item()) / net.std0[0].item()
    assert alone[0, 0].item() == pytest.approx(expected)


def test_unbiased_running_statistics_by_hand() -> None:
    """Two images: the variance of CuriousAI/ladder, ladder.py:325, is twice that of the batch."""
    net = by_hand()
    net.track(X, correction=1)
    assert net.mean0.tolist() == [4, -2] and net.std0[0].item() == pytest.approx(2 * math.sqrt(2))
    net.track(X[:1], correction=1)  # one image has none, and no division by 0
    assert net.std0[0].item() == pytest.approx(math.sqrt(2), abs=1e-4)


def test_digits_are_classified_by_the_statistics_of_the_labeled_images() -> None:
    """CuriousAI/ladder, ladder.py:367-383: those of the clean labeled path. The others would have mean 20."""
    batch = BATCH._replace(image=5 * X)
    for choice, mean, std in (("labeled", 4, 2 * math.sqrt(2)), ("all", 20, 10)):
        system = LadderClassifier(by_hand(), ENERGIES, choice)
        system.class_loss(batch)
        assert system.discriminator.mean0[0].item() == mean
        assert system.discriminator.std0[0].item() == pytest.approx(std)
    for model in ("ladder", "ebgan_ladder"):
        assert checked(f"model={model}").model.statistics == "labeled"


def test_wrong_settings_are_one_clear_line() -> None:
    with pytest.raises(ValueError, match="statistics=some: of the labeled images, or of all"):
        LadderClassifier(small(), ENERGIES, "some")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="is a classifier, and this data set has no classes"):
        Ladder(2, 1, None)
    with pytest.raises(ValueError, match="at most 2 layers"):
        Ladder(2, 1, 3, widths=(4,), weights=(1.0,) * 4)
    with pytest.raises(ValueError, match="loss=ebgan"):
        LadderClassifier(small(), Objective(NonSaturating()))
    with pytest.raises(ValueError, match="Linear is no ladder network"):
        LadderClassifier(nn.Linear(2, 2), ENERGIES)  # type: ignore[arg-type]


# the systems


class Fixed(nn.Module):
    """z -> X, and a weight."""

    def __init__(self) -> None:
        super().__init__()
        self.shift = nn.Parameter(torch.zeros((), dtype=torch.float64))

    def forward(self, z: Tensor) -> Tensor:
        return X[: len(z)] + self.shift


BATCH = SemiSupervised(X, X, torch.tensor([1, 0]))
CLASS = math.log1p(math.exp(-2))  # logits (-1, 1) for class 1, (1, -1) for class 0


def test_the_losses_of_the_ladder_by_hand() -> None:
    system = LadderClassifier(by_hand(), ENERGIES)
    (turn,) = system.turns()
    assert turn.name == "d" and turn.trains == ("discriminator",) and turn.steps == 1
    terms = {name: term.item() for name, term in turn.loss(BATCH).items()}
    assert terms == pytest.approx({"class": CLASS, "reconstruction": ENERGY.mean().item()})
    assert system.discriminator.tracked == 1 and system.discriminator.mean0.tolist() == [4, -2]
    assert system.classify(X).tolist() == [1, 0]
    assert set(system.sample(Images(X))) == {"x", "denoised"}


def test_labelled_images_are_classified_and_the_others_denoised() -> None:
    """Exchanged, the labelled images are wrong by 2 more; what the others are does not matter to the class."""
    system = LadderClassifier(by_hand(), ENERGIES)
    terms = system.d_loss(BATCH._replace(image=2 * X.flip(0)))
    assert terms["class"].item() == pytest.approx(CLASS)
    assert terms["reconstruction"].item() != pytest.approx(ENERGY.mean().item())
    terms = system.d_loss(BATCH._replace(labeled=X.flip(0)))
    assert terms["class"].item() == pytest.approx(CLASS + 2)
    assert terms["reconstruction"].item() == pytest.approx(ENERGY.mean().item())


def test_ebgan_ladder_by_hand() -> None:
    """A margin of 300 lies 30.9375 above the first fake's energy, and below the second's."""
    system = EBGANLadder(Fixed(), by_hand(), Objective(EnergyMargin(300.0)), latent_dim=2)
    terms = {name: term.item() for name, term in system.d_loss(BATCH).items()}
    assert terms == pytest.approx({"class": CLASS, "adversarial": ENERGY.mean().item() + 30.9375 / 2})
    assert system.g_loss(BATCH)["adversarial"].item() == pytest.approx(ENERGY.mean().item())
    assert [(turn.name, turn.trains, turn.steps) for turn in system.turns()] == [
        ("d", ("discriminator",), 1), ("g", ("generator",), 1)
    ]  # fmt: skip
    assert set(system.histograms(Images(X))) == {"energy/real", "energy/generated"}


def test_without_margin_it_is_the_ladder_alone() -> None:
    def terms(system: System) -> dict[str, Tensor]:
        torch.manual_seed(2)
        return system.turns()[0].loss(SemiSupervised(images(), images(), torch.tensor([0, 1, 2, 0, 1, 2])))

    generator = nn.Sequential(nn.Linear(2, 4, dtype=torch.float64), nn.Unflatten(1, (1, 2, 2)))
    objective = Objective(EnergyMargin(LinearMargin(16.0, 3)))
    within = EBGANLadder(generator, small(), objective, latent_dim=2, noise=lambda *n, device: torch.ones(n).double())
    alone = terms(LadderClassifier(small(), ENERGIES))
    assert set(terms(within)) == {"class", "adversarial"}
    within.iteration = 3
    assert {name: term.item() for name, term in terms(within).items()} == {n: t.item() for n, t in alone.items()}


def data(**changes: int) -> FewLabelsShapes:
    return FewLabelsShapes(**({"image_size": 8, "size": 60, "num_labels": 12} | changes))


def trainer(decay: int = 4) -> Trainer:
    torch.manual_seed(0)
    generator = nn.Sequential(nn.Linear(3, 64), nn.Sigmoid(), nn.Unflatten(1, (1, 8, 8)))
    objective = Objective(EnergyMargin(LinearMargin(2000.0, decay)))  # the energies are about 500
    system = EBGANLadder(generator, Ladder(8, 1, 6, widths=(9, 7)), objective, latent_dim=3)
    optimizers = {name: torch.optim.Adam(net.parameters(), lr=1e-2) for name, net in system.named_children()}
    return Trainer(system, data(), optimizers, batch_size=6, iterations=7, seed=0)


def test_the_margin_falls_and_the_generator_stops_at_its_iteration() -> None:
    training = trainer()
    system = training.system
    for iteration, margin in enumerate([2000, 1500, 1000, 500, 0, 0]):
        before = {name: value.clone() for name, value in system.state_dict().items()}
        terms = training.iterate()
        after = system.state_dict().items()
        changed = {name.split(".")[0] for name, value in after if not torch.equal(value, before[name])}
        assert system.scalars() == {"energy/margin": margin}  # type: ignore[attr-defined]
        assert changed == ({"generator", "discriminator"} if iteration < 4 else {"discriminator"})
        assert ("g/adversarial" in terms) == ("d/adversarial" in terms) == (iteration < 4)
        assert ("d/reconstruction" in terms) == (iteration >= 4)
    assert int(system.discriminator.tracked) == 6  # by D's turn alone
    assert training.position == 6 * 6


def test_a_resumed_training_is_the_same_to_the_bit() -> None:
    whole = trainer()
    for _ in range(6):
        last = whole.iterate()
    first = trainer()
    for _ in range(3):
        first.iterate()
    state = first.state_dict()
    second = trainer()
    second.load_state_dict(state)
    for _ in range(3):
        terms = second.iterate()
    for name, value in whole.system.state_dict().items():
        assert torch.equal(value, second.system.state_dict()[name]), name
    assert {n: v.item() for n, v in last.items()} == {n: v.item() for n, v in terms.items()}


class Patterns(Dataset):
    """Four random images of 4 x 4 pixels under noise: the class is the pattern."""

    image_size, channels, num_classes, value_range, size, test_size = 4, 1, 4, (0.0, 1.0), 400, 200

    def train_batch(self, seed: int, start: int, count: int) -> Images:
        return self.images(order(seed, start, count, self.size))

    def test_batch(self, start: int, count: int) -> Images:
        return self.images(torch.arange(1000 + start, 1000 + start + count))

    def images(self, number: Tensor) -> Images:
        patterns = torch.rand(4, 16, generator=torch.Generator().manual_seed(0))
        noise = torch.stack([normal(0, number, 2 * pixel) for pixel in range(16)], dim=1)
        return Images((patterns[number % 4] + 0.2 * noise).view(-1, 1, 4, 4), number % 4)

    def fingerprint(self) -> str:
        return "patterns"


def test_it_learns_from_four_labels() -> None:
    """One of each class; by the running statistics. Chance is an error of .75."""
    torch.manual_seed(0)
    few = FewLabels(Patterns(), 4)
    system = LadderClassifier(Ladder(4, 1, 4, widths=(20,), noise=0.1), ENERGIES)
    optimizers = {"discriminator": torch.optim.Adam(system.discriminator.parameters(), lr=5e-3, betas=(0.5, 0.999))}
    training = Trainer(system, few, optimizers, batch_size=20, iterations=120, seed=0)
    first = training.iterate()["d/reconstruction"]
    for _ in range(119):
        last = training.iterate()["d/reconstruction"]
    assert last < first / 3
    system.eval()
    test = few.test_batch(0, 200)
    assert (system.classify(test.image) != test.label).float().mean() < 0.25


# few labels


def of_files(tmp_path: Path, num_labels: int = 10) -> FewLabelsMNIST:
    """20 + 6 images; number i is filled with i (held-out ones with 100 and more) and of class i % 10."""
    return FewLabelsMNIST(str(write_mnist(tmp_path)), num_labels=num_labels)


def filled(image: Tensor) -> list[int]:
    return (image[:, 0, 0, 0] * 255).round().int().tolist()


def test_few_labels_are_balanced_seeded_and_true(tmp_path: Path) -> None:
    few = of_files(tmp_path)
    subsets = set()
    for seed in range(8):
        image, target = few.chosen(seed)
        numbers = filled(image)
        assert target.tolist() == list(range(10)) == [number % 10 for number in numbers] and max(numbers) < TRAIN
        subsets.add(tuple(numbers))
    assert len(subsets) > 4  # of 2^10
    batch = few.train_batch(3, 0, TRAIN)
    assert sorted(filled(batch.image)) == list(range(TRAIN)) and batch.label is None
    assert sorted(filled(batch.labeled)) == sorted(2 * filled(few.chosen(3)[0]))  # two epochs of ten
    assert [number % 10 for number in filled(batch.labeled)] == batch.target.tolist()
    held_out = few.test_batch(0, TEST)
    assert filled(held_out.image) == list(range(100, 106)) and held_out.label.tolist() == list(range(6))


def test_the_stream_is_pure_and_shared_by_processes(tmp_path: Path) -> None:
    few = of_files(tmp_path)
    whole = few.train_batch(4, 7, 50)
    again = FewLabelsMNIST(str(tmp_path), num_labels=10)  # another process, or a resumed run
    parts = [again.train_batch(4, start, count) for start, count in ((7, 25), (32, 25))]
    for number, column in enumerate(whole):
        assert torch.equal(torch.cat([part[number] for part in parts]), column)
    other = few.train_batch(5, 7, 50)
    assert not torch.equal(other.labeled, whole.labeled) and not torch.equal(other.image, whole.image)
    few.to(torch.device("cpu"))
    assert torch.equal(few.train_batch(4, 7, 50).labeled, whole.labeled)


def test_the_fingerprint_tells_the_number_of_labels(tmp_path: Path) -> None:
    ten, twenty = of_files(tmp_path), FewLabelsMNIST(str(tmp_path), num_labels=20)
    assert len({ten.fingerprint(), twenty.fingerprint(), ten.data.fingerprint()}) == 3
    assert ten.fingerprint() == FewLabelsMNIST(str(tmp_path), num_labels=10).fingerprint()
    assert len(twenty.chosen(0)[1]) == 20


def test_wrong_numbers_of_labels_are_one_clear_line(tmp_path: Path) -> None:
    few = of_files(tmp_path)
    for wrong, words in ((15, "multiple of 10"), (0, "multiple of 10"), (30, "needs 3 images of each class")):
        with pytest.raises(ValueError, match=words) as error:
            FewLabels(few.data, wrong)
        assert f"num_labels={wrong}" in str(error.value) and "\n" not in str(error.value)
    with pytest.raises(ValueError, match="num_classes=null"):
        FewLabels(Shapes(8, num_classes=None), 6)


# the error


def test_error_by_hand() -> None:
    """The image holds the answer; every fifth is wrong. Of 1200 images 1100 are looked at, in three batches."""
    label = torch.arange(1200) % 10
    answers = torch.where(torch.arange(1200) % 5 == 0, (label + 1) % 10, label)
    held_out = SimpleNamespace(
        num_classes=10,
        test_batch=lambda start, n: Images(answers[start : start + n].view(-1, 1, 1, 1), label[start : start + n]),
    )
    system = SimpleNamespace(classify=lambda image: image.flatten())
    evidence = SimpleNamespace(
        system=system, data=held_out, test=SimpleNamespace(size=1100, used=0), device=torch.device("cpu")
    )
    metric = ClassificationError()
    metric.check(system, held_out)
    assert metric(evidence) == {"error": 0.2} and evidence.test.used == 1100
    evidence.test.size = 501  # 0, 5, ..., 500
    assert metric(evidence) == {"error": 101 / 501}


def test_the_error_needs_a_model_that_classifies() -> None:
    labelled = SimpleNamespace(num_classes=10)
    for system in (SimpleNamespace(), InfoGAN(*[nn.Identity()] * 4, Objective(Minimax()))):
        with pytest.raises(ValueError, match="model=ladder"):
            ClassificationError().check(system, labelled)
    with pytest.raises(ValueError, match="model=infogan"):
        CodeError().check(SimpleNamespace(classify=len), labelled)
    with pytest.raises(ValueError, match="labeled"):
        ClassificationError().check(SimpleNamespace(classify=len), SimpleNamespace(num_classes=None))


def test_a_ladder_network_alone_has_no_samples_to_score() -> None:
    few = FewLabels(Patterns(), 4)
    found = from_model(LadderClassifier(Ladder(4, 1, 4, widths=(5,)), ENERGIES), few, 20)
    assert 0 <= ClassificationError()(found)["error"] <= 1 and found.test.used == 20
    assert found.train.take().label is None  # samples without a label are not scored
    with pytest.raises(ValueError, match="generates no samples"):
        found.generated.take()


def test_a_run_is_scored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    tiny = [*TINY, "trainer.batch_size=6", "trainer.iterations=3"]
    labels = ["dataset.image_size=8", "dataset.num_labels=6"]
    short = ["loss.adversarial.margin.length=2", "model.discriminator.widths=[9]", "model.generator.size=8"]
    assert main(["train", "model=ebgan_ladder", *tiny, *labels, *short, "hydra.run.dir=run"]) == 0
    lines = [json.loads(line) for line in Path("run/metrics.jsonl").read_text().splitlines()]
    assert ["g/adversarial" in line for line in lines] == [True, True, False]
    assert main(["evaluate", "run", "metric=classification_error", "n=40"]) == 0
    (record,) = map(json.loads, Path("run/evaluation.jsonl").read_text().splitlines())
    wrong = record["values"]["error"] * 40
    assert wrong == pytest.approx(round(wrong)) and 0 <= wrong <= 40 and record["protocol"]["test"] == 40
    assert main(["train", "model=ebgan_ladder", "dataset=shapes", *tiny, "hydra.run.dir=other"]) == 2
    assert "SemiSupervised" in capsys.readouterr().err
