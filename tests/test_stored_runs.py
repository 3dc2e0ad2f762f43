"""Runs made by version 0.1 are resumed, sampled, translated with and evaluated by today's code.

stored_runs/make.py says how the runs were made. With GAN_STORED_BITS=1 all tensors of the resumed checkpoints and all
logged values must be equal to the bit; that holds on the machine and with the torch that expected.json names only.
"""

import json
import os
import shutil
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers import run_gan
from stored_runs.measure import measure

from gan_cli.cli.main import main
from gan_cli.config import migrations

STORED = Path(__file__).parent / "stored_runs"
EXPECTED = json.loads((STORED / "expected.json").read_text())["runs"]
UNSTABLE = {"drit", "dualgan_code", "ebgan_ladder", "infogan", "ladder", "ladder_mnist", "repulsive"}
"""Runs whose losses or gradients amplify the rounding errors of another processor; their weights hardly differ."""
BITS = os.environ.get("GAN_STORED_BITS") == "1"
TINY = [  # of the searches, as typed
    "trainer.iterations=2", "trainer.ema_decay=0.9", "trainer.log_every=1", "trainer.sample_every=2",
    "trainer.checkpoint_every=1", "trainer.evaluate_every=1", "trainer.evaluate_count=8", "trainer.sample_count=2",
    "trainer.device=cpu", "trainer.batch_size=4", "model=sgan", "dataset=ring",
    "model.generator.widths=[4]",
]  # fmt: skip


@pytest.fixture(scope="session")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stored")
    with tarfile.open(STORED / "runs_0_1.tar.xz") as archive:
        archive.extractall(folder, filter="data")
    return folder


@pytest.fixture
def place(unpacked: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with the data that the runs name by relative paths."""
    for name in ("data", "inputs"):
        (tmp_path / name).symlink_to(unpacked / name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GAN_CACHE", str(unpacked / "cache"))
    return tmp_path


@pytest.mark.parametrize("name", EXPECTED)
def test_a_run_goes_on(name: str, unpacked: Path, place: Path, capfd: pytest.CaptureFixture[str]) -> None:
    def gan(words: list[str]) -> tuple[int, str]:
        status = main(words)
        return status, "".join(capfd.readouterr())

    shutil.copytree(unpacked / name, place / name)
    expected = EXPECTED[name]
    inputs = Path(expected["inputs"]) if expected["inputs"] else None
    found = json.loads(json.dumps(measure(Path(name), inputs, gan)))
    if BITS:
        assert found == {key: value for key, value in expected.items() if key != "inputs"}
    assert close(found["networks"], expected["networks"], rtol=3e-3, scale=True)
    assert close(found["logged"], expected["logged"], rtol=3.0 if name in UNSTABLE else 1e-3, atol=1e-5)
    assert close(found["evaluate"], expected["evaluate"], rtol=1e-2)
    for images in {"sample", "translate"} & expected.keys():
        assert close(found[images], expected[images], atol=2.0)  # of 255


def close(found: Any, expected: Any, *, rtol: float = 1e-3, atol: float = 1e-3, scale: bool = False) -> bool:
    """Whether nested lists of numbers agree; None stands for a number that is not finite.

    scale: rows are (count, sum, L2 norm), and a sum, which may be near zero, is compared relative to its norm.
    """
    if isinstance(expected, list):
        if scale and not isinstance(expected[0], list):
            count, total, norm = expected
            return (
                found[0] == count
                and abs(found[1] - total) <= rtol * max(norm, 1.0) * count**0.5
                and close(found[2], norm, rtol=rtol, atol=atol)
            )
        return len(found) == len(expected) and all(
            close(a, b, rtol=rtol, atol=atol, scale=scale) for a, b in zip(found, expected)
        )
    if expected is None or found is None:
        return found is expected
    return bool(np.isclose(found, expected, rtol=rtol, atol=atol))


def iterations(run: Path) -> int:
    return int(torch.load(run / "checkpoints" / "last.pt", weights_only=True)["iteration"])


def modified(run: Path) -> dict[str, int]:
    return {str(file): file.stat().st_mtime_ns for file in run.rglob("*") if file.is_file()}


def test_only_training_brings_a_run_up_to_date_on_disk(unpacked: Path, place: Path) -> None:
    run = place / "sgan"
    shutil.copytree(unpacked / "sgan", run)
    config, facts = (run / "config.yaml").read_text(), json.loads((run / "provenance.json").read_text())
    assert "schema_version" not in facts and "gan_cli.objective.Objective" in config
    before = modified(run)
    assert main(["sample", "sgan", "n=1", "out=sampled"]) == 0 and main(["compare", "sgan", "out=compared"]) == 0
    assert modified(run) == before
    assert main(["resume", "sgan", "trainer.iterations=3"]) == 0
    config, facts = (run / "config.yaml").read_text(), json.loads((run / "provenance.json").read_text())
    assert facts["schema_version"] == migrations.VERSION and "gan_cli.losses.objective.Objective" in config
    assert torch.load(run / "checkpoints" / "last.pt", weights_only=True)["format"] == migrations.VERSION
    assert main(["resume", "sgan", "trainer.iterations=4"]) == 0


def test_a_sweep_goes_on(unpacked: Path, place: Path) -> None:
    """One trial is done and stays as it is, one has half of its iterations, one has not begun."""
    shutil.copytree(unpacked / "sweep", place / "sweep")
    done, half = sorted(path for path in (place / "sweep").iterdir() if path.is_dir())
    before = modified(done)
    assert iterations(done) == 2 and iterations(half) == 1
    status, output = run_gan(["resume", "sweep"], place, fork_trials=True)
    assert status == 0, output
    trials = sorted(path for path in (place / "sweep").iterdir() if path.is_dir())
    assert trials[:2] == [done, half] and len(trials) == 3
    assert modified(done) == before
    assert [iterations(trial) for trial in trials] == [2, 2, 2]
    assert len(json.loads((half / "provenance.json").read_text())["resumes"]) == 1


def continue_search(name: str, words: list[str], unpacked: Path, place: Path) -> str:
    """Type a search again, of which two trials of four are done and one has half of its iterations."""
    shutil.copytree(unpacked / name, place / name)
    before = [modified(place / name / str(number)) for number in (0, 1)]
    assert iterations(place / name / "2") == 1
    words = ["search", *TINY, *words, "metric=modes", "trials=4", f"out={name}"]
    status, output = run_gan(words, place, fork_trials=True)
    assert status == 0, output
    assert [modified(place / name / str(number)) for number in (0, 1)] == before
    assert [iterations(place / name / str(number)) for number in range(4)] == [2, 2, 2, 2]
    assert len(json.loads((place / name / "2" / "provenance.json").read_text())["resumes"]) == 1
    return output


def test_a_search_goes_on(unpacked: Path, place: Path) -> None:
    pytest.importorskip("optuna")
    words = ["model.discriminator.units=4", "network=pacgan_points", "space.optimizer.lr=log(1e-4,1e-2)"]
    assert "4 trials: 4 " in continue_search("search", words, unpacked, place)


def test_a_search_among_renamed_networks_goes_on(
    unpacked: Path, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("optuna")
    assert main(["list", "network"]) == 0
    old = "toy_spectral" in capsys.readouterr().out
    names = "[toy,toy_spectral]" if old else "[mlp_points,mlp_points_sn]"
    words = ["model.discriminator.widths=[4]", f"space.network={names}"]
    assert "4 trials: 4 " in continue_search("search_networks", words, unpacked, place)
