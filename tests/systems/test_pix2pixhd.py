"""pix2pixHD: its networks, its losses by hand, what each phase trains, and the features of instances."""

import copy
from collections import deque
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import count
from torch import Tensor, nn, tensor
from torch.nn.functional import conv2d, max_pool2d

from gan_cli.data.base import LabelMaps, Pairs
from gan_cli.data.scenes import ShapesScene
from gan_cli.losses.adversarial import LeastSquares, Relativistic
from gan_cli.losses.objective import Objective
from gan_cli.losses.regularizers import feature_matching_l1
from gan_cli.metrics.segmentation import Segmentation, accuracy, confusion, mean_iou
from gan_cli.networks.instances import boundaries, instance_means, number_instances, spread_means
from gan_cli.networks.pix2pixhd import (
    Encoder,
    GlobalGenerator,
    LocalEnhancer,
    MultiscaleDiscriminator,
    PatchFeatures,
    half,
)
from gan_cli.networks.vgg import VGGLoss, vgg19
from gan_cli.systems.base import test_mode as showing
from gan_cli.systems.instance_features import FeatureBank
from gan_cli.systems.pix2pixhd import Pix2PixHD
from gan_cli.systems.pix2pixhd_labels import Pix2PixHDLabels, colors
from gan_cli.training.schedules import EpochDecay, LinearDecay, Stages
from gan_cli.training.trainer import Trainer
from gan_cli.utils import random

CLASSES = 7


def objective() -> Objective:
    return Objective(LeastSquares(scale=1.0))


def labels_model(features: bool = False, enhanced: bool = True, **options: Any) -> Pix2PixHDLabels:
    torch.manual_seed(0)
    seen = [CLASSES, 1, 3] if features else [CLASSES, 1]
    if enhanced:
        options = {"global_iterations": 2, "fixed_iterations": 3, **options}
    return Pix2PixHDLabels(
        GlobalGenerator(16, seen, 3, width=4, downs=1, blocks=1),
        MultiscaleDiscriminator(16, [CLASSES, 1, 3], width=2, n_layers=1, num_D=3),
        objective(), CLASSES,
        E=Encoder(16, 3, width=2, downs=1) if features else None,
        G2=LocalEnhancer(16, seen, 3, width=2, blocks=1) if enhanced else None, **options,
    )


# -- networks


def test_parameter_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """As large as the paper's; weights that nobody fills in take no memory."""
    monkeypatch.setattr(nn.modules.conv._ConvNd, "reset_parameters", lambda layer: None)
    monkeypatch.setattr("gan_cli.networks.pix2pixhd.normal_convolutions_", lambda network: None)
    assert count(GlobalGenerator(1024, [35, 1], 3)) == 182_546_755
    front, tail = 36 * 32 * 49 + 32 + 32 * 64 * 9 + 64, 6 * (64 * 64 * 9 + 64) + 64 * 32 * 9 + 32
    assert count(LocalEnhancer(2048, [35, 1], 3)) == front + tail + 32 * 3 * 49 + 3
    widths = [39, 64, 128, 256, 512, 1]
    patchgan = sum(16 * a * b + b for a, b in pairwise(widths))
    assert count(MultiscaleDiscriminator(1024, [35, 1, 3], num_D=3)) == 3 * patchgan
    widths = [16, 32, 64, 128, 256]
    hourglass = sum(9 * a * b * 2 + a + b for a, b in pairwise(widths))
    assert count(Encoder(1024, 3)) == 3 * 16 * 49 + 16 + hourglass + 16 * 3 * 49 + 3


def test_initial_weights_are_normal_and_biases_those_of_torch() -> None:
    """weights_init of NVIDIA/pix2pixHD, networks.py:10-16, touches weights only."""
    torch.manual_seed(0)
    networks = [
        GlobalGenerator(32, [5], 3, width=16, downs=2, blocks=1), LocalEnhancer(32, [5], 3, width=16, blocks=1),
        MultiscaleDiscriminator(32, [5, 3], width=16, num_D=1), Encoder(32, 3, width=16, downs=2),
    ]  # fmt: skip
    for layer in (layer for network in networks for layer in network.modules()):
        if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d)):
            assert layer.weight.std().item() == pytest.approx(0.02, rel=0.1)
            assert layer.bias is not None and 0 < layer.bias.abs().max() <= layer.weight[0].numel() ** -0.5


