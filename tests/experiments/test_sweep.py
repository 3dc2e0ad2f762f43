"""Sweeps: the grids of EBGAN's search, which cells are drawn, and that no finished work is done twice."""

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import ClassVar

import processes
import pytest
import sweeping
import torch
from hydra.types import RunMode
from omegaconf import OmegaConf
from sweeping import TINY, waited

from gan_cli.cli import main
from gan_cli.config import migrations
from gan_cli.config.composer import Composer, arguments, without_hydra
from gan_cli.config.paths import conf_dir
from gan_cli.config.schema import check
from gan_cli.experiments import sweep, trial_run, workers
from gan_cli.experiments.grid import Choice, SweepGrid, SweepSettings, _named_axis, build_grid, sweep_settings
from gan_cli.experiments.trial_run import TrialJob
from gan_cli.experiments.trials import ExistingTrials, settings_hash
from gan_cli.experiments.workers import WorkerPool
from gan_cli.training import build, checkpoint, locks
from gan_cli.utils.errors import GanError, Interrupted

GRIDS = {"gan_mnist_grid": 6144, "ebgan_mnist_grid": 512, "ebgan_pt_mnist_grid": 512}


def composed(*overrides):
    return without_hydra(Composer(arguments([])).compose(arguments(overrides).overrides))


def grid_of(*words):
    """The grid and the settings of `gan train -m *words`."""
    args = arguments(words)
    composer = Composer(args)
    settings = sweep_settings(composer.compose(args.overrides, RunMode.MULTIRUN).hydra.sweeper)
    return build_grid(args.overrides, settings, composer), settings


def mistake(capsys, *words):
    assert main.main(words) == 2
    return capsys.readouterr().err


# -- grids and draws


@pytest.mark.parametrize("name", GRIDS)
def test_the_grids_of_the_paper(name):
    grid, settings = grid_of(f"sweep={name}")
    assert len(grid) == GRIDS[name] and settings.sample == "all"
    every = {grid.trial(index)[0] for index in range(len(grid))}
    assert len(every) == GRIDS[name]
    label, overrides = grid.trial(0)
    experiment = name.replace("gan_mnist_grid", "gan_grid_mnist") if name.startswith("gan") else name[:-5]
    assert overrides[:3] == [f"experiment={experiment}", "model.generator.layers=2", "model.discriminator.layers=2"]
    assert label.startswith("nLayerG=2,nLayerD=2,sizeG=400,sizeD=128,dropoutD=true")
    label, overrides = grid.trial(len(grid) - 1)
    if name == "gan_mnist_grid":
        assert label == "nLayerG=5,nLayerD=5,sizeG=3200,sizeD=1024,dropoutD=false,optimD=sgd,optimG=sgd,lr=0.0001"
    assert {"model.generator.size=3200", "model.discriminator.dropout=false"} <= set(overrides)


def test_a_cell_of_the_gans_grid_is_what_its_name_says():
    grid, _ = grid_of("sweep=gan_mnist_grid")
    wanted = "dropoutD=true,optimD=sgd,optimG=adam,lr=0.01"
    index = next(i for i in range(len(grid)) if grid.trial(i)[0].endswith(wanted))
    cfg = composed(*grid.trial(index)[1])
    check(cfg)
    built = build.optimizers(cfg, build.system(cfg))
    assert {name: type(one) for name, one in built.items()} == {
        "generator": torch.optim.Adam, "discriminator": torch.optim.SGD
    }  # fmt: skip
    assert all(one.param_groups[0]["lr"] == 0.01 for one in built.values())
    assert list(built["generator"].param_groups[0]["betas"]) == [0.5, 0.999]
    assert built["discriminator"].param_groups[0]["momentum"] == 0


