"""What a sweep prints: a line per trial with rate and time left, and the table at the end."""

import json
from types import SimpleNamespace

from helpers import TINY_RING, composed, small_state
from omegaconf import OmegaConf

from gan_cli.experiments.sweep_report import SweepProgress, report
from gan_cli.experiments.trial_run import TrialJob
from gan_cli.experiments.trials import Trial
from gan_cli.experiments.workers import Finished
from gan_cli.training import checkpoint
from gan_cli.training.run_history import write_failure
from gan_cli.utils import progress


def test_a_line_for_each_trial(tmp_path, monkeypatch, capsys):
    now = [0.0]
    monkeypatch.setattr(progress.time, "perf_counter", lambda: now[0])
    pool = SimpleNamespace(count=2, threads=3, gpus=["0"], running={7: "a trial"})
    lines = SweepProgress(6, pool)
    write_failure(tmp_path / "1-b", 3, "loss is nan", [])
    lines.skipped_trial(Trial(0, tmp_path / "0-a", [], "done"))
    lines.skipped_trial(Trial(1, tmp_path / "1-b", [], "failed"))
    now[0] = 60.0
    write_failure(tmp_path / "3-d", -9, "killed by SIGKILL", [])
    results = [("2-c", 0, False), ("3-d", -9, False), ("4-e", 143, False)]
    lines.finished([Finished(TrialJob(tmp_path / name, ()), status, 61.0, stop) for name, status, stop in results])
    assert capsys.readouterr().out.splitlines() == [
        "6 trials: 2 in parallel on 1 GPUs, 3 threads each",
        "0-a: done before",
        "1-b: failed before: loss is nan; sweep.retry=true tries again",
        "2-c: ok (1:01)  3/6 trials  1 trials/min  left 3:00  1 running",
        "3-d: failed: killed by SIGKILL (1:01)  4/6 trials  2 trials/min  left 1:00  1 running",
        "4-e: stopped (1:01)  5/6 trials  3 trials/min  left 0:20  1 running",
    ]


def make_trial(folder, done):
    (folder / "checkpoints").mkdir(parents=True)
    OmegaConf.save(composed(*TINY_RING, "trainer.iterations=10"), folder / "config.yaml", resolve=True)
    checkpoint.save(folder / "checkpoints" / "last.pt", small_state(done))


def test_the_table(tmp_path, capsys):
    make_trial(tmp_path / "10-last", 10)
    make_trial(tmp_path / "2-half", 4)
    write_failure(tmp_path / "3-bad", 3, "loss is nan", ["seed=3"])
    (tmp_path / "4-waits/.hydra").mkdir(parents=True)
    assert report(tmp_path) == 1
    assert capsys.readouterr().out.splitlines()[1:] == [
        f"{tmp_path}: 1 of 4 ok",
        "  2-half   stopped after iteration 4 of 10",
        "  3-bad    failed (3): loss is nan",
        "  4-waits  not begun",
        "  10-last  ok",
    ]


def test_a_large_table_shows_what_is_not_ok(tmp_path, capsys):
    make_trial(tmp_path / "0-ok", 10)
    for number in range(1, 65):
        (tmp_path / f"{number}-x").mkdir()
        (tmp_path / f"{number}-x/failure.json").write_text(json.dumps({"status": 2, "error": "no data"}))
    assert report(tmp_path) == 64
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].endswith(": 1 of 65 ok") and len(lines) == 66 and lines[2] == "  1-x   failed (2): no data"
    assert report(tmp_path / "0-ok") == 0 and capsys.readouterr().out == ""


def test_warnings_are_listed_once_whatever_their_numbers(tmp_path, capsys):
    for number in range(6):
        make_trial(tmp_path / f"{number}-x", 10)
        lines = [f"warning: iteration {number}: the hinge is dead (energy {number}.5)", "iteration 1", "warning: again"]
        (tmp_path / f"{number}-x/output.txt").write_bytes("\n".join(lines).encode() + b"\xff\n")
    assert report(tmp_path) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("warning: ")]
    assert lines[0] == "warning: iteration 0: the hinge is dead (energy 0.5) (0-x, 1-x, 2-x, 3-x and 2 more)"
    assert len(lines) == 2
