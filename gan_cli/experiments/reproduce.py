"""`gan reproduce`: an experiment trained and evaluated with several seeds, beside what its paper reports."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gan_cli.config import composer
from gan_cli.config.composer import quoted
from gan_cli.experiments import paper_results, report
from gan_cli.experiments.experiment import (
    Experiment,
    compose_experiment,
    diff_settings,
    key_of,
    variants_of,
    with_expectations,
)
from gan_cli.training import run_history
from gan_cli.training.run_dir import now
from gan_cli.utils.errors import Diverged, GanError, Interrupted, Terminated, one_line, suggest
from gan_cli.utils.files import writable, write_text
from gan_cli.utils.tables import number

FOLDER = Path("outputs/reproduce")
ELSEWHERE = ("dataset.root", "trainer.device", "modules")  # what a resumed run takes from `changes`


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
    seed before the next. A finished run is not repeated, a stopped one goes on. changes: further overrides of `gan
    train`. The result file NAME.json goes to `out`, else to docs/results where that exists, else beside the runs;
    whatever stops the work, it holds what is done. GanError for an experiment that does not exist, and for one without
    variants that has neither claims nor metrics.
    """
    experiment = compose_experiment(name, changes)
    paper_results.claims(experiment.expect, f"{name}: expect")
    chosen = _variants(name, changes, variant or ()) or {"": experiment}
    if not (experiment.expect or experiment.evaluate) and "" in chosen:
        guess = suggest(name, with_expectations())
        raise GanError(f"experiment '{name}' has no `expect` and no `evaluate`: nothing to reproduce{guess}")
    altered = composer.slug(",".join(experiment.changed_settings())) if experiment.changed_settings() else ""
    folder = FOLDER / "-".join(filter(None, [name, altered]))
    results = Path(out) if out else report.RESULTS if report.RESULTS.is_dir() and not altered else folder
    writable(results, f"out={results}")
    runs: dict[Path, Experiment] = {}
    try:
        for seed in dict.fromkeys(seeds):
            for kind, one in chosen.items():
                run = folder / kind / f"seed-{seed}"
                try:
                    if _train(one, seed, run):
                        _evaluate(one, run)
                except Diverged as error:
                    print(f"{run} failed: {error}", flush=True)
                    note = {"status": error.status, "error": one_line(error), "overrides": list(one.overrides)}
                    write_text(run / run_history.FAILURE, json.dumps(note, indent=1) + "\n")
                finally:
                    if run_history.is_run(run):
                        runs[run] = one
    except Interrupted as error:  # it names the run, and what goes on with that alone
        raise Interrupted(f"{str(error).partition(';')[0]}; the same command goes on", error.status) from error
    except KeyboardInterrupt as error:
        raise Interrupted("stopped; the same command goes on", 143 if isinstance(error, Terminated) else 130) from error
    finally:
        if runs:
            print("\n" + "\n".join(_table(_record(experiment, runs, results))))
            print(f"{results / f'{name}.json'}")


def record(name: str, run_dirs: Sequence[Path], out: Path, variant: str | None = None) -> dict[str, Any]:
    """Write what existing runs of an experiment, and their evaluation.jsonl, say to NAME.json in folder `out`.

    What the file holds already stays; the seeds of `run_dirs` are replaced. Without runs: the claims alone. Returns
    what the file holds.
    """
    one = compose_experiment(name, (), variant)
    return _record(compose_experiment(name, ()), dict.fromkeys(run_dirs, one), out)


def _variants(name: str, changes: Sequence[str], asked: Sequence[str]) -> dict[str, Experiment]:
    """The experiment's variants, or those that were asked for, in the order of its file."""
    there = variants_of(name, changes)
    for variant in asked:
        if variant not in there:
            raise GanError(f"experiment '{name}' has no variant '{variant}'{suggest(variant, there)}")
    return {kind: compose_experiment(name, changes, kind) for kind in there if kind in asked or not asked}


# -- one seed


def _train(experiment: Experiment, seed: int, run: Path) -> bool:
    """Train to the end what is not; False where the run failed before. Raises what training raises."""
    from gan_cli.training import checkpoint, launch
    from gan_cli.training import run as runner
    from gan_cli.training.find_runs import contains_run

    if not contains_run(run):
        print(f"seed {seed}: training in {run}", flush=True)
        place = f"hydra.run.dir={quoted(str(run))}"
        launch.train_words([f"experiment={experiment.name}", *experiment.overrides, f"seed={seed}", place])
        return True
    found = run_history.read(run)
    others = diff_settings(found.settings, experiment.settings)
    if others:
        said = ", ".join(f"{key} {ours} for {wanted}" for key, (ours, wanted) in others.items())
        raise GanError(f"{run} was trained with other settings ({said}): move it away, and the seed is trained anew")
    if found.failure:
        print(f"seed {seed} had failed: {found.failure}; remove {run} to try again", flush=True)
        return False
    last = run / "checkpoints" / "last.pt"
    done = checkpoint.load(last)["iteration"] if last.exists() else 0
    if done >= experiment.iterations:
        print(f"seed {seed}: {run} has its {done} iterations already", flush=True)
        return True
    print(f"seed {seed}: going on with {run} after iteration {done}", flush=True)
    runner.resume(run, [c for c in experiment.changes if key_of(c) in ELSEWHERE], experiment.modules)
    return True


def _evaluate(experiment: Experiment, run: Path) -> None:
    """Each metric that evaluation.jsonl does not hold by the same protocol for the last iteration."""
    from gan_cli.evaluation.evaluate import SAMPLES, evaluate

    n = int(experiment.evaluate.get("n") or SAMPLES)
    found = run_history.read(run)
    missing = [m for m in experiment.metrics() if not any(_same(r, m, n, found.done) for r in found.records)]
    if missing:
        asked = {key: experiment.evaluate[key] for key in ("extractor", "settings") if key in experiment.evaluate}
        device = str(experiment.settings["trainer.device"])
        evaluate(run, metric=missing, n=n, device=device, allowed_modules=experiment.modules, **asked)
    else:
        print(f"{run} has been evaluated already", flush=True)


def _same(record: dict[str, Any], metric: str, n: int, iteration: int) -> bool:
    protocol = record.get("protocol", {})
    asked = {"iteration": iteration, "checkpoint": "last", "seed": 0}
    return (
        record["metric"] == metric
        and all(protocol.get(key) == value for key, value in asked.items())
        and run_history.samples(record) == n
    )


# -- the result file


def _record(experiment: Experiment, done: Mapping[Path, Experiment], out: Path) -> dict[str, Any]:
    """done: run directory -> the variant that it is of."""
    path = out / f"{experiment.name}.json"
    runs = {_place(run): run for run in (report.load(path)["runs"] if path.exists() else [])}
    for folder, one in done.items():
        entry = _entry(one, folder)
        runs[_place(entry)] = entry
    metrics = experiment.metrics()
    words = " ".join(_portable(change) for change in experiment.changes)
    result = {
        "experiment": experiment.name,
        "title": experiment.title,
        "commands": [
            f"gan train experiment={experiment.name} seed=SEED {words}".strip(),
            " ".join([f"gan evaluate RUN_DIR metric={','.join(metrics)}", *_words(experiment.evaluate)]),
        ],
        "iterations": experiment.iterations,
        "evaluate": experiment.evaluate,
        "expect": experiment.expect,
        **({"variants": list(variants)} if (variants := variants_of(experiment.name, experiment.changes)) else {}),
        "runs": [runs[place] for place in sorted(runs)],
    }
    out.mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps(result, indent=1) + "\n")
    return result


def _place(run: dict[str, Any]) -> tuple[str, int]:
    return run.get("variant", ""), run["seed"]


def _words(evaluate: dict[str, Any]) -> list[str]:
    """The rest of an experiment's `evaluate`, as options of `gan evaluate`."""
    single = [f"{key}={value}" for key, value in evaluate.items() if key not in ("metric", "settings")]
    return [*single, *evaluate.get("settings", [])]


def _entry(experiment: Experiment, folder: Path) -> dict[str, Any]:
    """What a result file keeps of one run; nothing that names a place on this machine."""
    run = run_history.read(folder)
    facts: Any = json.loads((folder / "provenance.json").read_text())
    words = run.overrides or facts.get("command", [])[2:]  # `gan train` and what follows
    typed = [_portable(word) for word in words if not key_of(word).startswith(("hydra.", "seed"))]
    seed = run.settings["seed"]
    device, machine = facts.get("device", {}), facts.get("machine", {})
    latest: dict[tuple[Any, ...], dict[str, Any]] = {}
    for record in run.records:
        protocol = record.get("protocol", {})
        names = ("iteration", "checkpoint", "weights", "seed")
        key = (record["metric"], run_history.samples(record), *(protocol.get(name) for name in names))
        values = {name: _rounded(value) for name, value in record["values"].items()}
        settings = {"settings": record["settings"]} if record.get("settings") else {}
        latest[key] = {"metric": record["metric"], "values": values, "protocol": protocol, **settings}
    return {
        **({"variant": experiment.variant} if experiment.variant else {}),
        "seed": seed,
        "iterations": run.done,
        "differs": {key: list(pair) for key, pair in diff_settings(run.settings, experiment.settings).items()},
        "failed": run.failure,
        "command": " ".join(["gan train", *typed, f"seed={seed}"]),
        "training_seconds": _rounded(run_history.training_seconds(folder, run.settings["trainer.batch_size"])),
        "date": str(facts.get("time", now()))[:10],
        "git": facts.get("git"),
        "versions": {name: facts.get("versions", {}).get(name) for name in ("python", "torch", "gan-cli")},
        "machine": {"device": device.get("name"), "cores": machine.get("cores"), "threads": device.get("threads")},
        "evaluations": list(latest.values()),
    }


def _table(result: dict[str, Any]) -> list[str]:
    """Paper against ours as aligned text."""
    seeds = sorted({run["seed"] for run in result["runs"]})
    head = ["value", "paper", "median", "mean ± std", *(f"seed {seed}" for seed in seeds), "", "source"]
    rows = [
        [row.name(), row.paper(), number(row.median), row.mean(), *(number(row.values.get(s)) for s in seeds),
         row.verdict, row.claim.source] for row in paper_results.comparisons(result)
    ]  # fmt: skip
    lines = [f"{result['experiment']}: paper against ours", *_aligned([head, *rows])]
    return [*lines, "", *_aligned(paper_results.variant_table(result))] if "variants" in result else lines


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, cells)) for cells in zip(*rows)]
    return ["  ".join(map(str.ljust, cells, widths)).rstrip() for cells in rows]


def _portable(override: str) -> str:
    """A path of this machine becomes FOLDER."""
    key, equals, value = override.partition("=")
    return f"{key}=FOLDER" if equals and value.strip("'\"").startswith(("/", "~")) else override


def _rounded(value: Any) -> Any:
    """Six digits are more than any score deserves. NaN and infinity, which JSON lacks, become None."""
    if not isinstance(value, float):
        return value
    return float(f"{value:.6g}") if math.isfinite(value) else None
