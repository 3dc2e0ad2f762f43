"""Classes of folders: by subfolders or by dataset.json, and their names in a run."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import gan_cli
from gan_cli.cli import main
from gan_cli.data.folders import ImageFolder

COLORS = {"cat": 0, "dog": 255}


def photographs(root: Path, each: int = 4) -> Path:
    """Black images in cat/ and white ones in dog/, of 8 pixels."""
    for name, value in COLORS.items():
        (root / name).mkdir(parents=True)
        for number in range(each):
            Image.new("RGB", (8, 8), (value,) * 3).save(root / name / f"{number}.png")
    return root


def write_labels(root: Path, labels: object) -> None:
    (root / "dataset.json").write_text(json.dumps({"labels": labels}))


def entries(root: Path) -> list[list]:
    """The labels of the file, which are not those of the subfolders: dog is 0."""
    return [[f"{name}/{n}.png", int(name == "cat")] for name in COLORS for n in range(4)]


def test_labels_of_a_file_go_before_subfolders(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = photographs(tmp_path / "photos")
    by_folder = ImageFolder(str(root), 8, num_classes=2)
    write_labels(root, entries(root))
    by_file = ImageFolder(str(root), 8, num_classes=2)
    assert by_folder.class_names == ("cat", "dog") and by_file.class_names == ()
    for data, is_dog in ((by_folder, 1), (by_file, 0)):
        image, label = data.train_batch(0, 0, data.size)
        assert torch.equal(image.amax((1, 2, 3)) > 0, label == is_dog)
    assert by_file.fingerprint() != by_folder.fingerprint()
    swapped = [[name, 1 - label] for name, label in entries(root)]
    write_labels(root, swapped)
    assert ImageFolder(str(root), 8, num_classes=2).fingerprint() != by_file.fingerprint()
    write_labels(root, None)  # what the StyleGAN code writes for images without labels
    assert ImageFolder(str(root), 8, num_classes=2).class_names == ("cat", "dog")
    assert "(.json" not in capsys.readouterr().out


def test_subfolders_without_num_classes_are_mentioned_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = photographs(tmp_path / "photos")
    sets = [ImageFolder(str(root), 8) for _ in range(2)]
    out = capsys.readouterr().out
    assert out.count("dataset.num_classes=2") == 1 and "(cat, dog)" in out
    assert sets[0].train_batch(0, 0, 2).label is None


WRONG = [
    ([["cat/9.png", 0]], "names cat/9.png that is no image"),
    ([["cat/0.png", 0]], "has no label of cat/1.png, and 6 more"),
    ([["cat/0.png", 0.5]], "the label of cat/0.png is 0.5"),
    ([["cat/0.png", True]], "is True"),
    ([["cat/0.png", [1, 0]]], r"is \[1, 0\]"),
    ([["cat/0.png", -1]], "is -1"),
    ([["cat/0.png"]], "no pair"),
    ([["cat/0.png", 0], ["cat/0.png", 1]], "cat/0.png twice"),
    ([], "another form"),
    (float("nan"), "NaN is no number"),
]


@pytest.mark.parametrize("labels, words", WRONG)
def test_wrong_files_are_named(tmp_path: Path, labels: object, words: str) -> None:
    root = photographs(tmp_path / "photos")
    write_labels(root, labels)
    with pytest.raises(ValueError, match=rf"dataset\.json.*{words}"):
        ImageFolder(str(root), 8, num_classes=2)


def test_labels_have_to_count_from_zero(tmp_path: Path) -> None:
    root = photographs(tmp_path / "photos")
    write_labels(root, [[name, 2 * label] for name, label in entries(root)])
    with pytest.raises(ValueError, match="labels up to 2, but none 1: leave no gaps"):
        ImageFolder(str(root), 8, num_classes=3)
    write_labels(root, entries(root))
    with pytest.raises(ValueError, match=r"labels up to 1; set dataset\.num_classes=2"):
        ImageFolder(str(root), 8, num_classes=3)


def test_a_class_is_sampled_by_its_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root, run = photographs(tmp_path / "photos"), tmp_path / "run"
    small = (
        "model=cgan network=conditional_mlp dataset=image_folder dataset.image_size=8 "
        "dataset.num_classes=2 trainer.iterations=1 trainer.batch_size=4 trainer.device=cpu trainer.sample_count=4"
    )
    assert main.main(["train", *small.split(), f"dataset.root={root}", f"hydra.run.dir={run}"]) == 0
    assert json.loads((run / "provenance.json").read_text())["class_names"] == ["cat", "dog"]
    root.rename(tmp_path / "elsewhere")  # a finished run knows the names without its data
    words = ["sample", str(run), "n=2", f"out={tmp_path / 'dogs'}"]
    assert main.main([*words, "label=dog"]) == 0
    loaded = gan_cli.load(run, device="cpu")
    by_name, by_number = loaded.sample(2, label="dog"), loaded.sample(2, label=1)
    assert torch.equal(by_name, by_number) and not torch.equal(by_name, loaded.sample(2, label="cat"))
    written = np.asarray(Image.open(tmp_path / "dogs/000000.png"))
    assert np.abs(written / 255 - by_name[0].permute(1, 2, 0).numpy()).max() < 0.01
    capsys.readouterr()
    assert main.main([*words, "label=dogg"]) == 2
    assert "did you mean 'dog'? there are: cat, dog" in capsys.readouterr().err
    assert main.main([*words, "label=2"]) == 2 and "are 0 to 1" in capsys.readouterr().err
