"""SIGKILL at a write: the same `gan reproduce` or sweep goes on, and its runs end as if nothing had happened."""

import signal
from pathlib import Path

import pytest
import torch
from helpers import CONTEXT, TINY_RING, checkpoint_values
from killing import gan_killed_at

EXPERIMENT = """\
# @package _global_
# A ring in four updates
defaults:
  - override /dataset: ring
  - override /model: wgan_gp
  - override /network: mlp_points
  - override /loss: non_saturating
trainer: {iterations: 4, batch_size: 8, sample_count: 4, ema_decay: 0.0, checkpoint_every: 2, device: cpu}
evaluate: {metric: [modes], n: 60}
"""
QUICK = [*TINY_RING, "trainer.iterations=4", "trainer.checkpoint_every=2"]
LINES = {
    "reproduce": ["reproduce", "tiny", "seeds=0,1", "--config-dir=mine"],
    "sweep": ["train", "-m", *QUICK, "seed=0,1", "hydra.sweep.dir=s"],
    "search": ["search", *QUICK, "trainer.evaluate_every=2", "trainer.evaluate_count=50", "metric=modes", "trials=2",
               "space.optimizer.lr=log(1e-4,1e-3)", "out=s"],
}  # fmt: skip


def run(words: list[str], folder: Path, number: int = 0) -> int:
    """Run `gan *words` until its write of this number. Returns the exit status."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "mine/experiment").mkdir(parents=True, exist_ok=True)
    (folder / "mine/experiment/tiny.yaml").write_text(EXPERIMENT)
    process = CONTEXT.Process(target=gan_killed_at, args=(words, folder, number))
    process.start()
    process.join(200)
    assert process.exitcode is not None
    return process.exitcode


def runs(folder: Path) -> dict[str, dict[str, torch.Tensor]]:
    files = folder.rglob("last.pt")
    return {str(file.parent.parent.relative_to(folder)): checkpoint_values(file.parent.parent) for file in files}


def survives(kind: str, number: int, folder: Path, whole: dict[str, dict[str, torch.Tensor]]) -> list[str]:
    """Kill `kind` at a write, start the same command again, and compare its runs with undisturbed ones.

    Returns the names of the half-written files that the killed process has left.
    """
    at = f"{kind}, killed at write {number}"
    status = run(LINES[kind], folder, number)
    assert status == -signal.SIGKILL, f"{at}: it was not killed but ended with status {status}"
    left = half_written(folder)
    status = run(LINES[kind], folder)
    assert status == 0, f"{at}: the second start ends with status {status}:\n{(folder / 'output.txt').read_text()}"
    found = runs(folder)
    if kind != "search":  # whose second start suggests other values for the trials that had not begun
        assert found.keys() == whole.keys(), f"{at}: other runs than without the kill"
        for name, values in whole.items():
            assert values.keys() == found[name].keys(), f"{at}: the checkpoint of {name} holds other parts"
            different = [key for key in values if not torch.equal(values[key], found[name][key])]
            assert not different, f"{at}: the checkpoint of {name} differs in {different}"
    assert len(found) == len(whole), f"{at}: {len(found)} runs instead of {len(whole)}"
    assert not half_written(folder), f"{at}: the second start left half-written files: {half_written(folder)}"
    return left


def half_written(folder: Path) -> list[str]:
    return sorted(str(file.relative_to(folder)) for file in folder.rglob(".*.part*") if "mine" not in file.parts)


@pytest.mark.parametrize("kind", ["reproduce", "sweep"])
def test_the_same_command_goes_on_after_a_kill(kind: str, tmp_path: Path) -> None:
    status = run(LINES[kind], tmp_path / "whole")
    assert status == 0, f"undisturbed, it ends with status {status}:\n{(tmp_path / 'whole/output.txt').read_text()}"
    whole = runs(tmp_path / "whole")
    assert len(whole) == 2, f"undisturbed, it makes the runs {list(whole)}"
    writes = int((tmp_path / "whole/writes.txt").read_text())
    for part in (0.1, 0.35, 0.8):
        survives(kind, max(1, round(part * writes)), tmp_path / f"{part}", whole)
    # The rename of a file of the command itself: its result, which is the last, and its record, which is the first.
    number, name = {"reproduce": (writes - 1, "tiny.json"), "sweep": (3, "sweep.json")}[kind]
    left = survives(kind, number, tmp_path / "own", whole)
    assert [name in file for file in left] == [True], f"killed while it renamed {name}, it left {left}"
