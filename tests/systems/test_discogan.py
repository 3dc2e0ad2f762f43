"""DiscoGAN and its ablations: losses by hand, cadence, networks, the toy's data and its metric, its data sets."""

import itertools
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from helpers import Affine, count, values
from PIL import Image
from torch import Tensor, nn

from gan_cli.data.base import Domains
from gan_cli.data.discogan_domains import AttributeFolder, HalvesFolder
from gan_cli.data.point_domains import MixtureDomains
from gan_cli.losses.adversarial import NonSaturating, Relativistic
from gan_cli.losses.objective import Objective
from gan_cli.metrics.domain_modes import DomainModes, landing, sharing
from gan_cli.networks.discogan import (
    DiscoGANGenerator,
    Discriminator,
    DiscriminatorOutput,
    PointDiscriminator,
    PointGenerator,
)
from gan_cli.systems.base import Turn
from gan_cli.systems.discogan import Curriculum, DiscoGAN, OneWayGAN, ReconGAN, mean_feature_matching
from gan_cli.training.trainer import Trainer

LN3 = math.log(3)


class Judge(nn.Module):
    """The score is the mean, the features are the values and their double."""

    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Parameter(torch.ones(()))

    def forward(self, x: Tensor) -> DiscriminatorOutput:
        return DiscriminatorOutput(self.one * x.flatten(1).mean(1), (x, 2 * x))


OBJECTIVE = Objective(NonSaturating())
BATCH = Domains(torch.full((2, 1, 1, 1), LN3), torch.tensor([0.0, 2 * LN3]).view(2, 1, 1, 1))


def disco(**options: Any) -> DiscoGAN:
    """G_AB doubles, G_BA turns the sign."""
    return DiscoGAN(Affine(2.0), Affine(-1.0), Judge(), Judge(), OBJECTIVE, **options)


def test_feature_matching_compares_the_means_over_the_batch() -> None:
    real = (torch.tensor([[1.0, 4.0], [3.0, 0.0]]), torch.tensor([[1.0], [1.0]]))    # means (2, 2) and 1
    fake = (torch.tensor([[5.0, 2.0], [5.0, 2.0]]), torch.tensor([[0.0], [-2.0]]))   # means (5, 2) and -1
    assert mean_feature_matching(real, fake).item() == (9 + 0) / 2 + 4


def test_discogan_losses_by_hand() -> None:
    """x_AB = 2 ln 3 (D = 9/10), x_ABA = -2 ln 3; x_BA = 0 and -2 ln 3, x_BAB = 0 and -4 ln 3."""
    system = disco(rate=Curriculum(first=0.2, length=5, then=0.5))
    terms = values(system.g_loss(BATCH))
    assert terms == pytest.approx({
        "B_adversarial": 0.8 * 0.1 * math.log(10 / 9),
        "B_features": 0.8 * 0.9 * (LN3**2 + (2 * LN3) ** 2),     # mean 2 ln 3 for ln 3, and the double
        "A_adversarial": 0.8 * 0.1 * (math.log(2) + math.log(10)) / 2,             # D = 1/2 and 1/10
        "A_features": 0.8 * 0.9 * ((2 * LN3) ** 2 + (4 * LN3) ** 2),               # mean -ln 3 for ln 3
        "A_reconstruction": 0.2 * (3 * LN3) ** 2,
        "B_reconstruction": 0.2 * (0 + (6 * LN3) ** 2) / 2,
    })  # fmt: skip
    system.iteration = 5
    later = values(system.g_loss(BATCH))
    assert later["A_reconstruction"] == pytest.approx(0.5 * (3 * LN3) ** 2)
    assert later["B_adversarial"] == pytest.approx(0.5 * 0.1 * math.log(10 / 9))
    assert system.scalars() == {"rate": 0.5}


def test_discriminators_losses_are_halved() -> None:
    terms = values(disco().d_loss(BATCH))
    d_a = math.log(4 / 3) + (math.log(2) + math.log(10 / 9)) / 2  # real: 3/4; fakes 0 and -2 ln 3: 1/2 and 1/10
    d_b = (math.log(2) + math.log(10 / 9)) / 2 + math.log(10)     # reals 0 and 2 ln 3; fake: 9/10
    assert terms == pytest.approx({"A_adversarial": d_a / 2, "B_adversarial": d_b / 2})


