"""`gan search`: settings that optimize a score, suggested by Optuna; bad trials are stopped early."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal

from gan_cli.config import groups, migrations, schema
from gan_cli.config.composer import Composer, arguments, slug, without_hydra
from gan_cli.config.paths import conf_dir
from gan_cli.evaluation.score_table import directions_of_file
from gan_cli.experiments.search_space import Dimension, parse_dimension
from gan_cli.experiments.sweep_report import warnings
from gan_cli.experiments.trial_run import TrialJob
from gan_cli.experiments.trials import read_record
from gan_cli.experiments.workers import Finished, WorkerPool
from gan_cli.training import run_history
from gan_cli.training.find_runs import refuse_links_below
from gan_cli.training.locks import claimed
from gan_cli.training.run_history import base_name, logged
from gan_cli.utils.errors import GanError, Interrupted, one_line, suggest
from gan_cli.utils.files import read_text, write_text
from gan_cli.utils.signals import signals
from gan_cli.utils.tables import number

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial, Trial

FOLDER = Path("outputs/search")
STUDY, RECORD = "study.log", "search.json"
LARGEST = 256 * 2**20  # bytes of study.log
POLL = 0.5  # seconds between two looks at the scores
WARM_UP = 5  # trials that are trained to their end before others are compared with them


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
    """Run trials of `gan train *overrides` with values from `space` (`KEY=log(a,b)`) until there are `trials`.

    metric: of conf/metric; its main value, evaluated every trainer.evaluate_every iterations, is optimized. workers:
    trials in parallel; one per GPU, or one without GPUs, if None. prune: stop a trial whose score is worse than the
    median of the others at that iteration. The same command continues a search that was stopped, its unfinished trials
    included; a larger `trials` extends it. GanError if optuna is not installed, for a space that cannot be composed,
    and for a folder that holds another search.
    """
    optuna = _optuna()
    dimensions = [parse_dimension(text) for text in space]
    if not dimensions:
        raise GanError("gan search needs something to search: space.optimizer.lr=log(1e-5,1e-2)")
    value, better = goal(metric)
    words = [*overrides, f"metric=[{metric}]"]
    _check(words, dimensions)
    folder = Path(out) if out else FOLDER / slug(",".join([*overrides, metric]))
    refuse_links_below(folder, "search")
    with claimed(folder, "search", "out"):
        recorded = _recorded(folder, {"overrides": words, "space": list(space), "metric": metric})
        # The study keeps the names with which the search began.
        dimensions = [replace(d, recorded=parse_dimension(text)) for d, text in zip(dimensions, recorded["space"])]
        # Optuna would wait for the lock of a killed search for ever; only one search at a time has the folder.
        (folder / f"{STUDY}.lock").unlink(missing_ok=True)
        study = _study(optuna, folder / STUDY, recorded["metric"], "maximize" if better == "higher" else "minimize")
        # A continued search must not suggest once more what it suggested at first.
        study.sampler = optuna.samplers.TPESampler(seed=len(study.trials))
        study.pruner = optuna.pruners.MedianPruner(WARM_UP, interval_steps=1) if prune else optuna.pruners.NopPruner()
        running = Search(study, folder, words, dimensions, value)
        try:
            running.run(trials, workers or "auto")
        except KeyboardInterrupt:
            raise running.stopped(130) from None


def _study(optuna: ModuleType, file: Path, name: str, direction: str) -> Study:
    """The study in `file`, or a new one. GanError if the file, which may be anybody's, cannot be read."""
    try:
        if file.exists():
            read_text(file, LARGEST)  # of a size and kind that Optuna can read
        backend = optuna.storages.journal.JournalFileBackend(str(file))
        study: Study = optuna.create_study(
            storage=optuna.storages.JournalStorage(backend), study_name=name, direction=direction, load_if_exists=True
        )
        if len(study.directions) != 1 or study.direction.name.lower() != direction:
            raise ValueError(f"its study {name} does not {direction} one value")
    except (ValueError, TypeError, LookupError, AssertionError, AttributeError, RecursionError) as error:
        raise GanError(f"{file} cannot be read: {one_line(error)}; remove it, or name another out=") from error
    return study


