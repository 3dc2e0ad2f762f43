"""`gan search`: settings that make a score good, found by Optuna's ask and tell; bad runs are ended early."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gan_cli.config import composer as compose
from gan_cli.config import groups, migrations, schema
from gan_cli.config.composer import without_hydra
from gan_cli.config.paths import conf_dir
from gan_cli.evaluation import score_table
from gan_cli.experiments.workers import Finished, TrialJob, WorkerPool
from gan_cli.training import run_history
from gan_cli.training.locks import claimed
from gan_cli.training.run_history import base_name, json_lines
from gan_cli.utils.errors import GanError, Interrupted, suggest
from gan_cli.utils.files import write_text
from gan_cli.utils.tables import number

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial, Trial

FOLDER = Path("outputs/search")
STUDY, RECORD = "study.log", "search.json"
RANGE = re.compile(r"(log|uniform|int)\(([^,()]+),([^,()]+)\)")
POLL = 0.5  # seconds between two looks at the scores
WARM_UP = 5  # trials that are run to their end before any is compared with them


@dataclass(frozen=True)
class Dimension:
    """A key and what it may be: `log(1e-5,1e-2)`, `uniform(0,0.9)`, `int(2,5)`, or choices `[adam,rmsprop]`.

    name: what Optuna's study calls it, if not by its key.
    """

    key: str
    kind: str
    low: float = 0.0
    high: float = 0.0
    choices: tuple[str, ...] = ()
    name: str = ""

    def override(self, trial: Trial) -> str:
        """`key=value`, the value suggested for this trial."""
        name = self.name or self.key
        if self.choices:
            return f"{self.key}={trial.suggest_categorical(name, self.choices)}"
        if self.kind == "int":
            return f"{self.key}={trial.suggest_int(name, int(self.low), int(self.high))}"
        return f"{self.key}={trial.suggest_float(name, self.low, self.high, log=self.kind == 'log')!r}"

    def ends(self) -> list[str]:
        """The overrides at its ends, or all its choices."""
        whole = self.kind == "int"
        values = self.choices or [str(int(end)) if whole else repr(end) for end in (self.low, self.high)]
        return [f"{self.key}={value}" for value in values]


def dimension(text: str) -> Dimension:
    """`KEY=log(a,b)` and the like; GanError for what is none."""
    key, _, said = text.partition("=")
    said = said.replace(" ", "")
    listed = re.fullmatch(r"\[([^\[\]]+)\]", said)
    if listed:
        return Dimension(key, "choice", choices=tuple(listed[1].split(",")))
    found = RANGE.fullmatch(said)
    try:
        if not found:
            raise ValueError
        kind, low, high = found[1], float(found[2]), float(found[3])
        if not (low < high and (kind != "log" or low > 0)) or (kind == "int" and (low % 1 or high % 1)):
            raise ValueError
    except ValueError:
        raise GanError(
            f"space.{text}: write log(a,b) with 0 < a < b, uniform(a,b), int(a,b) or [one,two,...]"
        ) from None
    return Dimension(key, kind, low, high)


def search(
    overrides: Sequence[str],
    space: Sequence[str],
    *,
    metric: str,
    trials: int = 20,
    workers: int | None = None,
    prune: bool = True,
    out: str | None = None,
) -> None:
    """Run trials of `gan train *overrides` with values drawn from `space` (`KEY=log(a,b)`) until there are `trials`.

    metric: of conf/metric; its main value, scored every trainer.evaluate_every iterations, is made good. prune: end a
    trial whose score is worse than the median of the others at that iteration. The same command goes on with a search
    that was stopped, and with half-done trials to the bit; a larger `trials` lengthens it. GanError when optuna is not
    installed, for a space that cannot be composed, and for a folder that holds another search.
    """
    optuna = _optuna()
    dimensions = [dimension(text) for text in space]
    if not dimensions:
        raise GanError("gan search needs something to search: space.optimizer.lr=log(1e-5,1e-2)")
    value, way = goal(metric)
    words = [*overrides, f"metric=[{metric}]"]
    _check(words, dimensions)
    folder = Path(out) if out else FOLDER / compose.slug(",".join([*overrides, metric]))
    with claimed(folder, "search", "out"):
        held = _recorded(folder, {"overrides": words, "space": list(space), "metric": metric})
        # The study knows its parameters by the names that it began with.
        dimensions = [replace(d, name=text.partition("=")[0]) for d, text in zip(dimensions, held["space"])]
        storage = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(folder / STUDY)))
        study = optuna.create_study(
            storage=storage,
            study_name=held["metric"],
            direction="maximize" if way == "higher" else "minimize",
            load_if_exists=True,
        )
        study.sampler = optuna.samplers.TPESampler(seed=len(study.trials))
        study.pruner = optuna.pruners.MedianPruner(WARM_UP, interval_steps=1) if prune else optuna.pruners.NopPruner()
        one = Search(study, folder, words, dimensions, value)
        try:
            one.run(trials, workers or "auto")
        except KeyboardInterrupt:
            raise one.stopped(130) from None


def goal(metric: str) -> tuple[str, str]:
    """The main value of a metric and which way is good; GanError where it has none."""
    files = {file.stem: file for file in groups.groups().get("metric", [])}
    if metric not in files:
        raise GanError(f"no metric '{metric}'{suggest(metric, files)}")
    ways = score_table.of_file(conf_dir() / "metric" / f"{metric}.yaml")
    found = next(((value, way) for value, way in ways.items() if way), None)
    if found is None:
        raise GanError(f"metric={metric} has no value that should be high or low")
    return found


class Search:
    """A study, and its trials in FOLDER/NUMBER. value: the name of the score, without `[extractor]`."""

    def __init__(
        self, study: Study, folder: Path, words: Sequence[str], dimensions: Sequence[Dimension], value: str
    ) -> None:
        self.study, self.folder, self.value = study, folder, value
        self.words, self.dimensions = list(words), dimensions
        self.open: dict[TrialJob, Any] = {}
        self.reported: dict[int, set[int]] = {}

    def run(self, trials: int, workers: int | str) -> None:
        """Until `trials` have ended. Interrupted when a signal has stopped those that ran; they go on another time."""
        from gan_cli.training.loop import signals

        left_open = self._left_open()
        with signals() as received, WorkerPool(workers) as places:
            while not received:
                while places.free and (left_open or self._asked() < trials):
                    places.start(self.begin(left_open.pop(0) if left_open else self.study.ask()))
                if not places.running:
                    break
                ended = places.ended(POLL)
                for job in list(self.open):
                    if self.report(job):
                        places.stop(job)
                for one in ended:
                    if one.signal and not received:
                        received.append(one.signal)
                    if not one.signal:
                        self.tell(one)
        if received:
            raise self.stopped(128 + received[0])
        print("\n".join(self.summary()))

    def stopped(self, status: int) -> Interrupted:
        return Interrupted(f"search stopped; the same command goes on in {self.folder}", status)

    def begin(self, trial: Trial) -> TrialJob:
        """The run of a trial; its values were suggested before where it is half-done."""
        drawn = [dimension.override(trial) for dimension in self.dimensions]
        job = TrialJob(self.folder / str(trial.number), (*self.words, *drawn))
        self.open[job] = trial
        return job

    def report(self, job: TrialJob) -> bool:
        """Tell the study the scores since the last look; True if the trial is to be ended for them."""
        trial = self.open[job]
        known = self.reported.setdefault(trial.number, set())
        for iteration, score in curve(job.folder, self.value):
            if iteration not in known:
                known.add(iteration)
                trial.report(score, iteration)
                if trial.should_prune() and "pruned_at" not in trial.user_attrs:
                    trial.set_user_attr("pruned_at", iteration)
                    return True
        return False

    def tell(self, one: Finished) -> None:
        """A finished trial counts by its last score; one that we ended is pruned, one that failed is failed."""
        from optuna.trial import TrialState

        trial = self.open.pop(one.job)
        pruned = trial.user_attrs.get("pruned_at")
        points = curve(one.job.folder, self.value)
        drawn = " ".join(one.job.overrides[len(self.words) :])
        if pruned is not None and one.status:
            self.study.tell(trial.number, state=TrialState.PRUNED)
            said = f"pruned at iteration {pruned}"
        elif one.status or not points:
            self.study.tell(trial.number, state=TrialState.FAIL)
            said = f"failed: {run_history.failure(one.job.folder).get('error', f'no value of {self.value}')}"
        else:
            self.study.tell(trial.number, points[-1][1])
            said = f"{self.value} {number(points[-1][1])}"
        print(f"trial {trial.number}: {drawn}: {said}", flush=True)

    def summary(self) -> list[str]:
        """The best trials, and how many ended how."""
        trials: list[FrozenTrial] = self.study.get_trials(deepcopy=False)
        count = {name: sum(t.state.name == name for t in trials) for name in ("COMPLETE", "PRUNED", "FAIL")}
        whole = [t for t in trials if t.state.name == "COMPLETE"]
        whole.sort(key=lambda t: float(t.value or 0), reverse=self.study.direction.name == "MAXIMIZE")
        lines = [f"\n{len(trials)} trials: {count['COMPLETE']} whole, {count['PRUNED']} pruned, {count['FAIL']} failed"]
        for trial in whole[:5]:
            drawn = " ".join(f"{key}={number(value)}" for key, value in trial.params.items())
            lines.append(f"  {self.value} {number(trial.value)}  {drawn}  ({self.folder / str(trial.number)})")
        return [*lines, f"`gan compare {self.folder}` shows them side by side"]

    def _asked(self) -> int:
        """Trials that have begun, ended or not."""
        return sum(t.state.name != "WAITING" for t in self.study.get_trials(deepcopy=False))

    def _left_open(self) -> list[Any]:
        """Those that a stopped search has left running."""
        from optuna.trial import Trial

        found = [t for t in self.study.get_trials(deepcopy=False) if t.state.name == "RUNNING"]
        for trial in found:
            self.reported[trial.number] = set(trial.intermediate_values)
        return [Trial(self.study, trial._trial_id) for trial in found]


def curve(run: Path, value: str) -> list[tuple[int, float]]:
    """(iteration, score) of the scores that a run has logged, in order."""
    found = {}
    for line in json_lines(run / "metrics.jsonl"):
        for name, score in line.items():
            if name.startswith(run_history.SCORE) and base_name(name.removeprefix(run_history.SCORE)) == value:
                found[int(line["iteration"])] = float(score)
    return sorted(found.items())


def _check(words: Sequence[str], dimensions: Sequence[Dimension]) -> None:
    """Compose and check the ends of each dimension; nothing is written."""
    args = compose.arguments(words)
    if args.multirun:
        raise GanError("gan search runs trials, not a sweep: leave -m out")
    composer = compose.Composer(args)
    first = [dimension.ends()[0] for dimension in dimensions]
    for place, one in enumerate(dimensions):
        for end in one.ends():
            overrides = compose.arguments([*words, *first[:place], end, *first[place + 1 :]]).overrides
            schema.check(without_hydra(composer.compose(overrides)), schema.command_line_modules(words))


def _recorded(folder: Path, asked: Mapping[str, Any]) -> Mapping[str, Any]:
    """What search.json records: `asked`, or the same as an earlier version has put it. GanError for another search."""
    record = folder / RECORD
    if not record.exists():
        write_text(record, json.dumps({migrations.KEY: migrations.VERSION, **asked}, indent=1) + "\n")
        return asked
    held: dict[str, Any] = json.loads(record.read_text())
    version = migrations.version_of(held, record)
    today = {
        "overrides": migrations.overrides(held["overrides"], version),
        "space": migrations.overrides(held["space"], version),
        "metric": migrations.metric(held["metric"]),
    }
    others = [key for key in asked if today[key] != asked[key]]
    if others:
        raise GanError(f"{folder} holds another search ({', '.join(others)} differ): name another folder by out=")
    return held


def _optuna() -> Any:
    try:
        import optuna
        import optuna.storages.journal
    except ImportError:
        raise GanError("gan search needs optuna: pip install 'gan-cli[search]', or pip install optuna") from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna
