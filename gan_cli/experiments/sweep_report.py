"""What `gan train -m` prints: a line for each trial that ends, and a table of all trials at the end."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from gan_cli.experiments.trials import Trial, iterations, trial_folders
from gan_cli.experiments.workers import OUTPUT, Finished, WorkerPool
from gan_cli.training import run_history
from gan_cli.training.find_runs import is_resumable
from gan_cli.utils.errors import GanError
from gan_cli.utils.files import read_text
from gan_cli.utils.progress import Progress, clock
from gan_cli.utils.tables import aligned

NUMBER = re.compile(r"\d[\d.,]*(e[+-]?\d+)?")
NAMED = 4  # runs that are named with a warning
SHOWN = 64  # trials in the table at the end; of a larger sweep, only those that are not ok


class SweepProgress(Progress):
    """A line for each trial that ends, with the rate and the time left of the sweep. total: trials of the sweep."""

    def __init__(self, total: int, pool: WorkerPool) -> None:
        super().__init__(total, "trials")
        self.pool = pool
        gpus = f" on {len(pool.gpus)} GPUs" if pool.gpus else ""
        print(f"{total} trials: {pool.count} in parallel{gpus}, {pool.threads} threads each", flush=True)

    def skipped_trial(self, trial: Trial) -> None:
        """Print why a trial is not run."""
        self.skip()
        failure = run_history.failure(trial.folder)
        why = f"failed before: {failure['error']}; sweep.retry=true tries again" if failure else "done before"
        self.say(f"{trial.folder.name}: {why}")

    def finished(self, trials: Sequence[Finished]) -> None:
        """Print what came out of trials that have just ended."""
        for trial in trials:
            self.done += 1
            failed = f"failed: {run_history.failure(trial.job.folder).get('error', '?')}" if trial.status else "ok"
            outcome = "stopped" if trial.stopped or trial.signal else failed
            running = f"  {len(self.pool.running)} running" if self.pool.running else ""
            self.say(f"{trial.job.folder.name}: {outcome} ({clock(trial.seconds)})  {self.status()}{running}")


def report(folder: Path) -> int:
    """Print the trials in the folder of a sweep with their outcomes. Returns how many have failed."""
    runs = sorted({*trial_folders(folder), *(hydra.parent for hydra in folder.glob("*/.hydra"))},
                  key=lambda run: run_history.by_number(run.name))  # fmt: skip
    outcomes = {str(run.relative_to(folder)): _outcome(run) for run in runs}
    if outcomes:
        print(f"\n{folder}: {sum(text == 'ok' for text in outcomes.values())} of {len(runs)} ok")
    shown = [(name, text) for name, text in outcomes.items() if len(runs) <= SHOWN or text != "ok"]
    for line in [*(f"  {line}" for line in aligned(shown, right=False)), *warnings(runs, folder)]:
        print(line)
    return sum(text.startswith("failed") for text in outcomes.values())


def warnings(runs: Sequence[Path], folder: Path) -> list[str]:
    """The warnings in the outputs of runs below `folder`: each once, whatever its numbers, with the runs it is of."""
    found: dict[str, tuple[str, dict[str, None]]] = {}  # without numbers -> as printed first, names of runs
    for run in runs:
        for line in _output(run).splitlines():
            if line.startswith("warning: "):
                found.setdefault(NUMBER.sub("#", line), (line, {}))[1][str(run.relative_to(folder))] = None
    return [f"{line} ({_listed(list(names))})" for line, names in found.values()]


def _output(run: Path) -> str:
    try:
        return read_text(run / OUTPUT, errors="replace")
    except (OSError, ValueError):
        return ""


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


def _outcome(run: Path) -> str:
    failure = run_history.failure(run)
    if failure:
        return f"failed ({failure['status']}): {failure['error']}"
    try:
        done, total = iterations(run)
    except GanError:
        return "ok" if is_resumable(run) else "not begun"
    return "ok" if done >= total else f"stopped after iteration {done} of {total}"
