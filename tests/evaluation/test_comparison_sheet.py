"""`gan compare ... sheet=true`: the images of several runs for the same inputs, or the same noise, on one sheet."""

import math
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import TINY, TINY_CYCLEGAN, TINY_RING, refused
from PIL import Image, ImageFont
from torch import Tensor

from gan_cli.cli.main import main
from gan_cli.evaluation import charts, comparison_sheet
from gan_cli.inference import translator as translators
from gan_cli.inference.tiling import SizeAdapter
from gan_cli.inference.trained_run import TrainedRun
from gan_cli.inference.translator import Translator
from gan_cli.utils import images
from gan_cli.utils.labels import SIZE

PIX2PIX = ["model=pix2pix_noise", "dataset.size=8", "dataset.image_size=32", "model.generator.width=2",
           "model.discriminator.width=2"]  # fmt: skip
DCGAN = ["model=dcgan", "dataset.size=8", "dataset.image_size=16", "model.generator.width=2",
         "model.discriminator.width=2"]  # fmt: skip
CYCLEGAN = [*TINY_CYCLEGAN, "dataset.image_size=16"]
STEP, SIDE, HEAD = 100, 96, 16  # pixels from cell to cell, of a cell, and of a line of text


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs of each kind."""
    folder = tmp_path_factory.mktemp("runs")
    kinds = {
        "cycle": (CYCLEGAN, "model.lambda_identity", ("0", "0.5")), "noise": (PIX2PIX, "model.lambda_ms", ("0", "1")),
        "dcgan": (DCGAN, "loss", ("hinge", "wgan")), "ring": (TINY_RING, "loss", ("hinge", "wgan")),
        "gray": ([*CYCLEGAN, "dataset.channels=1"], "seed", ("0",)),
    }  # fmt: skip
    for name, (words, key, values) in kinds.items():
        for value in values:
            run = f"hydra.run.dir={folder}/{name}/{value}"
            assert main(["train", *TINY, *words, f"{key}={value}", run]) == 0
    return folder


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with two images; no figure, which takes a second."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(charts, "plot", lambda rows, columns, path: None)
    generator = np.random.default_rng(0)
    (tmp_path / "photos").mkdir()
    for name in ("a.png", "b.png"):
        Image.fromarray(generator.integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(tmp_path / "photos" / name)
    return tmp_path


def sheet(*words: str) -> np.ndarray:
    assert main(["compare", *words, "out=out"]) == 0
    with Image.open("out/compare_sheet.png") as image:
        return np.asarray(image)


def cells(found: np.ndarray, rows: int, columns: int, names: list[str] | None = None) -> list[list[np.ndarray]]:
    """The cells, which are at the bottom of the sheet, and right of the names of the rows."""
    top = found.shape[0] - (rows * STEP - 4)
    left = math.ceil(max(map(ImageFont.load_default(SIZE).getlength, names))) + 4 if names else 0
    assert left + columns * STEP - 4 <= found.shape[1] and top >= HEAD
    return [[found[top + r * STEP :, left + c * STEP :][:SIDE, :SIDE] for c in range(columns)] for r in range(rows)]


def same(cell: np.ndarray, image: Tensor) -> bool:
    factor = SIDE // image.shape[1]
    larger = image.expand(3, -1, -1).repeat_interleave(factor, 1).repeat_interleave(factor, 2)
    return np.array_equal(cell, larger.permute(1, 2, 0).numpy())


def translated(run: Path, image: Tensor, seed: int = 0, direction: str | None = None) -> Tensor:
    trained = TrainedRun(run, device="cpu")
    model = Translator(trained, direction)
    with trained.test_mode(0):
        return model(SizeAdapter(model.native_size), image, seed)[0]


def test_the_same_images_through_each_run(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A row per file, a column per run in the order of the command, and nothing is written into the runs."""
    before = {path: path.stat().st_mtime_ns for path in runs.rglob("*")}
    paths = [runs / "cycle/0.5", runs / "cycle/0"]
    found = sheet(*map(str, paths), "input=photos", "direction=BtoA")
    assert {path: path.stat().st_mtime_ns for path in runs.rglob("*")} == before
    for name, row in zip(("a.png", "b.png"), cells(found, 2, 3, ["a.png", "b.png"]), strict=True):
        image = torch.from_numpy(np.array(Image.open(f"photos/{name}"))).permute(2, 0, 1)
        assert same(row[0], image)
        outputs = [translated(run, image, direction="BtoA") for run in paths]
        assert all(same(cell, output) for cell, output in zip(row[1:], outputs, strict=True))
    assert "out/compare_sheet.png\n" in capsys.readouterr().out and Path("out/compare.csv").exists()


