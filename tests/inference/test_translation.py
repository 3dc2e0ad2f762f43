"""`gan translate`: images of any size, tiles, several outputs, styles, contact sheets."""

import os
import socket
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers import TINY, TINY_CYCLEGAN
from omegaconf import DictConfig
from PIL import Image
from torch import Tensor, nn
from torch.nn.functional import interpolate
from torch.utils._python_dispatch import TorchDispatchMode

from gan_cli.cli import main
from gan_cli.inference import contact_sheet, tiling, translation, translator
from gan_cli.inference.tiling import PADDED, RESIZED, SizeAdapter, pad_or_resize, ramp, tile_starts
from gan_cli.inference.trained_run import TrainedRun
from gan_cli.networks.sizes import multiple
from gan_cli.systems.cyclegan import CycleGAN
from gan_cli.training import build
from gan_cli.utils.errors import GanError


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CycleGAN `cycle` of 16 pixels (takes multiples of 4) and a pix2pix `pairs` of 32 (draws noise)."""
    folder = tmp_path_factory.mktemp("runs")
    assert main.main(["train", *TINY, *TINY_CYCLEGAN, "dataset.image_size=16", f"hydra.run.dir={folder}/cycle"]) == 0
    pix2pix = ["model=pix2pix", "dataset.size=8", "dataset.image_size=32", "model.generator.width=2"]
    pix2pix += ["model.discriminator.width=2", "model.discriminator.n_layers=1"]
    assert main.main(["train", *TINY, *pix2pix, f"hydra.run.dir={folder}/pairs"]) == 0
    return folder


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("photos").mkdir()
    generator = np.random.default_rng(0)
    for name, size in (("a.jpg", (24, 20)), ("b.png", (17, 19))):
        pixels = generator.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
        Image.fromarray(pixels).save(Path("photos", name))
    return Path("photos")


def pixels(path: str | Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


# -- sizes


class Multiples(nn.Module):
    """Brighter by one; accepts only multiples of 8 pixels. Notes the sizes that it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[int, int]] = []

    def forward(self, x: Tensor) -> Tensor:
        self.seen.append(tuple(x.shape[2:]))
        for size in x.shape[2:]:
            multiple(size, of=8, least=8)
        return x + 1


def test_an_image_is_padded_to_the_next_multiple_and_cropped_back() -> None:
    network, image = Multiples(), torch.rand(1, 3, 13, 16)
    result, adaptation = pad_or_resize(network, image, native_size=32)
    assert adaptation == PADDED and network.seen[-1] == (16, 16)
    assert torch.equal(result, image + 1)
    assert pad_or_resize(network, torch.rand(1, 3, 8, 24), native_size=32)[1] is None and network.seen[-1] == (8, 24)


