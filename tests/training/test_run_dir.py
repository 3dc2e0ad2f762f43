"""A run directory that processes share."""

from pathlib import Path

import pytest

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