def goal(metric: str) -> tuple[str, Literal["higher", "lower"]]:
    """The main value of a metric and its better direction. GanError if it has none."""
    files = {file.stem: file for file in groups.groups().get("metric", [])}
    if metric not in files:
        raise GanError(f"no metric '{metric}'{suggest(metric, files)}")
    for value, better in directions_of_file(conf_dir() / "metric" / f"{metric}.yaml").items():
        if better:
            return value, better
    raise GanError(f"metric={metric} has no value that should be high or low")


class Search:
    """A study of Optuna's whose trials are runs in FOLDER/NUMBER.

    words: `gan train`'s, shared by all trials. value: the name of the score, without `[extractor]`.
    """

    def __init__(
        self, study: Study, folder: Path, words: Sequence[str], dimensions: Sequence[Dimension], value: str
    ) -> None:
        self.study, self.folder, self.value = study, folder, value
        self.words, self.dimensions = list(words), dimensions
        self.running: dict[TrialJob, Trial] = {}
        self.reported: dict[int, set[int]] = {}  # number of a trial -> iterations whose scores the study knows

    def run(self, trials: int, workers: int | str) -> None:
        """Run trials until `trials` have ended.

        Raises Interrupted after a signal, when the running trials have saved their state; they can be resumed.
        """
        unfinished = self._unfinished()
        with signals() as received, WorkerPool(workers) as pool:
            while not received:
                while pool.idle and (unfinished or self._begun() < trials):
                    pool.start(self.job(unfinished.pop(0) if unfinished else self.study.ask()))
                if not pool.running:
                    break
                finished = pool.finished(POLL)
                for job in list(self.running):
                    if self.report(job):
                        pool.stop(job)
                for one in finished:
                    if not one.signal:
                        self.complete(one)
                    elif not received:
                        received.append(one.signal)
        if received:
            raise self.stopped(128 + received[0])
        print("\n".join(self.summary()))

    def stopped(self, status: int) -> Interrupted:
        return Interrupted(f"search stopped; the same command continues it in {self.folder}", status)

    def job(self, trial: Trial) -> TrialJob:
        """The run of a trial. An unfinished trial gets the values that were suggested for it before."""
        values = [dimension.override(trial) for dimension in self.dimensions]
        job = TrialJob(self.folder / str(trial.number), (*self.words, *values))
        self.running[job] = trial
        return job

    def report(self, job: TrialJob) -> bool:
        """Report a running trial's new scores to the study. Returns whether they are a reason to stop it."""
        trial = self.running[job]
        known = self.reported.setdefault(trial.number, set())
        for iteration, score in curve(job.folder, self.value):
            if iteration not in known:
                known.add(iteration)
                trial.report(score, iteration)
                if trial.should_prune() and "pruned_at" not in trial.user_attrs:
                    trial.set_user_attr("pruned_at", iteration)
                    return True
        return False

    def complete(self, finished: Finished) -> None:
        """Tell the study the result of a trial: its last score, or that it was pruned or has failed."""
        from optuna.trial import TrialState

        trial = self.running.pop(finished.job)
        pruned_at = trial.user_attrs.get("pruned_at")
        points = curve(finished.job.folder, self.value)
        if pruned_at is not None and finished.status:  # with status 0 it reached its end before it could be stopped
            self.study.tell(trial.number, state=TrialState.PRUNED)
            result = f"pruned at iteration {pruned_at}"
        elif finished.status or not points:
            self.study.tell(trial.number, state=TrialState.FAIL)
            error = run_history.failure(finished.job.folder).get("error", f"no value of {self.value}")
            result = f"failed: {error}"
        else:
            self.study.tell(trial.number, points[-1][1])
            result = f"{self.value} {number(points[-1][1])}"
        print(f"trial {trial.number}: {' '.join(finished.job.overrides[len(self.words) :])}: {result}", flush=True)

    def summary(self) -> list[str]:
        """The numbers of completed, pruned and failed trials, and the best ones."""
        trials: list[FrozenTrial] = self.study.get_trials(deepcopy=False)
        count = {name: sum(t.state.name == name for t in trials) for name in ("COMPLETE", "PRUNED", "FAIL")}
        best = [t for t in trials if t.state.name == "COMPLETE"]
        best.sort(key=lambda t: float(t.value or 0), reverse=self.study.direction.name == "MAXIMIZE")
        lines = [
            f"\n{len(trials)} trials: {count['COMPLETE']} completed, {count['PRUNED']} pruned, {count['FAIL']} failed"
        ]
        for trial in best[:5]:
            values = " ".join(f"{d.key}={number(d.current(trial.params[d.name]))}" for d in self.dimensions)
            lines.append(f"  {self.value} {number(trial.value)}  {values}  ({self.folder / str(trial.number)})")
        runs = [self.folder / str(trial.number) for trial in trials]
        return [*lines, *warnings(runs, self.folder), f"`gan compare {shlex.quote(str(self.folder))}` compares them"]

    def _begun(self) -> int:
        """The number of trials that have begun, ended or not."""
        return sum(t.state.name != "WAITING" for t in self.study.get_trials(deepcopy=False))

    def _unfinished(self) -> list[Trial]:
        """The trials that were running when a search was stopped."""
        from optuna.trial import Trial

        running = [t for t in self.study.get_trials(deepcopy=False) if t.state.name == "RUNNING"]
        for trial in running:
            self.reported[trial.number] = set(trial.intermediate_values)
        return [Trial(self.study, trial._trial_id) for trial in running]


