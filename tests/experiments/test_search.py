"""`gan search`: the space, the driver, and (where optuna is installed) pruning and a search that is stopped."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace

import pytest
from helpers import TINY_RING, run_gan, start_gan, wait_until

from gan_cli.cli import main
from gan_cli.experiments import search
from gan_cli.experiments.search import curve, goal
from gan_cli.experiments.search_space import Dimension, parse_dimension
from gan_cli.experiments.workers import Finished
from gan_cli.training import checkpoint, locks
from gan_cli.utils.errors import GanError, Interrupted


class FakeTrial:
    """Suggests the middle of each range, geometric where it is logarithmic, and the last of choices."""

    number = 0

    def suggest_float(self, name, low, high, log=False):
        return (low * high) ** 0.5 if log else (low + high) / 2

    def suggest_int(self, name, low, high):
        return (low + high) // 2

    def suggest_categorical(self, name, choices):
        return choices[-1]


@pytest.mark.parametrize(
    ("text", "override", "ends"),
    [
        ("optimizer.lr=log(1e-5,1e-1)", "optimizer.lr=0.001", ["optimizer.lr=1e-05", "optimizer.lr=0.1"]),
        ("a.b=uniform(0, 3)", "a.b=1.5", ["a.b=0.0", "a.b=3.0"]),
        ("n=int(2,8)", "n=5", ["n=2", "n=8"]),
        ("optimizer=[adam,rmsprop]", "optimizer=rmsprop", ["optimizer=adam", "optimizer=rmsprop"]),
    ],
)
def test_a_dimension_is_read_and_suggests_values(text, override, ends):
    found = parse_dimension(text)
    key, value = found.override(FakeTrial()).split("=")
    wanted_key, wanted = override.split("=")
    assert key == wanted_key and (value == wanted or float(value) == pytest.approx(float(wanted)))
    assert found.ends() == ends


def test_a_continued_search_keeps_the_names_with_which_it_began():
    recorded = parse_dimension("network=[toy,toy_spectral]")
    renamed = replace(parse_dimension("network=[mlp_points,mlp_points_sn]"), recorded=recorded)
    asked = {}

    class Study:
        def suggest_categorical(self, name, choices):
            asked[name] = choices
            return "toy_spectral"

    assert renamed.override(Study()) == "network=mlp_points_sn" and asked == {"network": ("toy", "toy_spectral")}
    assert renamed.current("toy") == "mlp_points" and parse_dimension("optimizer.lr=log(1e-4,1e-2)").current(0.5) == 0.5


@pytest.mark.parametrize(
    "values",
    [
        "log(0,1)", "log(2,1)", "uniform(a,b)", "int(1,2.5)", "1e-3", "gauss(0,1)", "[]", "",
        "uniform(0,inf)", "uniform(-inf,0)", "log(1,nan)", "int(0,inf)", "int(0,1e300)",
    ],
)  # fmt: skip
def test_a_dimension_of_another_form(values):
    with pytest.raises(GanError, match=r"^space.optimizer.lr="):
        parse_dimension(f"optimizer.lr={values}")


def test_the_goal_is_the_metrics_main_value():
    assert goal("fid") == ("FID", "lower") and goal("modified_is") == ("I_prime", "higher")
    with pytest.raises(GanError, match=r"no metric 'fd'; did you mean 'fid'"):
        goal("fd")


def test_scores_are_read_from_the_log(tmp_path):
    lines = [{"iteration": 20, "metric/FID[random]": 3.0}, {"iteration": 10, "metric/FID[random]": 5, "d/x": 1.0},
             {"iteration": 20, "metric/FIDO": 9.0}]  # fmt: skip
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines) + '{"iter')
    assert curve(tmp_path, "FID") == [(10, 5.0), (20, 3.0)]


def test_mistakes(refused_at_once):
    messages = {
        "search": "gan search needs metric=...",
        "search metric=fid trials=0": "trials must be at least 1, not 0",
        "search metric=fid prune=maybe": "prune must be true or false",
    }
    for line, message in messages.items():
        assert message in refused_at_once(*line.split())


def test_without_optuna_it_names_what_to_install(monkeypatch, refused_at_once):
    monkeypatch.setitem(__import__("sys").modules, "optuna", None)
    assert "needs optuna: pip install" in refused_at_once("search", "metric=modes", "space.optimizer.lr=log(1e-5,1e-2)")


# -- with optuna


def unclaimed(folder):
    try:
        with locks.claimed(folder, "search", "out"):
            return True
    except GanError:
        return False


def test_a_search_has_a_folder_of_its_own(capsys, tmp_path, monkeypatch):
    pytest.importorskip("optuna")
    monkeypatch.chdir(tmp_path)
    words = ["search", *TINY_RING, "metric=modes", "space.optimizer.lr=log(1e-4,1e-2)", "out=here"]
    with locks.claimed(tmp_path / "here", "search", "out"):
        assert main.main(words) == 2
    error = capsys.readouterr().err.strip()
    assert error == "gan: another process runs the search here right now; wait for it or stop it"
    (tmp_path / "here/provenance.json").write_text("{}")
    assert main.main(words) == 2
    assert capsys.readouterr().err.strip() == "gan: here holds a run: name another folder by out="
    assert not (tmp_path / "here/search.json").exists()


def test_a_signal_to_the_whole_group_fails_no_trial(tmp_path):
    """As Ctrl-C in a terminal sends it."""
    pytest.importorskip("optuna")
    words = ["search", *TINY_RING, "metric=modes", "space.optimizer.lr=log(1e-4,1e-2)", "trainer.iterations=1000000",
             "trainer.checkpoint_every=5", "trainer.evaluate_count=50", "out=found", "trials=2"]  # fmt: skip
    with open(tmp_path / "printed.txt", "w") as printed:
        gan = subprocess.Popen([sys.executable, "-m", "gan_cli", *words], cwd=tmp_path, start_new_session=True,
                               stdout=printed, stderr=subprocess.STDOUT)  # fmt: skip
    wait_until(lambda: checkpoint.iteration(tmp_path / "found/0/checkpoints/last.pt") > 0)
    os.killpg(gan.pid, signal.SIGINT)
    assert gan.wait(100) == 130
    assert (tmp_path / "printed.txt").read_text() == "gan: search stopped; the same command continues it in found\n"
    assert not (tmp_path / "found/0/failure.json").exists()
    study = optuna_study(tmp_path / "found/study.log", "modes")
    assert [trial.state.name for trial in study.trials] == ["RUNNING"]  # so it can be resumed


def test_a_trial_that_somebody_stops_stops_the_search(tmp_path, monkeypatch):
    optuna = pytest.importorskip("optuna")
    one = search.Search(study_of(optuna), tmp_path, [], [Dimension("lr", "uniform", 0.0, 1.0)], "FID")
    monkeypatch.setattr(search.WorkerPool, "start", lambda places, job: places.running.update({places.idle.pop(): job}))
    monkeypatch.setattr(
        search.WorkerPool, "finished", lambda places, seconds: [Finished(places.running.pop(0), 143, 1.0, False)]
    )
    with pytest.raises(Interrupted, match=r"^search stopped; the same command continues it") as caught:
        one.run(3, 1)
    assert caught.value.status == 143 and [t.state.name for t in one.study.trials] == ["RUNNING"]


def optuna_study(file, name):
    """The study that a search has recorded."""
    import optuna.storages.journal

    backend = optuna.storages.journal.JournalFileBackend(str(file))
    return optuna.load_study(storage=optuna.storages.JournalStorage(backend), study_name=name)


def study_of(optuna):
    return optuna.create_study(direction="minimize", pruner=optuna.pruners.MedianPruner(2, interval_steps=1))


def finished(folder, scores):
    folder.mkdir(parents=True)
    text = "".join(json.dumps({"iteration": at, "metric/FID": score}) + "\n" for at, score in scores.items())
    (folder / "metrics.jsonl").write_text(text)


def test_trials_are_pruned_by_the_median_and_counted(tmp_path):
    optuna = pytest.importorskip("optuna")
    study = study_of(optuna)
    one = search.Search(study, tmp_path, ["model=x"], [Dimension("lr", "uniform", 0.0, 1.0)], "FID")

    def finish(scores, status=0):
        job = one.job(study.ask())
        finished(job.folder, scores)
        stop = one.report(job)
        one.complete(Finished(job, -15 if stop else status, 1.0, stop))
        return job, stop

    assert [finish({10: 4.0, 20: s})[1] for s in (3.0, 5.0)] == [False, False]
    job, stop = finish({10: 6.0})  # above the median of 4 and 4
    assert stop and job.overrides[0] == "model=x" and job.overrides[1].startswith("lr=0.")
    assert not finish({10: 3.0, 20: 2.0})[1]
    finish({}, status=3)
    assert [t.state.name for t in study.trials] == ["COMPLETE", "COMPLETE", "PRUNED", "COMPLETE", "FAIL"]
    assert [t.value for t in study.trials[:2]] == [3.0, 5.0] and study.best_value == 2.0  # the last score counts
    lines = one.summary()
    assert "5 trials: 3 completed, 1 pruned, 1 failed" in lines[0] and lines[1].strip().startswith("FID 2  lr=")


def test_a_stopped_search_continues(tmp_path):
    pytest.importorskip("optuna")
    words = ["search", *TINY_RING, "metric=modes", "space.optimizer.lr=log(1e-4,1e-2)", "trainer.iterations=60",
             "trainer.checkpoint_every=3", "trainer.evaluate_every=30", "trainer.evaluate_count=50",
             "out=found", "trials=2"]  # fmt: skip
    process = start_gan(words, tmp_path, fork_trials=True)
    first = tmp_path / "found/0/checkpoints/last.pt"
    wait_until(first.exists)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    wait_until(lambda: unclaimed(tmp_path / "found"))  # the trial was forked from it
    lock = tmp_path / "found/study.log.lock"
    if not lock.is_symlink():
        lock.symlink_to("found/study.log")  # as Optuna leaves it if it is killed while it writes
    status, output = run_gan(words, tmp_path, fork_trials=True)
    assert status == 0 and "2 trials: 2 completed, 0 pruned, 0 failed" in output, output
    resumes = json.loads((tmp_path / "found/0/provenance.json").read_text()).get("resumes", [])
    assert len(resumes) <= 1 and all(resumed["iteration"] > 0 for resumed in resumes)
    first, second = optuna_study(tmp_path / "found/study.log", "modes").trials
    assert first.params != second.params  # the second process does not repeat the suggestions of the first
    for number in "01":
        assert [at for at, _ in curve(tmp_path / "found" / number, "modes")] == [30, 60]
    status, output = run_gan([*words, "seed=5"], tmp_path, fork_trials=True)
    assert status == 2 and "found holds another search (overrides differ)" in output