def test_the_papers_form_has_no_features() -> None:
    terms = values(disco(rate=Curriculum(0.5, 0, 0.5), lambda_adversarial=1.0, lambda_features=0.0).g_loss(BATCH))
    assert list(terms) == ["B_adversarial", "A_adversarial", "A_reconstruction", "B_reconstruction"]
    assert terms["B_adversarial"] == pytest.approx(0.5 * math.log(10 / 9))


@pytest.mark.parametrize("loss", [NonSaturating(), Relativistic()])
def test_scores_and_features_come_from_one_pass(loss: Any) -> None:
    """D_B sees x_AB and x_B once each, whether or not the generator's loss compares it with real images."""
    system = DiscoGAN(Affine(2.0), Affine(-1.0), Judge(), Judge(), Objective(loss))
    inputs: list[Tensor] = []
    system.D_B.register_forward_pre_hook(lambda _, args: inputs.append(args[0]))
    system.g_loss(BATCH)
    assert len(inputs) == 2 and torch.equal(inputs[0], 2 * BATCH.x) and torch.equal(inputs[1], BATCH.y)


def test_ablations_by_hand() -> None:
    one_way = OneWayGAN(Affine(2.0), Judge(), OBJECTIVE)
    features = LN3**2 + (2 * LN3) ** 2
    assert values(one_way.g_loss(BATCH)) == pytest.approx(
        {"B_adversarial": 0.1 * math.log(10 / 9), "B_features": 0.9 * features}      # without the factor 1 - r
    )
    recon = ReconGAN(Affine(2.0), Affine(-1.0), Judge(), OBJECTIVE, rate=Curriculum(0.2, 5, 0.5))
    assert values(recon.g_loss(BATCH)) == pytest.approx({
        "B_adversarial": 0.8 * 0.1 * math.log(10 / 9),
        "B_features": 0.8 * 0.9 * features,
        "A_reconstruction": 0.2 * (3 * LN3) ** 2,
    })  # fmt: skip
    assert list(recon.d_loss(BATCH)) == list(one_way.d_loss(BATCH)) == ["B_adversarial"]
    assert (one_way.directions, recon.directions) == (("AtoB",), ("AtoB", "BtoA"))
    x = BATCH.x
    assert torch.equal(recon.translate(x, "BtoA"), -x) and torch.equal(one_way.translate(x), 2 * x)
    assert list(disco().sample(BATCH)) == ["A_to_B", "A", "A_to_B_to_A", "B_to_A", "B", "B_to_A_to_B"]


def test_one_iteration_of_the_discriminators_two_of_the_generators() -> None:
    system = disco(rate=Curriculum(0.5, 0, 0.5))
    data = MixtureDomains()
    optimizers = {name: torch.optim.SGD(network.parameters(), 0.1) for name, network in system.named_children()}
    trainer = Trainer(system, data, optimizers, batch_size=4, iterations=7, seed=0)
    changed = []
    for _ in range(7):
        before = {name: weight.clone() for name, weight in system.named_parameters()}
        trainer.iterate()
        after = system.named_parameters()
        changed.append({name[:3] for name, weight in after if not torch.equal(weight, before[name])})
        assert trainer.position == 4 * trainer.iteration                                # one batch an iteration
    d, g = {"D_A", "D_B"}, {"G_A", "G_B"}
    assert changed == [d, g, g, d, g, g, d]
    turns: list[Turn] = system.turns()
    assert [turn.trains for turn in turns] == [("D_A", "D_B"), ("G_AB", "G_BA")]
    with pytest.raises(ValueError, match="update_interval 1"):
        disco(update_interval=1)
    with pytest.raises(ValueError, match=r"lies in \[0, 1\]"):
        Curriculum(first=1.5)


