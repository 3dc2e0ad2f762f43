"""A run that is killed and resumed ends with the bits of one that was not interrupted.

GAN_KILLS sets how many times each system is killed, each time at another iteration (default 1).
"""

import json
import os
import random
import signal
import time
from pathlib import Path

import pytest
import torch
from helpers import checkpoint_values, run_gan, start_gan

KILLS = int(os.environ.get("GAN_KILLS", 1))
ITERATIONS = 14
COMMON = [
    f"trainer.iterations={ITERATIONS}",
    "trainer.checkpoint_every=3",
    "trainer.sample_every=1000",
    "trainer.log_every=1",
    "trainer.sample_count=4",
    "trainer.device=cpu",
    "hydra.run.dir=run",
]
SYSTEMS = {
    "dcgan": [
        "model=dcgan",
        "model.latent_dim=8",
        "model.generator.width=4",
        "model.discriminator.width=4",
        "trainer.batch_size=8",
    ],
    "wgan_gp": [
        "model=wgan_gp",
        "model.latent_dim=8",
        "model.generator.width=4",
        "model.discriminator.width=4",
        "trainer.batch_size=8",
    ],
    "infogan": ["model=infogan", "dataset.image_size=8", "trainer.batch_size=4"],
    "msgan": [
        "model=msgan",
        "model.latent_dim=8",
        "model.generator.width=4",
        "model.discriminator.width=4",
        "trainer.batch_size=4",
    ],
    "pix2pix_noise": [
        "model=pix2pix_noise",
        "dataset.image_size=16",
        "model.generator.width=2",
        "model.discriminator.width=2",
        "model.discriminator.n_layers=1",
    ],
    "drit": [
        "model=drit",
        *[f"model.{n}.width=2" for n in ("content", "attribute", "generator", "D_X", "D_Y", "D2_X", "D2_Y")],
        "trainer.ema_decay=0.9",
    ],
    "pix2pixhd": [
        "model=pix2pixhd_features",
        "dataset.image_size=16",
        "model.G1.width=4",
        "model.G2.width=2",
        "model.D.width=2",
        "model.E.width=2",
        "model.global_iterations=5",
        "model.fixed_iterations=4",
        "trainer.batch_size=2",
    ],
    "pix2pix": [
        "model=pix2pix",
        "dataset.image_size=16",
        "model.generator.width=2",
        "model.discriminator.width=2",
        "model.discriminator.n_layers=1",
        "trainer.batch_size=2",
        "trainer.ema_decay=0.9",
    ],
    "cyclegan": [
        "model=cyclegan",
        "dataset.image_size=24",
        "model.G.width=4",
        "model.F.width=4",
        "model.D_X.width=4",
        "model.D_Y.width=4",
        "model.pool_size=3",
        "trainer.batch_size=1",
        "trainer.ema_decay=0.9",
    ],
    "discogan": [
        "model=discogan",
        "dataset.image_size=16",
        *(f"model.{name}.width=4" for name in ("G_AB", "G_BA", "D_A", "D_B")),
        "model.rate.length=7",
        "trainer.batch_size=2",
    ],
    "dualgan": [  # its dropout draws from torch's generator
        "model=dualgan",
        "dataset.image_size=32",
        *(f"model.{name}.width=4" for name in ("G_A", "G_B", "D_A", "D_B")),
        "trainer.batch_size=1",
    ],
}


def wait_for(metrics: Path, iteration: int) -> None:
    """Until the run has logged `iteration`."""
    end = time.monotonic() + 120
    while time.monotonic() < end:
        if metrics.exists() and metrics.read_text().count("\n") >= iteration:
            return
        time.sleep(0.002)
    raise TimeoutError(f"{metrics} never reached iteration {iteration}")


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, torch.Tensor]]:
    states = {}
    for name, settings in SYSTEMS.items():
        folder = tmp_path_factory.mktemp(name)
        code, output = run_gan(["train", *settings, *COMMON], folder)
        assert code == 0, output
        states[name] = checkpoint_values(folder / "run")
    return states


@pytest.mark.parametrize("number", range(KILLS))
@pytest.mark.parametrize("name", SYSTEMS)
def test_killed_and_resumed(
    name: str, number: int, tmp_path: Path, uninterrupted: dict[str, dict[str, torch.Tensor]]
) -> None:
    at = random.Random(f"{name} {number}").randrange(1, ITERATIONS)
    process = start_gan(["train", *SYSTEMS[name], *COMMON], tmp_path)
    wait_for(tmp_path / "run" / "metrics.jsonl", at)
    process.kill()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    code, output = run_gan(["resume", "run"], tmp_path)
    assert code == 0, output
    same(checkpoint_values(tmp_path / "run"), uninterrupted[name])
    lines = [
        json.loads(line)["iteration"]
        for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    ]
    assert lines == list(range(1, ITERATIONS + 1))


def same(resumed: dict[str, torch.Tensor], whole: dict[str, torch.Tensor]) -> None:
    assert resumed.keys() == whole.keys()
    different = [key for key in whole if not torch.equal(resumed[key], whole[key])]
    assert not different


@pytest.mark.parametrize("number, status", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals_save_and_exit(
    number: signal.Signals, status: int, tmp_path: Path, uninterrupted: dict[str, dict[str, torch.Tensor]]
) -> None:
    """The iteration is finished and saved although no checkpoint was due; the rest is as if nothing had happened."""
    process = start_gan(["train", *SYSTEMS["wgan_gp"], *COMMON, "trainer.checkpoint_every=1000"], tmp_path)
    wait_for(tmp_path / "run" / "metrics.jsonl", 2)
    assert process.pid is not None
    os.kill(process.pid, number)
    process.join(120)
    output = (tmp_path / "output.txt").read_text()
    assert process.exitcode == status, output
    assert "gan resume" in output and "Traceback" not in output
    code, output = run_gan(["resume", "run", "trainer.checkpoint_every=3"], tmp_path)
    assert code == 0, output
    same(checkpoint_values(tmp_path / "run"), uninterrupted["wgan_gp"])


def test_lengthened_run_equals_a_long_one(
    tmp_path: Path, uninterrupted: dict[str, dict[str, torch.Tensor]]
) -> None:
    code, output = run_gan(["train", *SYSTEMS["wgan_gp"], *COMMON, "trainer.iterations=5"], tmp_path)
    assert code == 0, output
    code, output = run_gan(["resume", "run"], tmp_path)
    assert code == 2 and "trainer.iterations=N" in output
    code, output = run_gan(["resume", "run", f"trainer.iterations={ITERATIONS}"], tmp_path)
    assert code == 0, output
    same(checkpoint_values(tmp_path / "run"), uninterrupted["wgan_gp"])
    code, output = run_gan(["resume", "run", "trainer.iterations=20", "model.latent_dim=9"], tmp_path)
    assert code == 2 and "keeps its model" in output


def test_second_train_never_overwrites(tmp_path: Path) -> None:
    arguments = ["train", *SYSTEMS["dcgan"], *COMMON, "trainer.iterations=2"]
    assert run_gan(arguments, tmp_path)[0] == 0
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "run").rglob("*")}
    code, output = run_gan(arguments, tmp_path)
    assert code == 2 and "already holds a run" in output
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "run").rglob("*")} == before