def test_a_network_that_returns_another_size_gets_the_image_padded() -> None:
    """Some networks do not refuse a size but lose the rows and columns beyond a multiple of 8."""
    image = torch.rand(1, 3, 13, 16)
    result, adaptation = pad_or_resize(lambda x: x[..., : x.shape[2] // 8 * 8, : x.shape[3] // 8 * 8], image, 32)
    assert adaptation == PADDED and torch.equal(result, image)


def test_the_padding_reflects() -> None:
    seen = []

    def call(x: Tensor) -> Tensor:
        if x.shape[-1] % 4:
            raise ValueError("multiples of 4")
        seen.append(x)
        return x

    pad_or_resize(call, torch.arange(4 * 6.0).view(1, 1, 4, 6), native_size=8)
    assert seen[0][0, 0, 0].tolist() == [1.0, 0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 4.0]  # one more on each side


def test_a_network_of_one_size_gets_the_image_resized_and_back() -> None:
    def call(x: Tensor) -> Tensor:
        if x.shape[-2:] != (32, 32):
            raise ValueError("32 pixels alone")
        return x

    image = torch.linspace(0, 1, 100).expand(1, 1, 60, 100)
    result, adaptation = pad_or_resize(call, image, native_size=32)
    assert adaptation == RESIZED.format(32, 32) and result.shape == image.shape
    assert (result - image).abs().max() < 0.02  # a ramp survives both ways
    assert pad_or_resize(call, torch.rand(1, 3, 3, 5), native_size=32)[0].shape == (1, 3, 3, 5)  # too small to reflect


def test_what_the_network_refuses_at_its_own_size_is_said() -> None:
    def call(x: Tensor) -> Tensor:
        raise ValueError("no image will do")

    with pytest.raises(ValueError, match="no image will do"):
        pad_or_resize(call, torch.rand(1, 3, 16, 16), native_size=16)


def test_no_memory_names_tile() -> None:
    def call(x: Tensor) -> Tensor:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 99 bytes")

    with pytest.raises(GanError, match="image of 24x16: tile="):
        pad_or_resize(call, torch.rand(1, 3, 16, 24), native_size=16)


def test_size_is_that_of_the_shorter_side_on_the_way() -> None:
    network = Multiples()
    result, _ = SizeAdapter(native_size=8, resize=16)(network, torch.rand(1, 3, 30, 60))
    assert network.seen == [(16, 32)] and result.shape == (1, 3, 30, 60)


def test_labels_stay_whole_numbers() -> None:
    seen = []

    def call(x: Tensor) -> Tensor:
        seen.append(x)
        return x

    maps = torch.randint(0, 5, (1, 2, 30, 30)).float()
    SizeAdapter(native_size=8, resize=17, labels=True)(call, maps)
    assert seen[0].shape == (1, 2, 17, 17) and torch.equal(seen[0], seen[0].round())


# -- tiles


def test_where_tiles_begin_and_how_they_weigh() -> None:
    assert tile_starts(100, 40, 10) == [0, 30, 60]
    assert tile_starts(101, 40, 10) == [0, 30, 60, 61]
    assert tile_starts(40, 40, 10) == [0] and tile_starts(20, 40, 10) == [0]
    assert torch.allclose(ramp(6, 2), torch.tensor([1 / 3, 2 / 3, 1, 1, 2 / 3, 1 / 3]))
    assert ramp(4, 0).tolist() == [1, 1, 1, 1]


def test_two_tiles_blend_linearly() -> None:
    """Tiles of 6 that overlap by 2 over 10 columns, the first all 0 and the second all 3: 1 and 2 where both are."""
    calls = []

    def call(x: Tensor) -> Tensor:
        calls.append(x.shape)
        return torch.full_like(x, 3.0 * (len(calls) - 1))

    result = SizeAdapter(native_size=8, tile=8, overlap=2)(call, torch.zeros(1, 1, 8, 14))[0]
    assert calls == [(1, 1, 8, 8)] * 2
    torch.testing.assert_close(result[0, 0, 3], torch.tensor([0.0] * 6 + [1.0, 2.0] + [3.0] * 6))


def test_tiled_equals_untiled_in_the_interior_without_instance_normalization() -> None:
    """A network that sees 7 pixels (3 to each side): away from the seams by 3, and where a single tile counts."""
    torch.manual_seed(0)
    network = nn.Sequential(*[nn.Conv2d(3 if i == 0 else 4, 4, 3, padding=1) for i in range(3)]).double()
    image = torch.rand(1, 3, 40, 56, dtype=torch.float64)
    with torch.no_grad():
        at_once = network(image)
        tiled, adaptation = SizeAdapter(native_size=16, tile=24, overlap=8)(network, image)
        assert adaptation and "24x24" in adaptation and tiled.shape == at_once.shape
        inner = (slice(None), slice(None), slice(0, 16), slice(24, 32))  # the tile from 16 to 40 alone
        assert torch.allclose(tiled[inner], at_once[inner], atol=1e-6)
        assert not torch.allclose(tiled, at_once, atol=1e-6)  # at the seams a tile sees its own border
        normed = nn.Sequential(network, nn.InstanceNorm2d(4))
        otherwise = SizeAdapter(native_size=16, tile=24, overlap=8)(normed, image)[0]
        assert not torch.allclose(otherwise[inner], normed(image)[inner], atol=1e-2)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"tile": 4}, "tile=4"),
        ({"resize": 0}, "resize=0"),
        ({"overlap": 3}, "only with tile"),
        ({"tile": 32, "overlap": 17}, "overlap by 0 to 16"),
    ],
)
def test_wrong_fits(options: dict[str, int], words: str) -> None:
    with pytest.raises(GanError, match=words):
        SizeAdapter(native_size=16, **options)