def test_a_network_may_have_an_optimiser_of_another_class():
    cfg = composed(
        *TINY, "optimizer.lr=0.3", "optimizer.betas=[0.2,0.7]",
        "optimizer.networks.discriminator._target_=torch.optim.SGD", "optimizer.networks.generator.lr=0.1",
    )  # fmt: skip
    check(cfg)
    built = build.optimizers(cfg, build.system(cfg))
    assert type(built["discriminator"]) is torch.optim.SGD and built["discriminator"].param_groups[0]["lr"] == 0.3
    assert type(built["generator"]) is torch.optim.Adam and built["generator"].param_groups[0]["lr"] == 0.1
    assert list(built["generator"].param_groups[0]["betas"]) == [0.2, 0.7]
    cfg.optimizer.networks.discriminator = {"_target_": "torch.optim.SGD", "betas": [0.1, 0.2]}
    with pytest.raises(GanError, match=r"no key 'optimizer.networks.discriminator.betas' in torch.optim.sgd.SGD"):
        check(cfg)
    cfg.optimizer.networks.discriminator = {"_target_": "os.system"}
    with pytest.raises(GanError, match=r"optimizer.networks.discriminator"):
        check(cfg)


def test_the_command_line_takes_the_place_of_an_axis():
    grid, _ = grid_of("+sweep=ebgan_mnist_grid", "model.generator.size=100,200", "optimizer.lr=0.5", "seed=range(0,3)")
    assert len(grid) == 512 // 4 * 2 * 3
    label, overrides = grid.trial(len(grid) - 1)
    assert "optimizer.lr=0.5" in overrides and "lr=0.001" not in label
    assert overrides[-2:] == ["model.generator.size=200", "seed=2"]
    assert "experiment=ebgan_pt_mnist" in grid_of("sweep=ebgan_mnist_grid", "experiment=ebgan_pt_mnist")[0].fixed


@pytest.mark.parametrize("words", ["sweep=ebgan_mnist_grid", "dataset=mnist,fashion_mnist network=mlp"])
def test_an_override_may_set_what_only_the_cells_have(words, capsys, tmp_path):
    """dataset.root is no key of the default data set."""
    line = f"train -m {words} dataset.root={tmp_path}/none sweep.sample=2 hydra.sweep.dir={tmp_path}/sweep"
    assert "trainer.iterations" in mistake(capsys, *line.split(), "trainer.iterations=nonsense")
    assert main.main(line.split()) == 1
    assert capsys.readouterr().out.count(f"{tmp_path}/none") >= 2  # each cell misses the files


def test_draws_are_distinct_seeded_and_begin_with_the_shorter_ones():
    grid = SweepGrid((), tuple(tuple(Choice(f"{n}={v}", (f"{n}={v}",)) for v in range(8)) for n in "abc"))
    short, long = grid.subsample(24, seed=0), grid.subsample(48, seed=0)
    assert long[:24] == short and len(set(long)) == 48 and long != sorted(long)
    assert grid.subsample(24, seed=0) == short != grid.subsample(24, seed=1)
    assert sorted(grid.subsample(512, seed=3)) == grid.subsample("all", seed=3) == list(range(512))
    # by hand, the last axis fastest: 3*64 + 1*8 + 6
    assert grid.trial(206) == ("a=3,b=1,c=6", ["a=3", "b=1", "c=6"])
    with pytest.raises(GanError, match=r"sweep.sample=513: the grid has 512 trials"):
        grid.subsample(513, seed=0)


