"""What stops a run leaves it resumable: signals, a time limit, broken data, a full disk, exhausted memory."""

import errno
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import ROOT, TINY_RING, checkpoint_values, run_gan, start_gan, wait_until

from gan_cli.cli.main import main
from gan_cli.data.gaussians import Ring
from gan_cli.training import checkpoint, trainer
from gan_cli.training.prefetch import Prefetcher
from gan_cli.utils import files
from gan_cli.utils.errors import GanError

MODEL = ["model.generator.widths=[8]", "model.discriminator.widths=[8]"]
RUN = ["train", *TINY_RING, *MODEL, "hydra.run.dir=run", "trainer.log_every=1"]

def same(run: Path, other: Path) -> bool:
    """Whether the last checkpoints of two runs are equal to the bit."""
    one, two = checkpoint_values(run), checkpoint_values(other)
    return one.keys() == two.keys() and all(torch.equal(value, two[name]) for name, value in one.items())


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
    assert same(tmp_path / "run", whole)


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
    assert same(tmp_path / "run", finished(tmp_path, [*words, f"trainer.iterations={done + 3}"]))


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


# -- errors in the middle


def broken_at(monkeypatch: pytest.MonkeyPatch, position: int | None, error: Exception) -> None:
    """Let the batch at one position of the ring fail."""
    plain = Ring.train_batch

    def train_batch(self: Ring, seed: int, start: int, count: int) -> Any:
        if start == position:
            raise error
        return plain(self, seed, start, count)

    monkeypatch.setattr(Ring, "train_batch", train_batch)


MISSING = FileNotFoundError(errno.ENOENT, "No such file or directory", "points/17.txt")


