"""Checkpoints are whole or absent, and read without running code."""

import errno
import os
import pickle
from pathlib import Path

import pytest
import torch
from helpers import small_state

from gan_cli.config import migrations
from gan_cli.training import checkpoint
from gan_cli.utils.errors import GanError


def test_round_trip_by_weights_only(tmp_path: Path) -> None:
    state = small_state(3, c=[None, 1.5, "x", {}])
    checkpoint.save(tmp_path / "last.pt", state)
    loaded = checkpoint.load(tmp_path / "last.pt")
    assert (
        loaded["iteration"] == 3
        and torch.equal(loaded["system"]["w"], torch.arange(4))
        and loaded["c"] == state["c"]
    )
    torch.load(tmp_path / "last.pt", weights_only=True)


def test_failed_write_keeps_the_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "checkpoints" / "last.pt"
    path.parent.mkdir()
    checkpoint.save(path, small_state(1))

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(GanError, match="No space left"):
        checkpoint.save(path, small_state(2))
    monkeypatch.undo()
    assert checkpoint.load(path)["iteration"] == 1
    assert [p.name for p in path.parent.iterdir()] == ["last.pt"]


class Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("touch pwned",)


@pytest.mark.parametrize(
    "kind, words",
    [
        ("missing", "no checkpoint"),
        ("truncated", "not a whole checkpoint"),
        ("pickle", "not a whole checkpoint"),
        ("foreign", "not written by gan"),
        ("older", "checkpoint format 0"),
    ],
)
def test_bad_checkpoints_are_refused(
    tmp_path: Path, kind: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "last.pt"
    if kind == "truncated":
        checkpoint.save(path, {"weight": torch.zeros(1000)})
        path.write_bytes(path.read_bytes()[:2000])
    elif kind == "pickle":
        path.write_bytes(pickle.dumps(Evil()))
    elif kind == "foreign":
        torch.save({"state_dict": {"weight": torch.zeros(3)}}, path)
    elif kind == "older":
        torch.save({"format": 0}, path)
    with pytest.raises(GanError, match=words):
        checkpoint.load(path)
    assert not (tmp_path / "pwned").exists()


def test_a_checkpoint_of_version_0_1_is_brought_up_to_date(tmp_path: Path) -> None:
    """Its generators were called "draw"; written again, it is a checkpoint of today's format."""
    path, state = tmp_path / "last.pt", small_state(5)
    generator = state["processes"][0].pop("random")
    torch.save({**state, "format": 1, "processes": [{"draw": generator, **state["processes"][0]}]}, path)
    for _ in range(2):
        state = checkpoint.load(path)
        (process,) = state["processes"]
        assert process.keys() == {"random", "torch", "cuda", "system"}
        assert torch.equal(process["random"]["cpu"], generator["cpu"])
        checkpoint.save(path, state)
    assert torch.load(path, weights_only=True)["format"] == checkpoint.FORMAT == migrations.VERSION


def test_keep_newest(tmp_path: Path) -> None:
    for name in ("000100.pt", "000200.pt", "001000.pt", "last.pt", "best.pt"):
        (tmp_path / name).touch()
    checkpoint.keep_newest(tmp_path, 2)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["000200.pt", "001000.pt", "best.pt", "last.pt"]