def test_keys_of_one_name_move_together():
    axis = _named_axis("both", {"a.x": [1, 2], "b.x": {"one": None, "two": {"y": [True, 1e-5]}}})
    assert [choice.overrides for choice in axis] == [("a.x=1", "b.x=null"), ("a.x=2", "b.x={y:[true,1e-05]}")]
    assert [choice.label for choice in axis] == ["both=1", "both=2"]
    with pytest.raises(GanError, match=r"sweep.grid.both: its keys need equally many values"):
        _named_axis("both", {"a.x": [1, 2], "b.x": [1]})


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
def test_mistakes_leave_nothing(line, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert MISTAKES[line] in mistake(capsys, *line.split())
    assert list(tmp_path.iterdir()) == []


# -- which cell is which


def test_the_digest_knows_what_a_cell_learns_and_not_how_it_is_watched():
    cfg = composed(*TINY)
    same = ["trainer.log_every=7", "trainer.sample_every=9", "trainer.checkpoint_every=3", "trainer.device=cuda",
            "metric=[modes]", "trainer.evaluate_every=5", "extractor=random"]  # fmt: skip
    assert settings_hash(composed(*TINY, *same)) == settings_hash(cfg) and len(settings_hash(cfg)) == 16
    OmegaConf.set_struct(cfg, False)

    def changed(*texts):
        return OmegaConf.merge(cfg, OmegaConf.from_dotlist(list(texts)))

    others = ["seed=1", "optimizer.lr=0.1", "trainer.iterations=9", "loss.critic_steps=7", "trainer.batch_size=16"]
    assert len({settings_hash(cfg), *(settings_hash(changed(other)) for other in others)}) == 6
    one, two = changed("dataset.root=a"), changed("dataset.root=b")
    assert settings_hash(one) == settings_hash(two)
    assert settings_hash(one, ["dataset.root"]) != settings_hash(two, ["dataset.root"])
    read = OmegaConf.create(OmegaConf.to_yaml(cfg, resolve=True))
    assert settings_hash(read) == settings_hash(cfg)  # as config.yaml has it


def member(folder, cfg, done, failure=None):
    """A run as a sweep leaves it."""
    (folder / "checkpoints").mkdir(parents=True)
    OmegaConf.save(cfg, folder / "config.yaml", resolve=True)
    (folder / "provenance.json").write_text("{}")
    if done:
        checkpoint.save(folder / "checkpoints" / "last.pt", {"iteration": done})
    if failure:
        (folder / "failure.json").write_text(json.dumps({"error": failure, "status": 3}))


def test_cells_are_found_by_their_config_whatever_their_folders_are_called(tmp_path):
    cfg = composed(*TINY, "trainer.iterations=10")
    ask = {seed: OmegaConf.merge(cfg, {"seed": seed}) for seed in range(5)}
    member(tmp_path / "0-seed_0", ask[1], 10)
    member(tmp_path / "7-other", ask[2], 4)
    member(tmp_path / "2-seed_2", ask[3], 4, "diverged")
    (tmp_path / "4-seed_4/checkpoints").mkdir(parents=True)  # killed before it began
    found = ExistingTrials(tmp_path, ["seed"])
    placed = {seed: found.place(seed, f"seed={seed}", [f"seed={seed}"], one, retry=False) for seed, one in ask.items()}
    assert [trial.state for trial in placed.values()] == ["new", "done", "unfinished", "failed", "new"]
    names = [trial.folder.name for trial in placed.values()]
    assert names == ["8-seed_0", "0-seed_0", "7-other", "2-seed_2", "4-seed_4"]  # 0-seed_0 is another cell's
    assert not (tmp_path / "4-seed_4/checkpoints").exists()
    again = ExistingTrials(tmp_path, ["seed"]).place(3, "seed=3", ["seed=3"], ask[3], retry=True)
    assert again.state == "unfinished" and again.folder.name == "2-seed_2"
    longer = OmegaConf.merge(ask[1], {"trainer": {"iterations": 20}})
    assert found.place(1, "seed=1", [], longer, retry=False).state == "new"


def test_a_cell_that_could_not_begin_is_known_by_its_overrides(tmp_path):
    trial_run.write_failure(tmp_path / "1-x", 2, "no such folder", ["seed=1"])
    assert ExistingTrials(tmp_path, []).place(1, "x", ["seed=1"], None, retry=False).state == "failed"
    assert ExistingTrials(tmp_path, []).place(1, "x", ["seed=1"], None, retry=True).state == "new"
    assert not (tmp_path / "1-x/failure.json").exists()


# -- processes


class FakeProcess:
    """Ends at once."""

    made: ClassVar[list] = []

    def __init__(self, target, args):
        FakeProcess.made.append(args)
        self.sentinel, write = os.pipe()
        os.close(write)  # so that it is ready
        self.exitcode = 0

    def start(self):
        pass

    join = terminate = start


def test_slots_share_out_gpus_and_threads(monkeypatch, tmp_path):
    FakeProcess.made.clear()
    monkeypatch.setattr(workers.CONTEXT, "Process", FakeProcess, raising=False)
    monkeypatch.setattr(workers, "_cores", lambda: 12)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setenv("OMP_NUM_THREADS", "")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,GPU-7")
    assert (WorkerPool().count, WorkerPool().threads, WorkerPool(5).threads, WorkerPool(40).threads) == (2, 6, 2, 1)
    with WorkerPool(3) as three:
        for name in "abc":
            three.start(TrialJob(tmp_path / name, ()))
        assert three.idle == []
    assert [environment["CUDA_VISIBLE_DEVICES"] for _, environment, _ in FakeProcess.made] == ["5", "GPU-7", "5"]
    assert {environment["OMP_NUM_THREADS"] for _, environment, _ in FakeProcess.made} == {"4"}
    assert three.running == {} and three.idle == [0, 1, 2]
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert WorkerPool(40).threads == 3
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    assert WorkerPool().count == 1


def unlocked(run):
    """Whether no process trains there."""
    with open(run / ".lock") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


def test_a_killed_sweep_goes_on_where_it_stopped_even_moved(tmp_path):
    """Cells of 3 and 100 iterations; the second is killed half-done with its sweep, and ends in the same bits."""
    cell = [*TINY, "trainer.checkpoint_every=3"]
    process = sweeping.start(
        ["train", "-m", *cell, "trainer.iterations=3,100", "hydra.sweep.dir=here/sweep", "sweep.workers=2"], tmp_path
    )
    here = tmp_path / "here/sweep"
    short, long = here / "0-iterations_3", here / "1-iterations_100"
    waited(lambda: checkpoint.iteration(short / "checkpoints/last.pt") == 3)
    waited(lambda: checkpoint.iteration(long / "checkpoints/last.pt") > 0)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    waited(lambda: unlocked(long))
    stopped = checkpoint.iteration(long / "checkpoints/last.pt")
    assert 0 < stopped < 100 and not (long / "failure.json").exists()
    moved = tmp_path / "elsewhere"
    shutil.move(here, moved)
    before = {file: file.stat().st_mtime_ns for file in (moved / short.name).rglob("*") if file.is_file()}
    status, output = sweeping.gan(["resume", "elsewhere"], tmp_path)
    assert status == 0 and "0-iterations_3: done before" in output and "elsewhere: 2 of 2 ok" in output
    assert {file: file.stat().st_mtime_ns for file in (moved / short.name).rglob("*") if file.is_file()} == before
    facts = json.loads((moved / long.name / "provenance.json").read_text())
    assert [resumed["iteration"] for resumed in facts["resumes"]] == [stopped]
    assert not (tmp_path / "here/sweep").exists()
    assert processes.gan(["train", *cell, "trainer.iterations=100", "hydra.run.dir=whole"], tmp_path)[0] == 0
    whole, ours = processes.state(tmp_path / "whole"), processes.state(moved / long.name)
    assert whole.keys() == ours.keys() and all(torch.equal(whole[name], ours[name]) for name in whole)


def test_a_signal_stops_all_cells_and_keeps_their_state(tmp_path):
    process = sweeping.start(
        ["train", "-m", *TINY, "seed=0,1", "trainer.iterations=1000000", "trainer.checkpoint_every=5",
         "hydra.sweep.dir=s", "sweep.workers=2"], tmp_path
    )  # fmt: skip
    runs = [tmp_path / "s/0-seed_0", tmp_path / "s/1-seed_1"]
    for run in runs:
        waited(lambda run=run: checkpoint.iteration(run / "checkpoints/last.pt") > 0)
    os.kill(process.pid, signal.SIGINT)
    process.join(60)
    assert process.exitcode == 130
    output = (tmp_path / "output.txt").read_text()
    assert "gan: sweep stopped; `gan resume s` continues it" in output and "s: 0 of 2 ok" in output
    for run in runs:
        done = checkpoint.iteration(run / "checkpoints/last.pt")
        assert f"{run.name}  stopped after iteration {done} of 1000000" in output
        assert unlocked(run) and not (run / "failure.json").exists()


def test_a_failed_cell_is_told_and_tried_again_only_on_request(tmp_path):
    words = ["train", "-m", *TINY, "optimizer.lr=1e30,1e-3", "trainer.iterations=6", "trainer.log_every=1",
             "hydra.sweep.dir=s"]  # fmt: skip
    status, output = sweeping.gan(words, tmp_path)
    bad, good = tmp_path / "s/0-lr_1e+30", tmp_path / "s/1-lr_0.001"
    note = json.loads((bad / "failure.json").read_text())
    assert status == 1 and "s: 1 of 2 ok" in output and not (good / "failure.json").exists()
    assert note["status"] == 3 and " is nan at iteration 1;" in note["error"]
    assert "optimizer.lr=1e+30" in note["overrides"]
    born = (bad / "failure.json").stat().st_mtime_ns, (good / "checkpoints/last.pt").stat().st_mtime_ns
    status, output = sweeping.gan(["resume", "s"], tmp_path)
    assert status == 1 and "0-lr_1e+30: failed before: " in output and "sweep.retry=true tries again" in output
    assert born == ((bad / "failure.json").stat().st_mtime_ns, (good / "checkpoints/last.pt").stat().st_mtime_ns)
    assert sweeping.gan(["resume", "s", "sweep.retry=true"], tmp_path)[0] == 1
    assert (bad / "failure.json").stat().st_mtime_ns > born[0]
    assert (good / "checkpoints/last.pt").stat().st_mtime_ns == born[1]
    assert "resuming s/0-lr_1e+30" in (bad / "output.txt").read_text()


def test_a_killed_process_is_recorded(tmp_path):
    job = TrialJob(tmp_path / "run", (*TINY, "trainer.iterations=1000000"))
    with WorkerPool(1) as one:
        one.start(job)
        waited(lambda: (job.folder / "provenance.json").exists())
        next(iter(one.running.values())).process.kill()
        (ended,) = one.finished(60)
    assert (ended.status, ended.stopped) == (-signal.SIGKILL, False)
    note = json.loads((job.folder / "failure.json").read_text())
    assert (note["status"], note["error"]) == (-9, "killed by SIGKILL") and tuple(note["overrides"]) == job.overrides


def test_only_one_process_runs_a_sweep(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with locks.claimed(Path("s"), "sweep", "hydra.sweep.dir"):
        assert "another process runs the sweep s" in mistake(capsys, "train", "-m", "seed=0,1", "hydra.sweep.dir=s")


def test_a_run_is_not_made_a_sweep(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run/checkpoints").mkdir(parents=True)
    line = ["train", "-m", *TINY, "seed=0,1", "hydra.sweep.dir=run"]
    assert mistake(capsys, *line).strip() == "gan: run holds a run: name another folder by hydra.sweep.dir="
    assert [file.name for file in (tmp_path / "run").iterdir()] == ["checkpoints"]


@pytest.mark.parametrize("value", ["", "''"])
def test_a_sweeps_folder_has_a_name(value, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    line = ["train", "-m", *TINY, "seed=0,1", f"hydra.sweep.dir={value}"]
    assert "hydra.sweep.dir has no value" in mistake(capsys, *line) and list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("name", "source"), [("slurm", "hydra-submitit-launcher"), ("joblib", "'gan-cli[sweep]'")])
def test_a_launcher_says_what_to_install(name, source, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sweep.importlib.util, "find_spec", lambda package: None)
    said = mistake(capsys, "train", "-m", *TINY, "seed=0,1", f"hydra/launcher={name}")
    assert said.strip() == f"gan: hydra/launcher={name} needs: pip install {source}" and list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("number", "moment"), [(signal.SIGINT, "at once"), (signal.SIGINT, "later"), (signal.SIGTERM, "later")]
)
def test_a_signal_to_the_whole_group_fails_no_cell(number, moment, tmp_path):
    """As Ctrl-C in a terminal sends it, while the server of the cells imports what they need or a cell trains."""
    words = ["train", "-m", *TINY, "seed=0,1", "trainer.iterations=1000000", "trainer.checkpoint_every=5",
             "hydra.sweep.dir=s"]  # fmt: skip
    with open(tmp_path / "said.txt", "w") as said:
        gan = subprocess.Popen([sys.executable, "-m", "gan_cli", *words], cwd=tmp_path, start_new_session=True,
                               stdout=said, stderr=subprocess.STDOUT)  # fmt: skip
    first = tmp_path / "s/0-seed_0"
    if moment == "later":
        waited(lambda: checkpoint.iteration(first / "checkpoints/last.pt") > 0)
    else:
        children = Path(f"/proc/{gan.pid}/task/{gan.pid}/children")
        waited(lambda: any("forkserver" in Path(f"/proc/{child}/cmdline").read_text()
                           for child in children.read_text().split()))  # fmt: skip
        waited(lambda: "in parallel" in (tmp_path / "said.txt").read_text())
        time.sleep(0.5)
    os.killpg(gan.pid, number)
    assert gan.wait(100) == 128 + number
    output = (tmp_path / "said.txt").read_text()
    assert "gan: sweep stopped; `gan resume s` continues it" in output and "Traceback" not in output
    assert not list((tmp_path / "s").glob("*/failure.json")) and "failed" not in output
    if moment == "later":
        done = checkpoint.iteration(first / "checkpoints/last.pt")
        assert f"0-seed_0  stopped after iteration {done} of 1000000" in output


def test_a_cell_that_somebody_stops_stops_the_sweep_and_goes_on(tmp_path):
    words = ["train", "-m", *TINY, "seed=0,1", "trainer.iterations=300", "trainer.checkpoint_every=5",
             "hydra.sweep.dir=s"]  # fmt: skip
    process = sweeping.start(words, tmp_path)
    first = tmp_path / "s/0-seed_0"
    waited(lambda: checkpoint.iteration(first / "checkpoints/last.pt") > 0)
    (child,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    os.kill(int(child), signal.SIGTERM)
    process.join(60)
    output = (tmp_path / "output.txt").read_text()
    assert process.exitcode == 143 and "0-seed_0: stopped (" in output and "`gan resume s` continues it" in output
    assert not (first / "failure.json").exists() and not (tmp_path / "s/1-seed_1").exists()
    status, output = sweeping.gan(["resume", "s"], tmp_path)
    assert status == 0 and "s: 2 of 2 ok" in output
    assert len(json.loads((first / "provenance.json").read_text())["resumes"]) == 1


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(143)])
def test_a_stopped_launcher_of_hydras_says_how_to_go_on(error, tmp_path, monkeypatch):
    """SystemExit is what `run_trial` ends with."""
    def stop(*_):
        raise error

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sweep.Composer, "launch", stop)
    with pytest.raises(Interrupted, match=r"^sweep stopped; `gan resume s` continues it$") as caught:
        sweep.run(arguments(["-m", *TINY, "seed=0,1", "hydra/launcher=basic", "hydra.sweep.dir=s"]))
    assert caught.value.status == (130 if isinstance(error, KeyboardInterrupt) else 143)


