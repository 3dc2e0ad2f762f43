"""A signal to a sweep, a search or `gan reproduce` alone, as `kill PID` sends it, and some batch systems.

Its runs save their state, no process stays behind, and the same command goes on.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers import ROOT, TINY_RING, start_gan, wait_until

from gan_cli.training import checkpoint

SMALL = [*TINY_RING, "model.generator.widths=[8]", "model.discriminator.widths=[8]", "trainer.iterations=900000",
         "trainer.log_every=1", "trainer.checkpoint_every=99999999"]  # fmt: skip
EXPERIMENT = """\
# @package _global_
# A ring that is trained until somebody stops it
defaults:
  - override /dataset: ring
  - override /network: mlp_points
model: {generator: {widths: [8]}, discriminator: {widths: [8]}}
trainer: {iterations: 900000, batch_size: 8, sample_count: 4, log_every: 1, checkpoint_every: 99999999, device: cpu}
evaluate: {metric: [modes], n: 60}
"""
COMMANDS = {
    "sweep": (["train", "-m", *SMALL, "seed=0,1", "hydra.sweep.dir=s", "sweep.workers=2"],
              ["s/0-seed_0", "s/1-seed_1"], "gan: sweep stopped; `gan resume s` continues it"),
    "search": (["search", *SMALL, "trainer.evaluate_every=900000", "trainer.evaluate_count=50", "metric=modes",
                "space.optimizer.lr=log(1e-4,1e-3)", "trials=2", "workers=2", "out=s"],
               ["s/0", "s/1"], "gan: search stopped; the same command continues it in s"),
    "reproduce": (["reproduce", "endless", "seeds=0", "--config-dir=mine"],
                  ["outputs/reproduce/endless/seed-0"], "the same command continues"),
}  # fmt: skip
"""Command -> its words, the runs that it trains at once, and what it says when it is stopped."""


def descendants(process: int) -> list[int]:
    """The processes that a process has started, and those that they have started."""
    files = Path(f"/proc/{process}/task").glob("*/children")
    children = [int(child) for file in files for child in file.read_text().split()]
    return children + [one for child in children for one in descendants(child)]


def stop(kind: str, name: str, folder: Path, start: Callable[[list[str]], int], join: Callable[[], int | None]) -> None:
    """Start the command twice and send it the signal each time, when its runs have trained a few iterations more."""
    words, names, message = COMMANDS[kind]
    runs = [folder / run for run in names]
    saved: list[list[int]] = [[0] * len(runs)]
    for attempt in ("first start", "second start"):
        what = f"{kind}, {name}, {attempt}"
        pid = start(words)
        logs = list(zip((run / "metrics.jsonl" for run in runs), saved[-1], strict=True))
        wait_until(lambda logs=logs: all(log.exists() and log.read_text().count("\n") > n + 5 for log, n in logs))
        children = descendants(pid)
        os.kill(pid, signal.Signals[name])
        status, output = join(), (folder / "output.txt").read_text()
        assert status == 128 + signal.Signals[name], f"{what}: it ends with status {status}:\n{output}"
        assert message in output and "Traceback" not in output, f"{what}: '{message}' is not what it says:\n{output}"
        wait_until(lambda children=children: not any(Path(f"/proc/{child}").exists() for child in children), 20)
        saved.append([checkpoint.iteration(run / "checkpoints/last.pt") for run in runs])
        lost = [run.name for run, now, before in zip(runs, saved[-1], saved[-2], strict=True) if now < before + 5]
        assert not lost, f"{what}: what {lost} trained is not saved: iterations {saved}"
        failed = [str(file) for file in folder.rglob("failure.json")]
        assert not failed, f"{what}: a run that was stopped counts as failed: {failed}"
    for run, first in zip(runs, saved[1], strict=True):
        resumes = [resume["iteration"] for resume in json.loads((run / "provenance.json").read_text())["resumes"]]
        assert resumes == [first], f"{kind}, {name}: {run.name} was saved at {first} but resumed at {resumes}"


@pytest.mark.parametrize("name", ["SIGUSR1", "SIGHUP", "SIGXCPU", "SIGTERM"])
@pytest.mark.parametrize("kind", COMMANDS)
def test_a_signal_to_the_command_alone_saves_its_runs(kind: str, name: str, tmp_path: Path) -> None:
    if kind == "search":
        pytest.importorskip("optuna")
    (tmp_path / "mine/experiment").mkdir(parents=True)
    (tmp_path / "mine/experiment/endless.yaml").write_text(EXPERIMENT)
    started = []

    def start(words: list[str]) -> int:
        started.append(start_gan(words, tmp_path, fork_trials=True))
        assert started[-1].pid is not None
        return started[-1].pid

    def join() -> int | None:
        started[-1].join(60)
        return started[-1].exitcode

    stop(kind, name, tmp_path, start, join)


def test_the_process_that_starts_the_trials_ends_as_well(tmp_path: Path) -> None:
    """As a command of its own: the trials come from a fork server, and all processes are in a group."""
    started = []

    def start(words: list[str]) -> int:
        with open(tmp_path / "output.txt", "w") as output:
            started.append(subprocess.Popen(
                [sys.executable, "-m", "gan_cli", *words], cwd=tmp_path, stdout=output, stderr=output,
                start_new_session=True, env={**os.environ, "PYTHONPATH": str(ROOT)},
            ))  # fmt: skip
        return started[-1].pid

    def group_exists() -> bool:
        try:
            os.killpg(started[-1].pid, 0)
        except ProcessLookupError:
            return False
        return True

    def join() -> int:
        status = started[-1].wait(60)
        wait_until(lambda: not group_exists(), 20)
        return status

    stop("sweep", "SIGUSR1", tmp_path, start, join)
