"""Scores, best checkpoints and warnings while a run trains: right, and without a trace in the training."""

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from helpers import checkpoint_values, composed, run_gan, start_gan
from omegaconf import OmegaConf
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

from gan_cli.cli.main import main
from gan_cli.data.base import Domains, Images
from gan_cli.losses.adversarial import LeastSquares, Minimax, NonSaturating, Wasserstein
from gan_cli.losses.objective import Objective
from gan_cli.metrics.base import EvaluationData, Features, Metric
from gan_cli.metrics.validation import Validator
from gan_cli.training import checkpoint
from gan_cli.training import run as runner
from gan_cli.training.logger import TrainingProgress
from gan_cli.training.loop import Loop
from gan_cli.training.monitor import Monitor, mean_distance
from gan_cli.training.run_dir import RunDir
from gan_cli.utils.errors import GanError, Interrupted

POINTS = [
    "dataset=ring",
    "network=mlp_points",
    "model.generator.widths=[8]",
    "model.discriminator.widths=[8]",
    "trainer.batch_size=8",
    "trainer.sample_count=4",
    "trainer.device=cpu",
    "hydra.run.dir=run",
]
SCORED = [
    "metric=[modes]",
    "metric.modes.radius=60",  # so far that untrained points count
    "trainer.evaluate_every=2",
    "trainer.evaluate_count=40",
    "trainer.best_metric=reverse_kl",
]
ITERATIONS = 13
RUN = [
    *POINTS,
    f"trainer.iterations={ITERATIONS}",
    "trainer.checkpoint_every=3",
    "trainer.log_every=1",
    "optimizer.lr=0.05",
]
NAME = "metric/reverse_kl"


