"""Where scored samples come from, what is recorded of a score, and the grammar of `gan evaluate`."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers import save_plain, save_ramp
from PIL import Image
from torch import Tensor, nn

from gan_cli.cli import main, parser
from gan_cli.data.base import Images
from gan_cli.data.gaussians import Ring
from gan_cli.data.mnist_cifar import InMemoryImages
from gan_cli.data.shapes import ShapesStripes
from gan_cli.evaluation.image_sources import from_sources
from gan_cli.inference.trained_run import TrainedRun
from gan_cli.metrics import base, samples
from gan_cli.metrics.base import EvaluationData, Features, Samples
from gan_cli.utils import random
from gan_cli.utils.errors import GanError
from gan_cli.utils.progress import Progress


class Noise(nn.Module):
    """A model whose samples are its latent noise."""

    directions = ()
    device = torch.device("cpu")

    def generate(self, n: int, label: Tensor | None = None) -> Tensor:
        assert not self.training and not torch.is_grad_enabled()
        return random.normal(n, 2, 1, 1)


def digits(value_range: tuple[float, float]) -> InMemoryImages:
    pixels = torch.arange(40, dtype=torch.uint8).view(40, 1, 1, 1).expand(40, 1, 4, 4).contiguous()
    label = torch.arange(40) % 2
    return InMemoryImages(
        (pixels, label), (pixels[:9], label[:9]), image_size=4, channels=1, num_classes=2, value_range=value_range
    )


def test_samples_are_the_same_at_each_pass() -> None:
    few, many = (samples.from_model(Noise(), Ring(), n, seed=5).generated for n in (300, 700))
    first = many.take(300).image
    assert torch.equal(few.take(250).image, first[:250])
    partial = iter(many)
    next(partial)  # a pass that is given up does not disturb the next
    assert torch.equal(many.take(300).image, first)
    assert not torch.equal(samples.from_model(Noise(), Ring(), 300, seed=6).generated.take().image, first)
    assert len(few) == 300 and many.used == 500  # whole batches of 250 were looked at


def test_evaluation_leaves_the_random_numbers_of_training_alone() -> None:
    random.seed(1)
    random.normal(3)
    before = random.state_dict()["cpu"].clone(), torch.get_rng_state().clone()
    samples.from_model(Noise(), Ring(), 300).generated.take()
    assert torch.equal(random.state_dict()["cpu"], before[0]) and torch.equal(torch.get_rng_state(), before[1])


def test_real_samples_are_in_one_range_whatever_the_run_asks_for() -> None:
    symmetric, unit = (samples.real(digits(r), "train", 40).take().image for r in ((-1.0, 1.0), (0.0, 1.0)))
    assert torch.allclose(symmetric, unit, atol=1e-6) and symmetric.min() == -1
    keys = {samples.real(digits(r), "train", 40).key for r in ((-1.0, 1.0), (0.0, 1.0))}
    assert len(keys) == 1  # so that cached features serve both


def test_held_out_samples_are_never_counted_twice() -> None:
    found = samples.from_model(Noise(), digits((-1.0, 1.0)), 30)
    assert (len(found.train), len(found.test)) == (30, 9)
    with pytest.raises(ValueError, match="10 test samples are asked for, and there are 9"):
        found.test.take(10)


class Swap(nn.Module):
    """Translates by changing the sign, so that the direction can be recognized."""

    directions = ("AtoB", "BtoA")
    device = torch.device("cpu")

    def translate(self, image: Tensor, direction: str) -> Tensor:
        return -image


@pytest.mark.parametrize(("direction", "source"), [("AtoB", 0), ("BtoA", 1), (None, 0)])
def test_translations_are_scored_in_the_target_domain(direction: str | None, source: int) -> None:
    data = ShapesStripes(image_size=8, size=30)
    found = samples.from_model(Swap(), data, 20, direction=direction)
    batch = data.test_batch(0, len(found.generated))
    assert torch.equal(found.generated.take().image, -batch[source])
    assert torch.equal(found.test.take().image, batch[1 - source])
    assert found.generated.split == f"translated {direction or 'AtoB'}"
    assert found.train.key != found.test.key


class Counting:
    """An extractor that counts its calls."""

    name, hash = "counting", "abcdef012345"

    def __init__(self) -> None:
        self.calls = self.prepared = 0

    def prepare(self, data: Any, device: torch.device) -> None:
        self.prepared += 1

    def __call__(self, images: Tensor) -> Features:
        self.calls += 1
        return Features(images.flatten(1))


class Memory(dict):
    def put(self, key: str, features: Features) -> None:
        self[key] = features


def test_features_are_computed_once_and_those_of_real_images_kept() -> None:
    through, store = Counting(), Memory()
    found = samples.from_model(Noise(), digits((-1.0, 1.0)), 30, extractor=through, store=store)
    assert found.extractor_used is None
    first = found.features(found.train)
    assert found.features(found.train) is first and (through.calls, through.prepared) == (1, 1)
    assert found.named("FID") == "FID[counting:abcd]"
    found.features(found.generated)
    assert list(store) == [f"{digits((-1.0, 1.0)).fingerprint()}-train-30-abcdef012345"]
    again = samples.from_model(Noise(), digits((0.0, 1.0)), 30, extractor=through, store=store)
    assert torch.equal(again.features(again.train).values, first.values) and through.calls == 2
    fewer = samples.from_model(Noise(), digits((0.0, 1.0)), 20, extractor=through, store=store)
    fewer.features(fewer.train)
    assert through.calls == 3  # another count is another entry


def test_two_sources_of_one_split_are_not_mixed_up() -> None:
    one, other = (
        from_sources("shapes", "shapes", n=9, settings=["image_size=8", f"size={s}"]) for s in (20, 30)
    )
    found = EvaluationData(one.generated, other.train, other.test, extractor=Counting())
    assert not torch.equal(found.features(found.generated).values, found.features(found.train).values)
    assert found.generated.split == found.train.split == "shapes:train"


def test_long_scores_show_their_progress(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made: list[Progress] = []

    def eager(total: int, unit: str, *, label: str) -> Progress:
        made.append(Progress(total, unit, label=label, interval=0))
        return made[-1]

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(base, "Progress", eager)
    words = "real=shapes:train fake=shapes:test n=60 dataset.image_size=16 dataset.size=80 extractor=pixels"
    for metric in ("prdc", "one_nn", "ndb metric.ndb.bins=4", "parzen metric.parzen.validation=20", "parzen_fgan"):
        assert main.main(["evaluate", *words.split(), *f"metric={metric}".split()]) == 0
        shown = [progress for progress in made if progress.unit != "images"]
        assert shown and all(progress.done == progress.total for progress in shown), metric
        assert re.search(r"(\S+)/\1 \w+  \S+ (distances|iterations)/s  left 0:00\n", capsys.readouterr().out), metric
        made.clear()


def test_nan_samples_are_refused() -> None:
    broken = Samples("generated", 1, lambda: iter([Images(torch.full((1, 1, 2, 2), torch.nan))]))
    found = EvaluationData(broken, broken, broken, extractor=Counting())
    with pytest.raises(ValueError, match="generated samples hold NaN"):
        found.features(broken)


def test_folders_as_sources(tmp_path: Path) -> None:
    for number in range(5):
        save_ramp(tmp_path / f"a/{number}.png", number, 12)
        save_ramp(tmp_path / f"b/{number}.png", number, 10)
    same = from_sources(str(tmp_path / "a"), str(tmp_path / "a"), n=4)
    assert same.train.used == same.generated.used == 0  # comparing the shapes does not count
    image = same.generated.take().image
    assert image.shape == (4, 3, 12, 12) and image.min() == -1
    assert torch.equal(((image[:, 0, 0, 0] + 1) * 127.5).round(), torch.arange(4.0))
    with pytest.raises(GanError, match="image_size=N brings folders to one size"):
        from_sources(str(tmp_path / "a"), str(tmp_path / "b"))
    brought = from_sources(str(tmp_path / "a"), str(tmp_path / "b"), image_size=8)
    assert brought.train.take().image.shape == brought.generated.take().image.shape == (5, 3, 8, 8)
    noisy = from_sources(str(tmp_path / "a"), "noise")
    pixels = noisy.generated.take().image
    assert pixels.shape == (5, 3, 12, 12) and -1 <= pixels.min() < -0.95 and 0.95 < pixels.max() <= 1
    assert torch.equal(noisy.generated.take().image, noisy.generated.take().image)
    save_plain(tmp_path / "a/z.png", (1, 2, 3), (9, 9))
    with pytest.raises(ValueError, match=r"z\.png is 9 x 9 pixels, the images before it 12 x 12"):
        from_sources(str(tmp_path / "a"), str(tmp_path / "a")).generated.take()


def test_a_window_for_the_deep_images_of_folders(tmp_path: Path) -> None:
    """The window of the command line is that of both folders, and of their features' place in the cache."""
    for name, white in (("a", 4095), ("b", 2047.5)):
        (tmp_path / name).mkdir()
        kind = np.uint16 if name == "a" else np.float32
        Image.fromarray(np.array([[0, white]] * 2, dtype=kind)).save(tmp_path / name / "1.tif")
    a, b = str(tmp_path / "a"), str(tmp_path / "b")
    found = from_sources(a, b, window=(0.0, 4095.0))
    assert found.train.take().image[0, 0, 0].tolist() == [-1, 1]
    assert found.generated.take().image[0, 0, 0, 1].item() == pytest.approx(128 / 127.5 - 1, abs=1e-6)
    keys = {from_sources(a, a, window=window).train.key for window in (None, (0.0, 4095.0), (0.0, 5000.0))}
    assert len(keys) == 3
    with pytest.raises(ValueError, match=r"1\.tif: pixels from 0 to 4095, .*: window=\[LOW,HIGH\] sets"):
        from_sources(a, b, window=(0.0, 4000.0))


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("fake=b window=[5]", "window=['5']: two numbers that increase are needed, such as window=[0,4095]"),
        ("fake=b window=[2,1]", "two numbers that increase"),
        ("fake=b window=[0,nan]", "two numbers that increase"),
        ("fake=b dataset.window=[0,1]", "dataset.window=[0,1] is for a data set as a source, and there is none"),
        ("real=shapes:train fake=noise window=[0,1]", "window= is for folders"),
        ("fake=run/samples", "run/samples holds sheets of many samples, which are no samples: `gan sample "),
        ("fake=run", "run holds sheets of many samples"),
        ("fake=b_sheets", "fake=b_sheets holds sheets of many samples: the samples are in b\n"),
        ("real=run/samples fake=b", "real=run/samples holds sheets"),
    ],
)
def test_what_folders_are_refused(
    words: str, line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a/1.png", "b/1.png", "b_sheets/grid.png", "b_sheets/traverse_style.png", "run/samples/000002.png"):
        save_plain(Path(name), (1, 2, 3))
    Path("run/provenance.json").write_text("{}")
    words = words if words.startswith("real=") else f"real=a {words}"
    assert main.main(["evaluate", *words.split(), "extractor=random", "out=records.jsonl"]) == 2
    assert line in capsys.readouterr().err and not Path("records.jsonl").exists()


def test_data_sets_as_sources() -> None:
    small = ["image_size=16", "size=50"]
    found = from_sources("shapes:train", "shapes:test", n=20, settings=small)
    assert found.train.take().image.shape == (20, 3, 16, 16) and found.data is not None
    assert not torch.equal(found.train.take().image, found.generated.take().image)
    every = from_sources("shapes:train", "shapes:test", settings=small)
    assert (len(every.train), len(every.generated)) == (50, every.data.test_size) and every.data.test_size != 50
    for fake, words in {
        "shape:train": "did you mean 'shapes'",
        "shapes:trian": "the split is train or test",
        "shapes_stripes": "its samples are pairs",
    }.items():
        with pytest.raises(GanError, match=words):
            from_sources("shapes", fake, n=20, settings=small)


def test_each_score_is_recorded_with_its_protocol(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GAN_CACHE", str(tmp_path / "cache"))
    for number in range(12):
        save_ramp(tmp_path / f"a/{number}.png", number, 12)
        save_ramp(tmp_path / f"b/{number}.png", 3 * number, 12)
    words = ["evaluate", "real=a", "fake=b", "metric=kid", "extractor=pixels", "metric.kid.subsets=3", "seed=4"]
    assert main.main(words) == 0
    record = json.loads(Path("outputs/evaluation.jsonl").read_text())
    name = next(iter(record["values"]))
    assert name.startswith("KID[pixels:") and record["better"] == {"KID": "lower"}
    protocol = record["protocol"]
    assert protocol["a"] == protocol["b"] == 12 and protocol["seed"] == 4 and protocol["device"] == "cpu"
    assert protocol["extractor"].startswith("pixels:") and record["settings"]["subsets"] == 3
    out = capsys.readouterr().out
    first, second = out.splitlines()[:2]
    assert first == "evaluating kid: 12 samples of 'b' against 12 of 'a'"
    assert second.startswith("kid: KID[pixels:") and "KID_std[pixels:" in second and " not defined " in second
    assert not Path("outputs/evaluation").exists()  # no picture was made


def test_an_experiment_says_how_its_runs_are_evaluated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Metric, number of samples and settings are the experiment's unless the command line has others."""
    monkeypatch.chdir(tmp_path)
    asked = "+evaluate={metric:[modes],n:30,settings:['metric.modes.radius=2.5','metric.fid.reference=test']}"
    tiny = ["dataset=ring", "network=mlp_points", "trainer.iterations=1", "trainer.batch_size=8", "hydra.run.dir=run"]
    assert main.main(["train", *tiny, asked]) == 0
    seeds = []
    test_mode = TrainedRun.test_mode
    monkeypatch.setattr(TrainedRun, "test_mode", lambda run, seed: seeds.append(seed) or test_mode(run, seed))
    assert main.main(["evaluate", "run"]) == 0  # metric.fid is not evaluated, so its setting does not matter
    assert main.main(["evaluate", "run", "n=20", "seed=4", "metric.modes.radius=4"]) == 0
    first, second = (json.loads(line) for line in Path("run/evaluation.jsonl").read_text().splitlines())
    assert [(r["metric"], r["protocol"]["generated"], r["protocol"]["seed"]) for r in (first, second)] == [
        ("modes", 30, 0), ("modes", 20, 4)
    ]  # fmt: skip
    assert [r["settings"]["radius"] for r in (first, second)] == [2.5, 4] and seeds == [0, 4]
    assert first["protocol"]["iteration"] == 1 and first["protocol"]["checkpoint"] == "last"


def test_options_that_pass_through() -> None:
    parsed = parser.parse("evaluate", ["metric=fid", "metric.fid.reference=test", "extractor.weights=w.pth"])
    assert parsed == {"metric": ["fid"], "settings": ["metric.fid.reference=test", "extractor.weights=w.pth"]}


def test_a_metric_that_fails_does_not_lose_the_others(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """FID needs more samples than features, which shows only when these are computed; KID comes after it."""
    for number in range(8):
        save_ramp(tmp_path / f"a/{number}.png", number, 8)
        save_ramp(tmp_path / f"b/{number}.png", 3 * number, 8)
    words = [f"real={tmp_path}/a", f"fake={tmp_path}/b", "metric=fid,kid", "extractor=pixels"]
    assert main.main(["evaluate", *words, f"out={tmp_path}/records.jsonl"]) == 2
    streams = capsys.readouterr()
    assert "metric=fid: 8 real samples" in streams.err and "metric=kid, which takes few samples" in streams.err
    records = [json.loads(line) for line in (tmp_path / "records.jsonl").read_text().splitlines()]
    assert [record["metric"] for record in records] == ["kid"] and "KID" in streams.out
