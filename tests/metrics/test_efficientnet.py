"""EfficientNet-Lite0: what it is shown and gives, the names of its scores, and that no other weights are loaded."""

from __future__ import annotations

import importlib.machinery
import itertools
import pickle
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf
from torch import Tensor
from torch.nn.functional import interpolate
from torchvision.transforms.functional import gaussian_blur

from gan_cli.config.paths import conf_dir
from gan_cli.data.base import Domains, Images
from gan_cli.data.shapes import Shapes, ShapesStripes
from gan_cli.metrics import efficientnet
from gan_cli.metrics.base import EvaluationData, Samples
from gan_cli.metrics.diversity import FeatureDiversity, LayerDiversity
from gan_cli.metrics.efficientnet import EfficientNetLite0, preprocessed
from gan_cli.metrics.extractors import Auto, Inception, Pixels
from gan_cli.metrics.fid import FrechetInceptionDistance, fid
from gan_cli.metrics.inception_score import InceptionScore
from gan_cli.metrics.multimodal import TranslationDiversity

CPU = torch.device("cpu")
HASH = "1462f69c56d0d81d"


@pytest.fixture(scope="module")
def network() -> EfficientNetLite0:
    pytest.importorskip(efficientnet.LIBRARY)
    pytest.importorskip(efficientnet.WEIGHTS)
    before = torch.get_rng_state()
    result = EfficientNetLite0()
    result.prepare(None, CPU)
    assert torch.equal(torch.get_rng_state(), before)  # those of a training are left alone
    return result


def images(n: int = 10, size: int = 64) -> Tensor:
    data = Shapes(image_size=size, size=n)
    return data.train_batch(0, 0, n).image * 2 - 1 if data.value_range == (0, 1) else data.train_batch(0, 0, n).image


def samples(split: str, values: Tensor) -> Samples:
    return Samples(split, len(values), lambda: iter([Images(values, None)]))


class Fixed(EfficientNetLite0):
    """Prepared already: the weights are read once for all tests. A sixth of the features, as a Fréchet distance of all
    takes seconds.
    """

    def __init__(self, network: EfficientNetLite0) -> None:
        vars(self).update(vars(network))
        self.network = network

    def prepare(self, data: Any, device: torch.device) -> None:
        return

    def __call__(self, values: Tensor) -> Any:
        features = self.network(values)
        return features._replace(values=features.values[:, ::6])


def evaluation(network: EfficientNetLite0, generated: Tensor, real: Tensor) -> EvaluationData:
    train = samples("train", real)
    return EvaluationData(samples("generated", generated), train, train, extractor=Fixed(network))


# --- what it is shown


def test_images_are_normalized_as_the_authors_do() -> None:
    seen = preprocessed(torch.tensor([-1.0, 1.0]).view(2, 1, 1, 1).expand(2, 1, 30, 40))
    assert seen.shape == (2, 3, 224, 224)
    torch.testing.assert_close(seen[:, :, 5, 7], torch.tensor([[-127 / 128] * 3, [1.0] * 3]))
    stripes = torch.tensor([1.0, -1.0, -1.0]).repeat(224).expand(1, 1, 672, 672)
    inner = preprocessed(stripes)[0, 0, 100, 4:-4]
    torch.testing.assert_close(inner, torch.full((216,), (85 - 127) / 128))  # antialiased: their mean


