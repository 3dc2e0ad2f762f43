"""`gan export`: what the files give, what they are open to, and what is said about them."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from helpers import TINY, TINY_CYCLEGAN
from torch import Tensor, nn

from gan_cli.cli import main
from gan_cli.inference import export_formats
from gan_cli.inference.trace import RecordedCall, TensorsOnly, reference_output, without_noise
from gan_cli.inference.trained_run import TrainedRun
from gan_cli.networks.noise import NoiseDropout
from gan_cli.utils.random import normal


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    assert main.main(["train", *TINY, *TINY_CYCLEGAN, "dataset.image_size=8", f"hydra.run.dir={folder}/cycle"]) == 0
    points = ["network=mlp_points", "dataset=ring", "model.generator.widths=[8]", "model.discriminator.widths=[8]"]
    assert main.main(["train", *TINY, *points, f"hydra.run.dir={folder}/points"]) == 0
    return folder


def export(run: Path, *words: str) -> dict:
    assert main.main(["export", str(run), *words]) == 0
    name = next((word.partition("=")[2] for word in words if word.startswith("network=")), None)
    kind = next((word.partition("=")[2] for word in words if word.startswith("format=")), "onnx")
    folders = [run / "export" / name] if name else sorted((run / "export").iterdir())
    return json.loads((folders[0] / f"{folders[0].name}.{export_formats.SUFFIXES[kind]}.json").read_text())


def test_onnx_of_a_translator(runs: Path) -> None:
    """The file against the run's own F, at a batch and a size that the export never saw."""
    pytest.importorskip("onnxscript")
    runtime = pytest.importorskip("onnxruntime")
    sheet = export(runs / "cycle", "format=onnx", "network=F")
    assert sheet["direction"] == "BtoA" and sheet["largest_difference_from_the_run"] <= 1e-4
    (image,) = sheet["inputs"]
    assert image["shape"] == ["batch", 3, "height", "width"] and image["range"] == [-1, 1]
    assert "multiples of 4, 8 or more" in image["resize"]
    session = runtime.InferenceSession(runs / "cycle/export/F/F.onnx")
    x = torch.rand(3, 3, 20, 32) * 2 - 1
    found = torch.from_numpy(session.run(None, {image["name"]: x.numpy()})[0])
    run = TrainedRun(runs / "cycle", device="cpu")
    with run.test_mode(0) as system:
        expected = system.translate(x, "BtoA")  # type: ignore[operator]
        assert torch.allclose(found, expected, atol=1e-4)
        assert not torch.allclose(found, system.translate(x, "AtoB"), atol=1e-4)  # type: ignore[operator]


def test_program_of_a_generator(runs: Path) -> None:
    sheet = export(runs / "points", "format=torch")
    assert sheet["largest_difference_from_the_run"] == 0 and sheet["network"] == "generator"
    (z,) = sheet["inputs"]
    assert z["what"] == "noise" and z["shape"][0] == "batch" and "latent_dim" in z["distribution"]
    player = torch.export.load(runs / "points/export/generator/generator.pt2").module()
    run = TrainedRun(runs / "points", device="cpu")
    with run.test_mode(3) as system:
        expected = system.generate(5)  # type: ignore[operator]
    with run.test_mode(3), torch.no_grad():
        assert torch.equal(player(normal(5, z["shape"][1])), expected)


def test_a_program_accepts_every_size_that_it_claims(runs: Path) -> None:
    """Traced with a view of a larger image, the program refused that image's width, 16."""
    (image,) = export(runs / "cycle", "format=torch", "network=G")["inputs"]
    assert "multiples of 4, 8 or more" in image["resize"]
    program = torch.export.load(runs / "cycle/export/G/G.pt2").module()
    for height, width in [(n, 8) for n in range(8, 69, 4)] + [(8, n) for n in range(8, 69, 4)] + [(16, 16), (128, 8)]:
        assert program(torch.zeros(1, 3, height, width)).shape == (1, 3, height, width)


class Excludes(nn.Module):
    """Accepts all multiples of 4 but one, as a traced program may."""

    def forward(self, x: Tensor) -> Tensor:
        assert x.shape[-1] != 24
        return x