def lines(run: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def curve(run: Path, name: str = NAME) -> dict[int, float]:
    return {int(line["iteration"]): line[name] for line in lines(run) if name in line}


def best(run: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = checkpoint.load(run / "checkpoints" / "best.pt")
    return loaded


def best_of(values: dict[int, float]) -> dict[str, Any]:
    """The entry `best` that a curve asks for: the lowest, the earliest of equal ones."""
    iteration = min(values, key=lambda at: (values[at], at))
    return {"name": "reverse_kl", "value": values[iteration], "iteration": iteration}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A scored run that was not interrupted."""
    run = tmp_path_factory.mktemp("whole") / "run"
    assert main(["train", *RUN, *SCORED, f"hydra.run.dir={run}"]) == 0
    return run


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


# -- the curve and best.pt


def test_scored_on_time_and_after_the_last_iteration(whole: Path) -> None:
    assert list(curve(whole, "metric/modes")) == [2, 4, 6, 8, 10, 12, 13]
    assert [line["iteration"] for line in lines(whole) if "d/adversarial" in line] == list(range(1, ITERATIONS + 1))


def test_best_is_the_best_of_the_curve(whole: Path) -> None:
    state = best(whole)
    assert state["best"] == best_of(curve(whole)) and state["iteration"] == state["best"]["iteration"]
    last = checkpoint.load(whole / "checkpoints" / "last.pt")
    assert last["best"] == state["best"] and last["iteration"] == ITERATIONS


def test_evaluate_repeats_the_best_score(whole: Path) -> None:
    """The averaged weights, the same noise: the same number."""
    at = best(whole)["best"]
    words = ["metric=modes", "metric.modes.radius=60", "checkpoint=best", "n=40", "device=cpu"]
    assert main(["evaluate", str(whole), *words]) == 0
    record = json.loads((whole / "evaluation.jsonl").read_text().splitlines()[-1])
    assert record["protocol"]["weights"] == "ema" and record["protocol"]["iteration"] == at["iteration"]
    assert record["values"]["reverse_kl"] == at["value"]


def test_training_has_the_bits_of_a_run_without_metrics(whole: Path, here: Path) -> None:
    assert main(["train", *RUN, "trainer.sample_every=1"]) == 0
    plain, scored = checkpoint_values(here / "run"), checkpoint_values(whole)
    assert set(scored) - set(plain) == {"/best/value", "/best/iteration"}
    assert all(torch.equal(value, scored[name]) for name, value in plain.items())
    assert not (here / "run/checkpoints/best.pt").exists()


def test_killed_and_resumed(tmp_path: Path, whole: Path) -> None:
    process = start_gan(["train", *RUN, *SCORED], tmp_path)
    run = tmp_path / "run"
    while process.is_alive() and not (run.exists() and len(list(run.glob("checkpoints/*.pt"))) == 2):
        process.join(0.002)
    process.kill()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    code, output = run_gan(["resume", "run"], tmp_path)
    assert code == 0, output
    resumed, alone = checkpoint_values(run), checkpoint_values(whole)
    assert resumed.keys() == alone.keys() and all(torch.equal(alone[name], resumed[name]) for name in alone)
    assert best(run)["best"] == best(whole)["best"] and curve(run) == curve(whole)


class Killed(BaseException):
    """As sudden as SIGKILL, at a place of one's choice."""


def test_a_kill_between_last_and_best(here: Path, monkeypatch: pytest.MonkeyPatch, whole: Path) -> None:
    """last.pt knows of the best score, best.pt was not written: the resumed run makes it good at once."""
    values = curve(whole)
    *_, before, fatal = sorted({best_of({i: values[i] for i in values if i <= at})["iteration"] for at in values})
    save = checkpoint.save

    def dying(path: Path, state: dict[str, Any]) -> None:
        if path.name == "best.pt" and state["iteration"] == fatal:
            raise Killed
        save(path, state)

    monkeypatch.setattr(checkpoint, "save", dying)
    with pytest.raises(Killed):
        main(["train", *RUN, *SCORED])
    monkeypatch.setattr(checkpoint, "save", save)
    run = here / "run"
    assert checkpoint.load(run / "checkpoints/last.pt")["iteration"] == fatal
    assert best(run)["iteration"] == before
    assert main(["resume", "run"]) == (2 if fatal == ITERATIONS else 0)  # finished or not, it is mended
    assert best(run)["iteration"] == fatal and best(run)["best"] == best_of(values) and curve(run) == values


def test_a_resumed_run_remembers_its_best(here: Path) -> None:
    """All scores are 0, and of equal ones the first stays."""
    far = ["metric.modes.radius=1e-9", "trainer.best_metric=high_quality"]
    assert main(["train", *POINTS, *SCORED, *far, "trainer.iterations=4"]) == 0
    assert main(["resume", "run", "trainer.iterations=6"]) == 0
    assert curve(here / "run", "metric/high_quality") == {2: 0, 4: 0, 6: 0}
    assert best(here / "run")["best"] == {"name": "high_quality", "value": 0, "iteration": 2}
    assert best(here / "run")["iteration"] == 2


# -- in one process


@pytest.fixture
def loop(here: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """overrides -> the loop of a new run that they describe."""
    made: list[Loop] = []

    def make(*overrides: str) -> Loop:
        caught: list[Loop] = []
        monkeypatch.setattr(Loop, "train", lambda self, received: caught.append(self))
        runner.train(runner.prepare(composed(*POINTS[:-1], *overrides)), here / "run")
        monkeypatch.undo()
        monkeypatch.chdir(here)
        made.extend(caught)
        return caught[0]

    yield make
    for one in made:
        if one.logger:
            one.logger.close()


def test_a_signal_leaves_no_hole_in_the_curve(loop: Any, here: Path) -> None:
    """The iteration that a signal stops at is logged, sampled, scored and saved like any other."""
    one = loop(*SCORED, "trainer.iterations=4", "trainer.evaluate_every=1")
    with pytest.raises(Interrupted, match="SIGTERM after iteration 1"):
        one.train([signal.SIGTERM])
    assert list(curve(here / "run")) == [1] and best(here / "run")["iteration"] == 1
    assert checkpoint.load(here / "run/checkpoints/last.pt")["iteration"] == 1


def test_a_signal_in_the_last_iteration_lets_the_run_end(loop: Any, here: Path) -> None:
    loop("trainer.iterations=1").train([signal.SIGTERM])
    assert checkpoint.load(here / "run/checkpoints/last.pt")["iteration"] == 1


@pytest.mark.parametrize(
    ("settings", "kept"),
    [
        (["trainer.checkpoint_every=1", "trainer.keep_checkpoints=2"], [5, 6]),
        (["trainer.checkpoint_every=1", "trainer.keep_checkpoints=1", "trainer.keep_every=2"], [2, 4, 6]),
        (["trainer.checkpoint_every=100", "trainer.keep_every=4"], [4]),
        (["trainer.checkpoint_every=2", "trainer.keep_checkpoints=1", "trainer.keep_every=3"], [3, 6]),
    ],
)
def test_retention(settings: list[str], kept: list[int], here: Path) -> None:
    assert main(["train", *POINTS, *SCORED, "trainer.iterations=6", *settings]) == 0
    names = {path.stem for path in (here / "run/checkpoints").glob("*.pt")}
    assert names == {"best", "last", *(f"{number:06d}" for number in kept)}


def test_a_config_of_an_earlier_version_goes_on(here: Path) -> None:
    assert main(["train", *POINTS, "trainer.iterations=2"]) == 0
    cfg = OmegaConf.load("run/config.yaml")
    assert isinstance(cfg.trainer.keep_every, int) and cfg.metric == {} and "extractor" in cfg  # type: ignore[union-attr]
    for key in ("keep_every", "evaluate_every", "evaluate_count", "best_metric"):
        del cfg.trainer[key]  # type: ignore[union-attr]
    del cfg["metric"], cfg["extractor"]
    OmegaConf.save(cfg, "run/config.yaml")
    assert main(["resume", "run", "trainer.iterations=3"]) == 0
    settings = ["metric=[modes]", "trainer.evaluate_every=2", "trainer.evaluate_count=30", "extractor=pixels"]
    assert main(["resume", "run", "trainer.iterations=6", *settings]) == 0
    assert list(curve(here / "run", "metric/modes")) == [4, 6]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["metric=infogan_codes"], "model=infogan"),
        (["metric=[modes,infogan_codes]"], "model=infogan"),
        (["metric=[mods]"], "no metric 'mods'"),
        (["metric=modes", "metric.modes.raduis=2"], "did you mean 'metric.modes.radius'"),
        (["metric=modes", "trainer.best_metric=high_qualty"], "did you mean 'high_quality'"),
        (["trainer.best_metric=modes"], "metric=[NAME,...]"),
        (["metric=modes", "trainer.evaluate_every=0"], "trainer.evaluate_every must be at least 1"),
        (["trainer.keep_every=-1"], "trainer.keep_every must be 0 or more"),
        (["+metric.mine.weight=1"], "metric.mine has no _target_"),
        (["+metric.mine._target_=os.system"], "metric.mine: _target_ 'os.system' is not allowed"),
        (["+metric.mine._target_=torch.nn.Identity"], "_target_ 'torch.nn.Identity' is not allowed"),
        (["+extractor.wide=1"], "no key 'extractor.wide'"),
    ],
)
def test_refused_before_a_run_exists(
    words: list[str], message: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", *POINTS, "trainer.iterations=1", *words]) == 2
    assert message in capsys.readouterr().err
    assert not Path("run").exists()


# -- scoring


class Fixed(Metric):
    """Returns the given answers one by one, or raises them."""

    better: ClassVar = {"FID": "lower", "n": None}

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)

    def __call__(self, evaluation: EvaluationData) -> dict[str, float]:
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return {"FID": answer, "n": float(evaluation.generated.size)}


class Upwards(Fixed):
    better: ClassVar = {"n": None, "share": "higher"}

    def __call__(self, evaluation: EvaluationData) -> dict[str, float]:
        return {"share": self.answers.pop(0)}


class Extractor:
    name, hash, prepared = "", "", 0

    def prepare(self, data: Any, device: torch.device) -> None:
        self.name, self.hash, self.prepared = "toy", "abcdef", self.prepared + 1

    def __call__(self, images: Tensor) -> Features:
        return Features(images.flatten(1))


def test_a_failing_metric_warns_once_and_the_others_count() -> None:
    bad, good = Fixed(*[ValueError("too few")] * 2, OSError("no room")), Upwards(0.1, 0.2, 0.3)
    scoring = Validator({"bad": bad, "good": good}, Extractor(), 10)
    prepared = runner.prepare(composed(*POINTS[:-1]))
    assert scoring.score(prepared.system, prepared.data) == ({"share": 0.1}, ["warning: metric bad: too few"])
    assert scoring.score(prepared.system, prepared.data) == ({"share": 0.2}, [])
    assert scoring.score(prepared.system, prepared.data) == ({"share": 0.3}, ["warning: metric bad: no room"])


def test_scoring_in_test_mode_changes_nothing_in_the_model() -> None:
    class Looks(Fixed):
        def __call__(self, evaluation: EvaluationData) -> dict[str, float]:
            assert not evaluation.system.training and not torch.is_grad_enabled()
            return {"FID": float(evaluation.generated.take().image.sum() + torch.rand(1))}

    prepared = runner.prepare(composed(*POINTS[:-1]))
    scoring = Validator({"a": Looks()}, Extractor(), 10)
    before = torch.get_rng_state()
    first, _ = scoring.score(prepared.system, prepared.data)
    assert prepared.system.training and torch.equal(before, torch.get_rng_state())
    assert scoring.score(prepared.system, prepared.data)[0] == first  # the same noise each time


