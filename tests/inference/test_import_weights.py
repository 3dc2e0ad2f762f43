"""`gan import`: state dicts under the names of the original code come in with their function; others are refused."""

import json
import re
import signal
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import CONTEXT
from killing import gan_killed_at
from PIL import Image
from torch import Tensor, nn

from gan_cli.cli import main
from gan_cli.inference.trace import without_noise
from gan_cli.inference.trained_run import TrainedRun
from gan_cli.networks.noise import NoiseDropout
from gan_cli.networks.resnet import ResNetGenerator
from gan_cli.networks.unet import UNet
from gan_cli.training import checkpoint

State = dict[str, Tensor]
Change = Callable[[State], object]


def resnet_names(state: State) -> State:
    """networks.resnet.Translator -> ResnetGenerator of the original code."""
    renamed = {}
    for key, value in state.items():
        head, number, *rest = key.split(".")
        assert head == "layers"
        if rest[0] == "layers":
            rest[0] = "conv_block"
        renamed[".".join(["model", number, *rest])] = value
    return renamed


def unet_names(state: State, depth: int) -> State:
    """networks.unet.UNet -> UnetGenerator of the original code, written out level by level."""
    levels = ["model.model"]
    for i in range(1, depth):
        levels.append(levels[-1] + (".1.model" if i == 1 else ".3.model"))
    pairs = {"down.0.0": f"{levels[0]}.0", f"up.{depth - 1}.1": f"{levels[0]}.3"}
    for i in range(1, depth):
        inner = i == depth - 1
        pairs[f"down.{i}.1"] = f"{levels[i]}.1"
        pairs[f"down.{i}.2"] = f"{levels[i]}.2"
        pairs[f"up.{depth - 1 - i}.1"] = f"{levels[i]}.{3 if inner else 5}"
        pairs[f"up.{depth - 1 - i}.2"] = f"{levels[i]}.{4 if inner else 6}"
    return {f"{pairs[key.rpartition('.')[0]]}.{key.rpartition('.')[2]}": value for key, value in state.items()}


def randomised(network: nn.Module) -> nn.Module:
    """Weights and biases that all differ, so that a mix-up of two layers shows."""
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_(0.1, 0.3)
    return network.eval()


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    return tmp_path


def test_both_translators_of_cyclegan(here: Path) -> None:
    x = torch.rand(1, 3, 16, 24)
    networks = {name: randomised(ResNetGenerator(16, 3, width=4, blocks=2)) for name in "GF"}
    for name, network in networks.items():
        torch.save(resnet_names(network.state_dict()), f"latest_net_G_{name}.pth")
    assert main.main(["import", "G=latest_net_G_G.pth", "F=latest_net_G_F.pth", "size=24", "out=run"]) == 0
    run = TrainedRun(Path("run"), device="cpu")
    assert run.iteration == 0
    with run.test_mode(0) as system:
        for name, direction in (("G", "AtoB"), ("F", "BtoA")):
            assert torch.allclose(system.translate(x, direction), networks[name](x), atol=1e-6)
    facts = json.loads(Path("run/provenance.json").read_text())["imported"]
    assert facts["directions"] == ["AtoB", "BtoA"] and facts["files"]["F"]["file"] == "latest_net_G_F.pth"
    assert re.fullmatch(r"[0-9a-f]{64}", facts["files"]["G"]["sha256"])


def test_older_files(here: Path) -> None:
    """nn.DataParallel's prefix, statistics of instance normalization (before torch 0.4), dropout in the blocks."""
    network = randomised(ResNetGenerator(16, 3, width=4, blocks=1))
    old = {}
    for key, value in resnet_names(network.state_dict()).items():
        old["module." + key.replace("conv_block.5.", "conv_block.6.")] = value
    for key in ("model.2", "model.10.conv_block.2"):
        old |= {f"module.{key}.running_mean": torch.ones(4), f"module.{key}.running_var": torch.ones(4)}
        old[f"module.{key}.num_batches_tracked"] = torch.tensor(3)
    torch.save(old, "old.pth")
    assert main.main(["import", "old.pth", "size=24", "out=run"]) == 0
    x = torch.rand(1, 3, 16, 16)
    with TrainedRun(Path("run"), device="cpu").test_mode(0) as system:
        assert torch.allclose(system.translate(x, "AtoB"), network(x), atol=1e-6)


