"""Every model trains on its data set, every experiment composes and passes the checks, a run leaves what it should."""

import json
import math
import shutil
from pathlib import Path

import pytest
import torch
from helpers import TINY, config_names
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from gan_cli.cli.main import main
from gan_cli.config.paths import conf_dir

RUN = "hydra.run.dir=run"
SMALL = {  # widths that make a model quick to build; everything else is as it ships
    "dcgan": ["model.generator.width=8", "model.discriminator.width=8"],
    "lsgan": ["model.generator.width=8", "model.discriminator.width=8"],
    "wgan": ["model.generator.width=8", "model.discriminator.width=8", "loss.critic_steps.high=2"],
    "wgan_gp": ["model.generator.width=8", "model.discriminator.width=8"],
    "gmmn_ae": ["model.pretrain=0"],
    "mmd_gan": [f"model.{n}.width=8" for n in ("generator", "discriminator", "decoder")] + ["loss.critic_steps.high=2"],
    "mmd_gan_rq": ["model.generator.width=8", "model.discriminator.width=8"],
    "ebgan": ["model.generator.width=8", "model.discriminator.width=8"],
    "ebgan_pt": ["model.generator.width=8", "model.discriminator.width=8"],
    "began": ["model.generator.width=8", "model.discriminator.width=8"],
    "msgan": ["model.generator.width=8", "model.discriminator.width=8"],
    "pix2pix_noise": ["model.generator.width=8", "model.discriminator.width=8"],
    "drit": [f"model.{n}.width=4" for n in ("content", "attribute", "generator", "D_X", "D_Y", "D2_X", "D2_Y")],
    "pix2pixhd": ["model.G1.width=8", "model.G2.width=4", "model.D.width=4"],
    "pix2pixhd_features": ["model.G1.width=8", "model.G2.width=4", "model.D.width=4", "model.E.width=4"],
    "pix2pixhd_pairs": ["model.G1.width=8", "model.G2.width=4", "model.D.width=4"],
    "pix2pix": ["model.generator.width=4", "model.discriminator.width=4"],
    "cyclegan": ["model.G.width=8", "model.F.width=8", "model.D_X.width=8", "model.D_Y.width=8"],
    "discogan": [f"model.{n}.width=8" for n in ("G_AB", "G_BA", "D_A", "D_B")],
    "recongan": [f"model.{n}.width=8" for n in ("G_AB", "G_BA", "D_B")],
    "one_way_gan": [f"model.{n}.width=8" for n in ("G_AB", "D_B")],
    "dualgan": [f"model.{n}.width=8" for n in ("G_A", "G_B", "D_A", "D_B")],
    "dualgan_code": [f"model.{n}.width=8" for n in ("G_A", "G_B", "D_A", "D_B")],
}


def logged() -> list[dict[str, float]]:
    """The lines of the run's log, which are finite, and in which trained networks have gradients."""
    lines = [json.loads(line) for line in Path("run/metrics.jsonl").read_text().splitlines()]
    assert [line["iteration"] for line in lines] == [1, 2]
    assert all(math.isfinite(value) for line in lines for value in line.values())
    norms = {name for line in lines for name in line if "/grad_norm/" in name}
    assert norms
    for name in norms:
        # LS-GAN's hinge may be flat for fakes of untrained networks: its loss is 0 then.
        flat = all(line.get(f"{name.split('/')[0]}/adversarial") == 0 for line in lines)
        assert flat or any(line.get(name, 0.0) > 0 for line in lines), name
    return lines


@pytest.mark.parametrize("model", config_names("model"))
def test_model_trains_two_iterations(model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["train", f"model={model}", *SMALL.get(model, []), *TINY, RUN]) == 0
    state = torch.load("run/checkpoints/last.pt", weights_only=True)
    assert state["iteration"] == 2
    lines = logged()
    assert any(name.endswith(("adversarial", "reconstruction")) for name in lines[0])
    with Image.open("run/samples/000002.png") as image:
        assert image.getextrema() != (0, 0)