def test_best_metric_lower_and_ties_and_what_is_not_finite() -> None:
    scoring = Validator({"fid": Fixed(float("nan"))}, Extractor(), 10)
    prepared = runner.prepare(composed(*POINTS[:-1]))
    assert scoring.score(prepared.system, prepared.data)[0] == {"n": 10.0}
    assert not scoring.is_best(1, {"n": 10.0}) and scoring.best is None
    name = "FID[toy:abcd]"
    assert [scoring.is_best(i, {name: v}) for i, v in enumerate([3.0, 4.0, 2.0, 2.0, 1.5])] == [1, 0, 1, 0, 1]
    assert scoring.best == {"name": name, "value": 1.5, "iteration": 4}
    assert scoring.is_best(5, {"FID": 9.0})  # through another network: not to be compared


def test_best_metric_is_the_first_value_that_has_a_good_way() -> None:
    assert Validator({"b": Upwards(), "a": Fixed()}, Extractor(), 10).best_metric == "share"
    chosen = Validator({"b": Upwards(), "a": Fixed()}, Extractor(), 10, "FID")
    assert chosen.is_best(1, {"share": 1.0, "FID": 5.0}) and not chosen.is_best(2, {"share": 2.0, "FID": 6.0})
    with pytest.raises(GanError, match="gives such a value"):
        Validator({"a": Fixed()}, Extractor(), 10, "n")


def test_a_name_that_two_metrics_give() -> None:
    scoring = Validator({"a": Fixed(1.0), "b": Fixed(2.0)}, Extractor(), 7, "b/FID")
    prepared = runner.prepare(composed(*POINTS[:-1]))
    values, _ = scoring.score(prepared.system, prepared.data)
    assert values == {"a/FID": 1.0, "a/n": 7.0, "b/FID": 2.0, "b/n": 7.0}
    assert scoring.is_best(1, values) and scoring.best and scoring.best["value"] == 2.0