@pytest.mark.parametrize("size", [32, 128])
def test_pix2pix(here: Path, size: int) -> None:
    """With the original's dropout layers, the same noise too; the stronger test without noise."""
    network = randomised(UNet(size, 3, width=2, noise=(1, 2, 3)))
    torch.save(unet_names(network.state_dict(), size.bit_length() - 1), "latest_net_G.pth")
    assert main.main(["import", "latest_net_G.pth", "model=pix2pix", "out=run"]) == 0
    run = TrainedRun(Path("run"), device="cpu")
    assert run.cfg.dataset.image_size == size and run.cfg.model.generator.width == 2
    x = torch.rand(2, 3, size, size)
    with torch.no_grad():
        for quiet in (False, True):
            torch.manual_seed(1)
            own = (without_noise(network)[0] if quiet else network)(x)
            torch.manual_seed(1)
            imported = (without_noise(run.system.generator)[0] if quiet else run.system.generator.eval())(x)
            assert torch.allclose(own, imported, atol=1e-6)
    noisy = [i for i, layer in enumerate(network.up) if any(isinstance(part, NoiseDropout) for part in layer)]
    assert noisy == {32: [], 128: [1, 2]}[size]  # 8 width channels after the innermost: num_downs - 5 blocks


def test_the_names_of_a_unet_by_hand() -> None:
    """Of the original code for 32 pixels: outermost, three levels within, innermost."""
    names = unet_names(UNet(32, 3, width=2).state_dict(), 5)
    level = "model.model.1.model.3.model"
    outer = {"model.model.0.weight", "model.model.3.bias", "model.model.1.model.2.weight"}
    assert outer | {f"{level}.5.weight"} <= set(names)
    inner = f"{level}.3.model.3.model"
    assert [key for key in names if key.startswith(f"{inner}.")] == [
        f"{inner}.1.weight", f"{inner}.3.weight", f"{inner}.4.weight", f"{inner}.4.bias",
    ]  # fmt: skip
    assert names["model.model.3.weight"].shape == (4, 3, 4, 4) and names[f"{inner}.3.weight"].shape == (16, 16, 4, 4)


