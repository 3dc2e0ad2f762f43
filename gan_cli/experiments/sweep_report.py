"""What `gan train -m` says: a line for each cell that ends, and at the end a table of all."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gan_cli.experiments import grid
from gan_cli.experiments.grid import Trial
from gan_cli.experiments.workers import Finished, WorkerPool
from gan_cli.training import run_history
from gan_cli.training.find_runs import is_resumable
from gan_cli.utils.errors import GanError

SHOWN = 64  # cells in the table at the end; of more, those that are not ok


class SweepProgress:
    """A line for each cell that ends, with the rate and the time left of the sweep. total: cells of the sweep."""

    def __init__(self, total: int, slots: WorkerPool) -> None:
        self.left, self.slots, self.finished = total, slots, 0
        self.begin = time.monotonic()
        gpus = f", {len(slots.gpus)} GPUs" if slots.gpus else ""
        print(f"{total} cells; {slots.count} side by side, {slots.threads} threads each{gpus}", flush=True)

    def passed(self, cell: Trial) -> None:
        self.left -= 1
        failed = run_history.failure(cell.folder)
        why = f"failed before: {failed['error']}; sweep.retry=true tries again" if failed else "done before"
        print(f"{cell.folder.name}: {why}", flush=True)

    def ended(self, found: Sequence[Finished]) -> None:
        from gan_cli.utils.progress import clock

        for one in found:
            self.left, self.finished = self.left - 1, self.finished + 1
            rate = self.finished / max(time.monotonic() - self.begin, 1e-9)
            failed = f"failed: {run_history.failure(one.job.folder).get('error', '?')}" if one.status else "ok"
            outcome = "stopped" if one.stopped or one.signal else failed
            print(
                f"{one.job.folder.name}: {outcome} ({clock(one.seconds)}); {len(self.slots.running)} running, "
                f"{self.left} to go, {3600 * rate:.3g} an hour, left {clock(self.left / rate)}",
                flush=True,
            )


def report(folder: Path) -> int:
    """Print each cell of a sweep with its outcome; returns how many have failed."""
    jobs = sorted({*grid.member_folders(folder), *(p.parent for p in folder.glob("*/.hydra"))},
                  key=lambda job: run_history.by_number(job.name))  # fmt: skip
    if not jobs:
        return 0
    said = {job: _outcome(job) for job in jobs}
    print(f"\n{folder}: {sum(text == 'ok' for text in said.values())} of {len(jobs)} ok")
    names = {job: str(job.relative_to(folder)) for job in jobs}
    width = max(map(len, names.values()))
    for job, text in said.items():
        if len(jobs) <= SHOWN or text != "ok":
            print(f"  {names[job]:<{width}}  {text}")
    return sum(text.startswith("failed") for text in said.values())


def _outcome(job: Path) -> str:
    note: dict[str, Any] = run_history.failure(job)
    if note:
        return f"failed ({note.get('status')}): {note.get('error')}"
    try:
        done, total = grid.progress(job)
    except GanError:
        return "ok" if is_resumable(job) else "not begun"
    return "ok" if done >= total else f"stopped after iteration {done} of {total}"
