"""Relative paths of a run mean what they meant when it began, wherever it and its data are read."""

import json
import shutil
from pathlib import Path

import pytest
from helpers import refused, save_ramp
from omegaconf import OmegaConf
from PIL import Image

from gan_cli.cli.main import main
from gan_cli.inference.trained_run import TrainedRun
from gan_cli.training.data_paths import relative_paths

LINE = [
    "train", "network=mlp_points", "model.generator.widths=[8]", "model.discriminator.widths=[8]",
    "dataset=image_folder", "dataset.image_size=8", "dataset.root=data", "trainer.batch_size=4",
    "trainer.sample_count=4", "trainer.iterations=2", "trainer.device=cpu", "hydra.run.dir=run",
]  # fmt: skip
EVALUATE = ["evaluate", "run", "metric=prdc", "extractor=pixels", "n=10", "device=cpu"]


def images(folder: Path, first: int, count: int = 40) -> None:
    for number in range(count):
        save_ramp(folder / f"{number}.png", first + number)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with data and a run on them, and beside it a folder with other data of the same name."""
    monkeypatch.setenv("GAN_CACHE", str(tmp_path / "cache"))
    images(tmp_path / "project/data", 0)
    images(tmp_path / "other/data", 100, 41)
    monkeypatch.chdir(tmp_path / "project")
    assert main(LINE) == 0
    return tmp_path / "project"


def trained_on(run: Path) -> list[str]:
    facts = json.loads((run / "provenance.json").read_text())
    return [facts["data"], *(resume["data"] for resume in facts["resumes"])]


def test_a_run_is_resumed_on_its_own_data_from_any_folder(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(project.parent / "other")
    assert main(["resume", "../project/run", "trainer.iterations=3"]) == 0
    out = "".join(capsys.readouterr())
    assert len(set(trained_on(project / "run"))) == 1 and "changed" not in out
    assert OmegaConf.load(project / "run/config.yaml").dataset.root == "data"  # as typed
    facts = json.loads((project / "run/provenance.json").read_text())
    assert facts["folder"] == str(project)
    assert facts["paths"] == {"dataset.root": {"typed": "data", "absolute": str(project / "data")}}


def test_data_that_moved_with_the_run_are_found_and_others_are_refused(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    moved = project.rename(project.parent / "moved")
    monkeypatch.chdir(project.parent / "other")
    assert main(["resume", "../moved/run", "trainer.iterations=3"]) == 0
    assert f"note: dataset.root=data is {moved / 'data'}; it was" in capsys.readouterr().out
    shutil.move(moved / "data", project.parent / "elsewhere")
    assert main(["resume", "../moved/run", "trainer.iterations=4"]) == 2
    error = capsys.readouterr().err
    assert "dataset.root: the data that are found there now are not those of the run" in error
    assert main(["resume", "../moved/run", "trainer.iterations=4", "dataset.root=../elsewhere"]) == 0
    assert len(set(trained_on(moved / "run"))) == 1
    monkeypatch.chdir(moved)
    assert main(["resume", "run", "trainer.iterations=5"]) == 0  # ../elsewhere of another folder
    assert len(set(trained_on(moved / "run"))) == 1
    capsys.readouterr()
    assert main(["resume", "run", "trainer.iterations=6", "dataset.root=../other/data"]) == 0
    assert "note: the data have changed since the run began" in capsys.readouterr().out


def test_other_images_of_the_same_names_and_sizes_are_other_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A run of an earlier version, which has not recorded the content, goes on without a word."""
    monkeypatch.setenv("GAN_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)

    def bitmaps(folder: Path, first: int) -> None:
        images(folder, first)
        for file in folder.glob("*.png"):
            Image.open(file).save(file.with_suffix(".bmp"))
            file.unlink()

    bitmaps(tmp_path / "data", 0)
    assert main(LINE) == 0 and main(["resume", "run", "trainer.iterations=3"]) == 0
    assert "data have changed" not in capsys.readouterr().out
    bitmaps(tmp_path / "data", 100)
    evaluate = [*EVALUATE[:2], "metric=memorization", *EVALUATE[3:]]
    for words in (["resume", "run", "trainer.iterations=4"], evaluate):
        assert main(words) == 0
        assert "note: the data have changed since the run began" in capsys.readouterr().out
    assert len({*trained_on(tmp_path / "run")}) == 1  # the fingerprint does not tell
    bitmaps(tmp_path / "elsewhere/data", 100)
    shutil.rmtree("data")
    monkeypatch.chdir("elsewhere")
    error = refused(capsys, "resume", "../run", "trainer.iterations=5")
    assert "dataset.root: the data that are found there now are not those of the run" in error

    file = tmp_path / "run/provenance.json"
    facts = json.loads(file.read_text())
    assert facts.pop("content") and facts["resumes"][0].pop("content")
    file.write_text(json.dumps(facts))
    assert main(["resume", "../run", "trainer.iterations=5"]) == 0
    assert "data have changed" not in capsys.readouterr().out


def test_every_verb_that_reads_data_takes_their_folder(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(EVALUATE) == 0
    shutil.move(project / "data", project.parent / "elsewhere")
    assert main(EVALUATE) == 2
    assert main([*EVALUATE, f"dataset.root={project.parent / 'elsewhere'}"]) == 0
    records = [json.loads(line) for line in Path("run/evaluation.jsonl").read_text().splitlines()]
    assert records[0]["values"] == records[1]["values"] and len(records) == 2
    assert main(["sample", "run", "n=2", f"dataset.root={project.parent / 'elsewhere'}"]) == 0
    assert TrainedRun("run", device="cpu", dataset_root="../elsewhere").data.size
    images(project / "data", 50, 30)
    capsys.readouterr()
    assert main(EVALUATE) == 0 and "the data have changed" in capsys.readouterr().out


def test_all_relative_paths_of_a_config_are_known() -> None:
    """Nested ones too; `~`, absolute paths and addresses are none."""
    cfg = {
        "dataset": {"root": "data", "test_root": "/d", "other_root": "~/data", "data": {"root": "shards/{0..9}.tar"}},
        "extractor": {"weights": "vgg.pth"},
        "metric": {"lpips": {"alexnet": "alex.pth", "list": [{"root": "a"}]}, "url": {"root": "https://host/a.tar"}},
        "model": {"mmd": {"weights": [0.3, 0.7], "root": True}},
    }  # fmt: skip
    assert dict(relative_paths(cfg)) == {
        "dataset.root": "data", "dataset.data.root": "shards/{0..9}.tar", "extractor.weights": "vgg.pth",
        "metric.lpips.alexnet": "alex.pth", "metric.lpips.list.0.root": "a",
    }  # fmt: skip