def test_a_size_that_a_program_refuses_is_not_claimed(
    runs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert export_formats.accepts_all(nn.Identity(), {"x": torch.zeros(2, 3, 16, 16)}, 16, 4)
    assert not export_formats.accepts_all(Excludes(), {"x": torch.zeros(2, 3, 16, 16)}, 16, 4)
    monkeypatch.setattr(export_formats, "accepts_all", lambda *arguments: arguments[-1] is None)
    (image,) = export(runs / "cycle", "format=torch", "network=G")["inputs"]
    assert image["shape"] == ["batch", 3, 8, 8] and "multiples" not in capsys.readouterr().out


def test_two_exports_into_one_folder_keep_both_descriptions(runs: Path, tmp_path: Path) -> None:
    for words in (["format=torch", "network=G"], ["format=torch", "network=F"]):
        assert main.main(["export", str(runs / "cycle"), *words, f"out={tmp_path}"]) == 0
    for name in ("G", "F"):
        assert json.loads((tmp_path / f"{name}.pt2.json").read_text())["network"] == name


def test_a_link_in_a_run_is_not_written_through(runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    home = tmp_path / "home"
    home.mkdir()
    shutil.copytree(runs / "points", run := tmp_path / "run", ignore=shutil.ignore_patterns("export"))
    for link, verb in (("export", "export"), ("generated", "sample")):
        (run / link).symlink_to(home)
        words = ["format=torch"] if verb == "export" else ["n=2"]
        assert main.main([verb, str(run), *words]) == 2
        assert "name the folder to write to by out=" in capsys.readouterr().err and not list(home.iterdir())
        assert main.main([verb, str(run), *words, f"out={tmp_path}/out/{link}"]) == 0
        (run / link).unlink()


def test_weights(runs: Path) -> None:
    library = pytest.importorskip("safetensors.torch")
    sheet = export(runs / "cycle", "format=safetensors", "network=G", "weights=raw")
    assert sheet["weights"] == "raw" and len(sheet["config_sha256"]) == 64
    found = library.load_file(runs / "cycle/export/G/G.safetensors")
    own = TrainedRun(runs / "cycle", device="cpu", weights="raw").system.G.state_dict()  # type: ignore[union-attr, operator]
    assert found.keys() == own.keys() and all(torch.equal(found[key], own[key]) for key in own)


class Changed(nn.Module):
    """Gives something else than what was exported."""

    def forward(self, x: Tensor) -> Tensor:
        return x + 1e-3


def test_a_file_that_differs_is_not_written(
    runs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(export_formats, "_written", lambda program, module, runtime: (b"", Changed()))
    assert main.main(["export", str(runs / "cycle"), "format=torch", f"out={tmp_path}/out"]) == 2
    assert "differs from the run by up to" in capsys.readouterr().err
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("kind", ["torch", "onnx", "safetensors"])
def test_a_full_disk_is_one_line_and_leaves_nothing(runs: Path, tmp_path: Path, kind: str) -> None:
    """torch's own writer of programs ends the process with a message of C++."""
    for library in export_formats.LIBRARIES[kind]:
        pytest.importorskip(library)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(tmp_path)], check=False)
    if not os.path.ismount(tmp_path):
        pytest.skip("this test mounts a file system, which it may not do here")
    try:
        (tmp_path / "stuff").write_bytes(bytes(2**20))
        words = [sys.executable, "-m", "gan_cli", "export", str(runs / "points"), f"format={kind}", f"out={tmp_path}"]
        done = subprocess.run(words, capture_output=True, text=True)
        assert [path.name for path in tmp_path.iterdir()] == ["stuff"]
    finally:
        subprocess.run(["umount", "--lazy", str(tmp_path)], check=True)
    (line,) = done.stderr.splitlines()
    assert done.returncode == 2 and "No space left on device; free space" in line
    assert f"{tmp_path}/generator." in line and "cannot export" not in line


class Fixed(nn.Module):
    """Accepts only 8 pixels."""

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[-1] != 8:
            raise ValueError("8 pixels alone")
        return 2 * x


def test_which_image_sizes_a_network_accepts() -> None:
    x = torch.rand(2, 3, 8, 8)
    for network, step in ((Fixed(), None), (nn.Conv2d(3, 3, 3, padding=1), 1), (nn.PixelUnshuffle(2), None)):
        call = RecordedCall({"x" if step is None and isinstance(network, Fixed) else "input": x}, {}, x)
        assert export_formats.image_multiple(TensorsOnly(network, call), call, native_size=8) == step
    down_and_up = nn.Sequential(nn.Conv2d(3, 3, 4, 4), nn.Upsample(scale_factor=4))
    call = RecordedCall({"input": x}, {}, x)
    assert export_formats.image_multiple(TensorsOnly(down_and_up, call), call, native_size=8) == 4


def test_dropout_that_stays_on_is_switched_off_and_named() -> None:
    network = nn.Sequential(nn.Conv2d(3, 3, 1), nn.Sequential(NoiseDropout(0.5)))
    x = torch.rand(2, 3, 8, 8)
    call = RecordedCall({"input": x}, {}, network(x))
    quiet, names = without_noise(network)
    assert names == ["1.0"] and isinstance(network[1][0], NoiseDropout)  # the run's own stays as it is
    reference = reference_output(TensorsOnly(quiet, call), call, True, "G")
    assert torch.equal(reference, network[0](x)) and not torch.equal(reference, call.output)


class Noisy(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x + torch.randn_like(x)


def test_other_noise_inside_is_refused() -> None:
    x = torch.rand(2, 3)
    with pytest.raises(Exception, match="G draws random numbers inside its forward pass"):
        reference_output(TensorsOnly(Noisy(), RecordedCall({"x": x}, {}, x)), RecordedCall({"x": x}, {}, x), False, "G")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("format=tflite", "choose one of onnx, torch, safetensors"),
        ("format=torch network=H", "network=H: CycleGAN has G, F, D_X, D_Y"),
        ("format=torch network=D_X", "network=D_X is not used"),
        ("format=torch direction=a2b", "choose one of AtoB, BtoA"),
    ],
)
def test_what_is_refused(options: str, words: str, runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["export", str(runs / "cycle"), *options.split()]) == 2
    assert words in capsys.readouterr().err


def test_a_missing_extra_is_named(
    runs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(export_formats.LIBRARIES, "onnx", ("no_such_library",))
    assert main.main(["export", str(runs / "points"), "format=onnx"]) == 2
    assert "format=onnx needs no_such_library: pip install 'gan-cli[export]'" in capsys.readouterr().err