def test_generator_keeps_the_size_and_shows_its_features() -> None:
    G1 = GlobalGenerator(32, [5], 3, width=4, downs=2, blocks=1)
    x = torch.randn(2, 5, 24, 32)
    assert G1(x).shape == (2, 3, 24, 32) and G1(x).abs().max() <= 1
    assert G1(x, features=True).shape == (2, 4, 24, 32)
    torch.testing.assert_close(G1.head(G1(x, features=True)), G1(x))
    with pytest.raises(ValueError, match="multiples of 4; nearest: 28 and 32"):
        G1(torch.randn(1, 5, 32, 30))
    with pytest.raises(ValueError, match="nearest: 8"):
        GlobalGenerator(4, [5], 3, downs=2)


def test_enhancer_adds_the_features_of_g1() -> None:
    G2 = LocalEnhancer(16, [5], 3, width=2, blocks=1)
    s = torch.randn(1, 5, 16, 24)
    own = G2.front(s)
    assert own.shape == (1, 4, 8, 12) and G2(s, torch.zeros_like(own)).shape == (1, 3, 16, 24)
    torch.testing.assert_close(G2(s, -own), G2.head(G2.tail(torch.zeros_like(own))))
    with pytest.raises(ValueError, match="multiples of 2"):
        G2(torch.randn(1, 5, 15, 16), own)


def test_half_averages_what_exists() -> None:
    x = torch.arange(16.0).view(1, 1, 4, 4)
    # the corner has 4 neighbors in the image, the borders 6, the middle 9
    expected = tensor([[(0 + 1 + 4 + 5) / 4, (1 + 2 + 3 + 5 + 6 + 7) / 6],
                       [(4 + 5 + 8 + 9 + 12 + 13) / 6, (5 + 6 + 7 + 9 + 10 + 11 + 13 + 14 + 15) / 9]])
    torch.testing.assert_close(half(x)[0, 0], expected)
    assert half(torch.zeros(1, 1, 7, 5)).shape == (1, 1, 4, 3)


def test_discriminator_shows_every_layer_of_every_scale() -> None:
    D = MultiscaleDiscriminator(32, [4], width=2, n_layers=3, num_D=2)
    x = torch.randn(2, 4, 32, 24)
    found = D(x)
    assert [len(scale) for scale in found] == [5, 5]
    # padding 2, kernel 4: n -> n // 2 + 1 at stride 2, n + 1 at stride 1
    assert [tuple(layer.shape[1:]) for layer in found[0]] == [
        (2, 17, 13), (4, 9, 7), (8, 5, 4), (16, 6, 5), (1, 7, 6)
    ]
    assert found[1][0].shape == (2, 2, 9, 7)
    torch.testing.assert_close(found[1][-1], D.scales[1](half(x))[-1])
    (coarse,) = D(half(x), skip=1)
    torch.testing.assert_close(coarse[-1], found[1][-1])
    with pytest.raises(ValueError, match="num_D=4 needs 32 pixels"):
        MultiscaleDiscriminator(31, [4], num_D=4)