@pytest.mark.parametrize("prefetch", ["true", "false"])
@pytest.mark.parametrize("error, words", [
    (MISSING, "dataset: cannot read points/17.txt: No such file or directory"),
    (ValueError("17.png is no image"), "dataset: 17.png is no image"),
    (GanError("dataset: 17.png has changed"), "dataset: 17.png has changed"),
])  # fmt: skip
def test_broken_data_save_the_last_whole_iteration(
    prefetch: str, error: Exception, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """The third batch of the fourth iteration fails, before its first critic step is done."""
    monkeypatch.chdir(tmp_path)
    line = [*RUN, "model=wgan_gp", "loss.critic_steps=3", "trainer.iterations=6", "trainer.checkpoint_every=999"]
    line += [f"trainer.prefetch={prefetch}"]
    with monkeypatch.context() as patch:
        patch.setattr(Prefetcher.__init__, "__defaults__", (False, 0.0))
        broken_at(patch, 8 * (3 * 3 + 2), error)
        assert main(line) == 2
    message = capsys.readouterr().err.splitlines()[-1]
    assert words in message and "the state after iteration 3 is saved: `gan resume" in message
    assert main(["resume", "run"]) == 0
    assert main([*line, "hydra.run.dir=whole"]) == 0
    assert same(tmp_path / "run", tmp_path / "whole")


def test_an_error_of_an_evaluation_saves_and_it_is_made_up_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """best.pt of the resumed run is that of the uninterrupted one, as the evaluation is not skipped."""
    monkeypatch.chdir(tmp_path)
    line = [*RUN, "metric=[modes]", "trainer.iterations=4", "trainer.evaluate_every=2", "trainer.evaluate_count=50"]
    line += ["trainer.checkpoint_every=999"]

    def fail(*arguments: object) -> None:
        raise RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory")

    with monkeypatch.context() as patch:
        patch.setattr("gan_cli.metrics.validation.Validator.score", fail)
        assert main(line) == 2
    message = capsys.readouterr().err.splitlines()[-1]
    assert "no memory for" in message and "the state after iteration 2 is saved" in message
    assert main(["resume", "run"]) == 0
    assert main([*line, "hydra.run.dir=whole"]) == 0
    assert same(tmp_path / "run", tmp_path / "whole")
    best = [torch.load(Path(run, "checkpoints/best.pt"), weights_only=True) for run in ("run", "whole")]
    assert best[0]["iteration"] == best[1]["iteration"] and best[0]["best"] == best[1]["best"]


def test_an_iteration_that_has_changed_weights_is_not_saved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The second turn of the third iteration fails: the checkpoint of the second one is kept and named."""
    monkeypatch.chdir(tmp_path)
    plain, steps = trainer.Trainer._step, []

    def step(self: trainer.Trainer, turn: Any, batch: Any) -> Any:
        steps.append(turn.name)
        if len(steps) == 6:
            raise MemoryError
        return plain(self, turn, batch)

    line = [*RUN, "trainer.iterations=4", "trainer.checkpoint_every=1"]
    with monkeypatch.context() as patch:
        patch.setattr(trainer.Trainer, "_step", step)
        assert main(line) == 2
    assert "the state after iteration 2 is saved" in capsys.readouterr().err.splitlines()[-1]
    assert main(["resume", "run"]) == 0 and main([*line, "hydra.run.dir=whole"]) == 0
    assert same(tmp_path / "run", tmp_path / "whole")


# -- a full disk


def full_at(monkeypatch: pytest.MonkeyPatch, number: int) -> list[str]:
    """Let write `number` fail, counted from 1. Returns the files in the order of their writes."""
    writes: list[str] = []

    def failing(plain: Any) -> Any:
        def write(path: Path, *arguments: Any, **options: Any) -> Any:
            writes.append(path.name)
            if len(writes) == number:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
            return plain(path, *arguments, **options)

        return write

    for place in ("utils.files", "utils.images", "training.checkpoint", "training.run_dir"):
        monkeypatch.setattr(f"gan_cli.{place}.replacing", failing(files.replacing))
    monkeypatch.setattr("gan_cli.training.logger.append_json", failing(files.append_json))
    return writes


def test_a_full_disk_at_every_write_in_turn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line, which promises a checkpoint if and only if there is one; then the run goes on to the bit."""
    monkeypatch.chdir(tmp_path)
    line = [*RUN, "trainer.iterations=3", "trainer.checkpoint_every=1", "trainer.sample_every=1"]
    assert main([*line, "hydra.run.dir=whole"]) == 0
    for number in range(1, 40):
        with monkeypatch.context() as patch:
            writes = full_at(patch, number)
            status = main([*line, f"hydra.run.dir=run{number}"])
        error, run = capsys.readouterr().err, Path(f"run{number}")
        if not status:
            assert number > 12 and len(writes) < number  # every write has failed once
            return
        assert status == 2 and "Traceback" not in error and len(error.splitlines()) == 1, error
        saved = (run / "checkpoints/last.pt").exists()
        assert not ("is saved" in error and not saved) and "No space left on device" in error
        again = ["resume", str(run)] if (run / "provenance.json").exists() else [*line, f"hydra.run.dir={run}"]
        finished_already = saved and checkpoint.iteration(run / "checkpoints/last.pt") == 3
        assert main(again) in ((0, 2) if finished_already else (0,)), error
        capsys.readouterr()
        assert same(run, Path("whole"))


def test_a_full_disk_for_tensorboard_is_no_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its writer's thread fails; the error is raised in the next call, once, and the state is saved."""
    monkeypatch.chdir(tmp_path)

    def full(self: object, data: bytes) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    before = threading.excepthook
    with monkeypatch.context() as patch:
        patch.setattr("tensorboard.summary.writer.record_writer.RecordWriter.write", full)
        assert main([*RUN, "trainer.iterations=3"]) == 2
    error = capsys.readouterr().err
    assert "Traceback" not in error and error.count("No space left on device") == 1 == len(error.splitlines())
    assert threading.excepthook is before
    assert main(["resume", "run"]) == 0
    assert json.loads((tmp_path / "run/metrics.jsonl").read_text().splitlines()[-1])["iteration"] == 3


# -- another length


def test_a_longer_run_says_that_its_rate_rises(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    line = [*RUN, "trainer.iterations=6", "trainer/schedule=linear", "optimizer.lr=2e-4", "trainer.schedule.begin=0"]
    assert main(line) == 0
    capsys.readouterr()
    assert main(["resume", "run", "trainer.iterations=60"]) == 0
    out = capsys.readouterr().out
    assert "note: trainer.iterations=60 instead of 6 changes the learning rate" in out
    assert "generator 3.33e-05 -> 0.00018" in out  # 2e-4 (6 - 5) / 6 in the last iteration; 2e-4 (60 - 6) / 60 now
    assert main(["resume", "run", "trainer.iterations=61", "trainer/schedule=constant"]) == 2
    assert main(["resume", "run", "trainer.iterations=61", "trainer.log_every=2"]) == 0
