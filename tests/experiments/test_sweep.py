"""Sweeps: no finished work is done twice, and whatever stops one keeps the state of its trials."""

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from helpers import TINY_RING, begin_run, checkpoint_values, refused, run_gan, start_gan, wait_until

from gan_cli.config import migrations
from gan_cli.config.composer import arguments
from gan_cli.experiments import sweep
from gan_cli.training import checkpoint, locks
from gan_cli.utils.errors import Interrupted


@pytest.mark.parametrize(
    ("words", "missing"), [("sweep=ebgan_mnist_grid", 1), ("dataset=mnist,fashion_mnist network=mlp", 2)]
)
def test_an_override_may_set_a_key_that_only_the_trials_have(words, missing, refused_at_once, tmp_path):
    """dataset.root is no key of the default data set."""
    line = f"train -m {words} dataset.root={tmp_path}/none sweep.sample=2 hydra.sweep.dir={tmp_path}/sweep"
    assert "trainer.iterations" in refused_at_once(*line.split(), "trainer.iterations=nonsense")
    assert f"{tmp_path}/none" in refused_at_once(*line.split(), lines=missing)  # the trials would miss the files


MISTAKES = {
    "train sweep.sample=3": "sweep.sample=3 is for sweeps: add -m",
    "train sweep=gan_mnist_grid": "sweep=gan_mnist_grid is for sweeps: add -m",
    "train -m sweep=gan_mnist_gird": "no sweep 'gan_mnist_gird'; did you mean 'gan_mnist_grid'?",
    "train -m seed=0,1 sweep.smple=3": "no key 'sweep.smple'; did you mean 'sweep.sample'?",
    "train -m seed=0,1 sweep.sample=3": "sweep.sample=3: the grid has 2 trials",
    "train -m seed=0,1 sweep.sample=0": "sweep.sample must be all or a whole number above 0, not 0",
    "train -m seed=0,1 sweep.workers=many": "sweep.workers must be auto or a whole number above 0, not 'many'",
    "train -m seed=0,1 sweep.retry=perhaps": "sweep.retry must be true or false",
}


@pytest.mark.parametrize("line", MISTAKES)
def test_mistakes_leave_nothing(line, refused_at_once):
    assert MISTAKES[line] in refused_at_once(*line.split())


@pytest.mark.parametrize("more", [[], ["hydra/launcher=local"]])
def test_a_sweeper_of_hydras_needs_a_launcher_of_hydras(more, refused_at_once):
    error = refused_at_once("train", "-m", *TINY_RING, "seed=0,1", "hydra/sweeper=basic", *more)
    assert error == "gan: hydra/sweeper=basic needs a launcher of Hydra's: add hydra/launcher=basic or joblib\n"


def unlocked(run):
    """Whether no process trains there."""
    with open(run / ".lock") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


def test_a_killed_sweep_continues_where_it_stopped_even_moved(tmp_path):
    """Trials of 3 and 100 iterations; the second is killed with its sweep, and resumes to the same bits."""
    trial = [*TINY_RING, "trainer.checkpoint_every=3"]
    process = start_gan(
        ["train", "-m", *trial, "trainer.iterations=3,100", "hydra.sweep.dir=here/sweep", "sweep.workers=2"],
        tmp_path,
        fork_trials=True,
    )
    here = tmp_path / "here/sweep"
    short, long = here / "0-iterations_3", here / "1-iterations_100"
    wait_until(lambda: checkpoint.iteration(short / "checkpoints/last.pt") == 3)
    wait_until(lambda: checkpoint.iteration(long / "checkpoints/last.pt") > 0)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    wait_until(lambda: unlocked(long))
    stopped = checkpoint.iteration(long / "checkpoints/last.pt")
    assert 0 < stopped < 100 and not (long / "failure.json").exists()
    moved = tmp_path / "elsewhere"
    shutil.move(here, moved)
    before = {file: file.stat().st_mtime_ns for file in (moved / short.name).rglob("*") if file.is_file()}
    status, output = run_gan(["resume", "elsewhere"], tmp_path, fork_trials=True)
    assert status == 0 and "0-iterations_3: done before" in output and "elsewhere: 2 of 2 ok" in output
    assert {file: file.stat().st_mtime_ns for file in (moved / short.name).rglob("*") if file.is_file()} == before
    facts = json.loads((moved / long.name / "provenance.json").read_text())
    assert [resumed["iteration"] for resumed in facts["resumes"]] == [stopped]
    assert not (tmp_path / "here/sweep").exists()
    assert run_gan(["train", *trial, "trainer.iterations=100", "hydra.run.dir=whole"], tmp_path)[0] == 0
    whole, resumed = checkpoint_values(tmp_path / "whole"), checkpoint_values(moved / long.name)
    assert whole.keys() == resumed.keys() and all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_a_signal_stops_all_trials_and_keeps_their_state(tmp_path):
    process = start_gan(
        ["train", "-m", *TINY_RING, "seed=0,1", "trainer.iterations=1000000", "trainer.checkpoint_every=5",
         "hydra.sweep.dir=s", "sweep.workers=2"],
        tmp_path, fork_trials=True,
    )  # fmt: skip
    runs = [tmp_path / "s/0-seed_0", tmp_path / "s/1-seed_1"]
    for run in runs:
        wait_until(lambda run=run: checkpoint.iteration(run / "checkpoints/last.pt") > 0)
    os.kill(process.pid, signal.SIGINT)
    process.join(60)
    assert process.exitcode == 130
    output = (tmp_path / "output.txt").read_text()
    assert "gan: sweep stopped; `gan resume s` continues it" in output and "s: 0 of 2 ok" in output
    for run in runs:
        done = checkpoint.iteration(run / "checkpoints/last.pt")
        assert f"{run.name}  stopped after iteration {done} of 1000000" in output
        assert unlocked(run) and not (run / "failure.json").exists()