def test_the_extractor_is_prepared_once() -> None:
    class Sees(Fixed):
        def __call__(self, evaluation: EvaluationData) -> dict[str, float]:
            return {evaluation.named("FID"): float(len(evaluation.features(evaluation.test).values))}

    extractor = Extractor()
    scoring = Validator({"a": Sees()}, extractor, 10)
    prepared = runner.prepare(composed(*POINTS[:-1]))
    for _ in range(3):
        assert scoring.score(prepared.system, prepared.data)[0] == {"FID[toy:abcd]": 10.0}
    assert extractor.prepared == 1


# -- warnings


class MonitoredSystem(torch.nn.Module):
    """The part of a system that a monitor reads."""

    sampling_networks = ("generator",)

    def __init__(self, adversarial: Any = None, directions: tuple[str, ...] = ()) -> None:
        super().__init__()
        self.objective, self.directions = Objective(adversarial or NonSaturating()), directions

    def translate(self, image: Tensor, direction: str) -> Tensor:
        return image * (10 if direction == "AtoB" else 0.01)


def points(*values: tuple[float, float]) -> Tensor:
    return torch.tensor(values)[:, :, None, None]


def test_mean_distance_by_hand() -> None:
    assert mean_distance(points((0, 0), (3, 4), (0, 0))) == pytest.approx((5 + 0 + 5) / 3)
    assert mean_distance(torch.cat([points((0, 0), (3, 4))] * 32 + [points((1e6, 0))] * 9)) < 5  # the first 64


def test_alike_samples_are_named_and_then_not_for_ten_times() -> None:
    monitor, real = Monitor(MonitoredSystem()), points((0, 0), (3, 4))  # type: ignore[arg-type]
    good = monitor.diversity(Images(real), {"generated": points((0, 0), (0, 4))})
    assert good == {"monitor/diversity": pytest.approx(0.8)} and monitor.alike(1, good) == []
    poor = monitor.diversity(Images(real), {"generated": points((1, 0), (1, 0.04))})
    assert poor == {"monitor/diversity": pytest.approx(0.008)}
    said = monitor.alike(7, poor)
    assert said == [
        "warning: samples of iteration 7 look alike: the mean distance between two is 0.8 % of that between two real "
        "ones (mode collapse?)"
    ]
    assert [bool(monitor.alike(i, poor)) for i in range(8, 30)] == [False] * 10 + [True] + [False] * 10 + [True]


def test_samples_that_cannot_be_compared_say_nothing() -> None:
    monitor = Monitor(MonitoredSystem())  # type: ignore[arg-type]
    assert monitor.diversity(Images(points((0, 0))), {"generated": points((0, 0))}) == {}  # a single one
    monitor = Monitor(MonitoredSystem())  # type: ignore[arg-type]
    assert monitor.diversity(Images(points((1, 1), (1, 1))), {"generated": points((0, 0), (1, 0))}) == {}


def test_translations_are_compared_with_the_other_domain() -> None:
    monitor = Monitor(MonitoredSystem(directions=("AtoB", "BtoA")))  # type: ignore[arg-type]
    batch = Domains(x=points((0, 0), (1, 0)), y=points((0, 0), (0, 5)))
    found = monitor.diversity(batch, {"x": batch.x})
    assert found == {"monitor/diversity/AtoB": pytest.approx(10 / 5), "monitor/diversity/BtoA": pytest.approx(0.05 / 1)}
    found["monitor/diversity/BtoA"] = 0.04
    assert monitor.alike(3, found)[0].startswith("warning: samples of iteration 3 (BtoA) look alike: ")


def logged(d_loss: float, norm: float) -> dict[str, float]:
    norms = {"d/grad_norm/discriminator": 1e-9, "g/grad_norm/generator": norm}
    return {"d/adversarial": d_loss, "g/adversarial": 0.0, **norms}