def curve(run: Path, value: str) -> list[tuple[int, float]]:
    """(iteration, score) of the scores that a run has logged, in order."""
    points = {}
    for line in logged(run):
        for name, score in line.items():
            if name.startswith(run_history.SCORE) and base_name(name.removeprefix(run_history.SCORE)) == value:
                points[int(line["iteration"])] = float(score)
    return sorted(points.items())


def _check(words: Sequence[str], dimensions: Sequence[Dimension]) -> None:
    """Compose and check the ends of each dimension, the others at their first. Writes nothing; raises GanError."""
    args = arguments(words)
    if args.multirun:
        raise GanError("gan search runs trials, not a sweep: omit -m")
    composer = Composer(args)
    first = [dimension.ends()[0] for dimension in dimensions]
    for index, dimension in enumerate(dimensions):
        for end in dimension.ends():
            overrides = arguments([*words, *first[:index], end, *first[index + 1 :]]).overrides
            schema.check(without_hydra(composer.compose(overrides)), schema.command_line_modules(words))


def _recorded(folder: Path, asked: Mapping[str, Any]) -> Mapping[str, Any]:
    """What search.json of the folder records, in the words of the version that began the search; `asked` if new.

    Raises GanError if the folder holds another search than `asked`.
    """
    record = folder / RECORD
    if not record.exists():
        write_text(record, json.dumps({migrations.KEY: migrations.VERSION, **asked}, indent=1) + "\n")
        return asked
    recorded = read_record(record, ["overrides", "space"])
    version = migrations.version_of(recorded, record)
    today = {
        "overrides": migrations.overrides(recorded["overrides"], version),
        "space": migrations.overrides(recorded["space"], version),
        "metric": migrations.metric(str(recorded.get("metric"))),
    }
    different = [key for key in asked if today[key] != asked[key]]
    if different:
        raise GanError(f"{folder} holds another search ({', '.join(different)} differ): name another folder by out=")
    return recorded


def _optuna() -> ModuleType:
    try:
        import optuna
        import optuna.storages.journal
    except ImportError:
        raise GanError("gan search needs optuna: pip install 'gan-cli[search]', or pip install optuna") from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna
