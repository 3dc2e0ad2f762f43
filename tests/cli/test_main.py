"""The command line: what a person types, what is printed, which status, what is left behind."""

import importlib
import inspect
import json
import os
import re
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest
from helpers import ROOT, begin_run, small_state
from omegaconf import OmegaConf

import gan_cli
from gan_cli import training
from gan_cli.cli import completion, main, parser
from gan_cli.cli.options import PARAMETERS
from gan_cli.cli.verbs import VERBS
from gan_cli.config.groups import groups
from gan_cli.training import checkpoint
from gan_cli.utils import errors
from gan_cli.utils.errors import Diverged, Interrupted

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


class FakeRunner(SimpleNamespace):
    """Checks for real and trains nothing: seed 1 diverges, seed 2 is a defect, seed 3 is interrupted."""

    def __init__(self):
        super().__init__(trained=[])

    def prepare(self, cfg, allowed_modules=()):
        from gan_cli.config.schema import check

        check(cfg, allowed_modules)
        return cfg

    def train(self, prepared, run_dir, changes=(), choices=None):
        self.trained.append(run_dir)
        if run_dir is not None:
            (run_dir / "checkpoints").mkdir()
            (run_dir / "provenance.json").write_text("{}")
            OmegaConf.save(prepared, run_dir / "config.yaml", resolve=True)
            if prepared.seed not in (1, 2, 3):
                checkpoint.save(run_dir / "checkpoints/last.pt", small_state(prepared.trainer.iterations))
        if prepared.seed == 1:
            raise Diverged("d/wasserstein of discriminator is not finite at iteration 7")
        if prepared.seed == 2:
            raise RuntimeError("a defect\nin two lines")
        if prepared.seed == 3:
            raise Interrupted("stopped by SIGTERM", 143)


@pytest.fixture
def runner(monkeypatch, tmp_path):
    fake = FakeRunner()
    monkeypatch.setitem(sys.modules, "gan_cli.training.run", fake)
    monkeypatch.setattr(training, "run", fake, raising=False)
    monkeypatch.setattr("gan_cli.experiments.trial_run.run", fake)
    monkeypatch.chdir(tmp_path)
    for name in ("RANK", "WORLD_SIZE", "GAN_DEBUG"):
        monkeypatch.delenv(name, raising=False)
    return fake


def gan(capsys, *words):
    """Status, standard output and standard error of one command, in this process."""
    status = main.main(words)
    out, err = capsys.readouterr()
    return status, out, err


# -- quick answers


