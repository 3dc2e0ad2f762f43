"""`gan reproduce`: train and evaluate an experiment with several seeds, and compare it with what its paper reports."""

from __future__ import annotations

import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gan_cli.config import composer
from gan_cli.config.override_text import quoted
from gan_cli.evaluation.evaluate import SAMPLES, evaluate
from gan_cli.experiments import report, result_file
from gan_cli.experiments.experiment import (
    Experiment,
    compose_experiment,
    diff_settings,
    key_of,
    variants_of,
    with_expectations,
)
from gan_cli.experiments.output_copy import copied_output
from gan_cli.experiments.paper_results import comparisons, parse_paper_results, variant_table
from gan_cli.experiments.sweep_report import warnings
from gan_cli.experiments.workers import OUTPUT
from gan_cli.training import checkpoint, launch, run_history
from gan_cli.training.find_runs import contains_run
from gan_cli.training.run import resume
from gan_cli.utils.errors import Diverged, GanError, Interrupted, Terminated, one_line, suggest
from gan_cli.utils.files import writable
from gan_cli.utils.progress import Progress
from gan_cli.utils.tables import aligned

FOLDER = Path("outputs/reproduce")
OF_MACHINE = ("dataset.root", "trainer.device", "modules")  # the keys of `changes` that a resumed run takes


def reproduce(
    name: str,
    *,
    seeds: Sequence[int] = (0, 1, 2),
    variant: Sequence[str] | None = None,
    out: str | None = None,
    changes: Sequence[str] = (),
) -> None:
    """Train `experiment=NAME` with each seed in outputs/reproduce/NAME/seed-S, evaluate, print paper against ours.

    An experiment with variants is trained in each of them, or in those of `variant`, in NAME/VARIANT/seed-S, all of one
    seed before the next. Finished runs are not repeated, stopped ones are resumed. changes: further overrides of `gan
    train`. The result file NAME.json is written to `out`, else to docs/results if that exists, else beside the runs;
    whatever stops the work, it holds what is done. What a run prints is copied to its output.txt, so that the
    warnings of all runs are listed at the end. GanError for an unknown experiment, and for one without variants that
    has neither published numbers nor metrics.
    """
    experiment = compose_experiment(name, changes)
    parse_paper_results(experiment.expect, f"{name}: expect")
    chosen = _variants(name, changes, variant or ()) or {"": experiment}
    if not (experiment.expect or experiment.evaluate) and "" in chosen:
        guess = suggest(name, with_expectations())
        raise GanError(f"experiment '{name}' has no `expect` and no `evaluate`: nothing to reproduce{guess}")
    if len({*seeds}) < len(seeds):
        raise GanError(f"seeds={','.join(map(str, seeds))}: each seed once")
    if not seeds:
        raise GanError("seeds=[]: name at least one seed, such as seeds=0,1,2")
    folder, results = _folders(experiment, out)
    plan = {folder / kind / f"seed-{seed}": (one, seed) for seed in seeds for kind, one in chosen.items()}
    runs: dict[Path, Experiment] = {}
    try:
        with _resumed_by_same_command():
            _train_and_evaluate(plan, runs)
    finally:
        if runs:
            lines = [*_table(result_file.write(experiment, runs, results)), *warnings(list(runs), folder)]
            print("\n" + "\n".join(lines))
            print(f"{results / f'{name}.json'}")


def _folders(experiment: Experiment, out: str | None) -> tuple[Path, Path]:
    """The folder of the runs and that of the result file. GanError if the latter is for other settings."""
    changed = experiment.changed_settings()
    folder = FOLDER / "-".join([experiment.name, *([composer.slug(",".join(changed))] if changed else [])])
    results = Path(out) if out else report.RESULTS if report.RESULTS.is_dir() and not changed else folder
    writable(results, f"out={results}")
    result_file.check_settings(experiment, results)
    if changed:
        if results.resolve() == report.RESULTS.resolve():
            raise GanError(f"out={results} is for the settings of the papers, not for {', '.join(changed)}; omit out=")
        print(f"note: {', '.join(changed)} makes this another experiment than the paper's: no verdict", flush=True)
    return folder, results


def _variants(name: str, changes: Sequence[str], asked: Sequence[str]) -> dict[str, Experiment]:
    """The experiment's variants, or those that were asked for, in the order of its file."""
    variants = variants_of(name, changes)
    for variant in asked:
        if variant not in variants:
            raise GanError(f"experiment '{name}' has no variant '{variant}'{suggest(variant, variants)}")
    return {kind: compose_experiment(name, changes, kind) for kind in variants if kind in asked or not asked}


# -- training and evaluating


