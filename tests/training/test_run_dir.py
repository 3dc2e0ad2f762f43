"""A run directory that processes share, or that one has left when it was killed."""

import signal
from pathlib import Path

import pytest
import torch
from helpers import CONTEXT, TINY_RING, checkpoint_values, killed_at, run_gan

from gan_cli.training.run_dir import RunDir
from gan_cli.utils.errors import Busy
from gan_cli.utils.locks import hold


def test_what_a_killed_process_left_half_written_goes_when_the_run_is_locked(tmp_path: Path) -> None:
    run = RunDir(tmp_path)
    run.checkpoints.mkdir()
    run.last.write_text("kept")
    for path in (tmp_path / ".config.yaml.0a1b.part", run.checkpoints / ".last.pt.2c3d.part"):
        path.write_text("half")
    lock = hold(tmp_path / ".lock")
    with pytest.raises(Busy, match="another process is training"):
        run.lock()
    assert len(list(tmp_path.rglob(".*.part"))) == 2  # of the process that has the lock
    lock.close()
    run.lock()
    assert not list(tmp_path.rglob(".*.part")) and run.last.read_text() == "kept"


LINE = ["train", *TINY_RING, "model.generator.widths=[8]", "model.discriminator.widths=[8]", "trainer.iterations=1",
        "hydra.run.dir=run"]  # fmt: skip


def test_a_kill_at_any_moment_of_the_beginning_is_no_dead_end(tmp_path: Path) -> None:
    """Whatever was written, the same command begins the run, or `gan resume` goes on with it."""
    whole = tmp_path / "whole"
    whole.mkdir()
    assert run_gan(LINE, whole)[0] == 0
    left = []
    for number in range(1, 30):
        folder = tmp_path / str(number)
        folder.mkdir()
        process = CONTEXT.Process(target=killed_at, args=(LINE, folder, number))
        process.start()
        process.join(120)
        if process.exitcode == 0:
            break
        assert process.exitcode == -signal.SIGKILL
        run = folder / "run"
        left.append((run / "provenance.json").exists())
        status, output = run_gan(["resume", "run"] if left[-1] else LINE, folder)
        assert status == 0 or "has finished its 1 iterations" in output, output
        values, expected = checkpoint_values(run), checkpoint_values(whole / "run")
        assert all(torch.equal(value, values[name]) for name, value in expected.items())
    assert left == sorted(left) and 2 <= left.index(True) <= len(left) - 3