def test_networks_of_the_code() -> None:
    """model.py at 64 pixels: channels 3, 64, 128, 256, 512, kernels 4 x 4, no biases, gamma and beta."""
    steps = 16 * (3 * 64 + 64 * 128 + 128 * 256 + 256 * 512)
    norms = 2 * (128 + 256 + 512)
    assert count(DiscoGANGenerator(64, 3)) == 2 * steps + norms + 2 * (256 + 128 + 64)
    extra = 2 * 16 * 512 * 100 + 2 * (100 + 512)
    assert count(DiscoGANGenerator(64, 3, extra_layers=True)) == count(DiscoGANGenerator(64, 3)) + extra
    assert count(Discriminator(64, 3)) == steps + norms + 16 * 512
    x = torch.rand(2, 3, 64, 64)
    judged = Discriminator(64, 3, width=4)(x)
    assert judged.score.shape == (2,)
    assert [tuple(f.shape) for f in judged.features] == [(2, 8, 16, 16), (2, 16, 8, 8), (2, 32, 4, 4)]   # layers 2 to 4
    assert all(((f < 0).any() and f.min() > 0.2 * -10) for f in judged.features)          # after LeakyReLU
    angles = Discriminator(64, 3, width=4, matched_from=3)(x).features
    assert [tuple(f.shape) for f in angles] == [(2, 16, 8, 8), (2, 32, 4, 4)]             # layers 3 and 4
    with pytest.raises(ValueError, match="matched_from 5: at 64 pixels the hidden layers are 1 to 4"):
        Discriminator(64, 3, matched_from=5)
    for size, extra_layers in ((64, True), (32, False), (28, True)):
        image = DiscoGANGenerator(size, 3, width=4, extra_layers=extra_layers)(torch.rand(2, 3, size, size))
        assert image.shape == (2, 3, size, size) and image.min() >= 0 and image.max() <= 1
    for network, size in ((DiscoGANGenerator, 48), (Discriminator, 48), (Discriminator, 8)):
        with pytest.raises(ValueError, match=f"image_size {size}"):
            network(size, 3)
    linear = lambda *w: sum(a * b + b for a, b in itertools.pairwise(w))  # noqa: E731
    assert count(PointGenerator(2, [8, 9])) == linear(2, 8, 9, 2)
    assert count(PointDiscriminator(2, [8, 9, 10, 11])) == linear(2, 8, 9, 10, 11, 1)
    assert [f.shape[1] for f in PointDiscriminator(2, [8, 9, 10, 11])(torch.rand(3, 2, 1, 1)).features] == [9, 10, 11]


def test_domains_of_points() -> None:
    data = MixtureDomains(std=0.01)
    x, y = data.test_batch(0, 2000)
    modes = data.test_modes(0, 2000)
    assert x.shape == y.shape == (2000, 2, 1, 1)
    assert (x.flatten(1) - data.modes_x[modes]).norm(dim=1).max() < 0.06
    assert torch.equal(modes.unique(), torch.arange(5))
    near = torch.cdist(y.flatten(1), data.modes_y)
    assert near.amin(1).max() < 0.06 and len(near.argmin(1).unique()) == 10
    together = torch.bincount(5 * near.argmin(1) + modes, minlength=50)
    assert together.min() > 15                                    # x[i] and y[i] have nothing to do with each other
    whole, parts = data.train_batch(3, 0, 6), [data.train_batch(3, k, 2) for k in (0, 2, 4)]
    assert torch.equal(whole.y, torch.cat([part.y for part in parts]))
    assert not torch.equal(data.train_batch(4, 0, 6).x, whole.x)
    with pytest.raises(ValueError, match="modes_x and modes_y are at least 1"):
        MixtureDomains(modes_x=0)


def test_counts_of_modes_by_hand() -> None:
    modes = torch.tensor([[0.0, 0.0], [1.0, 0.0], [5.0, 0.0]])
    points = torch.tensor([[0.1, 0.0], [0.9, 0.0], [1.2, 1.0], [0.2, 0.0], [4.0, 0.0]])
    counts = landing(points, modes, torch.tensor([0, 1, 1, 2, 2]), sources=3)
    assert counts.tolist() == [[1, 0, 0], [0, 2, 0], [1, 0, 1]]
    assert sharing(torch.tensor([[5, 1, 0], [0, 3, 2], [9, 0, 8]])) == 2       # the first and the third go to mode 0
    assert sharing(torch.eye(3)) == 0 and sharing(torch.tensor([[1, 0], [1, 0], [1, 0]])) == 3


class Translator:
    """x -> the point of the circle to which mode k of x is translated; y -> x + (0.3, 0.4)."""

    directions, device = ("AtoB", "BtoA"), torch.device("cpu")

    def __init__(self, data: MixtureDomains, targets: list[int]) -> None:
        self.data, self.targets = data, torch.tensor(targets)

    def translate(self, image: Tensor, direction: str) -> Tensor:
        if direction == "BtoA":
            return self.x + torch.tensor([0.3, 0.4]).view(1, 2, 1, 1)
        self.x = image
        mode = torch.cdist(image.flatten(1), self.data.modes_x).argmin(1)
        return self.data.modes_y[self.targets[mode]][:, :, None, None]