def test_a_failed_trial_is_reported_and_run_again_only_on_request(tmp_path):
    words = ["train", "-m", *TINY_RING, "optimizer.lr=1e30,1e-3", "trainer.iterations=6", "trainer.log_every=1",
             "hydra.sweep.dir=s"]  # fmt: skip
    status, output = run_gan(words, tmp_path, fork_trials=True)
    bad, good = tmp_path / "s/0-lr_1e+30", tmp_path / "s/1-lr_0.001"
    note = json.loads((bad / "failure.json").read_text())
    assert status == 1 and "s: 1 of 2 ok" in output and not (good / "failure.json").exists()
    assert note["status"] == 3 and " is nan at iteration 1;" in note["error"]
    assert "optimizer.lr=1e+30" in note["overrides"]
    born = (bad / "failure.json").stat().st_mtime_ns, (good / "checkpoints/last.pt").stat().st_mtime_ns
    status, output = run_gan(["resume", "s"], tmp_path, fork_trials=True)
    assert status == 1 and "0-lr_1e+30: failed before: " in output and "sweep.retry=true tries again" in output
    assert born == ((bad / "failure.json").stat().st_mtime_ns, (good / "checkpoints/last.pt").stat().st_mtime_ns)
    assert run_gan(["resume", "s", "sweep.retry=true"], tmp_path, fork_trials=True)[0] == 1
    assert (bad / "failure.json").stat().st_mtime_ns > born[0]
    assert (good / "checkpoints/last.pt").stat().st_mtime_ns == born[1]
    assert "resuming s/0-lr_1e+30" in (bad / "output.txt").read_text()


