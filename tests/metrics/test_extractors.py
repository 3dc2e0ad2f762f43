"""Feature extractors: what they see, what they keep, what they refuse."""

from __future__ import annotations

import fcntl
import json
import os
import pickle
import sys
import threading
import types
from pathlib import Path
from typing import Any
from urllib.error import URLError

import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf
from torch import Tensor

from gan_cli.config.paths import conf_dir
from gan_cli.data.gaussians import Ring
from gan_cli.data.mnist_cifar import InMemoryImages
from gan_cli.data.shapes import Shapes, ShapesStripes
from gan_cli.metrics import classifier as module
from gan_cli.metrics import extractors, feature_cache
from gan_cli.metrics.base import EvaluationData, Features, Images, Samples
from gan_cli.metrics.classifier import Classifier, ConvNet, labeled_view, shifted, train
from gan_cli.metrics.extractors import Auto, Inception, Pixels, RandomFeatures, Torchvision
from gan_cli.metrics.feature_cache import FeatureCache, cache_dir

CPU = torch.device("cpu")
REAL_CACHE, REAL_DATA = cache_dir("extractors"), Path(os.environ.get("GAN_DATA") or "~/.cache/gan").expanduser()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GAN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


class Corners(InMemoryImages):
    """8 x 8 images with one of four corners bright: what the label says."""

    def __init__(self, num_classes: int | None = 4, value_range: tuple[float, float] = (-1, 1), kinds: int = 4) -> None:
        parts = []
        for n, seed in ((64, 0), (20, 1)):
            label = torch.arange(n) % kinds
            noise = torch.randint(0, 60, (n, 1, 8, 8), generator=torch.Generator().manual_seed(seed)).byte()
            for image, k in zip(noise, label.tolist()):
                image[:, 4 * (k // 2) : 4 * (k // 2) + 4, 4 * (k % 2) : 4 * (k % 2) + 4] += 180
            parts.append((noise, label))
        super().__init__(*parts, image_size=8, channels=1, num_classes=num_classes, value_range=value_range)


def prepared(data: Any, **settings: Any) -> Classifier:
    result = Classifier(**settings)
    result.prepare(data, CPU)
    return result


def no_training(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any) -> None:
        raise AssertionError("trained again")

    monkeypatch.setattr(module, "train", refuse)


# --- the classifier


def test_classifier_learns_once_and_is_kept(
    cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    first = prepared(Corners())
    assert first.name == "classifier:corners" and len(first.hash) == 16
    assert first.record["accuracy"] == 1.0
    assert "a small classifier of the data set is trained first, once, on 1,920 images" in capsys.readouterr().out
    seen = first(Corners().test_batch(0, 20).image)
    assert seen.values.shape == (20, 128) and seen.logits is not None and seen.logits.shape == (20, 4)
    assert seen.logits.argmax(1).tolist() == [k % 4 for k in range(20)]

    (folder,) = (cache / "extractors").iterdir()
    record = json.loads((folder / "classifier.json").read_text())
    assert record["hash"] == first.hash and record["accuracy"] == 1.0 and record["recipe"]["shift"] == 2
    assert not list(folder.glob("*.part"))

    no_training(monkeypatch)
    again = prepared(Corners())
    assert (again.name, again.hash, again.record) == (first.name, first.hash, first.record)
    torch.testing.assert_close(again(Corners().test_batch(0, 20).image).values, seen.values, rtol=0, atol=0)


def test_range_and_hidden_labels_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    known = prepared(Corners()).hash
    no_training(monkeypatch)
    assert prepared(Corners(value_range=(0, 1))).hash == known
    assert prepared(Corners(num_classes=None)).hash == known


def test_view_of_shapes_is_one_for_both_ranges() -> None:
    views = [labeled_view(Shapes(8, num_classes=None, value_range=value_range)) for value_range in ((-1, 1), (0, 1))]
    assert views[0].fingerprint() == views[1].fingerprint() and views[0].num_classes == 6
    torch.testing.assert_close(views[0].test_batch(0, 3).image, views[1].test_batch(0, 3).image)
    assert views[1].test_batch(0, 50).image.min() < -0.5


def test_training_leaves_random_numbers_and_gradient_mode_alone() -> None:
    before = torch.get_rng_state()
    with torch.no_grad():
        prepared(Corners())
        assert not torch.is_grad_enabled()
    assert torch.equal(torch.get_rng_state(), before)
    prepared(Corners())  # loads
    assert torch.equal(torch.get_rng_state(), before)


def test_seed_decides_the_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = prepared(Corners())
    other = prepared(Corners(), seed=1)
    monkeypatch.setenv("GAN_CACHE", str(tmp_path / "elsewhere"))
    torch.manual_seed(77)
    assert prepared(Corners()).hash == first.hash != other.hash


@pytest.mark.parametrize("harm", ["cut", "foreign", "changed"])
def test_broken_classifier_is_trained_again(cache: Path, harm: str, capsys: pytest.CaptureFixture[str]) -> None:
    first = prepared(Corners())
    (file,) = cache.glob("extractors/*/classifier.pt")
    if harm == "cut":
        file.write_bytes(file.read_bytes()[:1000])
    elif harm == "foreign":
        torch.save(torch.zeros(3), file)
    else:
        kept = torch.load(file, weights_only=True)
        kept["network"]["last.bias"][0] += 1
        torch.save(kept, file)
    capsys.readouterr()
    again = prepared(Corners())
    assert capsys.readouterr().out.count(f"note: {file} is damaged; its content is computed again\n") == 1
    assert again.hash == first.hash
    values = [c(Corners().test_batch(0, 4).image).logits for c in (first, again)]
    torch.testing.assert_close(*values, rtol=0, atol=0)


@pytest.mark.parametrize("harm", ["another accuracy", "no checksum"])
def test_an_accuracy_that_is_not_certain_is_measured_again(
    cache: Path, harm: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Older caches have no checksum. Training is not repeated, because the hash proves the weights."""
    first = prepared(Corners())
    (file,) = cache.glob("extractors/*/classifier.pt")
    kept = torch.load(file, weights_only=True)
    kept["record"]["accuracy"] = 0.25
    if harm == "no checksum":
        del kept["sum"]
    torch.save(kept, file)
    no_training(monkeypatch)
    capsys.readouterr()
    assert prepared(Corners()).record == first.record and first.record["accuracy"] == 1.0
    assert "its accuracy was not certain and is measured again: 100.00%" in capsys.readouterr().out
    assert json.loads((file.parent / "classifier.json").read_text())["accuracy"] == 1.0
    assert prepared(Corners()).record == first.record and not capsys.readouterr().out


def test_two_at_once_train_once(monkeypatch: pytest.MonkeyPatch) -> None:
    count = []
    start = threading.Barrier(2)

    def counted(*args: Any) -> None:
        count.append(1)
        train(*args)

    def work() -> None:
        start.wait()
        results.append(prepared(Corners()).hash)

    monkeypatch.setattr(module, "train", counted)
    results: list[str] = []
    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(count) == 1 and len(results) == 2 and len(set(results)) == 1


def test_cache_that_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("GAN_CACHE", str(tmp_path / "file"))
    assert prepared(Corners()).record["accuracy"] == 1.0
    assert "the classifier is not cached" in capsys.readouterr().out


def test_disk_that_fills_after_training(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def full(value: Any, path: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "save_whole", full)
    assert prepared(Corners()).record["accuracy"] == 1.0
    out = capsys.readouterr().out
    assert out.count("held-out images") == 1 and "No space left" in out


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (None, "labeled"),
        (Ring(), "labeled"),
        (ShapesStripes(8), "labeled"),
        (Corners(num_classes=None, kinds=1), "all labels are the same"),
    ],
    ids=["folders", "points", "domains", "one class"],
)
def test_classifier_needs_labels(data: Any, word: str, cache: Path) -> None:
    with pytest.raises(ValueError, match=f"{word}.*extractor=inception or extractor=random"):
        prepared(data)
    assert not cache.exists()


def test_nan_images_train_nothing(cache: Path) -> None:
    class Broken(Corners):
        def _images(self, pixels: Tensor, label: Tensor, seed: int, at: Tensor) -> Images:
            batch = super()._images(pixels, label, seed, at)
            return batch._replace(image=batch.image * float("nan"))

    with pytest.raises(ValueError, match="NaN"):
        prepared(Broken())
    assert not list(cache.glob("extractors/*/classifier.pt"))


@pytest.mark.parametrize("shape", [(2, 3, 8, 8), (2, 1, 16, 16)])
def test_other_images_are_refused(shape: tuple[int, ...]) -> None:
    ready = prepared(Corners())
    with pytest.raises(ValueError, match="was trained on 1 x 8 x 8 images"):
        ready(torch.zeros(shape))


def test_stacked_digits() -> None:
    stacked = types.SimpleNamespace(digits=Corners(), channels=3, num_classes=64)
    ready = prepared(stacked)
    assert ready.name == "classifier:corners" and ready.hash == prepared(Corners()).hash
    digits = Corners().test_batch(0, 12).image
    single = ready(digits)
    assert single.logits is not None and single.logits.shape == (12, 4)
    triple = ready(digits.view(4, 3, 8, 8))
    assert triple.values.shape == (4, 3 * 128) and triple.logits is not None
    torch.testing.assert_close(triple.values.view(12, 128), single.values)
    assert triple.logits.argmax(1).tolist() == [16 * 0 + 4 * 1 + 2, 16 * 3 + 4 * 0 + 1, 16 * 2 + 4 * 3, 16 + 4 * 2 + 3]
    p = single.logits[:3].softmax(1)
    joint = torch.einsum("a,b,c->abc", *p).flatten()
    torch.testing.assert_close(triple.logits[0].softmax(0), joint)


@pytest.mark.parametrize(("size", "channels"), [(1, 1), (8, 1), (28, 1), (64, 3)])
def test_network_at_any_size(size: int, channels: int) -> None:
    network = ConvNet(size, channels, 6).eval()
    features, logits = network(torch.rand(2, channels, size, size))
    assert features.shape == (2, 128) and (features >= 0).all()
    torch.testing.assert_close(logits, features @ network.last.weight.T + network.last.bias)


def test_shifts_are_whole_pixels_up_to_reach() -> None:
    image = torch.zeros(1, 1, 5, 5)
    image[0, 0, 2, 2] = 1
    moved = shifted(image.expand(400, 1, 5, 5), 2, torch.Generator().manual_seed(0))
    assert moved.shape == (400, 1, 5, 5) and (moved.sum((1, 2, 3)) == 1).all()
    places, counts = moved.flatten(1).argmax(1).unique(return_counts=True)
    assert len(places) == 25 and counts.max() < 40  # 16 expected at each
    edge = torch.arange(5.0).view(1, 1, 5, 1).expand(50, 1, 5, 5)
    rows = shifted(edge, 1, torch.Generator().manual_seed(0))[:, 0, :, 0]
    assert {tuple(row) for row in rows.tolist()} == {(0, 0, 1, 2, 3), (0, 1, 2, 3, 4), (1, 2, 3, 4, 4)}


@pytest.mark.skipif(
    not list(REAL_CACHE.glob("mnist-*/classifier.pt")) or not (REAL_DATA / "MNIST" / "raw").is_dir(),
    reason="there is no MNIST, or no classifier of it has been trained on this machine",
)
def test_mnist_classifier_is_good(monkeypatch: pytest.MonkeyPatch) -> None:
    """Acceptance: at least 99.2 % of the test digits right, and an Inception Score of them of at least 9.7."""
    from gan_cli.data.mnist_cifar import MNIST

    monkeypatch.setenv("GAN_CACHE", str(REAL_CACHE.parent))
    monkeypatch.setattr(module, "train", lambda *args: pytest.skip("only classifiers of other recipes are kept"))
    data = MNIST(str(REAL_DATA))
    ready = prepared(data)
    images, labels = data.test_batch(0, data.test_size)
    logits = ready(images).logits
    assert logits is not None and labels is not None
    assert (logits.argmax(1) == labels).float().mean() >= 0.992
    log_p = logits.double().log_softmax(1)
    p = log_p.exp()
    assert (p * (log_p - p.mean(0).log())).sum(1).mean().exp() >= 9.7


# --- inception


class Spy(torch.nn.Module):
    """Stands for torch-fidelity's network: its features are the mean levels of the three channels."""

    def __init__(self, name: str, features_list: list[str], feature_extractor_weights_path: str) -> None:
        super().__init__()
        assert name == "inception-v3-compat" and features_list == ["2048", "logits_unbiased"]
        self.weight = torch.nn.Parameter(torch.zeros(2))
        torch.rand(1)
        self.load_state_dict(torch.load(feature_extractor_weights_path, weights_only=True))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        assert x.dtype == torch.uint8 and x.shape[1] == 3 and len(x) <= extractors.CHUNK
        return x.float().mean((2, 3)), x[:, :, 0, 0].float()


@pytest.fixture
def fidelity(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A stand-in for torch-fidelity; the folder is torch.hub's."""
    library = types.ModuleType(Inception.module)
    library.FeatureExtractorInceptionV3 = Spy  # type: ignore[attr-defined]
    library.URL_INCEPTION_V3 = "https://example.invalid/weights-inception-abcd.pth"  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, Inception.module, library)
    monkeypatch.setattr(extractors, "find_spec", lambda name: object())
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    return tmp_path / "hub" / "checkpoints"


def test_inception_sees_the_levels_of_an_image_file(fidelity: Path, tmp_path: Path) -> None:
    torch.save({"weight": torch.ones(2)}, tmp_path / "w.pth")
    network = Inception(str(tmp_path / "w.pth"))
    before = torch.get_rng_state()
    network.prepare(None, CPU)
    assert network.name == "inception" and len(network.hash) == 16 and torch.equal(torch.get_rng_state(), before)
    levels = torch.arange(256).view(256, 1, 1, 1)
    seen = network(levels * (2 / 255) - 1)
    assert seen.values.tolist() == [[float(level)] * 3 for level in range(256)]
    assert network(torch.tensor([-1.2, 1.2]).view(2, 1, 1, 1)).values[:, 0].tolist() == [0, 255]
    color = network(torch.tensor([-1.0, 0.2, 1.0]).view(1, 3, 1, 1))
    assert color.logits is not None and color.logits.tolist() == [[0, 153, 255]]

    torch.save({"weight": torch.zeros(2)}, tmp_path / "other.pth")
    other = Inception(str(tmp_path / "other.pth"))
    other.prepare(None, CPU)
    assert other.hash != network.hash


def test_inception_without_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extractors, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"pip install 'gan-cli\[fid\]'"):
        Inception().prepare(None, CPU)


def test_inception_without_a_network(fidelity: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fetch(url: str, path: str, hash_prefix: str) -> None:
        assert url.startswith("https://example.invalid/") and hash_prefix == "abcd"
        raise URLError("no route")

    monkeypatch.setattr(torch.hub, "download_url_to_file", fetch)
    with pytest.raises(ValueError, match=r"cannot be downloaded.*no route.*extractor\.weights=FILE"):
        Inception().prepare(None, CPU)


def test_inception_finds_what_was_fetched(fidelity: Path) -> None:
    assert "weights are not in" in str(Inception.ready())
    fidelity.mkdir(parents=True)
    torch.save({"weight": torch.ones(2)}, fidelity / "weights-inception-abcd.pth")
    assert Inception.ready() is None
    Inception().prepare(None, CPU)


class Touch:
    """Unpickled, it leaves a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("content", ["text", "evil", "tensor", "shape", "none"])
@pytest.mark.parametrize("kind", ["inception", "torchvision"])
def test_wrong_weights_file(fidelity: Path, tmp_path: Path, kind: str, content: str) -> None:
    file = tmp_path / "w.pth"
    if content == "text":
        file.write_text("hello")
    elif content == "evil":
        file.write_bytes(pickle.dumps(Touch(tmp_path / "ran")))
    elif content == "tensor":
        torch.save(torch.zeros(2), file)
    elif content == "shape":
        torch.save({"weight": torch.zeros(3)}, file)
    network = Inception(str(file)) if kind == "inception" else Torchvision("shufflenet_v2_x0_5", str(file))
    with pytest.raises(ValueError, match=r"w\.pth.*extractor\.weights") as error:
        network.prepare(None, CPU)
    assert not (tmp_path / "ran").exists() and "\n" not in str(error.value)


def test_inception_of_torch_fidelity(tmp_path: Path) -> None:
    """The real network with random weights: the features are the library's own."""
    library = pytest.importorskip(Inception.module)
    torch.manual_seed(0)
    state: dict[str, Tensor] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(library, "load_state_dict_from_url", lambda *args, **kwargs: state)
        patch.setattr(library.FeatureExtractorInceptionV3, "load_state_dict", lambda self, state: None)
        expected = library.FeatureExtractorInceptionV3("inception-v3-compat", ["2048", "logits"])
    torch.save(expected.state_dict(), tmp_path / "w.pth")
    network = Inception(str(tmp_path / "w.pth"))
    network.prepare(None, CPU)
    pixels = torch.randint(0, 256, (2, 3, 32, 32)).byte()
    seen = network(pixels.float() * (2 / 255) - 1)
    values, logits = expected(pixels)
    assert seen.logits is not None and seen.values.shape == (2, 2048) and seen.logits.shape == (2, 1008)
    torch.testing.assert_close(seen.values, values, rtol=0, atol=0)
    torch.testing.assert_close(seen.logits + expected.fc.bias, logits)


# --- torchvision


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    from torchvision.models import shufflenet_v2_x0_5

    torch.manual_seed(0)
    torch.save(shufflenet_v2_x0_5().state_dict(), tmp_path / "shuffle.pth")
    return tmp_path / "shuffle.pth"


def test_torchvision_features_are_what_the_last_layer_sees(weights: Path) -> None:
    network = Torchvision("shufflenet_v2_x0_5", str(weights))
    before = torch.get_rng_state()
    network.prepare(None, CPU)
    assert torch.equal(torch.get_rng_state(), before)
    assert network.name == "shufflenet_v2_x0_5" and len(network.hash) == 16
    seen = network(torch.rand(2, 1, 16, 16) * 2 - 1)
    state = torch.load(weights, weights_only=True)
    assert seen.values.shape == (2, 1024) and seen.logits is not None
    torch.testing.assert_close(seen.logits, seen.values @ state["fc.weight"].T + state["fc.bias"])


def test_torchvision_normalises_as_imagenet() -> None:
    seen = Torchvision._preprocess(torch.tensor([-1.0, 1.0]).view(2, 1, 1, 1).expand(2, 1, 400, 400))
    assert seen.shape == (2, 3, 224, 224)
    black, white = [-0.485 / 0.229, -0.456 / 0.224, -0.406 / 0.225], [0.515 / 0.229, 0.544 / 0.224, 0.594 / 0.225]
    torch.testing.assert_close(seen[:, :, 100, 7], torch.tensor([black, white]))
    stripes = torch.tensor([1.0, -1.0, -1.0]).repeat(224).expand(1, 1, 672, 672)  # every pixel's centre is black
    inner = Torchvision._preprocess(stripes)[0, 0, 100, 4:-4]
    torch.testing.assert_close(inner, torch.full((216,), (1 / 3 - 0.485) / 0.229))  # antialiased: their mean


def test_torchvision_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="no classifier 'resnet51'"):
        Torchvision("resnet51").prepare(None, CPU)
    with pytest.raises(ValueError, match="no linear layer"):
        Torchvision("squeezenet1_1").prepare(None, CPU)

    def offline(*args: Any, **kwargs: Any) -> None:
        raise URLError("no route")

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", offline)
    with pytest.raises(ValueError, match=r"cannot be downloaded.*no route.*extractor\.weights=FILE"):
        Torchvision("shufflenet_v2_x0_5").prepare(None, CPU)


# --- random features, pixels


def test_random_features_are_fixed() -> None:
    before = torch.get_rng_state()
    first, second, other = RandomFeatures(), RandomFeatures(), RandomFeatures(seed=1)
    assert torch.equal(torch.get_rng_state(), before)
    assert first.hash == second.hash != other.hash
    for network in (first, second):
        network.prepare(None, CPU)
    gray = torch.rand(3, 1, 28, 28) * 2 - 1
    seen = first(gray)
    assert seen.values.shape == (3, 256) and seen.logits is None and (seen.values.std(0) > 0).all()
    assert 0.2 < seen.values.square().mean().sqrt() < 2  # of the order of the pixels
    torch.testing.assert_close(second(gray.expand(-1, 3, -1, -1)).values, seen.values)
    assert first(torch.rand(2, 3, 1, 1)).values.shape == (2, 256)
    left, right = torch.full((2, 1, 1, 28, 28), -1.0)
    left[..., :14], right[..., 14:] = 1, 1
    assert (first(left).values - first(right).values).norm() > 0.3 * first(left).values.norm()  # the layout is seen
    with pytest.raises(ValueError, match="extractor=pixels"):
        first(torch.zeros(2, 2, 1, 1))
    ramp = torch.linspace(-1, 1, 3 * 64).view(1, 3, 8, 8)  # recorded scores depend on these numbers
    expected = torch.tensor([-0.13790980, -0.19992596, -0.06471460, 0.47361422])
    assert first.hash == "8369517e2ad1f12b"
    torch.testing.assert_close(first(ramp).values[0, :4], expected, atol=1e-6, rtol=0)


def test_pixels_flatten() -> None:
    network = Pixels()
    network.prepare(None, CPU)
    assert network(torch.arange(8.0).view(2, 2, 2, 1)).values.tolist() == [[0, 1, 2, 3], [4, 5, 6, 7]]


# --- auto


def test_auto_takes_the_classifier_where_there_are_labels() -> None:
    auto = Auto()
    auto.prepare(Corners(num_classes=None), CPU)
    assert auto.name == "classifier:corners" and auto.hash == prepared(Corners()).hash
    assert auto(torch.zeros(2, 1, 8, 8)).values.shape == (2, 128)


@pytest.mark.parametrize("data", [None, ShapesStripes(8), Corners(num_classes=None, kinds=1)])
def test_auto_without_labels(data: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(Inception, "ready", lambda: "its weights are not in the attic")
    auto = Auto()
    auto.prepare(data, CPU)
    out = capsys.readouterr().out
    assert auto.name == "random" and auto.hash == RandomFeatures().hash
    assert out.startswith("note: extractor=random") and "not in the attic" in out and out.count("\n") == 1

    monkeypatch.setattr(Inception, "ready", lambda: None)
    chosen: list[Any] = []
    monkeypatch.setattr(Inception, "prepare", lambda self, data, device: chosen.append(self))
    auto.prepare(data, CPU)
    assert auto.name == "inception" and len(chosen) == 1


def test_auto_on_points() -> None:
    auto = Auto()
    auto.prepare(Ring(), CPU)
    assert auto.name == "pixels" and auto(torch.ones(3, 2, 1, 1)).values.shape == (3, 2)


def test_every_config_builds_an_extractor() -> None:
    names = set()
    for file in (conf_dir() / "extractor").glob("*.yaml"):
        lines = file.read_text().splitlines()
        assert lines[0] == "# @package extractor" and lines[1].startswith("# ")
        built = instantiate(OmegaConf.load(file))
        assert isinstance(built.name, str)
        names.add(type(built).__name__)
    assert names == set(extractors.__all__)


# --- the store

FEATURES = Features(torch.randn(50, 6), torch.randn(50, 3), torch.arange(50))


def test_store_gives_back_what_was_put() -> None:
    kept = FeatureCache()
    assert kept.get("a") is None
    kept.put("a", FEATURES)
    kept.put("b", Features(FEATURES.values))
    found, plain = FeatureCache().get("a"), FeatureCache().get("b")
    assert found is not None and all(torch.equal(x, y) for x, y in zip(found, FEATURES, strict=True))
    assert plain is not None and torch.equal(plain.values, FEATURES.values) and plain.logits is plain.label is None
    assert {path.suffix for path in cache_dir("features").iterdir()} == {".pt"}


def test_what_a_killed_evaluation_left_is_deleted(cache: Path) -> None:
    """But not while the process that writes it still holds the folder."""
    cache.joinpath("features").mkdir(parents=True)
    left = cache / "features/.a.pt.0123.part"
    left.write_bytes(b"half")
    handle = os.open(left.parent, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    other = threading.Thread(target=FeatureCache().put, args=("a", FEATURES))
    other.start()
    other.join(0.3)
    assert other.is_alive() and left.exists()
    os.close(handle)
    other.join(10)
    assert [path.suffix for path in left.parent.iterdir()] == [".pt"] and FeatureCache().get("a") is not None


def test_a_pipe_in_the_cache_is_not_opened(cache: Path) -> None:
    kept = FeatureCache()
    kept.put("a", FEATURES)
    kept.path("a").unlink()
    os.mkfifo(kept.path("a"))
    assert kept.get("a") is None
    kept.put("a", FEATURES)
    assert kept.get("a") is not None


@pytest.mark.parametrize("harm", ["cut", "flipped", "text", "evil", "other key", "other kind"])
def test_broken_features_are_deleted(harm: str, tmp_path: Path) -> None:
    kept = FeatureCache()
    kept.put("a", FEATURES)
    path = kept.path("a")
    data = path.read_bytes()
    if harm == "cut":
        path.write_bytes(data[: len(data) // 2])
    elif harm == "flipped":
        at = data.index(FEATURES.values.numpy().tobytes())
        path.write_bytes(data[: at + 7] + bytes([data[at + 7] ^ 1]) + data[at + 8 :])
    elif harm == "text":
        path.write_text("hello")
    elif harm == "evil":
        path.write_bytes(pickle.dumps(Touch(tmp_path / "ran")))
    elif harm == "other key":
        kept.put("b", FEATURES)
        path.write_bytes(kept.path("b").read_bytes())
    else:
        torch.save(torch.zeros(4), path)
    assert kept.get("a") is None and not path.exists() and not (tmp_path / "ran").exists()


def test_large_features_are_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feature_cache, "LARGEST", 50 * (6 * 4 + 3 * 4 + 8))
    FeatureCache().put("a", FEATURES)
    assert FeatureCache().get("a") is not None
    monkeypatch.setattr(feature_cache, "LARGEST", feature_cache.LARGEST - 1)
    FeatureCache().put("b", FEATURES)
    assert FeatureCache().get("b") is None


def test_a_cache_that_cannot_be_written_prints_a_warning(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    FeatureCache(tmp_path / "file").put("a", FEATURES)
    assert "features are not cached" in capsys.readouterr().out


def test_real_features_are_computed_once() -> None:
    class Counting(Pixels):
        calls = 0

        def __call__(self, images: Tensor) -> Features:
            Counting.calls += 1
            return super().__call__(images)

    def samples(split: str, key: str | None) -> Samples:
        return Samples(split, 2, lambda: iter([Images(torch.ones(2, 1, 2, 2), torch.tensor([3, 4]))]), key)

    for _ in range(2):
        evaluation = EvaluationData(samples("generated", None), samples("train", "d"), samples("test", "d-test"),
                            extractor=Counting(), store=FeatureCache())
        found = evaluation.features(evaluation.train)
        assert found.values.shape == (2, 4) and found.label is not None and found.label.tolist() == [3, 4]
    assert Counting.calls == 1