def test_features_and_logits(network: EfficientNetLite0) -> None:
    ramp = torch.linspace(-1, 1, 3 * 64).view(1, 3, 8, 8)
    gray = torch.rand(5, 1, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1
    found, alone = network(torch.cat([ramp, gray.expand(-1, 3, -1, -1)])), network(gray[-1:])
    assert found.values.shape == (6, 1280) and found.logits is not None and found.logits.shape == (6, 1000)
    torch.testing.assert_close(alone.values, found.values[5:], atol=1e-4, rtol=1e-4)  # of the second batch
    last = network._network.get_submodule("_fc")
    torch.testing.assert_close(found.logits, found.values @ last.weight.T + last.bias, atol=1e-4, rtol=1e-4)
    assert network.hash == HASH
    largest = {int(number): float(found.values[0, number]) for number in found.values[0].topk(4).indices}
    assert largest == pytest.approx(EXPECTED, abs=1e-3)  # recorded scores depend on these numbers
    with pytest.raises(ValueError, match="not 2 channels: extractor=pixels"):
        network(torch.zeros(2, 2, 1, 1))


EXPECTED = {113: 4.7462, 455: 3.8928, 897: 3.6533, 930: 3.5455}  # feature -> value


def test_the_network_is_that_of_the_library(network: EfficientNetLite0) -> None:
    """Built on the meta device and with hooks, it computes what the library's own network computes."""
    library = pytest.importorskip(efficientnet.LIBRARY)
    theirs = library.EfficientNet.from_name("efficientnet-lite0").eval()
    theirs.load_state_dict(torch.load(weights_file(), weights_only=True))
    with torch.no_grad():
        expected = theirs(preprocessed(images(2)))
    torch.testing.assert_close(network(images(2)).logits, expected, atol=1e-4, rtol=1e-4)


def weights_file() -> Path:
    package = pytest.importorskip(efficientnet.WEIGHTS)
    return Path(package.__path__[0], efficientnet.FILE)


# --- what it refuses


@pytest.mark.parametrize("harm", ["one byte", "longer", "pickle", "gone"])
def test_other_weights_are_refused(harm: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = bytearray(weights_file().read_bytes())
    content[10_000_000] ^= 1
    file = tmp_path / efficientnet.FILE
    file.parent.mkdir()
    if harm != "gone":
        whole = {"one byte": content, "longer": weights_file().read_bytes() + b" ", "pickle": pickle.dumps({})}
        file.write_bytes(whole[harm])
    spec = importlib.machinery.ModuleSpec(efficientnet.WEIGHTS, None, is_package=True)
    spec.submodule_search_locations = [str(tmp_path)]
    monkeypatch.setattr(efficientnet, "find_spec", lambda name: spec)
    words = "cannot be read.*No such file" if harm == "gone" else r"lite0-57934424\.pth does not hold .* published"
    with pytest.raises(ValueError, match=words):
        EfficientNetLite0().prepare(None, CPU)


@pytest.mark.parametrize("missing", [efficientnet.LIBRARY, efficientnet.WEIGHTS])
def test_missing_packages_are_named(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(efficientnet, "find_spec", lambda name: None if name == missing else object())
    words = rf"{missing.replace('_', '-')} is not installed \(pip install 'gan-cli\[features\]'\)"
    with pytest.raises(ValueError, match=words):
        EfficientNetLite0().prepare(None, CPU)
    with pytest.raises(ValueError, match=words):
        LayerDiversity().check(None, None)


# --- auto


def test_auto_takes_it_before_random_features(
    network: EfficientNetLite0, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Inception, "ready", lambda: "its weights are not in the attic")
    settings = OmegaConf.load(conf_dir() / "extractor" / "auto.yaml")
    auto = Auto(pretrained=list(settings.pretrained))
    auto.prepare(ShapesStripes(8), CPU)
    assert (auto.name, auto.hash) == ("efficientnet_lite0", HASH)
    out = capsys.readouterr().out
    assert out.startswith("note: extractor=efficientnet_lite0, which gives no published FID: ") and "attic" in out

    monkeypatch.setattr(efficientnet, "find_spec", lambda name: None)
    auto.prepare(None, CPU)
    out = capsys.readouterr().out
    assert auto.name == "random" and out.count("\n") == 1
    assert "attic" in out and "pip install 'gan-cli[features]'" in out

    monkeypatch.setattr(Inception, "ready", lambda: None)
    monkeypatch.setattr(Inception, "prepare", lambda self, data, device: None)
    auto.prepare(None, CPU)
    assert auto.name == "inception" and not capsys.readouterr().out
    with pytest.raises(ValueError, match="pretrained has names of inception, efficientnet_lite0, not 'random'"):
        Auto(pretrained=["random"])


# --- scores


def test_scores_have_its_name(network: EfficientNetLite0) -> None:
    """A Fréchet distance of these features is no FID, and a score of these classes is no Inception Score."""
    data = evaluation(network, images(3), images(3))
    values = FrechetInceptionDistance(allow_singular=True)(data) | InceptionScore(splits=1)(data)
    values |= FeatureDiversity(pairs=5)(data)
    label = f"[efficientnet_lite0:{HASH[:4]}]"
    assert set(values) == {name + label for name in ("FID", "IS", "IS_std", "diversity", "diversity_real")}


def degraded(kind: str, strength: float, values: Tensor) -> Tensor:
    if kind == "blur":
        return gaussian_blur(values, kernel_size=31, sigma=strength)
    if kind == "noise":
        noise = torch.randn(values.shape, generator=torch.Generator().manual_seed(0))
        return (values + strength * noise).clamp(-1, 1)
    margin = round(strength * values.shape[-1])  # of a crop that is enlarged
    return interpolate(values[..., margin:-margin, margin:-margin], size=values.shape[-2:], mode="bilinear")


@pytest.fixture(scope="module")
def real_features(network: EfficientNetLite0) -> Tensor:
    return Fixed(network)(images()).values


@pytest.mark.parametrize(("kind", "strengths"), [("blur", (0.7, 3.0)), ("noise", (0.1, 0.6)), ("crop", (0.1, 0.3))])
def test_distances_grow_with_the_damage(
    kind: str, strengths: tuple[float, ...], network: EfficientNetLite0, real_features: Tensor
) -> None:
    real, distances, perceptual = images(), [0.0], [0.0]
    for strength in strengths:
        harmed = degraded(kind, strength, real)
        distances.append(fid(real_features, Fixed(network)(harmed).values, allow_singular=True))
        perceptual.append(float(network.distance(harmed[:2], real[:2]).mean()))
    for row in (distances, perceptual):
        assert all(low * 1.2 < high for low, high in itertools.pairwise(row)), row


# --- the distance of its layers


def test_distance_of_layers_by_hand(network: EfficientNetLite0, monkeypatch: pytest.MonkeyPatch) -> None:
    found = network.layers(images(1))
    assert [tuple(x.shape[1:]) for x in found] == [
        (16, 112, 112), (24, 56, 56), (40, 28, 28), (112, 14, 14), (320, 7, 7)
    ]  # fmt: skip
    for layer in found:
        torch.testing.assert_close(layer.norm(dim=1), torch.ones_like(layer[:, 0]), atol=1e-3, rtol=0)
    # With activations (1, 0) and (0, 1) at half of the places and the same elsewhere: 2 per place, 1 on average, twice.
    left, same = torch.tensor([[1.0, 0.0]] * 4), torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    layers = {1.0: left.T.view(1, 2, 2, 2), 2.0: same.T.view(1, 2, 2, 2)}
    monkeypatch.setattr(EfficientNetLite0, "layers", lambda self, x: [layers[float(x[0, 0, 0, 0])]] * 2)
    one, two = torch.full((2, 1, 1, 1, 1), 1.0)[0], torch.full((1, 1, 1, 1), 2.0)
    assert network.distance(one, two).tolist() == [2.0] and network.distance(two, two).tolist() == [0.0]


def test_layer_diversity(network: EfficientNetLite0, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gan_cli.metrics.diversity.EfficientNetLite0", lambda: Fixed(network))
    real, same = images(4), images(1).expand(4, -1, -1, -1)
    values = LayerDiversity(pairs=3)(evaluation(network, same, real))
    label = f"[efficientnet_lite0:{HASH[:4]}]"
    assert set(values) == {f"layer_distance{label}", f"layer_distance_real{label}"}
    assert values[f"layer_distance{label}"] == 0 and values[f"layer_distance_real{label}"] > 0.1
    with pytest.raises(ValueError, match="layer_distance metric compares images"):
        LayerDiversity().check(None, SimpleNamespace(value_range=None))


def test_layers_of_several_translations(monkeypatch: pytest.MonkeyPatch) -> None:
    """The k-th output adds k to its input: with the squared difference as the distance, 1, 4 and 1 of three pairs."""
    stub = SimpleNamespace(
        name="efficientnet_lite0", hash=HASH, prepare=lambda data, device: None, need=lambda: None,
        distance=lambda a, b: (a - b).square().mean((1, 2, 3)),
    )  # fmt: skip
    monkeypatch.setattr("gan_cli.metrics.multimodal.EfficientNetLite0", type("", (), {
        "__new__": lambda cls: stub, "need": staticmethod(stub.need)
    }))  # fmt: skip
    calls = itertools.count()
    system: Any = SimpleNamespace(
        multimodal=True, directions=("AtoB",), device=CPU, translate=lambda image, direction: image + next(calls) % 3
    )
    inputs = torch.zeros(2, 1, 8, 8)
    data: Any = SimpleNamespace(
        batch_type=Domains, value_range=(-1, 1), test_size=2, image_size=8,
        test_batch=lambda start, count: Domains(inputs[:count], inputs[:count]),
    )  # fmt: skip
    test = samples("test", inputs)
    found = EvaluationData(test, test, test, extractor=Pixels(), system=system, data=data)
    metric = TranslationDiversity(outputs=3, layers=True)
    metric.check(system, data)
    assert metric(found)[f"layers_AtoB[efficientnet_lite0:{HASH[:4]}]"] == pytest.approx(2.0)
    assert not any(name.startswith("layers") for name in TranslationDiversity(outputs=3)(found))