def test_headings_say_what_distinguishes_the_runs(
    runs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[tuple[list[str], list[str], str]] = []
    plain = comparison_sheet.labeled_grid

    def grid(cells: list, columns: list[str] = (), rows: list[str] = (), title: str = "") -> Tensor:  # type: ignore[assignment]
        asked.append(([*columns], [*rows], title))
        return plain(cells, columns, rows, title)

    monkeypatch.setattr(comparison_sheet, "labeled_grid", grid)
    sheet(str(runs / "cycle"), "input=photos")
    sheet(str(runs / "noise"), "sheet=true", "n=1", "samples=2")
    sheet(str(runs / "dcgan"), "sheet=true", "n=3")
    assert asked[0] == (
        ["input", "lambda_identity=0", "lambda_identity=0.5"], ["a.png", "b.png"],
        "cyclegan on shapes_stripes: the images of photos, translated AtoB",
    )  # fmt: skip
    assert asked[1][:2] == (["input", "noise 1", "noise 2", "true output"], ["lambda_ms=0", "lambda_ms=1"])
    assert asked[2] == (
        [], ["held-out data", "loss=hinge", "loss=wgan"], "dcgan on shapes: 3 samples of each run, all of seed 0"
    )  # fmt: skip


def test_a_run_that_failed_is_shown_as_of_its_last_checkpoint(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a heading that says so, and the iterations if they differ."""
    shutil.copytree(runs / "dcgan", "mine")
    state = torch.load("mine/wgan/checkpoints/last.pt", weights_only=True)
    torch.save(state | {"iteration": 1}, "mine/wgan/checkpoints/last.pt")
    Path("mine/wgan/failure.json").write_text('{"status": 3, "error": "it diverged"}')
    headings: list[str] = []
    monkeypatch.setattr(
        comparison_sheet, "labeled_grid", lambda cells, columns, rows, title: headings.extend(rows) or cells[0][0]
    )
    sheet("mine", "sheet=true", "n=2")
    assert headings == ["held-out data", "loss=hinge\niteration 2", "loss=wgan\nfailed\niteration 1"]


def test_the_same_noises_for_each_run(runs: Path) -> None:
    """A row per held-out image and run, a column per noise, the true output at the end."""
    pixels = sheet(str(runs / "noise"), "sheet=true", "n=2", "samples=3", "seed=7")
    found = cells(pixels, 4, 5, ["lambda_ms=0", "lambda_ms=1"])
    paths = [runs / "noise/0", runs / "noise/1"]
    data = TrainedRun(paths[0], device="cpu").data
    inputs, truth = (images.to_uint8(part, (-1, 1)) for part in data.test_batch(0, 2))
    for number, row in enumerate(found):
        image = inputs[number // 2]
        assert same(row[0], image) and same(row[4], truth[number // 2])
        assert all(same(row[1 + k], translated(paths[number % 2], image, 7 + k)) for k in range(3))
    assert not np.array_equal(found[0][1], found[0][2])


def test_samples_of_one_seed(runs: Path) -> None:
    found = cells(sheet(str(runs / "dcgan"), "sheet=true", "n=3", "seed=5"), 3, 3, ["held-out data", "loss=wgan"])
    for row, loss in zip(found[1:], ("hinge", "wgan"), strict=True):
        run = TrainedRun(runs / "dcgan" / loss, device="cpu")
        with run.test_mode(5):
            samples = images.to_uint8(run.generate(3), (-1, 1))
        assert all(same(cell, image) for cell, image in zip(row, samples, strict=True))


def test_points_are_plotted_with_the_axes_of_the_data(runs: Path) -> None:
    found = sheet(str(runs / "ring"), "sheet=true", "n=50")
    batches = [TrainedRun(runs / "ring/hinge", device="cpu").data.test_batch(0, 50)[0]]
    for loss in ("hinge", "wgan"):
        run = TrainedRun(runs / "ring" / loss, device="cpu")
        with run.test_mode(0):
            batches.append(run.generate(50))
    side = comparison_sheet.PLOT
    extent = 1.5 * batches[0].abs().max().item()
    plots = images.plot_points(*batches, size=side, extent=extent).split(side + 2, dim=2)
    for column, plot in enumerate(plots):
        cell = found[-side - 4 : -4, column * (side + 4) :][:, :side]
        assert np.array_equal(cell, plot[0, :, :side, None].expand(-1, -1, 3).numpy())


def test_a_run_that_cannot_be_loaded_is_named(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The others are shown; a link out of a run is not followed."""
    shutil.copytree(runs / "dcgan", "mine")
    shutil.move("mine/wgan/checkpoints/last.pt", "elsewhere.pt")
    assert sheet("mine", "sheet=true", "n=2").shape[0] == HEAD + 2 * STEP - 4  # the data and one run
    assert "not on the sheet: mine/wgan has no checkpoint yet" in capsys.readouterr().out
    assert "no checkpoint yet" in refused(capsys, "compare", "mine/wgan", "sheet=true")
    Path("mine/wgan/checkpoints/last.pt").symlink_to(Path("elsewhere.pt").resolve())
    assert sheet("mine", "sheet=true", "n=2").shape[0] == HEAD + 2 * STEP - 4
    assert "skipped: mine/wgan/checkpoints/last.pt is a link" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["ring", "input=photos"], "does not translate images"),
        (["dcgan", "input=photos"], "does not translate images"),
        (["dcgan", "sheet=true", "direction=AtoB"], "does not translate images"),
        (["cycle", "dcgan", "sheet=true"], "one sheet shows runs of one kind"),
        (["dcgan", "ring", "sheet=true"], "one sheet shows runs of one kind"),
        (["cycle", "input=empty"], "input=empty"),
        (["cycle", "input=missing"], "input=missing: no such folder or file"),
        (["cycle", "input=text"], "input=text"),
        (["cycle", "gray", "sheet=true"], "takes images of 3 channels and"),
        (["noise", "sheet=true", "direction=BtoA"], "direction=BtoA: choose one of AtoB"),
        (["cycle", "sheet=true", "samples=2"], "none of these runs draws noise"),
        (["cycle", "sheet=true", "n=0"], "n=0: ask for at least one"),
        (["noise", "sheet=true", "samples=0"], "samples=0: ask for at least one"),
        (["cycle", "n=3"], "add sheet=true or input=DIR"),
        (["cycle", "sheet=true", "device=gpu"], "device must be auto, cpu or cuda"),
    ],
    ids=str,
)  # fmt: skip
def test_what_is_refused(words: list[str], line: str, runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In one line, before anything is written."""
    Path("empty").mkdir()
    Path("text").mkdir()
    Path("text/a.png").write_text("no image")
    folders = [str(runs / word) if (runs / word).is_dir() else word for word in words]
    assert line in refused(capsys, "compare", *folders, "out=out") and not Path("out").exists()


def test_runs_that_share_no_direction(
    runs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As of two imported runs, each with the weights of one direction."""
    directions = {"0": ("AtoB",), "0.5": ("BtoA",)}
    monkeypatch.setattr(translators, "_trained_directions", lambda run: directions[run.path.name])
    error = refused(capsys, "compare", str(runs / "cycle"), "input=photos")
    assert "the runs share no direction: " in error and "0 has AtoB; " in error and "0.5 has BtoA" in error
