"""`gan doctor`: what it says of the machine, of a configuration and of a run, and that it writes nothing."""

import re
from pathlib import Path

import pytest
import torch
from helpers import ROOT, TINY_RING, composed, count, refused, save_plain
from omegaconf import DictConfig

from gan_cli.cli.main import main
from gan_cli.config.schema import complete
from gan_cli.data.base import Domains, LabelMaps, SemiSupervised
from gan_cli.tools.doctor import _composed, data, machine, memory, real, timing
from gan_cli.tools.doctor.memory import Memory, Tally, estimate
from gan_cli.tools.doctor.stand_in import stand_in
from gan_cli.training import build

RING = ["model=sgan", *TINY_RING]
MIB = 2**20


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder, an empty folder of data, and few timed iterations."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GAN_DATA", str(tmp_path / "data"))
    monkeypatch.setattr(timing, "MOST", 4)
    return tmp_path


def config(*overrides: str) -> DictConfig:
    cfg = composed(*overrides)
    complete(cfg)
    return cfg


def estimated(*overrides: str) -> Memory:
    cfg = config(*overrides)
    return estimate(cfg, stand_in(cfg))


def test_the_machine(place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "requires", lambda _: [
        "torch>=2", "absent-package>=1; extra == 'new'", "torch>=2; extra == \"old\"", "pytest; extra == 'dev'",
    ])  # fmt: skip
    assert main(["doctor"]) == 0
    output = capsys.readouterr().out
    assert f"torch {torch.__version__.partition('+')[0]}" in output
    assert "missing absent-package: pip install 'gan-cli[new]'" in output
    assert "installed: old\n" in output and "dev" not in output.partition("extras")[2]
    assert len(output.splitlines()) < 24  # one screen
    assert not list(place.iterdir())


