"""What stops a run leaves it resumable: broken data, a full disk, exhausted memory."""

import errno
import json
import os
import threading
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import CONTEXT, TINY_RING, limited_main, same_checkpoints

from gan_cli.cli.main import main
from gan_cli.data.gaussians import Ring
from gan_cli.training import checkpoint, trainer
from gan_cli.training.prefetch import Prefetcher
from gan_cli.utils import files
from gan_cli.utils.errors import GanError

MODEL = ["model.generator.widths=[8]", "model.discriminator.widths=[8]"]
RUN = ["train", *TINY_RING, *MODEL, "hydra.run.dir=run", "trainer.log_every=1"]

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
    assert same_checkpoints(tmp_path / "run", tmp_path / "whole")


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
    assert same_checkpoints(tmp_path / "run", tmp_path / "whole")
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
    assert same_checkpoints(tmp_path / "run", tmp_path / "whole")


@pytest.mark.parametrize("megabytes", [200, 1300])
def test_no_memory_before_the_loop_is_one_line(megabytes: int, tmp_path: Path) -> None:
    """While the networks are built, and after the run directory was made."""
    words = ["train", "model.discriminator.width=900", "trainer.iterations=1", "trainer.device=cpu"]
    words += ["hydra.run.dir=run"]
    process = CONTEXT.Process(target=limited_main, args=(words, tmp_path, megabytes))
    process.start()
    process.join(120)
    output = (tmp_path / "output.txt").read_text().splitlines()
    assert process.exitcode == 2 and "gan: no memory for trainer.batch_size=" in output[-1], output
    assert "remove" in output[-1] if (tmp_path / "run").exists() else "choose smaller ones" in output[-1]


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
        assert same_checkpoints(run, Path("whole"))


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
