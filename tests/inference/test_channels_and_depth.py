"""Runs on images of several channels and of 16 bits: what comes out has the size, depth and values of the data."""

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from helpers import TINY, refused
from PIL import Image

import gan_cli
from gan_cli.cli import main
from gan_cli.inference.pixel_format import PixelFormat
from gan_cli.inference.trained_run import TrainedRun
from gan_cli.inference.translator import Translator
from gan_cli.inference.web_demo import Page
from gan_cli.systems.cyclegan import CycleGAN
from gan_cli.utils.errors import GanError

SIZE = ["dataset.image_size=16", "dataset.load_size=16"]
PIX2PIX = [
    "model=pix2pix", "dataset=paired_folder", "dataset.source_channels=1", "model.generator.width=2",
    "model.discriminator.width=2", "model.discriminator.n_layers=1",
]  # fmt: skip
CYCLEGAN = [
    "model=cyclegan", "dataset=unpaired_folder", "model.G.blocks=1", "model.F.blocks=1", "model.D_X.n_layers=1",
    "model.D_Y.n_layers=1", *(f"model.{network}.width=2" for network in ("G", "F", "D_X", "D_Y")),
]  # fmt: skip
GRAY = np.linspace(0, 1, 16 * 16).reshape(16, 16)
COLOR = np.stack([GRAY, GRAY[::-1], GRAY.T])
FIVE = np.stack([GRAY, GRAY**2, 1 - GRAY, GRAY / 2, GRAY.T])
TWELVE_BITS = (100 + 3900 * GRAY).round().astype(np.uint16)  # from 100 to 4000


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GAN_CACHE", str(tmp_path / "cache"))