# -- the command


def test_sizes_and_names_are_kept(runs: Path, photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["translate", f"{runs}/cycle", "input=photos", "output=out"]) == 0
    assert {path.name for path in Path("out").iterdir()} == {"a.png", "b.png"}
    assert pixels("out/a.png").shape == (20, 24, 3) and pixels("out/b.png").shape == (19, 17, 3)
    assert "2 of 2 images translated AtoB" in (said := capsys.readouterr().out) and f"1 {PADDED}" in said
    whole_folder = pixels("out/b.png")
    assert main.main(["translate", f"{runs}/cycle", "input=photos/b.png", "output=one", "seed=5"]) == 0  # no noise
    assert np.array_equal(pixels("one/b.png"), whole_folder)


def test_a_model_with_noise_gives_several_outputs(runs: Path, photos: Path) -> None:
    run = f"{runs}/pairs"
    assert main.main(["translate", run, "input=photos", "output=out"]) == 0
    assert len(list(Path("out").iterdir())) == 2 * translator.DEFAULT_OUTPUTS
    assert main.main(["translate", run, "input=photos", "output=two", "n=2", "seed=1"]) == 0
    assert {p.name for p in Path("two").iterdir()} == {"a_0.png", "a_1.png", "b_0.png", "b_1.png"}
    assert not np.array_equal(pixels("out/a_0.png"), pixels("out/a_1.png"))
    assert np.array_equal(pixels("two/a_0.png"), pixels("out/a_1.png"))  # noise i of seed 0 is noise 0 of seed i
    assert main.main(["translate", run, "input=photos/b.png", "output=one", "n=1", "seed=3"]) == 0
    assert np.array_equal(pixels("one/b.png"), pixels("out/b_3.png"))  # whatever else is in the folder


def test_tiles_share_their_noise(runs: Path, photos: Path) -> None:
    """A gray image of four tiles without overlap: each is translated alike."""
    Image.new("RGB", (64, 64), "gray").save("gray.png")
    options = ["input=gray.png", "output=out", "n=1", "tile=32", "overlap=0"]
    assert main.main(["translate", f"{runs}/pairs", *options]) == 0
    found = pixels("out/gray.png")
    assert np.array_equal(found[:32, :32], found[32:, 32:]) and np.array_equal(found[:32, :32], found[:32, 32:])


def test_a_sheet_shows_inputs_beside_outputs(runs: Path, photos: Path) -> None:
    assert main.main(["translate", f"{runs}/pairs", *["input=photos", "output=out", "n=2", "contact_sheet=true"]]) == 0
    assert {p.name for p in Path("out").iterdir()} == {"a_0.png", "a_1.png", "b_0.png", "b_1.png"}
    found = pixels("out_sheets/sheet.png")
    assert found.shape[0] == 16 + 2 * 84 - 4  # headings; cells of 20 x 24, four times as large, and gaps of 4
    left = found.shape[1] - (3 * 100 - 4)
    assert (found[:, :left] < 100).any() and (found[:16, left:] < 100).any()  # names beside, headings above
    for path, row, column in (("photos/a.jpg", 0, 0), ("out/a_0.png", 0, 1), ("out/b_1.png", 1, 2)):
        cell = pixels(path).repeat(4, 0).repeat(4, 1)
        top, side = 16 + row * 84, left + column * 100
        assert np.array_equal(found[top : top + cell.shape[0], side : side + cell.shape[1]], cell)


