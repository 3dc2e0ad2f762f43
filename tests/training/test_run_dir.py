"""A run directory that processes share, or that one has left when it was killed."""

import signal
from pathlib import Path

import pytest
import torch
from helpers import CONTEXT, TINY_RING, checkpoint_values, killed_at, run_gan
from omegaconf import OmegaConf

from gan_cli.training import checkpoint
from gan_cli.training.find_runs import refuse_second_run
from gan_cli.training.locks import claimed
from gan_cli.training.run_dir import RunDir
from gan_cli.training.run_errors import explained_errors
from gan_cli.utils.errors import Busy, GanError
from gan_cli.utils.files import append_json
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


@pytest.mark.parametrize("name", ["checkpoints", "samples/new", "evaluation", ".hydra/a/b"])
def test_no_run_begins_among_the_files_of_another(name: str, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run/provenance.json").touch()
    place = tmp_path / "run" / name
    with pytest.raises(GanError, match=r"is among the files of the run .*/run: name another folder by hydra.run.dir="):
        refuse_second_run(place)
    with pytest.raises(GanError, match=r"is among the files of the run .*/run: .* by out="), claimed(place, "x", "out"):
        pass
    assert not place.exists()
    refuse_second_run(tmp_path / "run/other")  # a folder of the user's own
    refuse_second_run(tmp_path / name)  # not a run's


def test_a_run_that_was_renamed_while_it_was_trained_is_not_said_to_have_no_checkpoint(tmp_path: Path) -> None:
    run = RunDir(tmp_path / "old")
    gone = "old.* is gone: if .* renamed, `gan resume` with its new name continues it"
    with pytest.raises(GanError, match=f"No such file.*{gone}"), explained_errors(run, OmegaConf.create()):
        append_json(run.metrics, {"iteration": 1})
    with pytest.raises(GanError, match=gone):
        checkpoint.save(run.last, {})


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