def test_only_one_process_runs_a_sweep(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with locks.claimed(Path("s"), "sweep", "hydra.sweep.dir"):
        assert "another process runs the sweep s" in refused(capsys, "train", "-m", "seed=0,1", "hydra.sweep.dir=s")


def test_the_folder_of_a_run_is_refused(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    begin_run(tmp_path / "run")
    line = ["train", "-m", *TINY_RING, "seed=0,1", "hydra.sweep.dir=run"]
    assert refused(capsys, *line).strip() == "gan: run holds a run: name another folder by hydra.sweep.dir="
    assert {file.name for file in (tmp_path / "run").iterdir()} == {"checkpoints", "provenance.json"}


@pytest.mark.parametrize("value", ["", "''"])
def test_an_empty_folder_name_is_refused(value, refused_at_once):
    line = ["train", "-m", *TINY_RING, "seed=0,1", f"hydra.sweep.dir={value}"]
    assert "hydra.sweep.dir has no value" in refused_at_once(*line)


@pytest.mark.parametrize(("name", "source"), [("slurm", "hydra-submitit-launcher"), ("joblib", "'gan-cli[sweep]'")])
def test_a_launcher_that_is_not_installed(name, source, monkeypatch, refused_at_once):
    monkeypatch.setattr(sweep.importlib.util, "find_spec", lambda package: None)
    error = refused_at_once("train", "-m", *TINY_RING, "seed=0,1", f"hydra/launcher={name}")
    assert error == f"gan: hydra/launcher={name} needs: pip install {source}\n"


@pytest.mark.parametrize(
    ("number", "moment"), [(signal.SIGINT, "at once"), (signal.SIGINT, "later"), (signal.SIGTERM, "later")]
)
def test_a_signal_to_the_whole_group_fails_no_trial(number, moment, tmp_path):
    """As Ctrl-C in a terminal sends it, while the fork server imports or a trial trains."""
    words = ["train", "-m", *TINY_RING, "seed=0,1", "trainer.iterations=1000000", "trainer.checkpoint_every=5",
             "hydra.sweep.dir=s"]  # fmt: skip
    with open(tmp_path / "printed.txt", "w") as printed:
        gan = subprocess.Popen([sys.executable, "-m", "gan_cli", *words], cwd=tmp_path, start_new_session=True,
                               stdout=printed, stderr=subprocess.STDOUT)  # fmt: skip
    first = tmp_path / "s/0-seed_0"
    if moment == "later":
        wait_until(lambda: checkpoint.iteration(first / "checkpoints/last.pt") > 0)
    else:
        children = Path(f"/proc/{gan.pid}/task/{gan.pid}/children")
        wait_until(lambda: any("forkserver" in Path(f"/proc/{child}/cmdline").read_text()
                           for child in children.read_text().split()))  # fmt: skip
        wait_until(lambda: "in parallel" in (tmp_path / "printed.txt").read_text())
        time.sleep(0.5)
    os.killpg(gan.pid, number)
    assert gan.wait(100) == 128 + number
    output = (tmp_path / "printed.txt").read_text()
    assert "gan: sweep stopped; `gan resume s` continues it" in output and "Traceback" not in output
    assert not list((tmp_path / "s").glob("*/failure.json")) and "failed" not in output
    if moment == "later":
        done = checkpoint.iteration(first / "checkpoints/last.pt")
        assert f"0-seed_0  stopped after iteration {done} of 1000000" in output


def test_a_trial_that_somebody_stops_stops_the_sweep_and_resumes(tmp_path):
    words = ["train", "-m", *TINY_RING, "seed=0,1", "trainer.iterations=300", "trainer.checkpoint_every=5",
             "hydra.sweep.dir=s"]  # fmt: skip
    process = start_gan(words, tmp_path, fork_trials=True)
    first = tmp_path / "s/0-seed_0"
    wait_until(lambda: checkpoint.iteration(first / "checkpoints/last.pt") > 0)
    (child,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    os.kill(int(child), signal.SIGTERM)
    process.join(60)
    output = (tmp_path / "output.txt").read_text()
    assert process.exitcode == 143 and "0-seed_0: stopped (" in output and "`gan resume s` continues it" in output
    assert not (first / "failure.json").exists() and not (tmp_path / "s/1-seed_1").exists()
    status, output = run_gan(["resume", "s"], tmp_path, fork_trials=True)
    assert status == 0 and "s: 2 of 2 ok" in output
    assert len(json.loads((first / "provenance.json").read_text())["resumes"]) == 1


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(143)])
def test_a_stopped_launcher_of_hydras_names_the_command_that_continues(error, tmp_path, monkeypatch):
    """SystemExit is what `run_trial` ends with."""

    def stop(*_):
        raise error

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sweep.Composer, "launch", stop)
    with pytest.raises(Interrupted, match=r"^sweep stopped; `gan resume s` continues it$") as caught:
        sweep.run(arguments(["-m", *TINY_RING, "seed=0,1", "hydra/launcher=basic", "hydra.sweep.dir=s"]))
    assert caught.value.status == (130 if isinstance(error, KeyboardInterrupt) else 143)


def test_the_record_names_nothing_that_could_run_code(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    words = ["seed=0,1", "modules=[mine]", "+hydra.callbacks.x._target_=os.system", "hydra/launcher=joblib",
             "sweep.sample=2", "sweep.retry=true", "sweep=gan_mnist_grid"]  # fmt: skip
    args = arguments(words)
    sweep.record(tmp_path, args)
    recorded = json.loads((tmp_path / "sweep.json").read_text())
    assert recorded.pop("schema_version") == migrations.VERSION
    assert recorded == {"overrides": ["seed=0,1", "sweep.sample=2", "+sweep=gan_mnist_grid"], "options": []}
    (tmp_path / "sweep.json").write_text(json.dumps({"overrides": [], "options": ["--config-dir=mine"]}))
    assert "resume it with `gan train -m --config-dir=mine" in refused(capsys, "resume", ".")


@pytest.mark.parametrize("place", ["0-seed=0", "0-seed=0/checkpoints", "0-seed=0/output.txt", "sweep.json"])
def test_a_link_out_of_a_sweep_is_refused(place, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "config.yaml").write_text("mine")
    target = victim / "config.yaml" if "." in place else victim
    link = tmp_path / "sweep" / place
    link.parent.mkdir(parents=True)
    link.symlink_to(target)
    error = refused(capsys, "train", "-m", *TINY_RING, "seed=0", "hydra.sweep.dir=sweep")
    assert f"sweep/{place} is a link to {target}, which is not in the sweep: replace the link" in error
    assert sorted(path.name for path in victim.iterdir()) == ["config.yaml"]
    assert (victim / "config.yaml").read_text() == "mine"
