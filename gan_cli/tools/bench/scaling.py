"""`gan bench scaling`: one process against two, which share a batch (strong) or have a batch each (weak)."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TypedDict

from gan_cli.tools.bench import report
from gan_cli.utils.errors import GanError

PROCESSES = 2


class Times(TypedDict):
    """seconds: of each iteration of rank 0. average: the part of their sum in which gradients were averaged."""

    seconds: list[float]
    average: float


def measure(words: Sequence[str], folder: Path, *, repeats: int) -> None:
    """Time iterations of `gan train WORDS` with one core per process; the batch size is that of the overrides."""
    from gan_cli.tools.bench.workload import settings

    batch = int(settings(words).trainer.batch_size)
    if batch % PROCESSES:
        raise GanError(f"trainer.batch_size={batch} cannot be divided among {PROCESSES} processes")
    cases = (
        ("1 process", 1, batch),
        ("2 processes, strong: the same batch", PROCESSES, batch),
        ("2 processes, weak: twice the batch", PROCESSES, PROCESSES * batch),
    )
    rows, records = [], []
    single = None
    for name, world, size in cases:
        times = _train([*words, f"trainer.batch_size={size}"], world, repeats)
        spread = report.spread(times["seconds"])
        rate = size / spread["median"]
        single = single or rate
        share = 100 * times["average"] / sum(times["seconds"])
        rows.append([name, size, spread["median"], rate, rate / single, share, report.note(spread)])
        records.append({"words": list(words), "case": name, "processes": world, "batch": size, **times, **spread})
    columns = ("processes", "batch", "s, median", "images / s", "relative to 1", "averaging gradients, %", "")
    report.write(folder, "scaling", f"scaling: {' '.join(words)}", columns, rows, records)


def _train(words: Sequence[str], world: int, repeats: int) -> Times:
    """The times of rank 0 of `world` processes."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {"WORLD_SIZE": str(world), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "gan_cli.tools.bench.scaling", str(repeats), *words]
    children = [
        subprocess.Popen(
            command, env={**os.environ, **shared, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE, text=True, start_new_session=True,
        )
        for rank in range(world)
    ]  # fmt: skip
    try:
        outputs = [child.communicate()[0] for child in children]
    finally:
        for child in children:
            child.kill()
    if any(child.returncode for child in children):
        raise GanError("a process of the benchmark failed; its last lines are above")
    times: Times = json.loads(outputs[0].splitlines()[-1])
    return times


def main(repeats: int, words: Sequence[str]) -> None:
    """One of the processes: two iterations to warm up, then `repeats` that are timed."""
    from gan_cli.tools.bench.workload import OwnTrainer, Workload
    from gan_cli.utils import distributed

    workload = Workload(words)
    averaging = 0.0
    average = distributed.average_gradients

    def timed(*arguments: object) -> None:
        nonlocal averaging
        start = time.perf_counter()
        average(*arguments)  # type: ignore[arg-type]
        averaging += time.perf_counter() - start

    distributed.average_gradients = timed  # type: ignore[assignment]
    with distributed.group(workload.device):
        trainer = OwnTrainer(workload)
        for _ in range(2):
            trainer.step()
        seconds, averaging = [], 0.0
        for _ in range(repeats):
            start = time.perf_counter()
            trainer.step()
            seconds.append(time.perf_counter() - start)
        if distributed.rank() == 0:
            print(json.dumps({"seconds": seconds, "average": averaging}), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