@contextmanager
def _resumed_by_same_command() -> Iterator[None]:
    """Let the message of an interruption name this command: a run's own message names `gan resume` of that run."""
    try:
        yield
    except Interrupted as error:
        what = str(error).partition(";")[0]
        raise Interrupted(f"{what}; the same command continues", error.status) from error
    except KeyboardInterrupt as error:
        number = (*error.args, signal.SIGTERM)[0] if isinstance(error, Terminated) else signal.SIGINT
        raise Interrupted("stopped; the same command continues", 128 + number) from error


def _train_and_evaluate(plan: Mapping[Path, tuple[Experiment, int]], runs: dict[Path, Experiment]) -> None:
    """Do the work of `plan`, run directory -> experiment and seed, and add what has begun to `runs`.

    A run that diverges does not stop the others.
    """
    progress = Progress(len(plan), "runs")
    for run, (experiment, seed) in plan.items():
        try:
            if _train(experiment, seed, run, progress):
                _evaluate(experiment, run)
        except Diverged as error:
            print(f"{run} failed: {error}", flush=True)
            run_history.write_failure(run, error.status, one_line(error), experiment.overrides)
        finally:
            if run_history.is_run(run):
                runs[run] = experiment


def _train(experiment: Experiment, seed: int, run: Path, progress: Progress) -> bool:
    """Train or resume a run to its end. Returns False if it has failed before. Raises what training raises."""
    if not contains_run(run):
        print(f"training {run}  ({progress.status()})", flush=True)
        run_dir = f"hydra.run.dir={quoted(str(run))}"
        words = [f"experiment={experiment.name}", *experiment.overrides, f"seed={seed}", run_dir]
        with copied_output(run / OUTPUT):
            launch.train_words(words)
        progress.done += 1
        return True
    progress.skip()
    existing = run_history.read(run)
    others = diff_settings(existing.settings, experiment.settings)
    if others:
        listed = ", ".join(f"{key} {value} instead of {wanted}" for key, (value, wanted) in others.items())
        raise GanError(f"{run} was trained with other settings ({listed}): move it away to train it again")
    if existing.failure:
        print(f"{run} has failed already: {existing.failure}; remove it to try again", flush=True)
        return False
    done = checkpoint.iteration(run / "checkpoints" / "last.pt")
    if done >= experiment.iterations:
        print(f"{run} is trained already: {done} iterations", flush=True)
        return True
    print(f"resuming {run} after iteration {done}", flush=True)
    with copied_output(run / OUTPUT):
        resume(run, [c for c in experiment.changes if key_of(c) in OF_MACHINE], experiment.modules)
    return True


def _evaluate(experiment: Experiment, run: Path) -> None:
    """Evaluate each metric that evaluation.jsonl does not hold by the same protocol for the last iteration."""
    n = int(experiment.evaluate.get("n") or SAMPLES)
    history = run_history.read(run)
    missing = [m for m in experiment.metrics() if not any(_is_of(r, m, n, history.done) for r in history.records)]
    if missing:
        given = {key: experiment.evaluate[key] for key in ("extractor", "settings") if key in experiment.evaluate}
        device = str(experiment.settings["trainer.device"])
        with copied_output(run / OUTPUT):
            evaluate(run, metric=missing, n=n, device=device, allowed_modules=experiment.modules, **given)
    else:
        print(f"{run} is evaluated already", flush=True)


def _is_of(record: dict[str, Any], metric: str, n: int, iteration: int) -> bool:
    """Whether a record of evaluation.jsonl is of this metric and protocol."""
    protocol = record.get("protocol", {})
    asked = {"iteration": iteration, "checkpoint": "last", "seed": 0}
    return (
        record["metric"] == metric
        and all(protocol.get(key) == value for key, value in asked.items())
        and run_history.samples(record) == n
    )


def _table(result: dict[str, Any]) -> list[str]:
    """Paper against ours as aligned text."""
    seeds = sorted({run["seed"] for run in result["runs"]})
    head = ["value", "paper", "median", "mean ± std", *(f"seed {seed}" for seed in seeds), "", "source", ""]
    rows = [
        [row.name(), row.paper(), row.median, row.mean(), *(row.values.get(seed) for seed in seeds), row.verdict,
         row.published.source, "" if row.published.verified else "unverified"] for row in comparisons(result)
    ]  # fmt: skip
    changed = f", which was trained with {', '.join(result['changes'])}" if result.get("changes") else ""
    lines = [f"{result['experiment']}: paper against ours{changed}", *aligned([head, *rows], right=False)]
    return [*lines, "", *aligned(variant_table(result), right=False)] if "variants" in result else lines