def test_domain_modes() -> None:
    data = MixtureDomains(std=0.01)

    def scores(targets: list[int]) -> dict[str, float]:
        test = SimpleNamespace(size=600)
        return DomainModes()(SimpleNamespace(system=Translator(data, targets), data=data, test=test))

    expected = {"shared": 0, "hit": 5, "high_quality": 1, "back": 0.5}
    assert scores([0, 2, 4, 6, 8]) == pytest.approx(expected, rel=1e-5)
    assert scores([0, 2, 0, 6, 2])["shared"] == 4
    with pytest.raises(ValueError, match="domain_modes metric needs"):
        DomainModes().check(Translator(data, [0]), object())


def halves(folder: Path, colors: list[tuple[int, int, int]]) -> None:
    """Images A|B of 8 x 8 each: A white with a dark pixel at (3, 3), B in these colors."""
    folder.mkdir(parents=True)
    for i, color in enumerate(colors):
        image = Image.new("RGB", (16, 8), "white")
        image.putpixel((3, 3), (0, 0, 0))
        image.paste(color, (8, 0, 16, 8))
        image.save(folder / f"{i}.png")


def test_halves_of_one_archive_and_of_two(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GAN_CACHE", str(tmp_path / "cache"))
    halves(tmp_path / "shoes/train", [(i, 0, 0) for i in (10, 20, 30, 40, 50)])
    halves(tmp_path / "shoes/val", [(60, 0, 0)])
    halves(tmp_path / "bags/train", [(0, 0, 70), (0, 0, 80)])
    data = HalvesFolder(str(tmp_path / "shoes"), image_size=8)
    batch = data.train_batch(0, 0, 6)
    assert (data.size, data.test_size) == (3, 1)                            # two edges, three photographs
    assert {round(255 * v) for v in batch.y[:, 0, 0, 0].tolist()} == {30, 40, 50}
    dark = batch.x[0, 0] == 0                                               # 3 x 3 pixels
    assert dark[2:5, 2:5].all() and dark.sum() == 9 and batch.x.max() == 1
    assert (255 * data.test_batch(0, 1).y[0, :, 0, 0]).round().tolist() == [60, 0, 0]
    both = HalvesFolder(str(tmp_path / "bags"), other_root=str(tmp_path / "shoes"), image_size=8)
    x, y = both.train_batch(0, 0, 10)
    assert {round(255 * v) for v in x[:, 2, 0, 0].tolist()} == {70, 80}
    assert {round(255 * v) for v in y[:, 0, 0, 0].tolist()} == {10, 20, 30, 40, 50}
    with pytest.raises(FileNotFoundError, match="no folder train"):
        HalvesFolder(str(tmp_path / "shoes/val"), image_size=8)


def test_faces_by_attribute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GAN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("gan_cli.data.discogan_domains.HELD_OUT", 1)
    (tmp_path / "img_align_celeba").mkdir()
    rows = {10: (1, 1), 20: (1, -1), 30: (-1, -1), 40: (-1, 1), 50: (1, -1), 60: (-1, -1)}  # gray: Male, Young
    for gray in rows:
        Image.new("RGB", (6, 8), (gray,) * 3).save(tmp_path / f"img_align_celeba/{gray}.png")
    text = "".join(f"{gray}.png  {a} {b}\n" for gray, (a, b) in rows.items())
    (tmp_path / "list_attr_celeba.txt").write_text(f"6\nMale Young\n{text}")

    def grays(images: Tensor) -> list[int]:
        return sorted({round(255 * v) for v in images[:, 0, 0, 0].tolist()})

    root = str(tmp_path)
    data = AttributeFolder(root, "Male", image_size=4)
    assert [grays(part) for part in data.train_batch(0, 0, 4)] == [[10, 20], [30, 40]]
    assert [grays(part) for part in data.test_batch(0, 4)] == [[50], [60]]
    data = AttributeFolder(root, "Male", keep={"Young": -1}, image_size=4)
    assert [grays(part) for part in data.train_batch(0, 0, 4)] == [[20], [30]]
    assert grays(AttributeFolder(root, "Male", other="Young", image_size=4).train_batch(0, 0, 4).y) == [10]
    with pytest.raises(ValueError, match=r"no attribute Old in .*listed are Male, Young"):
        AttributeFolder(root, "Old", image_size=4)
    with pytest.raises(ValueError, match="1 faces with Young 1: 1 are held out"):
        AttributeFolder(root, "Young", keep={"Male": 1}, image_size=4)
    (tmp_path / "list_attr_celeba.txt").unlink()
    with pytest.raises(FileNotFoundError, match="holds CelebA's"):
        AttributeFolder(root, image_size=4)