@pytest.mark.parametrize(
    "words", [["--help"], ["train", "--help"], ["translate", "--help"], ["--version"], ["list"], ["list", "model"]]
)
def test_quick_answers_import_nothing_heavy(words):
    code = (
        "import sys\nfrom gan_cli.cli.main import main\n"
        f"status = main({words})\n"
        "print({'torch', 'hydra', 'omegaconf', 'numpy'} & set(sys.modules) or 'light', file=sys.stderr)\n"
        "sys.exit(status)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=ENVIRONMENT)
    assert (done.returncode, done.stderr.strip()) == (0, "light")
    assert done.stdout.strip()


def test_module_starts_like_the_command():
    done = subprocess.run(
        [sys.executable, "-m", "gan_cli", "--version"], capture_output=True, text=True, env=ENVIRONMENT
    )
    assert done.stdout.strip() == f"gan {gan_cli.__version__}"


def test_every_verb_has_help(capsys):
    for verb in VERBS:
        status, out, _ = gan(capsys, verb, "--help")
        assert status == 0 and out.startswith(f"usage: gan {verb}")
        assert all(f"  {option} " in out for option in VERBS[verb].options)


def test_lists_are_shown_as_they_are_written(capsys):
    assert "separated by commas [0,1,2]\n" in gan(capsys, "reproduce", "--help")[1]


def test_list_shows_every_group_with_its_descriptions(capsys):
    _, out, _ = gan(capsys, "list")
    models, _, others = out.partition("\nOther groups:\n")
    assert re.search(r"^  wgan_gp +\S.*Gulrajani et al. 2017, arXiv 1704.00028", models, re.M)
    assert models.count("\n") == 1 + len(groups()["model"])
    assert {"loss", "dataset", "optimizer"} <= {line.split()[0] for line in others.splitlines() if line}
    _, out, _ = gan(capsys, "list", "model")
    assert out.splitlines() == [line.removeprefix("  ") for line in models.splitlines()[1:]]


# -- mistakes: one line, status 2, nothing made

MISTAKES = {
    "tran": "did you mean 'train'",
    "--hlep": "did you mean '--help'",
    "model=dcgan": "gan train model=dcgan",
    "list mdoel": "did you mean 'model'",
    "completion tcsh": "bash, zsh, fish",
    "train optimzer=adam": "no key 'optimzer'; did you mean 'optimizer'?",
    "train model=dcgn": "no model 'dcgn'; did you mean 'dcgan'?",
    "train experiment=nothing": "no experiment 'nothing'",
    "train trainer.itrations=3": "no key 'trainer.itrations'; did you mean 'trainer.iterations'?",
    "train trainer.itrations=3 trainer.batchsize=3": "no key 'trainer.itrations'; did you mean 'trainer.iterations'?",
    "train model.generator.widht=3": "did you mean 'model.generator.width'?",
    "train model=wgan_gp loss.penalty.wieght=3": "did you mean 'loss.penalty.weight'?",
    "train lr=1e-3": "did you mean 'optimizer.lr'?",
    "train trainer/schedul=linear": "did you mean 'trainer/schedule'?",
    "train +trainer.itrations=3": "no key 'trainer.itrations'",
    "train ++model.lamda=3": "no key 'model.lamda'",
    "train seed.x=1": "seed is a single value",
    "train trainer.iterations=abc": "trainer.iterations must be a whole number, not 'abc'",
    "train trainer.iterations=1.5": "trainer.iterations must be a whole number, not 1.5",
    "train trainer.iterations=true": "trainer.iterations must be a whole number, not True",
    "train trainer.batch_size=-4": "trainer.batch_size must be at least 1, not -4",
    "train trainer.ema_decay=1": "trainer.ema_decay must lie in [0, 1), not 1",
    "train trainer.precision=float23": "trainer.precision must be float32 or bfloat16",
    "train trainer.device=gpu": "trainer.device must be auto, cpu or cuda",
    "train trainer=null": "group override must be a string",
    "train optimizer.lr=nan": "optimizer.lr must be a finite number, not nan",
    "train optimizer.lr=-1": "optimizer.lr must be a positive number, not -1",
    "train optimizer.networks.generater.lr=1": "did you mean 'generator'?",
    "train optimizer.networks.generator.lrr=1": "did you mean 'lr'?",
    "train optimizer.networks.generator.lr=0": "optimizer.networks.generator.lr must be a positive number",
    "train model.generator.width=wide": "model.generator.width must be a whole number, not 'wide'",
    "train model._target_=os.system": "_target_ 'os.system' is not allowed",
    "train seed=???": "seed has no value",
    "train seed=${sed}": "seed: Interpolation key 'sed' not found",
    "train model=stylegan2": "gan: no model 'stylegan2'; `gan list model` shows the choices",
    "train model=[": "no model '['",
    "train wgan_gp": "'wgan_gp' is not of the form key=value",
    "train model=dcgan,wgan": "add -m to run them all",
    "train --mulitrun": "did you mean '--multirun'?",
    "train --config-dir nowhere": "there is no folder 'nowhere'",
    "train ~dataset": "dataset",
    "train -m model=dcgn,wgan_gp": "no model 'dcgn'; did you mean 'dcgan'?",
    "train -m seed=0,-1": "seed must lie in",
    "train -m loss=glob(nothing*)": "matches nothing",
    "train --shell-completion": "`gan completion bash`",
    "train --experimental-rerun foo": "gan train has no --experimental-rerun: `gan resume RUN_DIR`",
    "train --resolve": "gan train --cfg job --resolve",
    "search metric=modes trials=": "trials has no value",
    "search metric=modes trials=null": "trials must be a whole number, not 'null'",
    "reproduce ring seeds=": "seeds has no value",
    "reproduce ring seeds=0,,1": "seeds=0,,1: one of the values is empty",
    "reproduce ring variant=": "variant has no value",
    "reproduce ring variant=,,": "variant=,,: one of the values is empty",
    "bench step repeats=": "repeats has no value",
    "bench step variants=foo": "there are: baseline, baseline+malloc, default",
    "bench data root=nope": "root=nope: no such folder",
    "sample": "needs the run directory",
    "sample n=3": "needs the run directory",
    "sample nowhere": "nowhere does not exist",
    "resume .": ". holds no run",
    "resume . --fast": "no option '--fast'",
}


@pytest.mark.parametrize("line", MISTAKES, ids=lambda line: line.replace(" ", "_"))
def test_a_mistake_is_one_line_with_a_remedy_and_leaves_nothing(line, runner, capsys, tmp_path):
    status, out, err = gan(capsys, *line.split())
    assert MISTAKES[line] in err
    assert (status, out, err.count("\n"), err[:5]) == (2, "", 1, "gan: ")
    assert list(tmp_path.iterdir()) == [] and runner.trained == []


def test_outcomes_of_a_run_reach_the_status(runner, capsys, monkeypatch):
    assert gan(capsys, "train", "seed=0")[0] == 0
    status, _, err = gan(capsys, "train", "seed=1")
    assert status == 3 and err == "gan: d/wasserstein of discriminator is not finite at iteration 7\n"
    status, _, err = gan(capsys, "train", "seed=2")
    assert status == 1 and err == "gan: unexpected RuntimeError: a defect in two lines; GAN_DEBUG=1 shows where\n"
    assert gan(capsys, "train", "seed=3")[0] == 143
    monkeypatch.setenv("GAN_DEBUG", "1")
    assert "Traceback" in gan(capsys, "train", "seed=2")[2]
    monkeypatch.setattr(runner, "train", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    assert gan(capsys, "train")[0] == 130


def test_sigterm_ends_a_verb_as_ctrl_c_does(capsys, monkeypatch):
    """One sentence and 143; the handler is there only as long as the verb works, and spares somebody else's."""
    from gan_cli.cli import commands

    ended = []

    def work(words):
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(5)
        finally:
            ended.append(signal.getsignal(signal.SIGTERM))  # a second one kills
        return 0

    monkeypatch.setitem(commands.RUN, "sample", work)
    before = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        assert gan(capsys, "sample", "run") == (143, "", "gan: terminated\n")
        assert ended == [signal.SIG_DFL] and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        monkeypatch.setitem(commands.RUN, "sample", lambda words: os.kill(os.getpid(), signal.SIGTERM) or 0)
        assert gan(capsys, "sample", "run")[0] == 0
    finally:
        signal.signal(signal.SIGTERM, before)


# -- run directories


def test_two_starts_in_the_same_instant_have_their_own_directories(monkeypatch):
    from omegaconf import OmegaConf

    from gan_cli.config.composer import Composer, arguments

    OmegaConf.register_new_resolver("now", lambda pattern: "then", replace=True)
    configs = [Composer(arguments([])).compose([]) for _ in range(8)]
    assert len({c.hydra.run.dir for c in configs}) == len({c.hydra.sweep.dir for c in configs}) == 8
    assert configs[0].hydra.run.dir == configs[0].hydra.run.dir  # drawn once in each
    assert re.fullmatch(r"outputs/then/then-dcgan-shapes-\w{6}", configs[0].hydra.run.dir)


def test_the_run_directory_is_hydras_and_is_not_used_twice(runner, capsys, tmp_path):
    assert gan(capsys, "train", "hydra.run.dir=mine")[0] == 0
    assert runner.trained == [tmp_path / "mine"] and (tmp_path / "mine/.hydra/overrides.yaml").exists()
    status, _, err = gan(capsys, "train", "hydra.run.dir=mine", "seed=5")
    assert status == 2 and "mine already holds a run: `gan resume mine`" in err
    assert "seed: 0" in (tmp_path / "mine/.hydra/config.yaml").read_text() and len(runner.trained) == 1


def test_other_processes_of_torchrun_make_no_directory(runner, capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    assert gan(capsys, "train")[0] == 0
    assert runner.trained == [None] and list(tmp_path.iterdir()) == []
    assert gan(capsys, "train", "seed=x")[2].startswith("gan: [process 1] seed must be")
    status, _, err = gan(capsys, "train", "-m", "seed=0,1")
    assert status == 2 and "without torchrun" in err


# -- what Hydra offers behind `gan train`


def test_cfg_job_prints_the_composed_configuration(runner, capsys, tmp_path):
    status, out, _ = gan(capsys, "train", "--cfg", "job", "seed=3", "loss=least_squares")
    assert status == 0 and "seed: 3\n" in out and "gan_cli.losses.adversarial.LeastSquares" in out
    assert list(tmp_path.iterdir()) == []


def test_options_of_hydras_that_are_answered_here(runner, capsys):
    assert gan(capsys, "train", "--version") == (0, f"gan {gan_cli.__version__}\n", "")
    with pytest.raises(SystemExit) as end:
        main.main(["train", "model=dcgan", "--hydra-help"])
    assert not end.value.code and "--cfg hydra" in capsys.readouterr().out
    status, out, _ = gan(capsys, "train", "--cfg", "job", "--resolve", "seed=3")
    assert status == 0 and "seed: 3\n" in out


def test_experiments_with_and_without_plus(runner, capsys, tmp_path):
    folder = tmp_path / "configs/experiment"
    folder.mkdir(parents=True)
    text = "# @package _global_\ndefaults:\n  - override /model: wgan_gp\ntrainer: {iterations: 7}\n"
    (folder / "mine.yaml").write_text(text)
    plain = gan(capsys, "train", "--cfg", "job", "--config-dir", "configs", "experiment=mine")
    plus = gan(capsys, "train", "--config-dir", "configs", "+experiment=mine", "--cfg", "job")
    assert plain == plus and plain[0] == 0
    assert "iterations: 7\n" in plain[1] and "GradientPenalty" in plain[1]


def test_options_may_stand_anywhere(runner, capsys):
    assert gan(capsys, "train", "seed=0", "-m", "trainer.iterations=1,2", "hydra/launcher=basic")[0] == 0
    assert len(runner.trained) == 2


# -- sweeps

BASIC = "hydra/launcher=basic"  # in this process, where the runner is a fake one


def test_a_failing_member_stops_no_other_and_is_named(runner, capsys, tmp_path):
    status, out, _ = gan(capsys, "train", "-m", BASIC, "seed=0,1,2,4", "model=dcgan", "trainer.iterations=20")
    assert status == 1
    (sweep,) = (tmp_path / "outputs/sweeps").iterdir()
    jobs = ["0-seed_0", "1-seed_1", "2-seed_2", "3-seed_4"]
    assert runner.trained == [sweep / job for job in jobs]
    table = out[out.index(": 2 of 4 ok") :].splitlines()[1:]
    assert [line.split()[:2] for line in table] == [[j, s] for j, s in zip(jobs, ["ok", "failed", "failed", "ok"])]
    assert "(3): d/wasserstein" in table[1] and "(1): RuntimeError: a defect in two lines" in table[2]
    failure = json.loads((sweep / "1-seed_1/failure.json").read_text())
    assert failure["status"] == 3 and "seed=1" in failure["overrides"] and failure["traceback"] is None
    assert "Traceback" in json.loads((sweep / "2-seed_2/failure.json").read_text())["traceback"]
    assert not (sweep / "0-seed_0/failure.json").exists()


def test_a_signal_ends_the_sweep(runner, capsys):
    status, out, err = gan(capsys, "train", "-m", BASIC, "seed=3,0")
    assert status == 143 and len(runner.trained) == 1
    assert "0 of 1 ok" in out and "continues it" in err


def test_a_sweep_of_hydras_launchers_goes_on_too(runner, capsys, tmp_path):
    words = ("train", "-m", BASIC, "seed=0,1", "hydra.sweep.dir=my sweep")
    assert gan(capsys, *words)[0] == 1
    assert runner.trained == [tmp_path / "my sweep/0-seed_0", tmp_path / "my sweep/1-seed_1"]
    runner.trained.clear()
    status, out, _ = gan(capsys, *words[:3], "seed=0,1,4,5", words[-1])
    assert status == 1 and ": 3 of 4 ok" in out  # done, failed before, and two new ones
    assert runner.trained == [tmp_path / "my sweep/2-seed_4", tmp_path / "my sweep/3-seed_5"]


def test_joblib_runs_members_in_processes_of_their_own(tmp_path):
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    words = "train -m model=dcgan network=mlp_points dataset=ring optimizer.lr=1e-3,1e30 trainer.iterations=9"
    done = subprocess.run(
        [sys.executable, "-m", "gan_cli", *words.split(), "hydra/launcher=joblib", "hydra.launcher.n_jobs=2"],
        capture_output=True,
        text=True,
        env=ENVIRONMENT,
        cwd=tmp_path,
    )
    assert done.returncode == 1, done.stderr
    assert ": 1 of 2 ok" in done.stdout and re.search(r"1-lr_\S+ +failed \(3\): ", done.stdout)
    (sweep,) = (tmp_path / "outputs/sweeps").iterdir()
    (trial,) = sweep.glob("0-*")
    assert (trial / "checkpoints/last.pt").exists()


# -- the verbs on a run directory


def test_options_of_a_verb_are_typed():
    given = parser.parse("sample", ["n=16", "label=3", "checkpoint=200"])
    assert given == {"n": 16, "label": "3", "checkpoint": "200"}
    assert parser.parse("evaluate", ["metric=[modes,fid]", "modules=mine"])["metric"] == ["modes", "fid"]
    assert parser.parse("evaluate", ["metric=[modes, fid]", "modules=[]"]) == {
        "metric": ["modes", "fid"],
        "allowed_modules": [],
    }
    assert parser.parse("sample", ["label=null"]) == {"label": None}
    assert parser.parse("compare", ["bin_width=null"]) == {"bin_width": None}
    assert parser.parse("compare", ["bin_width=.5", "filter=lr=1,layers<=4"]) == {
        "bin_width": 0.5, "filter": ["lr=1", "layers<=4"]
    }  # fmt: skip
    assert parser.parse("reproduce", ["seeds=3,1"]) == {"seeds": [3, 1]}


@pytest.mark.parametrize(
    ("verb", "words", "message"),
    [
        ("sample", "sed=3", "no option 'sed'; did you mean 'seed'?"),
        ("sample", "n=many", "n must be a whole number, not 'many'"),
        ("sample", "n=1 n=2", "'n' is given twice"),
        ("sample", "out=", "out has no value"),
        ("sample", "n=", "n has no value"),
        ("sample", "label=", "label has no value"),
        ("sample", "seed=null", "seed must be a whole number, not 'null'"),
        ("export", "seed=", "seed has no value"),
        ("web", "port=", "port has no value"),
        ("translate", "n=", "n has no value"),
        ("evaluate", "n=", "n has no value"),
        ("evaluate", "metric=", "metric has no value"),
        ("evaluate", "metric=[]", "metric has no value"),
        ("evaluate", "metric=fid,,kid", "metric=fid,,kid: one of the values is empty"),
        ("sample", "device=gpu", "device must be auto, cpu or cuda, not 'gpu'"),
        ("evaluate", "device=gpu", "device must be"),
        ("sample", "modules='", "'' is no name of a Python module"),
        ("export", "modules=a,,b", "'' is no name of a Python module"),
        ("sample", "64", "not of the form key=value"),
        ("translate", "input=here", "gan translate needs output=..."),
    ],
)
def test_wrong_options_of_a_verb(verb, words, message, tmp_path, monkeypatch, capsys):
    begin_run(tmp_path / "run")
    monkeypatch.chdir(tmp_path)
    status, _, err = gan(capsys, verb, "run", *words.split())
    assert status == 2 and message in err


def test_a_wrong_run_directory_is_answered_with_the_nearest(tmp_path, monkeypatch, capsys):
    begin_run(tmp_path / "outputs/day/12-00-dcgan-mnist")
    monkeypatch.chdir(tmp_path)
    assert "did you mean 'outputs/day/12-00-dcgan-mnist'?" in gan(capsys, "sample", "outputs/day/12-00-dcgan-mnits")[2]
    assert "outputs holds no run; runs in it: outputs/day/12" in gan(capsys, "resume", "outputs")[2]
    begin_run(tmp_path / "run")
    (tmp_path / "run/checkpoints/last.pt").touch()
    assert "rn does not exist; did you mean 'run'?" in gan(capsys, "resume", "rn")[2]
    assert "last.pt is a file; the run is run\n" in gan(capsys, "resume", "run/checkpoints/last.pt")[2]
    assert "checkpoints is a folder of a run; the run is run\n" in gan(capsys, "sample", "run/checkpoints")[2]
    (tmp_path / "note").touch()
    assert "note is a file, no run; " in gan(capsys, "sample", "note")[2]


def test_options_are_read_from_the_functions_that_do_the_work():
    """From their source, as Python itself reads it: names, defaults, and which ones are required."""
    for name, verb in VERBS.items():
        parameters = {}
        for call in filter(None, (verb.other, verb.call)):
            module, _, function = call.rpartition(".")
            work = getattr(importlib.import_module(f"gan_cli.{module}"), function)
            parameters |= inspect.signature(work).parameters
        assert set(verb.helps) == set(verb.options), name
        for key, option in verb.options.items():
            parameter = parameters[PARAMETERS.get(key, key)]
            required = parameter.default is inspect.Parameter.empty
            assert parameter.kind is inspect.Parameter.KEYWORD_ONLY
            assert required or parameter.default == option.default, (name, key)
            assert option.required == (required and key not in ("real", "fake")), (name, key)
            assert option.type in ("int", "float", "bool", "str", "list of str", "list of int"), (name, key)


# -- completion


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("gan tr", {"train ", "translate "}),
        ("gan train mod", {"model=", "model."}),
        ("gan train model=wgan", {"model=wgan", "model=wgan_gp"}),
        ("gan train seed=1 trainer.iter", {"trainer.iterations="}),
        ("gan train --mul", {"--multirun"}),
        ("gan list opt", {"optimizer"}),
        ("gan completion z", {"zsh"}),
        ("gan sample somewhere se", {"seed="}),
        ("gan sample out", {"outputs/day/run "}),
    ],
)
def test_completion(line, expected, tmp_path, monkeypatch):
    begin_run(tmp_path / "outputs/day/run")
    monkeypatch.chdir(tmp_path)
    found = {re.sub(r"(?<==)\d+$", "", candidate) for candidate in completion.candidates(line)}
    assert expected <= found and all(f.startswith(line.rpartition(" ")[2]) for f in found)


def test_names_of_runs_are_completed_as_the_shell_reads_them(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("plain", "$(touch x)", "two words", "two\nlines"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "metrics.jsonl").touch()
    found = set(completion.candidates("gan sample "))
    assert {"plain ", "'$(touch x)' ", "'two words' "} <= found and not any("lines" in word for word in found)


def test_completion_in_bash(tmp_path, capsys):
    assert main.main(["completion", "bash"]) == 0
    script = capsys.readouterr().out + (
        f'\ngan() {{ {sys.executable} -m gan_cli "$@"; }}\n'
        'COMP_WORDBREAKS=" =:"; COMP_LINE="gan train loss=maxi"; COMP_POINT=${#COMP_LINE}\n'
        '_gan; echo "${COMPREPLY[@]}"; complete -p gan'
    )
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, env=ENVIRONMENT, cwd=tmp_path)
    assert done.stdout.splitlines() == ["maximum_likelihood", "complete -o default -o nospace -F _gan gan"], done.stderr


def test_suggestions_are_short():
    assert errors.suggest("dcgn", ["dcgan", "sgan"]) == "; did you mean 'dcgan'? there are: dcgan, sgan"
    assert errors.suggest("x", map(str, range(100))) == ""
