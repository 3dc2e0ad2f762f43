"""Signals and time limits stop runs and sweeps, which then go on to the bit."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from helpers import ROOT, TINY_RING, run_gan, same_checkpoints, start_gan, wait_until

from gan_cli.cli.main import main
from gan_cli.data.gaussians import Ring
from gan_cli.training import checkpoint, trainer

MODEL = ["model.generator.widths=[8]", "model.discriminator.widths=[8]"]
RUN = ["train", *TINY_RING, *MODEL, "hydra.run.dir=run", "trainer.log_every=1"]


def finished(tmp_path: Path, words: list[str]) -> Path:
    """The run of the same words without an interruption."""
    (tmp_path / "whole").mkdir()
    assert run_gan(words, tmp_path / "whole")[0] == 0
    return tmp_path / "whole" / "run"


# -- signals


@pytest.mark.parametrize("name", ["SIGUSR1", "SIGUSR2", "SIGHUP", "SIGXCPU"])
def test_a_signal_of_a_batch_system_saves(name: str, tmp_path: Path) -> None:
    number = signal.Signals[name]
    words = [*RUN, "trainer.iterations=300", "trainer.checkpoint_every=9999"]
    process = start_gan([*words, "trainer.iterations=900000"], tmp_path)
    metrics = tmp_path / "run/metrics.jsonl"
    wait_until(lambda: metrics.exists() and metrics.read_text().count("\n") > 20)
    assert process.pid is not None
    os.kill(process.pid, number)
    if name != "SIGUSR1":
        os.kill(process.pid, number)  # twice, as a shell and the system do when a terminal closes
    process.join(60)
    output = (tmp_path / "output.txt").read_text()
    assert process.exitcode == 128 + number and f"stopped by {name} after iteration" in output
    done = checkpoint.iteration(tmp_path / "run/checkpoints/last.pt")
    assert done >= 20 and "gan resume" in output
    status, output = run_gan(["resume", "run", f"trainer.iterations={done + 5}"], tmp_path)
    assert status == 0, output
    whole = finished(tmp_path, [*words, f"trainer.iterations={done + 5}"])
    assert same_checkpoints(tmp_path / "run", whole)


def test_a_signal_that_nohup_ignores_stays_ignored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    plain, sent = trainer.Trainer.iterate, []

    def iterate(self: trainer.Trainer) -> Any:
        sent.append(os.kill(os.getpid(), signal.SIGHUP))
        return plain(self)

    monkeypatch.setattr(trainer.Trainer, "iterate", iterate)
    try:
        assert main([*RUN, "trainer.iterations=3"]) == 0 and len(sent) == 3
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_signal_before_the_loop_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The run has begun; it can be resumed from its start."""
    monkeypatch.chdir(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(Ring, "to", lambda self, device: os.kill(os.getpid(), signal.SIGUSR1))
        assert main([*RUN, "trainer.iterations=2"]) == 128 + signal.SIGUSR1
    assert capsys.readouterr().err.splitlines()[-1] == "gan: terminated by SIGUSR1"
    assert main(["resume", "run"]) == 0


# -- trainer.max_time


def test_a_run_stops_before_its_time_limit_and_goes_on_to_the_bit(tmp_path: Path) -> None:
    words = [*RUN, "trainer.checkpoint_every=99999999"]
    status, output = run_gan([*words, "trainer.iterations=900000", "trainer.max_time=6"], tmp_path)
    assert status == 143 and "stopped before trainer.max_time=6 after iteration" in output and "gan resume" in output
    done = checkpoint.iteration(tmp_path / "run/checkpoints/last.pt")
    status, output = run_gan(
        ["resume", "run", f"trainer.iterations={done + 3}", "trainer.max_time=null"], tmp_path
    )
    assert status == 0, output
    assert same_checkpoints(tmp_path / "run", finished(tmp_path, [*words, f"trainer.iterations={done + 3}"]))


@pytest.mark.parametrize("text", ["2 hours", "0", "-5", "true", "[1]"])
def test_a_wrong_time_limit(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([*RUN, f"trainer.max_time='{text}'" if " " in text else f"trainer.max_time={text}"]) == 2
    assert "trainer.max_time" in capsys.readouterr().err and not any(tmp_path.iterdir())


# -- sweeps

SWEEP = ["train", "-m", *TINY_RING, *MODEL, "seed=0,1", "hydra.sweep.dir=s", "sweep.workers=2", "trainer.log_every=1",
         "trainer.checkpoint_every=99999999"]  # fmt: skip


def saved(sweep: Path) -> list[int]:
    """The iterations of a sweep's trials, each of which has to be saved."""
    return [checkpoint.iteration(run / "checkpoints/last.pt") for run in sorted(sweep.glob("*-seed_*"))]


def test_a_signal_to_all_processes_of_a_sweep_saves_each_trial(tmp_path: Path) -> None:
    """As a batch system sends it: to the sweep, to the process that starts the trials, and to the trials."""
    with open(tmp_path / "output.txt", "w") as output:
        gan = subprocess.Popen(
            [sys.executable, "-m", "gan_cli", *SWEEP, "trainer.iterations=900000"], cwd=tmp_path, stdout=output,
            stderr=output, start_new_session=True, env={**os.environ, "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
    logs = [tmp_path / f"s/{number}-seed_{number}/metrics.jsonl" for number in (0, 1)]
    wait_until(lambda: all(log.exists() and log.read_text().count("\n") > 5 for log in logs))
    os.killpg(gan.pid, signal.SIGUSR1)
    assert gan.wait(60) == 128 + signal.SIGUSR1
    assert "`gan resume s` continues it" in (tmp_path / "output.txt").read_text()
    done = saved(tmp_path / "s")
    assert len(done) == 2 and min(done) >= 5 and not list((tmp_path / "s").glob("*/failure.json"))


def test_a_time_limit_stops_the_sweep(tmp_path: Path) -> None:
    status, output = run_gan([*SWEEP, "trainer.iterations=900000", "trainer.max_time=8"], tmp_path, fork_trials=True)
    assert status == 143 and "`gan resume s` continues it" in output
    assert min(saved(tmp_path / "s")) > 0 and not list((tmp_path / "s").glob("*/failure.json"))
    done = saved(tmp_path / "s")
    status, output = run_gan(["resume", "s"], tmp_path, fork_trials=True)
    assert status == 143 and all(now > before for now, before in zip(saved(tmp_path / "s"), done, strict=True)), output