def test_pages_are_bounded(tmp_path: Path) -> None:
    image = contact_sheet.thumbnail(torch.zeros(1, 700, 1000, dtype=torch.uint8))
    sheets = contact_sheet.ContactSheets(tmp_path, contact_sheet.ROWS_PER_PAGE + 1, ["input", "output"])
    for _ in range(contact_sheet.ROWS_PER_PAGE + 1):
        sheets.add("a", [image] * 2)
    assert len(sheets.rows) == 1 and sheets.save() == 2  # full pages are not kept in memory
    side = pixels(tmp_path / "sheet_2.png").shape[1]
    assert 0 < side - 516 < 20 and pixels(tmp_path / "sheet_2.png").shape == (16 + 179, side, 3)
    assert pixels(tmp_path / "sheet_1.png").shape == (16 + contact_sheet.ROWS_PER_PAGE * 183 - 4, side, 3)


class Dyed(CycleGAN):
    """Takes the mean color of the style."""

    def transfer(self, image: Tensor, style: Tensor, direction: str) -> Tensor:
        assert style.shape[2:] == (16, 16) and direction == "AtoB"
        return style.mean((2, 3), keepdim=True).expand_as(image)


def test_a_style_from_each_image(runs: Path, photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build_system = build.system

    def dyed(cfg: DictConfig) -> CycleGAN:
        system = build_system(cfg)
        system.__class__ = Dyed
        return system

    monkeypatch.setattr(build, "system", dyed)
    Path("styles").mkdir()
    for name in ("red", "blue"):
        Image.new("RGB", (40, 30), name).save(f"styles/{name}.png")
    assert main.main(["translate", f"{runs}/cycle", *["input=photos", "output=out", "style=styles"]]) == 0
    assert {p.name for p in Path("out").iterdir()} == {"a_red.png", "a_blue.png", "b_red.png", "b_blue.png"}
    assert pixels("out/b_blue.png").reshape(-1, 3).tolist() == [[0, 0, 255]] * (17 * 19)
    assert main.main(["translate", f"{runs}/cycle", *["input=photos", "output=one", "style=styles/red.png"]]) == 0
    assert pixels("one/a.png")[0, 0].tolist() == [255, 0, 0]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("input=photos output=photos", "would be overwritten"),
        ("input=photos/a.jpg output=photos", "would be overwritten"),
        ("input=nowhere output=out", "no such folder or file"),
        ("input=photos output=out n=3", "n=3: CycleGAN draws no noise"),
        ("input=photos output=out n=0", "at least one output"),
        ("input=photos output=out style=photos", "does not take its style"),
        ("input=photos output=out direction=AtoC", "choose one of AtoB, BtoA"),
        ("input=photos output=out tile=4", "tile=4"),
    ],
)
def test_what_is_refused(
    options: str, words: str, runs: Path, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.read_bytes() for path in photos.iterdir()}
    assert main.main(["translate", f"{runs}/cycle", *options.split()]) == 2
    assert words in capsys.readouterr().err and not Path("out").exists()
    assert {path: path.read_bytes() for path in photos.iterdir()} == before