@pytest.mark.parametrize(
    ("loss", "warned"), [(Minimax(), True), (NonSaturating(), True), (Wasserstein(), False), (LeastSquares(), False)]
)
def test_a_discriminator_without_loss(loss: Any, warned: bool) -> None:
    """Three logs in a row; not for losses whose zero means nothing; g/adversarial is not D's."""
    monitor = Monitor(MonitoredSystem(loss))  # type: ignore[arg-type]
    losses = [5e-4, 5e-4, 2e-3, 5e-4, 5e-4, 4e-4]
    said = [monitor.saturated(i, logged(d, 1.0)) for i, d in enumerate(losses)]
    assert said[:5] == [[]] * 5 and bool(said[5]) is warned
    if warned:
        assert said[5] == [
            "warning: iteration 5: is the discriminator saturated? its loss d/adversarial was below 0.001 in 3 logs in "
            "a row (0.0004 now)"
        ]
        assert [bool(monitor.saturated(i, logged(4e-4, 1.0))) for i in range(11)] == [False] * 10 + [True]


def test_a_gradient_that_vanishes() -> None:
    """Against the median, which one explosion does not move."""
    monitor = Monitor(MonitoredSystem(Wasserstein()))  # type: ignore[arg-type]
    norms = [2.0, 2.0, 1e6, 2.0, 2.0, 1e-3, 1e-3, 2.0, 1e-3, 1e-3, 1e-3]
    said = [monitor.saturated(i, logged(-1.0, norm)) for i, norm in enumerate(norms)]
    assert said[:-1] == [[]] * (len(norms) - 1)
    assert said[-1] == [
        "warning: iteration 10: is the discriminator saturated? the gradient norm of network 'generator' was below "
        "1/1000 of its median 2 in 3 logs in a row (0.001 now)"
    ]
    early = Monitor(MonitoredSystem(Wasserstein()))  # type: ignore[arg-type]
    assert not any(early.saturated(i, logged(-1.0, norm)) for i, norm in enumerate([2.0, 1e-9, 1e-9, 1e-9, 1e-9]))


def test_a_collapsed_run_prints_a_warning(loop: Any, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = loop("trainer.iterations=3", "trainer.log_every=1", "trainer.sample_every=1", "optimizer.lr=1e-12")
    for network in (one.trainer.system.generator, one.trainer.ema.copies["generator"]):
        for weight in network.parameters():
            weight.data.mul_(1e-3)
    one.train([])
    output = capsys.readouterr().out
    assert output.count("samples of iteration 1 look alike") == output.count("look alike") == 1  # not before training
    assert all(line["monitor/diversity"] < 0.05 for line in lines(here / "run")) and len(lines(here / "run")) == 3


def test_a_sample_between_two_logs_has_a_line_of_its_own(loop: Any, here: Path) -> None:
    loop("trainer.iterations=3", "trainer.log_every=3", "trainer.sample_every=2").train([])
    seen = [(line["iteration"], {"d/adversarial", "monitor/diversity"} & line.keys()) for line in lines(here / "run")]
    assert seen == [(2, {"monitor/diversity"}), (3, {"d/adversarial", "monitor/diversity"})]


def test_scores_reach_tensorboard(loop: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[tuple[str, int]] = []
    one = loop(*SCORED, "trainer.iterations=2")
    monkeypatch.setattr(SummaryWriter, "add_scalar", lambda self, name, value, at: drawn.append((name, at)))
    one.train([])
    assert {("metric/modes", 2), (NAME, 2), ("monitor/diversity", 2)} <= set(drawn)


def test_scoring_does_not_slow_the_speed_that_is_logged(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 10.0, 110.0, 120.0])
    monkeypatch.setattr("time.perf_counter", lambda: next(clock))
    progress = TrainingProgress(0, 100, 8)
    with progress.paused():
        pass
    assert progress.rate(40) == pytest.approx(40 / 20)


def test_best_file_of_a_run() -> None:
    assert RunDir(Path("a")).best == Path("a/checkpoints/best.pt")