def test_folders_that_cannot_be_written_are_named(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (place / "file").write_text("")
    monkeypatch.setenv("GAN_DATA", str(place / "file" / "data"))
    texts = dict(machine.folders())
    assert texts["data"].endswith("NOT WRITABLE") and texts["outputs/"].endswith(": writable")


def test_a_configuration(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", *RING, "trainer.iterations=100", "metric=[modes]"]) == 0
    output = capsys.readouterr().out
    for text in ("computed, no files needed", "activations", "optimizers", "ms per iteration", "1 evaluations of"):
        assert text in output
    assert "for 100 iterations and 2 grids" in output and "can be trained on cpu" in output
    assert not list(place.iterdir())


def test_a_run(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", *RING, "trainer.iterations=2", "hydra.run.dir=run"]) == 0
    files = {path: path.stat().st_mtime_ns for path in place.rglob("*")}
    capsys.readouterr()
    assert main(["doctor", "run", "trainer.iterations=10"]) == 0
    output = capsys.readouterr().out
    assert "checkpoint of iteration 2" in output and "8 iterations left" in output and "for 8 iterations" in output
    assert files == {path: path.stat().st_mtime_ns for path in place.rglob("*")}


def test_what_cannot_be_trained_is_refused(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert "dataset.root=nowhere: no such folder" in refused(
        capsys, "doctor", "model=dcgan", "dataset=image_folder", "dataset.root=nowhere"
    )
    assert "no key 'modle'" in refused(capsys, "doctor", "modle=dcgan")
    assert "examines one run" in refused(capsys, "doctor", "model=dcgan", "-m")
    monkeypatch.setattr(machine, "available", lambda: 30 * MIB)
    assert "trainer.accumulate=N" in refused(capsys, "doctor", *RING)


def test_data_that_are_not_there_are_neither_downloaded_nor_refused(place: Path) -> None:
    found = data.check(config("model=cyclegan", "dataset=horse2zebra"))
    assert found.text.startswith("NOT THERE: gan train downloads http") and found.decoded == 0
    assert data.check(config("dataset=mnist")).decoded == 70_000 * 28**2
    assert not list(place.iterdir())


def test_the_data_set_is_chosen_as_by_training(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("trainA", "trainB"):
        save_plain(place / "photos" / name / "a.png", (1, 2, 3))
    cfg, _ = _composed(["model=cyclegan", "dataset.root=photos"])
    assert cfg.dataset._target_.endswith("UnpairedFolder") and "dataset=unpaired_folder" in capsys.readouterr().out


def test_images_are_counted(place: Path) -> None:
    (place / "photos" / "inner").mkdir(parents=True)
    for name in ("a.jpg", "inner/b.PNG", "notes.txt"):
        (place / "photos" / name).write_text("")
    found = data.check(config("dataset=image_folder", "dataset.root=photos"))
    assert "2 image files" in found.text and found.decoded == 2 * int(3 * 64**2 * 1.25)


@pytest.mark.parametrize("dataset, kind, shapes", [
    ("horse2zebra", Domains, [(2, 3, 256, 256), (2, 3, 256, 256)]),
    ("mnist_labels", SemiSupervised, [(2, 1, 28, 28), (2, 1, 28, 28), (2,)]),
    ("label_maps", LabelMaps, [(2, 2, 64, 64), (2, 3, 64, 64)]),
])  # fmt: skip
def test_random_batches_have_the_shapes_of_the_data(dataset: str, kind: type, shapes: list[tuple[int, ...]]) -> None:
    small = ["dataset.image_size=64", "dataset.root=x"] if dataset == "label_maps" else []
    cfg = config(f"dataset={dataset}", *small)
    batch = stand_in(cfg).train_batch(0, 0, 2)
    assert type(batch) is kind and [tuple(part.shape) for part in batch] == shapes


def test_parts_of_the_memory() -> None:
    cfg = config(*RING, "trainer.batch_size=4096")
    system, found = build.system(cfg), estimated(*RING, "trainer.batch_size=4096")
    generator, discriminator = count(system.generator), count(system.discriminator)
    assert found.weights == 4 * (generator + discriminator) and found.averages == 4 * generator
    assert found.optimizers == 2 * found.weights and found.gradients == found.weights
    # The outputs of six hidden layers of 128 units, of G and of D for real and generated points, are the largest part.
    layer = 4 * 4096 * 128
    assert 6 * layer < found.activations < 24 * layer
    assert estimated(*RING, "trainer.batch_size=4096", "optimizer=rmsprop").optimizers == found.weights
    # Micro-batches need their own activations only.
    large = [*RING, "trainer.batch_size=4096", "model.share_fakes=false"]
    assert estimated(*large, "trainer.accumulate=8").activations < estimated(*large).activations / 4


def test_the_tally_is_the_highest_number_of_bytes_at_once() -> None:
    def work() -> None:
        first = torch.zeros(256)  # 1,024 bytes
        second = first + 1
        del first
        third = second * 2
        third.add_(1)
        third.view(2, 128).t()

    with Tally() as tally:
        assert tally.above(work) == 2048
        assert tally.live == 0


def test_double_backward_needs_more() -> None:
    plain = estimated(*RING, "loss=wgan", "trainer.batch_size=2048")
    assert estimated(*RING, "loss=wgan_gp", "trainer.batch_size=2048").activations > 1.2 * plain.activations


def test_a_model_that_asks_for_values_is_measured(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def asks(*_: object) -> Memory:
        raise RuntimeError("aten.item has no value")

    monkeypatch.setattr(memory, "estimate", asks)
    monkeypatch.setattr(real, "measure", lambda *_: 123 * MIB)
    assert main(["doctor", *RING]) == 0
    output = capsys.readouterr().out
    assert "no dry run (aten.item has no value): measured in two real iterations" in output and "123 MiB" in output


def test_real_iterations_in_a_process_of_their_own() -> None:
    size = real.measure(config(*RING), ())
    assert MIB < size < 400 * MIB


def test_times() -> None:
    cfg = config(*RING, "trainer.iterations=1000", "trainer.sample_every=300")
    found = timing.measure(cfg, build.system(cfg), stand_in(cfg))
    assert found.timed == 4 and found.grids == 5 and found.processor > 0
    assert found.total == pytest.approx(1000 * found.iteration + 5 * found.grid)


@pytest.mark.parametrize("page", ["MODELS.md", "TROUBLESHOOTING.md"])
def test_the_pages_name_choices_that_exist(page: str) -> None:
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    named = set(re.findall(r"\b(model|loss|dataset|network|metric|optimizer)=(\w+)", text))
    assert named and not [pair for pair in named if not (ROOT / "conf" / pair[0] / f"{pair[1]}.yaml").exists()]
