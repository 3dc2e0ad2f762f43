"""`gan sample`: single images, sheets beside them, and the memory that they take."""

import shutil
import weakref
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import TINY, TINY_CYCLEGAN
from PIL import Image

import gan_cli
from gan_cli.cli import main
from gan_cli.data.shapes import KINDS
from gan_cli.evaluation.image_sources import folder_samples
from gan_cli.inference import trained_run
from gan_cli.inference.outputs import sheets_folder
from gan_cli.inference.trained_run import TrainedRun
from gan_cli.utils import images, labels, random


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A DCGAN of 16 pixels."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    small = ["model=dcgan", "dataset=shapes", "dataset.size=8", "dataset.image_size=16", "model.generator.width=2"]
    small += ["model.discriminator.width=2"]
    assert main.main(["train", *TINY, *small, f"hydra.run.dir={folder}"]) == 0
    return folder


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def test_sheets_are_beside_the_folder_of_the_images(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A program that scores all images of the folder scores each sample once."""
    monkeypatch.chdir(tmp_path)
    assert main.main(["sample", str(run), "n=60", "out=images"]) == 0
    assert "in images, sheets in images_sheets\n" in capsys.readouterr().out
    assert sorted(path.name for path in Path("images").iterdir()) == [f"{i:06d}.png" for i in range(60)]
    assert sorted(path.name for path in Path("images_sheets").iterdir()) == ["grid.png", "traverse_interpolation.png"]
    assert folder_samples(Path("images"), channels=1).size == 60
    assert "sheet" not in capsys.readouterr().out
    shutil.copytree("images", "old")
    shutil.copy("images_sheets/grid.png", "old")  # as 0.2 wrote it
    folder_samples(Path("old"), channels=1)
    assert "warning: old: grid.png seems to be a sheet of many samples" in capsys.readouterr().out
    assert main.main(["sample", str(run), "n=2", "out=images"]) == 0
    assert "58 other files are in images" in capsys.readouterr().out
    assert main.main(["sample", str(run), "n=2"]) == 0
    assert {path.name for path in run.glob("generated*")} == {"generated", "generated_sheets"}


def test_a_link_in_a_run_is_not_written_through(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(run, copy := tmp_path / "run", ignore=shutil.ignore_patterns("generated*"))
    (tmp_path / "home").mkdir()
    (copy / "generated_sheets").symlink_to("../home")
    assert main.main(["sample", str(copy), "n=2"]) == 2
    assert "name the folder to write to by out=" in capsys.readouterr().err and not list((tmp_path / "home").iterdir())


def test_where_sheets_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert sheets_folder(Path("a/b")) == Path("a/b_sheets")
    assert sheets_folder(Path(".")) == tmp_path.with_name(f"{tmp_path.name}_sheets")
    assert sheets_folder(Path("/")) == Path("/_sheets")


def test_batches_are_those_of_one_call_and_a_grid_has_a_hundred_images(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trained_run, "BATCH", 110)
    assert main.main(["sample", str(run), "n=230", "seed=3", f"out={tmp_path}/images"]) == 0
    trained = TrainedRun(run, device="cpu")
    assert trained.value_range is not None
    with trained.test_mode(3) as system:
        expected = torch.cat([system.generate(n) for n in (110, 110, 10)])  # type: ignore[operator]
        table = system.traverse(rows=10)["interpolation"]  # type: ignore[operator]
    for index in (0, 109, 110, 229):
        image = images.to_uint8(expected[index : index + 1], trained.value_range)[0]
        assert np.array_equal(pixels(tmp_path / f"images/{index:06d}.png"), image.permute(1, 2, 0).numpy())
    grid = pixels(tmp_path / "images_sheets/grid.png")
    assert grid.shape == (16 + 10 * 52 - 4, 10 * 52 - 4, 3)  # a title, and 16 pixels are enlarged to 48
    for row, column in ((0, 0), (4, 7), (9, 9)):
        cell = images.to_uint8(expected[10 * row + column][None], trained.value_range)[0]
        shown = grid[16 + 52 * row :, 52 * column :][1:48:3, 1:48:3]
        assert np.array_equal(shown, cell.permute(1, 2, 0).numpy())
    sheet = pixels(tmp_path / "images_sheets/traverse_interpolation.png")
    cell = images.to_uint8(table.images[9, 9:], trained.value_range)[0].repeat_interleave(6, 1).repeat_interleave(6, 2)
    assert np.array_equal(sheet[-96:, -96:], cell.permute(1, 2, 0).numpy())  # 16 pixels are enlarged to 96
    assert sheet.shape == (2 * 16 + 10 * 100 - 4, 10 * 100 - 4, 3)  # a title, headings, ten rows and columns
    assert all((sheet[top : top + 16] < 128).any() for top in (0, 16))  # with text


def test_the_memory_does_not_grow_with_the_number_of_images(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At most two batches are alive at any time; a list of all of them would keep every one alive."""
    alive, most = [], 0
    generate = type(TrainedRun(run, device="cpu").system).generate

    def counted(self: object, n: int, labels: object = None) -> torch.Tensor:
        nonlocal most
        batch = generate(self, n, labels)  # type: ignore[arg-type]
        alive.append(weakref.ref(batch))
        most = max(most, sum(reference() is not None for reference in alive))
        return batch

    monkeypatch.setattr(trained_run, "BATCH", 10)
    monkeypatch.setattr(type(TrainedRun(run, device="cpu").system), "generate", counted)
    assert main.main(["sample", str(run), "n=200", "device=cpu", f"out={tmp_path}/images"]) == 0
    assert len(alive) == 20 and most <= 2


def test_a_model_that_translates_has_a_grid_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main.main(["train", *TINY, *TINY_CYCLEGAN, "dataset.image_size=8", "hydra.run.dir=my run"]) == 0
    said = capsys.readouterr().out  # commands that a shell takes as they are, and that fit the model
    assert f"next: `gan translate '{tmp_path}/my run' input=DIR output=DIR`, or `gan resume '{tmp_path}/my run'" in said
    assert main.main(["sample", "my run", "n=4", "out=images"]) == 0
    assert [path.name for path in Path("images").iterdir()] == ["grid.png"] and not Path("images_sheets").exists()
    assert main.main(["sample", "my run", "n=101"]) == 2
    assert "`gan translate 'my run' input=DIR output=DIR`" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda state: state["ema"].pop("generator"), "weights=auto"),
        (lambda state: state["ema"].update(discriminator=state["ema"].pop("generator")), "averages of discriminator"),
        (lambda state: state["system"].update({"generator.layers.0.weight": torch.zeros(2)}), "generator.layers.0"),
        (lambda state: state["system"].update(_to_whole(state["system"])), "holds torch.int64, not torch.float32"),
        (lambda state: state["system"].pop(next(iter(state["system"]))), "Missing key"),
    ],
)
def test_weights_that_do_not_fit_are_named(
    run: Path, tmp_path: Path, change: Callable[[dict], object], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of another shape, another kind of numbers, another network, or none."""
    shutil.copytree(run, copy := tmp_path / "run", ignore=shutil.ignore_patterns("generated*"))
    state = torch.load(copy / "checkpoints/last.pt", weights_only=True)
    change(state)
    torch.save(state, copy / "checkpoints/last.pt")
    status = main.main(["sample", str(copy), "n=2"])
    out, err = capsys.readouterr()
    if words == "weights=auto":  # without an average there are the weights themselves
        assert status == 0 and "raw weights" in out
    else:
        assert status == 2 and words in err and err.count("\n") == 1 and not (copy / "generated").exists()


def _to_whole(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    name = next(name for name, value in state.items() if value.is_floating_point())
    return {name: state[name].long()}


def test_classes_have_their_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the data set has such: a table of a conditional model, by `gan sample` and from Python."""
    words = ["model=cgan", "dataset=shapes", "dataset.size=8", "dataset.image_size=16", f"hydra.run.dir={tmp_path}/run"]
    assert main.main(["train", *TINY, *words]) == 0
    table = gan_cli.load(tmp_path / "run", device="cpu").traverse(3, seed=2)["class"]
    assert table.headings == KINDS and table.images.shape == (3, 6, 3, 16, 16)
    trained = TrainedRun(tmp_path / "run", device="cpu")
    with trained.test_mode(2) as system:
        raw = system.traverse(3)["class"]  # type: ignore[operator]
    assert torch.equal(table.images, ((raw.images + 1) / 2).clamp(0, 1)) and raw.headings[5] == "class 5"
    drawn = []

    def draw(cells: list, columns: tuple, **options: object) -> torch.Tensor:
        drawn.append((options.get("captions") or columns, options["title"]))
        return cells[0][0]

    monkeypatch.setattr(labels, "labeled_grid", draw)
    assert main.main(["sample", f"{tmp_path}/run", "n=30", "seed=2"]) == 0
    assert main.main(["sample", f"{tmp_path}/run", "n=2", "label=4"]) == 0
    with trained.test_mode(2):
        classes = [KINDS[i] for i in random.randint(30, 6).tolist()]  # what the model itself would sample
    rows, title = drawn[0]
    assert [name for row in rows for name in row] == classes and title == "cgan, iteration 2, ema weights, seed 2"
    assert drawn[1][0] == drawn[3][0] == KINDS
    assert drawn[2] == ((), "cgan, iteration 2, ema weights, seed 0, class cross")