def write(path: Path, pixels: np.ndarray) -> None:
    """An image (H, W) or (C, H, W) in the type of the array, or of numbers from 0 to 1 in 8 bits."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".tif":
        tifffile.imwrite(path, pixels, photometric="minisblack", planarconfig="separate" if pixels.ndim > 2 else None)
    else:
        eight = pixels if pixels.dtype == np.uint16 else (255 * pixels).round().astype(np.uint8)
        Image.fromarray(eight if eight.ndim == 2 else eight.transpose(1, 2, 0)).save(path)


def train(tmp_path: Path, a: dict[str, np.ndarray], b: dict[str, np.ndarray], *words: str) -> Path:
    """A run of two iterations on two copies of each image of A and B, which also are the held-out ones."""
    for side, images in (("A", a), ("B", b)):
        for name, pixels in images.items():
            for number in (1, 2):
                write(tmp_path / "data" / f"train{side}" / name.format(number), pixels)
    run = tmp_path / "run"
    assert main.main(["train", *TINY, *words, *SIZE, f"dataset.root={tmp_path}/data", f"hydra.run.dir={run}"]) == 0
    return run


def translate(run: Path, source: Path, *words: str) -> list[Path]:
    """The files that `gan translate` writes."""
    output = run.parent / f"out{len(list(run.parent.iterdir()))}"
    assert main.main(["translate", str(run), f"input={source}", f"output={output}", *words]) == 0
    return sorted(output.iterdir())


def opened(file: Path) -> tuple[str, tuple[int, int], np.ndarray]:
    """Mode, width and height, and pixels of an image file."""
    with Image.open(file) as image:
        return image.mode, image.size, np.asarray(image)


def test_one_channel_becomes_three_and_three_become_one(tmp_path: Path) -> None:
    run = train(tmp_path, {"{}.png": GRAY}, {"{}.png": COLOR}, *CYCLEGAN, "dataset.source_channels=1")
    there = translate(run, tmp_path / "data/trainA", "contact_sheet=true")
    assert [opened(file)[:2] for file in there] == [("RGB", (16, 16))] * 2
    back = translate(run, tmp_path / "data/trainB", "direction=BtoA")
    assert [opened(file)[:2] for file in back] == [("L", (16, 16))] * 2
    loaded = gan_cli.load(run)
    assert loaded.translate(Image.new("RGB", (24, 16))).mode == "RGB"
    assert loaded.translate(Image.new("RGB", (24, 16)), "BtoA").mode == "L"
    assert main.main(["export", str(run), "network=F", "format=safetensors"]) == 0
    (read,) = json.loads((run / "export/F/F.safetensors.json").read_text())["inputs"]
    assert read["shape"][1] == 3 and read["what"] == "image"


def test_pairs_of_one_and_five_channels_in_16_bits(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    five = (FIVE * 65535).round().astype(np.uint16)
    run = train(tmp_path, {"{}.png": GRAY}, {"{}.tif": five}, *PIX2PIX, "dataset.channels=5", "dataset.depth=16")
    file, *_ = translate(run, tmp_path / "data/trainA", "n=1", "contact_sheet=true")
    pixels = tifffile.imread(file)
    assert (file.name, pixels.shape, pixels.dtype) == ("1.tif", (5, 16, 16), np.uint16)
    assert pixels.max() > 255  # of the whole range of 16 bits
    assert "sheets of samples show the first 3 of 5 channels" in capsys.readouterr().out
    assert opened(next((run / "samples").iterdir()))[0] == "RGB"
    loaded = gan_cli.load(run)
    with pytest.raises(GanError, match="no PIL image has 5 channels"):
        loaded.translate(Image.new("L", (16, 16)))
    with pytest.raises(GanError, match="a web page cannot show images of 5 channels"):
        Page(loaded)


def test_files_per_channel_become_color_and_back(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    files = {f"{{}}_b{number}.png": band for number, band in enumerate(FIVE, 1)}
    run = train(tmp_path, files, {"{}.png": COLOR}, *CYCLEGAN, "dataset.source_channels=5")
    names = [file.name for file in translate(run, tmp_path / "data/trainA")]
    assert names == ["1.png", "2.png"]
    back = translate(run, tmp_path / "data/trainB", "direction=BtoA")
    assert [tifffile.imread(file).shape for file in back] == [(5, 16, 16)] * 2
    refusal = refused(capsys, "translate", str(run), f"input={tmp_path}/data/trainB", f"output={tmp_path}/x")
    assert "1.png: 3 channels, where 5 are expected" in refusal
    (tmp_path / "data/trainA/1_b3.png").unlink()
    refusal = refused(capsys, "translate", str(run), f"input={tmp_path}/data/trainA", f"output={tmp_path}/x")
    assert "1_b*.png: 5 channels are expected" in refusal and "there are _b1, _b2, _b4, _b5" in refusal


def test_transparency_is_kept_with_four_channels(tmp_path: Path) -> None:
    rgba = np.concatenate([COLOR, GRAY[None]])
    run = train(tmp_path, {"{}.png": rgba}, {"{}.png": rgba[::-1]}, *CYCLEGAN, "dataset.channels=4")
    mode, size, pixels = opened(translate(run, tmp_path / "data/trainA")[0])
    assert (mode, size) == ("RGBA", (16, 16)) and len(np.unique(pixels[..., 3])) > 10


def test_16_bits_go_through_the_window_and_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An identity in place of the network returns every value of 12 bits; a network's values lie in the window."""
    options = ["dataset.channels=1", "dataset.depth=16", "dataset.window=[100,4000]"]
    run = train(tmp_path, {"{}.png": TWELVE_BITS}, {"{}.png": TWELVE_BITS}, *CYCLEGAN, *options)
    mode, size, pixels = opened(translate(run, tmp_path / "data/trainA")[0])
    assert (mode, size) == ("I;16", (16, 16)) and pixels.min() >= 100 and 255 < pixels.max() <= 4000
    monkeypatch.setattr(CycleGAN, "translate", lambda self, image, direction: image)
    every = np.arange(100, 4001, dtype=np.uint16)[:3900].reshape(60, 65)
    write(tmp_path / "every/a.png", every)
    for words in ((), ("tile=32",)):
        assert np.array_equal(opened(translate(run, tmp_path / "every", *words)[0])[2], every)
    assert opened(translate(run, tmp_path / "every", "depth=8")[0])[0] == "L"
    floats = tifffile.imread(translate(run, tmp_path / "every", "depth=32")[0])
    assert floats.dtype == np.float32 and np.abs(floats - every).max() <= 3900 / 65535


def test_a_ramp_of_all_16_bits_comes_back_within_one(tmp_path: Path) -> None:
    run = train(tmp_path, {"{}.png": GRAY}, {"{}.png": GRAY}, *CYCLEGAN, "dataset.channels=1", "dataset.depth=16")
    translator = Translator(TrainedRun(run), "AtoB", depth=None)
    ramp = np.arange(2**16, dtype=np.uint16).reshape(256, 256)
    write(tmp_path / "ramp.png", ramp)
    values = translator.scale(translator.read(tmp_path / "ramp.png")[None])
    assert (float(values.min()), float(values.max())) == (-1, 1) and len(values.unique()) == 2**16
    translator.format.save(tmp_path / "again.png", translator.format.quantize(values, (-1, 1))[0])
    assert np.abs(opened(tmp_path / "again.png")[2].astype(int) - ramp).max() <= 1