def test_what_is_recorded_could_run_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    words = ["seed=0,1", "modules=[mine]", "+hydra.callbacks.x._target_=os.system", "hydra/launcher=joblib",
             "sweep.sample=2", "sweep.retry=true", "sweep=gan_mnist_grid"]  # fmt: skip
    args = arguments(words)
    sweep.record(tmp_path, args)
    said = json.loads((tmp_path / "sweep.json").read_text())
    assert said.pop("schema_version") == migrations.VERSION
    assert said == {"overrides": ["seed=0,1", "sweep.sample=2", "+sweep=gan_mnist_grid"], "options": []}
    (tmp_path / "sweep.json").write_text(json.dumps({"overrides": [], "options": ["--config-dir=mine"]}))
    assert "resume it with `gan train -m --config-dir=mine" in mistake(capsys, "resume", ".")


def test_the_names_of_the_grids_are_listed(capsys):
    assert main.main(["list", "sweep"]) == 0
    out = capsys.readouterr().out
    assert all(name in out for name in GRIDS) and {f.stem for f in (conf_dir() / "sweep").glob("*.yaml")} == set(GRIDS)


def test_settings_are_typed():
    assert SweepSettings() == sweep_settings(OmegaConf.load(conf_dir() / "hydra/sweeper/grid.yaml"))
    with pytest.raises(GanError, match=r"sweep.seed must be a whole number"):
        sweep_settings(OmegaConf.create({"_target_": "x", "seed": "now"}))
