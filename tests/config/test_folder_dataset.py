"""The data set that a model and the layout of dataset.root imply."""

from pathlib import Path

import pytest
from PIL import Image

from gan_cli.cli import main
from gan_cli.config.composer import Composer, arguments
from gan_cli.config.folder_dataset import with_dataset
from gan_cli.data.layouts import recognize
from gan_cli.utils.errors import GanError


def images(folder: Path, names: str = "abc", size: tuple[int, int] = (8, 8)) -> None:
    folder.mkdir(parents=True)
    for name in names:
        Image.new("RGB", size).save(folder / f"{name}.png")


@pytest.fixture
def sets(tmp_path: Path) -> Path:
    for name in ("trainA", "trainB", "testA"):
        images(tmp_path / "domains" / name, "abc" if name != "trainB" else "xy")
    images(tmp_path / "pairs/trainA")
    images(tmp_path / "pairs/trainB")
    images(tmp_path / "halves/train", size=(16, 8))
    images(tmp_path / "splits/inner/A/train")
    images(tmp_path / "splits/inner/B/train")
    images(tmp_path / "classes/cat")
    images(tmp_path / "classes/dog")
    return tmp_path


LAYOUTS = {
    "domains": ("unpaired_folder",),
    "pairs": ("paired_folder", "unpaired_folder"),
    "halves": ("paired_folder",),
    "splits": ("paired_folder",),
    "classes": ("image_folder",),
}


def choose(*words: str) -> list[str]:
    return with_dataset(list(words), Composer(arguments([])))


def test_layouts(sets: Path) -> None:
    assert {name: recognize(sets / name).datasets for name in LAYOUTS} == LAYOUTS
    assert recognize(sets / "classes").classes == ("cat", "dog")
    assert list(recognize(sets / "domains").parts) == ["trainA", "trainB", "testA"]


@pytest.mark.parametrize(
    "model, name, dataset",
    [
        ("cyclegan", "domains", "unpaired_folder"),
        ("cyclegan", "pairs", "unpaired_folder"),
        ("pix2pix", "halves", "paired_folder"),
        ("dcgan", "classes", "image_folder"),
    ],
)
def test_the_model_chooses(sets: Path, model: str, name: str, dataset: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = [f"model={model}", f"dataset.root={sets / name}", "seed=3"]
    assert choose(*words) == [f"dataset={dataset}", *words]
    assert capsys.readouterr().out.startswith(f"note: dataset={dataset}, which model={model} is trained on")


def test_what_is_chosen_stays(sets: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = f"dataset.root={sets / 'domains'}"
    for words in (
        ("model=cyclegan", "dataset=paired_folder", root),
        ("experiment=infogan_mnist", root),
        ("sweep=ebgan_mnist_grid", root),
        ("model=infogan", "dataset=mnist", root),
        ("model=cyclegan",),
        ("model=no_such", root),
    ):
        assert choose(*words) == list(words)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("model, name", [("dcgan", "domains"), ("pix2pix", "domains"), ("cyclegan", "classes")])
def test_another_layout_is_refused_in_one_line(sets: Path, model: str, name: str) -> None:
    with pytest.raises(GanError, match=rf"dataset={LAYOUTS[name][0]} reads it.*model={model} is trained on dataset="):
        choose(f"model={model}", f"dataset.root={sets / name}")


def test_training_records_the_choice(sets: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = sets / "run"
    small = "model=dcgan network=mlp dataset.image_size=8 trainer.iterations=1 trainer.batch_size=2 trainer.device=cpu"
    assert main.main(["train", *small.split(), f"dataset.root={sets / 'classes'}", f"hydra.run.dir={run}"]) == 0
    assert "dataset=image_folder" in (run / "provenance.json").read_text()
    capsys.readouterr()
    assert main.main(["train", "--cfg", "job", f"dataset.root={sets / 'classes'}"]) == 0
    assert not capsys.readouterr().out.startswith("note")