def test_floats_between_two_windows(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    """The source has a window of its own, which counts for images of its kind in both directions."""
    windows = ["dataset.window=[-1,1]", "dataset.source_window=[0,4095]"]
    sides = {"{}.png": TWELVE_BITS}, {"{}.tif": (2 * GRAY - 1).astype(np.float32)}
    run = train(tmp_path, *sides, *CYCLEGAN, "dataset.channels=1", "dataset.depth=16", *windows)
    there = tifffile.imread(translate(run, tmp_path / "data/trainA")[0])
    assert there.dtype == np.float32 and there.min() < -0.05 and np.abs(there).max() <= 1
    mode, _, back = opened(translate(run, tmp_path / "data/trainB", "direction=BtoA")[0])
    assert mode == "I;16" and 255 < back.max() <= 4095
    words = ["translate", str(run), f"input={tmp_path}/data/trainA", f"output={tmp_path}/x"]
    assert "window [-1.0, 1.0] exceeds 0 .. 65535" in refused(capsys, *words, "depth=16")
    assert "choose 8, 16 or 32" in refused(capsys, *words, "depth=12")


@pytest.mark.parametrize(
    ("model", "named"), [("cyclegan", "the identity term |G(y) - y|"), ("drit", "equally many channels")]
)
def test_models_that_compare_both_sides_refuse(
    tmp_path: Path, capsys: pytest.CaptureFixture, model: str, named: str
) -> None:
    for side, pixels in (("A", GRAY), ("B", COLOR)):
        write(tmp_path / f"data/train{side}/1.png", pixels)
    words = [f"model={model}", "dataset=unpaired_folder", "dataset.source_channels=1", f"dataset.root={tmp_path}/data"]
    words += ["model.lambda_identity=0.5", *CYCLEGAN[2:]] if model == "cyclegan" else ["dataset.image_size=32"]
    refusal = refused(capsys, "train", *TINY, *words, *(SIZE if model == "cyclegan" else []))
    assert named in refusal and "dataset.source_channels=1, dataset.channels=3" in refusal
    assert len(refusal.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("channels", "depth", "window", "suffix"),
    [(3, 8, None, ".png"), (4, 8, None, ".png"), (2, 8, None, ".png"), (2, 16, None, ".tif"),
     (3, 16, (0, 4095), ".png"), (4, 16, (0, 4095), ".tif"), (1, 32, (0, 1), ".tif"), (7, 16, None, ".tif")],
)  # fmt: skip
def test_the_kind_of_file(channels: int, depth: int, window: tuple[float, float] | None, suffix: str) -> None:
    assert PixelFormat(channels, depth, window).suffix == suffix


@pytest.mark.parametrize(("channels", "suffix"), [(1, ".png"), (5, ".tif")])
def test_samples_have_the_depth_and_channels_of_the_data(tmp_path: Path, channels: int, suffix: str) -> None:
    for number in range(4):
        write(tmp_path / f"data/{number}.tif", (FIVE[0] if channels == 1 else FIVE).astype(np.float32))
    words = ["dataset=image_folder", f"dataset.root={tmp_path}/data", f"dataset.channels={channels}", *SIZE[:1]]
    words += ["dataset.depth=16", "network=mlp", "model.generator.widths=[4]", "model.discriminator.units=2"]
    assert main.main(["train", *TINY, *words, f"hydra.run.dir={tmp_path}/run"]) == 0
    assert main.main(["sample", f"{tmp_path}/run", "n=2", f"out={tmp_path}/samples"]) == 0
    first, second = sorted((tmp_path / "samples").iterdir())
    assert (first.name, second.name) == (f"000000{suffix}", f"000001{suffix}")
    pixels = opened(first)[2] if channels == 1 else tifffile.imread(first)
    assert pixels.dtype == np.uint16 and pixels.shape == ((16, 16) if channels == 1 else (5, 16, 16))
    assert len(np.unique(pixels & 255)) > 50  # the lower byte is not constant
    assert main.main(["sample", f"{tmp_path}/run", "n=2", f"out={tmp_path}/eight", "depth=8"]) == 0
    first = tmp_path / f"eight/000000{suffix}"
    assert (opened(first)[2] if channels == 1 else tifffile.imread(first)).dtype == np.uint8


@pytest.mark.parametrize("depth", [8, 16])
def test_the_folder_is_read_in_the_depth_that_is_asked_for(tmp_path: Path, depth: int) -> None:
    from gan_cli.data.folders import ImageFolder

    for number in range(4):
        write(tmp_path / f"{number}.png", TWELVE_BITS)
    data = ImageFolder(str(tmp_path), 16, channels=1, window=(100, 4000), depth=depth)
    image = data.train_batch(0, 0, 1).image
    assert image.dtype is torch.float32 and (float(image.min()), float(image.max())) == (-1, 1)
    assert len(image.unique()) == (256 if depth == 16 else len(np.unique((GRAY * 255).round())))
    again = ImageFolder(str(tmp_path), 16, channels=1, window=(100, 4000), depth=depth)
    assert torch.equal(again.train_batch(0, 0, 1).image, image)  # now from the cache
    assert data.fingerprint().endswith("-16bits") == (depth == 16)