@pytest.mark.parametrize("loss", [name for name in config_names("loss") if name != "ebgan_ladder"])
@pytest.mark.parametrize("dataset", ["ring", "shapes"])
def test_every_loss_on_points_and_images(
    loss: str, dataset: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    network = ["network=mlp_points"] if dataset == "ring" else ["model.discriminator.norm=none", *SMALL["dcgan"]]
    steps = ["loss.critic_steps.high=2"] if loss in ("wgan", "mmd_gan") else []
    assert main(["train", f"dataset={dataset}", f"loss={loss}", *network, *steps, *TINY, RUN]) == 0
    assert {"d/adversarial", "g/adversarial"} <= {name for line in logged() for name in line}


@pytest.mark.parametrize("size", [28, 32, 64])
def test_one_dcgan_for_three_sizes(size: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["train", "model=dcgan", f"dataset.image_size={size}", *SMALL["dcgan"], *TINY, RUN]) == 0
    logged()
    assert main(["sample", "run", "n=1", "out=images"]) == 0
    with Image.open("images/000000.png") as image:
        assert image.size == (size, size)


@pytest.mark.parametrize("experiment", config_names("experiment"))
def test_the_header_of_an_experiment_has_its_command_and_its_results(experiment: str) -> None:
    header = (conf_dir() / "experiment" / f"{experiment}.yaml").read_text().split("defaults:")[0]
    for word in ("# command:", "# expected:", "# ours:"):
        assert word in header


@pytest.mark.parametrize("model", ["dcgan", "wgan_gp", "cyclegan"])
def test_bfloat16(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """At a tiny size, because most CPUs emulate it: weights stay float32, and losses are those of float32, rounded."""
    monkeypatch.chdir(tmp_path)
    small = [s.replace("=8", "=2") for s in SMALL[model]]
    words = ["train", f"model={model}", *small, f"dataset.image_size={24 if model == 'cyclegan' else 8}", *TINY, RUN]
    terms = []
    for precision in ("float32", "bfloat16"):
        code = main([*words, f"trainer.precision={precision}"])
        assert code == 0, capsys.readouterr().err
        terms.append({name: value for name, value in logged()[0].items() if name.count("/") == 1})
        state = torch.load("run/checkpoints/last.pt", weights_only=True)["system"]
        assert all(value.dtype != torch.bfloat16 for value in state.values() if isinstance(value, torch.Tensor))
        shutil.rmtree("run")
    assert terms[1] == pytest.approx(terms[0], rel=0.05, abs=0.05) and terms[1] != terms[0]


def test_run_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    checkpoints = ["trainer.keep_checkpoints=1", "trainer.checkpoint_every=1"]
    assert main(["train", "model=dcgan", *SMALL["dcgan"], *TINY, RUN, *checkpoints]) == 0
    run = Path("run")
    assert sorted(p.name for p in (run / "checkpoints").iterdir()) == ["000002.pt", "last.pt"]
    facts = json.loads((run / "provenance.json").read_text())
    assert facts["command"][1:3] == ["train", "model=dcgan"] or "model=dcgan" in facts["overrides"]
    assert facts["versions"]["torch"] and facts["data"] and facts["device"]["type"] == "cpu"
    board = EventAccumulator(str(run))
    board.Reload()
    tags = board.Tags()
    assert {"d/adversarial", "g/adversarial", "learning_rate/generator", "images_per_second"} <= set(
        tags["scalars"]
    )
    assert tags["images"] == ["samples/generated"]


def test_sample_and_translate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["train", "model=infogan", *TINY, RUN]) == 0
    assert main(["sample", "run", "n=4", "out=images"]) == 0
    assert sorted(p.name for p in Path("images").iterdir()) == [f"{i:06d}.png" for i in range(4)]
    sheets = ["grid.png", "traverse_c1.png", "traverse_c2.png", "traverse_c3.png", "traverse_interpolation.png"]
    assert sorted(p.name for p in Path("images_sheets").iterdir()) == sheets
    first = Path("images_sheets/grid.png").read_bytes()
    assert main(["sample", "run", "n=4", "out=again"]) == 0
    assert Path("again_sheets/grid.png").read_bytes() == first
    assert main(["sample", "run", "n=4", "out=other", "seed=1"]) == 0
    assert Path("other_sheets/grid.png").read_bytes() != first

    assert main(["train", "model=cyclegan", *SMALL["cyclegan"], *TINY, "hydra.run.dir=cycle"]) == 0
    folder = Path("photos")
    folder.mkdir()
    Image.new("RGB", (48, 40), "red").save(folder / "a.jpg")
    Image.new("L", (32, 32), 99).save(folder / "gray.png")
    Image.new("RGB", (35, 32)).save(folder / "odd.png")
    assert main(["translate", "cycle", "input=photos", "output=translated", "direction=BtoA"]) == 0
    assert sorted(p.name for p in Path("translated").iterdir()) == ["a.png", "gray.png", "odd.png"]
    for name, size in (("a", (48, 40)), ("odd", (35, 32))):
        with Image.open(f"translated/{name}.png") as image:
            assert image.size == size


def test_label_asks_for_a_class(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["train", "model=cgan", *TINY, RUN]) == 0
    assert main(["sample", "run", "n=3", "label=1"]) == 0
    assert main(["sample", "run", "n=3", "label=77"]) == 2
    assert "label=77: the labels of this run are 0 to" in capsys.readouterr().err