def test_one_direction_translates_and_the_other_is_refused(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save(resnet_names(ResNetGenerator(16, 3, width=4, blocks=1).state_dict()), "horse2zebra.pth")
    assert main.main(["import", "horse2zebra.pth", "size=24"]) == 0
    run = "outputs/imported/horse2zebra"
    assert "G imported (AtoB), random weights in F, D_X, D_Y" in capsys.readouterr().out
    Path("photos").mkdir()
    Image.fromarray(np.full((17, 22, 3), 90, dtype=np.uint8)).save("photos/a.png")
    assert main.main(["translate", run, "input=photos", "output=out"]) == 0
    with Image.open("out/a.png") as image:
        assert image.size == (22, 17)
    assert main.main(["translate", run, "input=photos", "output=back", "direction=BtoA"]) == 2
    assert "direction=BtoA: choose one of AtoB" in capsys.readouterr().err
    state = checkpoint.load(Path(run, "checkpoints/last.pt"))
    assert state["iteration"] == 0 and {"optimizers", "processes", "position"} <= state.keys()


def test_an_imported_run_trains_on(here: Path) -> None:
    torch.save(resnet_names(ResNetGenerator(16, 3, width=2, blocks=1).state_dict()), "a.pth")
    assert main.main(["import", "G=a.pth", "F=a.pth", "size=24", "out=run"]) == 0
    for name in ("trainA", "trainB", "testA", "testB"):
        Path("data", name).mkdir(parents=True)
        for number in range(2):
            Image.new("RGB", (30, 30), ("red", "blue")[number]).save(f"data/{name}/{number}.png")
    before = torch.load("run/checkpoints/last.pt", weights_only=True)["system"]
    words = "dataset.root=data trainer.iterations=1 trainer.device=cpu trainer.sample_count=2"
    assert main.main(["resume", "run", *words.split()]) == 0
    assert TrainedRun(Path("run"), device="cpu").iteration == 1
    after = torch.load("run/checkpoints/last.pt", weights_only=True)["system"]
    for network in ("G", "F"):  # one step of Adam from the imported weights
        names = [name for name in before if name.startswith(f"{network}.") and name.endswith("weight")]
        assert 0 < max((after[name] - before[name]).abs().max().item() for name in names) <= 1.01 * 2e-4


def wide(state: State) -> State:
    return {**state, "model.4.weight": torch.zeros(9, 4, 3, 3)}


def without(state: State) -> State:
    return {key: value for key, value in state.items() if key != "model.7.bias"}


def batch_norm(state: State) -> State:
    return {**state, "model.2.weight": torch.ones(4), "model.2.bias": torch.ones(4)}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (wide, r"layers\.4\.weight is \(9, 4, 3, 3\), but \(8, 4, 3, 3\)"),
        (without, r"no weights for layers\.7\.bias \(16,\)"),
        (batch_norm, r"layers\.2\.weight \(4,\) is not a weight"),
        (lambda state: {"fc.weight": torch.ones(2, 2)}, r"no model\.1\.weight, but fc\.weight"),
        (lambda state: {"state": state}, "no state dict of one network"),
        (lambda state: {}, "no state dict of one network"),
    ],
)
def test_the_first_mismatch_is_named(here: Path, change, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save(change(resnet_names(ResNetGenerator(16, 3, width=4, blocks=1).state_dict())), "a.pth")
    assert main.main(["import", "a.pth", "size=24", "out=run"]) == 2
    assert re.search(words, capsys.readouterr().err) and not Path("run").exists()


class Bomb:
    def __reduce__(self) -> tuple:
        return (Path.touch, (Path("exploded"),))


def test_a_pickle_runs_no_code(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save({"model.1.weight": Bomb()}, "a.pth")
    assert main.main(["import", "a.pth"]) == 2
    assert "cannot be read as a state dict" in capsys.readouterr().err and not Path("exploded").exists()


def shaped(*shape: int) -> Change:
    return lambda state: {**state, "model.1.weight": torch.zeros(shape)}


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize(
    ("change", "words"),
    [
        (shaped(), "not the weights of a convolution"),
        (shaped(4), "not the weights of a convolution"),
        (shaped(0, 3, 7, 7), "not the weights of a convolution"),
        (shaped(60_000, 1, 1, 1), "this network"),  # wide enough to fill any memory
        (lambda state: {**state, "model.1.weight": torch.zeros(1).expand(64, 3, 7, 7)}, "state dict"),
        (lambda state: {**state, 7: torch.zeros(1)}, "no state dict of one network"),
        (lambda state: {**state, "module.model.1.weight": torch.zeros(4, 3, 7, 7)}, "has some weights twice"),
        (lambda state: {**state, "model.1.bias": torch.zeros(4, dtype=torch.complex64)}, "state dict"),
        (lambda state: {**state, "model.1.bias": torch.eye(4).to_sparse()}, "state dict"),
        (lambda state: {**state, "model.1.bias": "text"}, "no state dict of one network"),
        (lambda state: [state], "no state dict of one network"),
        (lambda state: torch.zeros(3), "no state dict of one network"),
    ],
)
def test_hostile_weights_are_answered_with_one_line(
    here: Path, change: Change, words: str, zipped: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    state = change(resnet_names(ResNetGenerator(16, 3, width=4, blocks=1).state_dict()))
    torch.save(state, "a.pth", _use_new_zipfile_serialization=zipped)
    assert main.main(["import", "a.pth", "size=24", "out=run"]) == 2
    error = capsys.readouterr().err
    assert words in error and error.count("\n") == 1 and not Path("run").exists()


@pytest.mark.parametrize("model", ["cyclegan", "pix2pix"])
@pytest.mark.parametrize("level", [2, 3, 30, 3000])
def test_a_unet_of_any_depth(here: Path, level: int, model: str, capsys: pytest.CaptureFixture[str]) -> None:
    names = ["model.model.0.weight", "model.model.1" + ".model.3" * level + ".weight"]
    torch.save({name: torch.zeros(2, 3, 4, 4) for name in names}, "a.pth")
    assert main.main(["import", "a.pth", f"model={model}", "out=run"]) == 2
    assert capsys.readouterr().err.count("\n") == 1 and not Path("run").exists()


def test_a_compressed_archive_is_not_unpacked(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save(resnet_names(ResNetGenerator(16, 3, width=4, blocks=1).state_dict()), "a.pth")
    with zipfile.ZipFile("a.pth") as old, zipfile.ZipFile("b.pth", "w", zipfile.ZIP_DEFLATED) as new:
        for record in old.infolist():
            new.writestr(record.filename, old.read(record))
    assert main.main(["import", "b.pth", "size=24", "out=run"]) == 2
    assert "compressed records" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("", "needs a .pth file"),
        ("nowhere.pth", "nowhere.pth: no such file"),
        ("a.pth model=stargan", "choose one of cyclegan, pix2pix"),
        ("a.pth G=a.pth", "both give the weights of A -> B"),
        ("a.pth F=a.pth model=pix2pix", "pix2pix has one translator"),
        ("a.pth b.pth", "one file before the options"),
        ("a.pth size=17", "nearest: 16 and 20"),
        ("a.pth model=pix2pix", "is not a UnetGenerator"),
    ],
)
def test_what_is_refused(line: str, words: str, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save(resnet_names(ResNetGenerator(16, 3, width=4, blocks=1).state_dict()), "a.pth")
    assert main.main(["import", *line.split()]) == 2
    assert words in capsys.readouterr().err and not Path("outputs").exists()
    assert main.main(["import", "a.pth", "size=24", "out=run"]) == 0
    assert main.main(["import", "a.pth", "size=24", "out=run"]) == 2
    assert "already holds a run" in capsys.readouterr().err


def import_killed_at(folder: Path, number: int = 0) -> int | None:
    """The status of an import into `run`, which is killed at its write of this number."""
    process = CONTEXT.Process(target=gan_killed_at, args=(["import", "a.pth", "size=24", "out=run"], folder, number))
    process.start()
    process.join(100)
    return process.exitcode


def test_a_kill_at_any_write_loses_nothing(here: Path) -> None:
    """It leaves a whole run, or none, into whose place the same command imports: every fourth write is tried."""
    torch.save(resnet_names(ResNetGenerator(16, 3, width=2, blocks=1).state_dict()), "a.pth")
    assert import_killed_at(here) == 0
    writes, files = int(Path("writes.txt").read_text()), {path.name for path in Path("run").rglob("*")}
    assert {"last.pt", "provenance.json", "config.yaml"} <= files
    whole = 0
    for number in (*range(2, writes - 1, 4), writes - 1, writes):
        if Path("run").exists():
            Path("run").rename(f"run before {number}")
        assert import_killed_at(here, number) == -signal.SIGKILL
        if Path("run").exists():
            whole += 1
            assert {path.name for path in Path("run").rglob("*")} == files, f"write {number} left half a run"
        elif number in (2, writes - 1):  # at the beginning, and before the run is renamed, which is the last write
            assert import_killed_at(here) == 0, f"after write {number}:\n{Path('output.txt').read_text()}"
            assert {path.name for path in Path("run").rglob("*")} == files
            assert not list(here.glob(".import-*"))
    assert whole == 1  # killed after the rename
    assert TrainedRun(Path("run"), device="cpu").iteration == 0


@pytest.mark.parametrize("name", ["{a}", "*", "[a-z]", "n" * 250])
def test_any_name_of_a_folder(name: str, here: Path) -> None:
    """A name with signs of a pattern is one folder's: what another import is writing beside it stays."""
    torch.save(resnet_names(ResNetGenerator(16, 3, width=2, blocks=1).state_dict()), "a.pth")
    others = [here / f".{place}.0123.part" for place in ("x", "b", name[:200])]
    for other in others:
        other.mkdir()
    assert main.main(["import", "a.pth", "size=24", f"out={name}"]) == 0
    assert (here / name / "checkpoints/last.pt").exists() and all(other.exists() for other in others)


def test_a_folder_that_is_not_empty_is_refused(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save(resnet_names(ResNetGenerator(16, 3, width=2, blocks=1).state_dict()), "a.pth")
    Path("run").mkdir()
    assert main.main(["import", "a.pth", "size=24", "out=run"]) == 0  # an empty folder is no hindrance
    assert main.main(["import", "a.pth", "size=24", "out=."]) == 2
    assert ". is not empty: name a new folder, such as out=run" in capsys.readouterr().err