def test_a_sheet_overwrites_no_output_and_no_input(
    runs: Path, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (photos / "a.jpg").rename(photos / "sheet.jpg")
    assert main.main(["translate", f"{runs}/cycle", *["input=photos", "output=out", "contact_sheet=true"]]) == 0
    assert pixels("out/sheet.png").shape == (20, 24, 3) and pixels("out_sheets/sheet.png").shape[0] == 180
    photos.rename("out_sheets2"), Path("out_sheets").rename("other")
    Path("out_sheets2").rename("out_sheets")
    assert main.main(["translate", f"{runs}/cycle", *["input=out_sheets", "output=out", "contact_sheet=true"]]) == 2
    assert "the inputs are in out_sheets" in capsys.readouterr().err


# -- what is skipped, what fails


def test_outputs_have_names_of_their_own(runs: Path, photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("a.png", "a.png.jpg", "b.PNG"):
        Image.new("RGB", (16, 16)).save(photos / name)
    assert main.main(["translate", f"{runs}/cycle", "input=photos", "output=out"]) == 0
    names = {"a.jpg.png", "a.png.png", "a.png_1.png", "b.PNG.png", "b.png_1.png"}
    assert {path.name for path in Path("out").iterdir()} == names
    said = capsys.readouterr().out
    assert "5 of 5 images" in said and "5 named otherwise because names would be equal, such as b.png: b.png_1" in said


def test_outputs_of_several_styles_have_names_of_their_own() -> None:
    rows, said = translation._output_names([Path("a"), Path("a_b")], ["_b_c", "_c"])
    assert rows == [["a_b_c.png", "a_c.png"], ["a_b_b_c.png", "a_b_c_1.png"]] and "1 named otherwise" in said
    assert translation._output_names([Path("a.jpg"), Path("b.png")], [""]) == ([["a.png"], ["b.png"]], "")
    rows, _ = translation._output_names([Path("e\u0301.png"), Path("\u00e9.png")], [""])  # one name on a Mac
    assert rows == [["e\u0301.png"], ["\u00e9_1.png"]]


def test_what_is_skipped_is_said_and_nothing_but_files_is_opened(
    runs: Path, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A pipe that nobody writes to would be waited for without end."""
    (photos / "more").mkdir()
    (photos / "c.png").mkdir()
    (photos / "d.psd").touch()
    Image.new("P", (16, 16)).save(photos / "e.gif")
    os.mkfifo(photos / "f.png")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("photos/g.png")
        assert main.main(["translate", f"{runs}/cycle", "input=photos", "output=out"]) == 0
    assert {path.name for path in Path("out").iterdir()} == {"a.png", "b.png", "e.png"}
    said = capsys.readouterr().out
    assert "3 of 3 images" in said
    assert "skipped 1 non-image file (.psd), 2 irregular files, 2 subfolders" in said
    for name in ("input=photos/f.png", "input=photos/g.png"):
        assert main.main(["translate", f"{runs}/cycle", name, "output=out2"]) == 2
        assert "neither a file nor a folder" in capsys.readouterr().err and not Path("out2").exists()


def test_a_failure_is_that_of_one_image(
    runs: Path, photos: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Broken, too large for the memory, an output that is a folder: the others are written, one of a long name too."""
    long = 251 * "n"
    (photos / "broken.png").write_bytes(b"no image")
    for name, width in (("large", 100), ("taken", 16), (long, 16), ("z", 16)):
        Image.new("RGB", (width, 16)).save(photos / f"{name}.png")
    Path("out/taken.png").mkdir(parents=True)
    call = translator.Translator.__call__

    def limited(self: translator.Translator, adapter: SizeAdapter, image: Tensor, *more: object) -> object:
        if image.shape[-1] > 64:
            raise GanError("no memory for an image of 100x16: tile=512 translates it in pieces")
        return call(self, adapter, image, *more)  # type: ignore[arg-type]

    monkeypatch.setattr(translator.Translator, "__call__", limited)
    assert main.main(["translate", f"{runs}/cycle", "input=photos", "output=out"]) == 2
    written = {path.name for path in Path("out").iterdir()}
    assert written == {"a.png", "b.png", "z.png", f"{long}.png", "taken.png"}
    out, err = capsys.readouterr()
    assert "4 of 7 images translated" in out and "3 of 7 images of photos could not be" in err
    for name, reason in (("broken.png", "not an image"), ("large.png", "no memory"), ("taken.png", "cannot write")):
        assert f"not translated: {name}: {reason}" in out
    assert "broken.png: not an image" in err and err.count("\n") == 1


def test_control_characters_in_names_do_not_reach_the_terminal(
    runs: Path, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (photos / "c\x1b[31m.png").write_bytes(b"no image")
    assert main.main(["translate", f"{runs}/cycle", "input=photos", "output=out"]) == 2
    out, err = capsys.readouterr()
    assert "\x1b" not in out + err and "c\\x1b[31m.png" in out and "c\\x1b[31m.png" in err


@pytest.mark.parametrize("key", ["style", "instances"])
def test_a_broken_image_option_is_named(
    key: str, runs: Path, photos: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(translator.Translator, "takes_style", True)
    Path("odd").mkdir()
    Path("odd/a.png").write_bytes(b"no image")
    words = [f"{key}=odd"]
    if key == "instances":
        (photos / "b.png").unlink()
        Image.new("L", (16, 16)).save(photos / "a.png")
        (photos / "a.jpg").unlink()
        monkeypatch.setattr(translator, "Pix2PixHDLabels", CycleGAN)  # whose models translate label maps
        monkeypatch.setattr(CycleGAN, "label_nc", 5, raising=False)
    assert main.main(["translate", f"{runs}/cycle", "input=photos", "output=out", *words]) == 2
    assert "odd/a.png: not an image" in capsys.readouterr().err


# -- memory


@pytest.mark.parametrize("options", [{"tile": 32}, {"resize": 16}], ids=str)
def test_tiles_and_resizing_bound_the_memory(
    options: dict[str, int], runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The largest tensors of a translation are the input and the output, one byte per value; a float image of the whole
    would take four.
    """
    monkeypatch.setattr(tiling, "STRIP", 32, raising=False)
    sizes: list[int] = []

    class Recorded(TorchDispatchMode):
        def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            result = function(*args, **(kwargs or {}))
            if isinstance(result, Tensor):
                sizes.append(result.untyped_storage().nbytes())
            return result

    image = torch.randint(0, 256, (3, 400, 300), dtype=torch.uint8)
    run = TrainedRun(runs / "cycle", device="cpu")
    direction = translator.Translator(run, None)
    with run.test_mode(0), Recorded():
        output, _ = direction(SizeAdapter(16, **options), image, seed=0)
    assert output.shape == image.shape and output.dtype == torch.uint8
    assert max(sizes) == image.numel()  # a strip of floats, 32 x 300, has less
    assert sizes.count(image.numel()) < 12 * 60  # views of the two images


@pytest.mark.parametrize("labels", [False, True])
def test_resizing_in_strips_gives_the_bits_of_the_whole_image(labels: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiling, "STRIP", 7, raising=False)
    for before, after in (((61, 47), (16, 12)), ((16, 12), (61, 47)), ((30, 90), (45, 20)), ((33, 32), (33, 64))):
        image = torch.randint(0, 9, (1, 3, *before), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
        floats = image.float() / 8
        if labels:
            expected = interpolate(floats, after, mode="nearest-exact")
        else:
            expected = interpolate(floats, after, mode="bicubic", antialias=True).clamp(floats.min(), floats.max())
        resized = tiling.resize_image(image, after, labels, lambda x: x.float() / 8, lambda x: x * 2)
        assert torch.equal(resized, expected * 2), (before, after)


def test_tiles_in_strips_give_the_bits_of_the_whole_mean(runs: Path) -> None:
    """The mean over the whole image, as it was computed before: total and weights of the size of the image."""
    generator = torch.Generator().manual_seed(0)
    weight = torch.rand(3, 3, 3, 3, generator=generator)
    network = partial(torch.nn.functional.conv2d, weight=weight, padding=1)
    for height, width, tile, overlap in ((61, 47, 16, 5), (30, 90, 32, 8), (33, 32, 32, 16), (90, 10, 16, 0)):
        image = torch.rand(1, 3, height, width, generator=generator)
        total, weights = torch.zeros(1, 3, height, width), torch.zeros(1, 1, height, width)
        for top in tile_starts(height, tile, overlap):
            for left in tile_starts(width, tile, overlap):
                window = (..., slice(top, top + tile), slice(left, left + tile))
                result = network(image[window])
                blend = ramp(result.shape[2], overlap)[:, None] * ramp(result.shape[3], overlap)
                total[window] += blend * result
                weights[window] += blend
        assert torch.equal(SizeAdapter(8, tile=tile, overlap=overlap)(network, image)[0], total / weights)


def test_label_maps_with_their_instances(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two things of one class that touch: only the instance map tells them apart, by a boundary."""
    monkeypatch.chdir(tmp_path)
    small = ["model=pix2pixhd", "dataset.size=8", "model.G1.width=8", "model.G2.width=4", "model.D.width=4"]
    assert main.main(["train", *TINY, *small, "hydra.run.dir=run"]) == 0
    for name in ("labels", "instances"):
        Path(name).mkdir()
    ids = np.zeros((32, 32), np.uint8)
    ids[8:24, 4:28] = 1
    Image.fromarray(ids).save("labels/a.png")
    ids[8:24, 16:28] = 2
    Image.fromarray(ids).save("instances/a.png")
    for words in ([], ["instances=instances"]):
        assert main.main(["translate", "run", "input=labels", f"output=out{len(words)}", *words]) == 0
    one, two = (np.asarray(Image.open(f"out{i}/a.png")) for i in (0, 1))
    assert one.shape == two.shape == (32, 32, 3) and not np.array_equal(one, two)
    Path("labels/a.png").rename("labels/e\u0301.png")
    Path("instances/a.png").rename("instances/\u00e9.png")  # the same letter in one character
    assert main.main(["translate", "run", "input=labels", "output=out2", "instances=instances"]) == 0
    Path("instances/\u00e9.png").rename("instances/b.png")
    for words, message in ((["instances=instances"], "no file named"), (["window=[0,1]"], "takes label maps")):
        assert main.main(["translate", "run", "input=labels", "output=out2", *words]) == 2
        assert message in capsys.readouterr().err


def test_a_window_of_deep_images(
    runs: Path, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """12 bits in files of 16 are all but black without one, which is said; floats beyond 1 are refused without one."""
    for path in photos.iterdir():
        path.unlink()
    deep = np.linspace(0, 4095, 256).reshape(16, 16)
    Image.fromarray(deep.astype(np.uint16)).save(photos / "deep.png")
    assert main.main(["translate", f"{runs}/cycle", "input=photos", "output=black"]) == 0
    said = "; 1 of more than 8 bits and all but black, which window=[LOW,HIGH] can change"
    assert said in capsys.readouterr().out
    assert main.main(["translate", f"{runs}/cycle", "input=photos", "output=out", "window=[0,4095]"]) == 0
    assert "all but black" not in capsys.readouterr().out
    Image.fromarray((deep / 4095 * 255).round().astype(np.uint8)).save(photos / "deep.png")
    assert main.main(["translate", f"{runs}/cycle", "input=photos", "output=eight"]) == 0
    assert Path("out/deep.png").read_bytes() == Path("eight/deep.png").read_bytes()
    Image.fromarray(deep.astype(np.float32)).save(photos / "deep.tif")
    (photos / "deep.png").unlink()
    capsys.readouterr()
    assert main.main(["translate", f"{runs}/cycle", "input=photos", "output=float"]) == 2
    assert "white 1: window=[LOW,HIGH] sets these for all images\n" in capsys.readouterr().err
    assert main.main(["translate", f"{runs}/cycle", "input=photos", "output=float", "window=[5,1]"]) == 2
    assert "two numbers that increase are needed" in capsys.readouterr().err