@pytest.mark.parametrize("n_layers, field", [(1, 16), (2, 34), (3, 70)])
def test_receptive_field(n_layers: int, field: int) -> None:
    D = PatchFeatures(1, width=2, n_layers=n_layers).double()
    for layer in D.modules():  # no normalization, whose receptive field is the image; every path counts
        if isinstance(layer, nn.InstanceNorm2d):
            layer.forward = lambda x: x  # type: ignore[method-assign]
        if isinstance(layer, nn.Conv2d):
            nn.init.constant_(layer.weight, 0.1)
    x = torch.rand(1, 1, 120, 120, dtype=torch.float64, requires_grad=True)
    scores = D(x)[-1]
    scores[0, 0, scores.shape[2] // 2, scores.shape[3] // 2].backward()
    assert x.grad is not None
    rows = x.grad[0, 0].abs().sum(1).nonzero()[:, 0]
    assert int(rows[-1] - rows[0]) + 1 == field


# -- instances


def test_boundaries_by_hand() -> None:
    ids = tensor([[[7, 7, 7, 7], [7, 7, 2, 7], [7, 7, 7, 7], [7, 7, 7, 7]]])
    expected = tensor([[0, 0, 1, 0], [0, 1, 1, 1], [0, 0, 1, 0], [0, 0, 0, 0]]).float()
    assert torch.equal(boundaries(ids)[0, 0], expected)  # both sides; no diagonal neighbors
    assert boundaries(torch.full((2, 3, 5), -4)).sum() == 0


def test_instance_means_against_a_loop() -> None:
    torch.manual_seed(0)
    ids = torch.randint(-3, 4, (3, 5, 6)) * 1000
    values = torch.randn(3, 2, 5, 6, dtype=torch.float64, requires_grad=True)
    numbers, total = number_instances(ids)
    means, pixels = instance_means(values, numbers, total)
    painted = spread_means(means, numbers)
    expected = torch.zeros_like(values)
    for n in range(3):
        for i in ids[n].unique():
            inside = ids[n] == i
            expected[n][:, inside] = values[n][:, inside].mean(1, keepdim=True).expand(-1, int(inside.sum()))
    torch.testing.assert_close(painted, expected)
    assert total == sum(len(image_ids.unique()) for image_ids in ids) and pixels.sum() == ids.numel()
    weight = torch.randn_like(values)
    ours, theirs = (torch.autograd.grad((p * weight).sum(), values)[0] for p in (painted, expected))
    torch.testing.assert_close(ours, theirs)


def test_the_bank_keeps_the_newest_of_each_class() -> None:
    torch.manual_seed(0)
    bank, naive = FeatureBank(3, 1, size=4), [deque[float](maxlen=4) for _ in range(3)]
    for turn in range(12):
        classes = torch.randint(0, 2, (turn,))  # class 2 never comes
        features = torch.randn(turn, 1)
        bank.add(features, classes)
        for value, cls in zip(features[:, 0].tolist(), classes.tolist()):
            naive[cls].append(value)
    for cls in range(3):
        stored = bank.features[cls, : min(int(bank.counts[cls]), 4), 0]
        assert sorted(stored.tolist()) == pytest.approx(sorted(naive[cls]))


def test_styles_are_centres_of_their_class() -> None:
    bank = FeatureBank(4, 2, size=8, k=2)
    bank.add(tensor([[0.0, 0], [0, 2], [10, 0], [10, 2]]), tensor([1, 1, 1, 1]))
    bank.add(tensor([[5.0, 5], [5, 5]]), tensor([3, 3]))
    assert sorted(bank.centers(1).tolist()) == [[0, 1], [10, 1]]
    assert bank.centers(3).tolist() == [[5, 5]] and len(bank.centers(0)) == 0
    classes = tensor([1, 0, 3, 1] * 50)
    with random.fork(3):
        drawn = bank.draw(classes)
    with random.fork(3):
        assert torch.equal(bank.draw(classes), drawn)
    assert drawn[classes == 0].abs().sum() == 0 and (drawn[classes == 3] == 5).all()
    share = (drawn[classes == 1][:, 0] == 10).float().mean()
    assert 0.3 < share < 0.7 and set(drawn[classes == 1][:, 0].tolist()) == {0.0, 10.0}
    other = FeatureBank(4, 2, size=8, k=2)
    other.load_state_dict(bank.state_dict())
    with random.fork(3):
        assert torch.equal(other.draw(classes), drawn)


# -- losses


def test_feature_matching_by_hand() -> None:
    real = [[tensor([[1.0, 2.0]]), tensor([0.0]), tensor([100.0])], [tensor([3.0]), tensor([4.0]), tensor([0.0])]]
    fake = [[tensor([[2.0, 4.0]]), tensor([0.5]), tensor([0.0])], [tensor([3.0]), tensor([6.0]), tensor([9.0])]]
    # two scales of two layers and scores: 1/2 * 4/2 * (1.5 + .5 + 0 + 2)
    torch.testing.assert_close(feature_matching_l1(real, fake), tensor(4.0))
    a, b = tensor([1.0], requires_grad=True), tensor([3.0], requires_grad=True)
    feature_matching_l1([[a, a]], [[b, b]]).backward()
    assert a.grad is None and b.grad is not None and b.grad.item() == 4


class Painter(nn.Module):
    """Every image is `value`."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self.value = nn.Parameter(tensor(value))

    def forward(self, s: Tensor) -> Tensor:
        return self.value.expand(len(s), 1, *s.shape[2:])


class Means(nn.Module):
    """Two scales whose features are the last channel's mean times 1 and 2, and whose scores are 1 and 3 times it."""

    def forward(self, x: Tensor, skip: int = 0) -> list[list[Tensor]]:
        mean = x[:, -1].mean((1, 2))
        return [[mean, 2 * mean, mean], [mean, 2 * mean, 3 * mean]][skip:]


def test_losses_by_hand() -> None:
    system = Pix2PixHD(Painter(0.5), Means(), objective())
    batch = Pairs(torch.zeros(3, 2, 8, 8), torch.full((3, 1, 8, 8), 2.0))
    terms = system.g_loss(batch)
    # G: (.5 - 1)^2 + (1.5 - 1)^2, over scales, not halved; features: 10 * 1/2 * 4/2 * 2 * (1.5 + 3)
    assert {name: term.item() for name, term in terms.items()} == pytest.approx({"adversarial": 0.5, "feature": 90.0})
    # D: half of (2 - 1)^2 + .5^2 + (6 - 1)^2 + 1.5^2
    assert system.d_loss(batch)["adversarial"].item() == pytest.approx((1 + 0.25 + 25 + 2.25) / 2)
    assert "feature" not in Pix2PixHD(Painter(0.5), Means(), objective(), lambda_feature=0.0).g_loss(batch)
    far = Pix2PixHD(Painter(0.5), Means(), objective(), perceptual=lambda fake, real: (real - fake).mean())
    assert far.g_loss(batch)["vgg"].item() == pytest.approx(15)


def test_d_sees_the_fakes_of_g_s_turn_beside_their_sources() -> None:
    system = Pix2PixHD(Painter(0.5), Means(), objective())
    source = torch.randn(2, 2, 8, 8)
    system.g_loss(Pairs(source, torch.zeros(2, 1, 8, 8)))
    assert torch.equal(system.pooled_fakes[:, :2], source) and (system.pooled_fakes[:, 2] == 0.5).all()
    assert not system.pooled_fakes.requires_grad


@pytest.mark.parametrize("loss", [LeastSquares(scale=1.0), Relativistic()])
def test_one_pass_of_d_per_batch_serves_all_scales(loss: Any) -> None:
    system = Pix2PixHD(Painter(0.5), Means(), Objective(loss))
    passes: list[int] = []
    system.D.register_forward_hook(lambda *_: passes.append(1))
    batch = Pairs(torch.zeros(3, 2, 8, 8), torch.full((3, 1, 8, 8), 2.0))
    system.g_loss(batch)
    assert len(passes) == 2  # the fake, and the real image for feature matching
    system.d_loss(batch)
    assert len(passes) == 4


def weights(seed: int = 0) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {
        f"features.{name}": torch.randn(value.shape, generator=generator) * 0.05
        for name, value in vgg19().state_dict().items()
    }


def test_vgg_loss_against_its_definition(tmp_path: Path) -> None:
    state = weights()
    torch.save({**state, "classifier.0.weight": torch.zeros(2)}, tmp_path / "vgg.pth")
    fake, real = torch.rand(2, 1, 3, 16, 16) * 2 - 1
    fake.requires_grad_()
    loss = VGGLoss(str(tmp_path / "vgg.pth"))(fake, real)
    expected, a, b = tensor(0.0), fake, real
    share = {"0": 1 / 32, "5": 1 / 16, "10": 1 / 8, "19": 1 / 4, "28": 1.0}  # the convolutions before relu_i_1
    for index in [0, 2, "pool", 5, 7, "pool", 10, 12, 14, 16, "pool", 19, 21, 23, 25, "pool", 28]:
        if index == "pool":
            a, b = max_pool2d(a, 2), max_pool2d(b, 2)
            continue
        w, bias = state[f"features.{index}.weight"], state[f"features.{index}.bias"]
        a, b = (conv2d(x, w, bias, padding=1).relu() for x in (a, b))
        expected = expected + share.get(str(index), 0.0) * (a - b).abs().mean()
    torch.testing.assert_close(loss, expected)
    loss.backward()
    assert fake.grad is not None and fake.grad.abs().sum() > 0


def test_vgg_weights_are_refused_in_one_line(tmp_path: Path) -> None:
    images = torch.zeros(1, 3, 16, 16)
    with pytest.raises(ValueError, match=r"no weights of VGG19 at .*none.pth: set model.perceptual.weights=FILE"):
        VGGLoss(str(tmp_path / "none.pth"))(images, images)
    (tmp_path / "text.pth").write_text("no weights")
    torch.save({"features.0.weight": torch.zeros(64, 3, 3, 3)}, tmp_path / "part.pth")
    torch.save({**weights(), "features.28.bias": torch.zeros(3)}, tmp_path / "shape.pth")
    for name in ("text", "part", "shape"):
        with pytest.raises(ValueError, match=f"{name}.pth does not hold torchvision's weights of VGG19"):
            VGGLoss(str(tmp_path / f"{name}.pth"))(images, images)


# -- phases


def trainer(system: Any) -> Trainer:
    parts = {name: net for name, net in system.named_children() if count(net)}
    optimizers = {name: torch.optim.Adam(net.parameters(), 1e-3) for name, net in parts.items()}
    return Trainer(system, ShapesScene(16), optimizers, batch_size=2, iterations=7, seed=0)


def changed_by_iteration(training: Trainer) -> set[str]:
    """The parameters that an iteration changes; the layers of G1 and the scales of D by themselves."""
    before = {name: value.clone() for name, value in training.system.named_parameters()}
    training.iterate()
    changed = [name for name, value in training.system.named_parameters() if not torch.equal(value, before[name])]
    parts = {".".join(name.split(".")[:2]) if name[0] == "G" else name.split(".")[0] for name in changed}
    return {part for part in parts if part != "D"} | {
        f"D{name.split('.')[2]}" for name in changed if name.startswith("D.")
    }


def test_what_each_phase_trains() -> None:
    training = trainer(labels_model(features=True))
    seen = [changed_by_iteration(training) for _ in range(7)]
    alone, enhancer = {"G1.trunk", "G1.head", "E", "D1", "D2"}, {"G2.front", "G2.tail", "G2.head"}
    assert seen[:2] == [alone] * 2  # global_iterations: at half size, without the finest discriminator
    assert seen[2:5] == [enhancer | {"D0", "D1", "D2"}] * 3  # fixed_iterations
    assert seen[5:] == [enhancer | {"G1.trunk", "D0", "D1", "D2"}] * 2  # E and G1's own output are done with


def test_without_an_enhancer_there_is_one_phase() -> None:
    training = trainer(labels_model(features=True, enhanced=False))
    assert [changed_by_iteration(training) for _ in range(2)] == [{"G1.trunk", "G1.head", "E", "D0", "D1", "D2"}] * 2


def test_g1_alone_sees_half_the_size_and_images_are_generated_at_full_size() -> None:
    system, batch = labels_model(), ShapesScene(16).train_batch(0, 0, 2)
    for iteration, size in ((0, 8), (1, 8), (2, 16), (5, 16)):
        system.iteration = iteration
        system.g_loss(batch)
        assert system.pooled_fakes.shape == (2, CLASSES + 1 + 3, size, size)
        with showing(system, 0):
            assert system.translate(batch.maps).shape == (2, 3, 16, 16)
    system.iteration = 0
    system.g_loss(batch)
    torch.testing.assert_close(system.pooled_fakes[:, : CLASSES + 1], half(system.condition(batch.maps)))
    with showing(system, 0):
        small = system.G1(half(system.condition(batch.maps)))
        assert torch.equal(system.translate(batch.maps)[:, :, 1::2, ::2], small)
        system.iteration = 3
        s = system.condition(batch.maps)
        assert torch.equal(system.translate(batch.maps), system.G2(s, system.G1(half(s), features=True)))


def test_the_middle_of_a_run_resumes_to_the_bit() -> None:
    whole = trainer(labels_model(features=True))
    for _ in range(3):
        whole.iterate()
    state = copy.deepcopy(whole.state_dict())
    for _ in range(3):
        whole.iterate()
    again = trainer(labels_model(features=True))
    again.load_state_dict(state)
    for _ in range(3):
        again.iterate()
    for name, value in whole.system.state_dict().items():
        assert torch.equal(value, again.system.state_dict()[name]), name
    assert int(whole.system.bank.counts.sum()) > 0  # type: ignore[union-attr]


# -- label maps and features of instances


def test_condition_by_hand() -> None:
    labels = tensor([[[0, 0, 2, 2]]]).expand(1, 1, 4)
    ids = tensor([[[0, 0, 5, 6]]])
    system = labels_model()
    s = system.condition(torch.stack([labels, ids], dim=1))
    assert s.shape == (1, CLASSES + 1, 1, 4)
    assert s[0, :, 0].argmax(0).tolist() == [0, 0, 2, 2]
    assert s[0, :CLASSES].sum(0).tolist() == [[1, 1, 1, 1]] and s[0, CLASSES, 0].tolist() == [0, 1, 1, 1]
    with pytest.raises(ValueError, match="classes go from 0 to 6 here, and the map has 0 to 9"):
        system.translate(tensor([[[[0, 9]], [[0, 0]]]]))
    with pytest.raises(ValueError, match="not images"):
        system.translate(torch.zeros(1, 3, 16, 16))


def test_g_sees_the_mean_features_of_each_instance_and_d_does_not() -> None:
    system, batch = labels_model(features=True, enhanced=False), ShapesScene(16).train_batch(0, 0, 3)
    s = system.condition(batch.maps)
    features = system.generator_input(s, batch)[:, CLASSES + 1 :]
    values = system.E(batch.image)
    for n in range(3):
        for i in batch.maps[n, 1].unique():
            inside = batch.maps[n, 1] == i
            wanted = values[n][:, inside].mean(1, keepdim=True).expand(-1, int(inside.sum()))
            torch.testing.assert_close(features[n][:, inside], wanted)
    system.g_loss(batch)
    assert system.pooled_fakes.shape[1] == CLASSES + 1 + 3
    large = {int(c) for n in range(3) for c, i in batch.maps[n].flatten(1).T.unique(dim=0)
             if (batch.maps[n, 1] == i).sum() * 64 > 256}
    assert set(system.bank.counts.nonzero()[:, 0].tolist()) == large


def test_translation_draws_a_style_for_each_instance() -> None:
    system, batch = labels_model(features=True, enhanced=False), ShapesScene(16).train_batch(0, 0, 4)
    system.g_loss(ShapesScene(16).train_batch(0, 4, 30))
    assert system.multimodal and not labels_model().multimodal and system.sampling_networks == ("G1", "E")
    with showing(system, 1):
        first, second = system.translate(batch.maps), system.translate(batch.maps)
    with showing(system, 1):
        assert torch.equal(system.translate_labels(batch.maps[:, 0], batch.maps[:, 1]), first)
        assert not torch.equal(first, second)
        numbers, n = number_instances(batch.maps[:, 1])
        zeros = spread_means(torch.zeros(n, 3), numbers)
        own = system.translate_labels(batch.maps[:, 0], batch.maps[:, 1], zeros)
        assert torch.equal(own, system.G1(torch.cat([system.condition(batch.maps), zeros], dim=1)))


def test_a_style_from_an_example() -> None:
    system = labels_model(features=True, enhanced=False)
    example = ShapesScene(16).train_batch(0, 0, 1)
    with showing(system, 0):
        # the example's own map: each class in its mean, which for one instance of a class is that instance's
        s = system.condition(example.maps)
        numbers, means, pixels, classes = system.encode_instances(*example)
        rows = torch.stack([
            (means * pixels[:, None])[classes == c].sum(0) / pixels[classes == c].sum() for c in classes
        ])
        wanted = system.G1(torch.cat([s, spread_means(rows, numbers)], dim=1))
        torch.testing.assert_close(system.translate_like(example.maps, example), wanted)
        with pytest.raises(ValueError, match="no features of instances"):
            labels_model().translate_like(example.maps, example)


def test_sample_names_its_images() -> None:
    system, batch = labels_model(features=True), ShapesScene(16).train_batch(0, 0, 2)
    with showing(system, 0):
        named = system.sample(batch)
    assert list(named) == ["labels", "translated", "random_features", "target"]
    assert {tuple(image.shape) for image in named.values()} == {(2, 3, 16, 16)}
    table = colors(torch.arange(CLASSES)[None, None], CLASSES)[0, :, 0].T
    assert table[0].tolist() == [1, 1, 1] and len(table[:-1].unique(dim=0)) == CLASSES - 1


def test_settings_that_do_not_fit() -> None:
    G1, D = GlobalGenerator(16, [3], 3, width=4, downs=1), Means()
    with pytest.raises(ValueError, match="phases of G2"):
        Pix2PixHD(G1, D, objective(), fixed_iterations=1)
    with pytest.raises(ValueError, match="twice as wide as the enhancer"):
        Pix2PixHD(G1, D, objective(), LocalEnhancer(16, [3], 3, width=4))
    with pytest.raises(ValueError, match="0 iterations or more"):
        Pix2PixHD(G1, D, objective(), LocalEnhancer(16, [3], 3, width=2), global_iterations=-1)
    with pytest.raises(ValueError, match="global_iterations is 1 or more"):
        labels_model(features=True, global_iterations=0)


# -- the measure


def test_segmentation_by_hand() -> None:
    truth, found = tensor([0, 0, 0, 1, 1, 2]), tensor([0, 0, 1, 1, 1, 3])
    table = confusion(truth, found, 5)
    assert table.tolist()[0] == [2, 1, 0, 0, 0] and table.sum() == 6
    assert accuracy(table) == pytest.approx(4 / 6)
    assert mean_iou(table) == pytest.approx((2 / 3 + 2 / 3 + 0 + 0) / 4)  # class 4 does not occur
    with pytest.raises(ValueError, match="dataset=shapes_scene"):
        Segmentation().check(labels_model(), type("Set", (), {"batch_type": LabelMaps}))


def test_the_rate_falls_in_each_stage() -> None:
    rates = Stages(EpochDecay(4, start=3, length=2), LinearDecay(0.5), length=8)
    # two iterations an epoch: 1, 1, 1, 1/2; then four constant ones of eight, and down to zero
    assert [rates(i, 16) for i in range(16)] == [1, 1, 1, 1, 1, 1, 0.5, 0.5, 1, 1, 1, 1, 1, 0.75, 0.5, 0.25]
    with pytest.raises(ValueError, match="length is the number of the first stage's iterations"):
        Stages(LinearDecay(), LinearDecay(), length=0)
