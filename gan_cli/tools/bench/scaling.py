"""`gan bench scaling`: one process and two, with one batch for all (strong) and a batch each (weak)."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gan_cli.tools.bench import report
from gan_cli.utils.errors import GanError

PROCESSES = 2


def measure(words: Sequence[str], folder: Path, *, rounds: int) -> None:
    """Iterations of `gan train WORDS` with one core for each process; the batch is that of the overrides."""
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
    base = None
    for name, world, size in cases:
        found = _play([*words, f"trainer.batch_size={size}"], world, rounds)
        told = report.spread(found["seconds"])
        rate = size / told["median"]
        base = base or rate
        share = found["average"] / sum(found["seconds"])
        rows.append([name, size, told["median"], rate, rate / base, 100 * share, "noisy" if told["noisy"] else None])
        records.append({"words": list(words), "case": name, "processes": world, "batch": size, **found, **told})
    columns = ("processes", "batch", "s, median", "images / s", "against 1", "averaging gradients, %", "")
    report.write(folder, "scaling", f"scaling: {' '.join(words)}", report.table(columns, rows), records)


def _play(words: Sequence[str], world: int, rounds: int) -> dict[str, Any]:
    """Rank 0's seconds of each iteration, and its seconds in averaging gradients, in sum."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {"WORLD_SIZE": str(world), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "gan_cli.tools.bench.scaling", str(rounds), *words]
    places = [{**os.environ, **shared, "RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(world)]
    children = [
        subprocess.Popen(command, env=place, stdout=subprocess.PIPE, text=True, start_new_session=True)
        for place in places
    ]
    try:
        outputs = [child.communicate()[0] for child in children]
    finally:
        for child in children:
            child.kill()
    if any(child.returncode for child in children):
        raise GanError("a process of the benchmark failed; its last words are above")
    found: dict[str, Any] = json.loads(outputs[0].splitlines()[-1])
    return found


def main(rounds: int, words: Sequence[str]) -> None:
    """One of the processes: two iterations to warm up, then `rounds` that are timed."""
    from gan_cli.tools.bench.workload import Ours, Workload
    from gan_cli.utils import distributed

    workload = Workload(words)
    with distributed.group(workload.device):
        player = Ours(workload)
        spent = [0.0]
        average = distributed.average_gradients

        def timed(parameters: Any) -> None:
            start = time.perf_counter()
            average(parameters)
            spent[0] += time.perf_counter() - start

        distributed.average_gradients = timed
        for _ in range(2):
            player.step()
        seconds, spent[0] = [], 0.0
        for _ in range(rounds):
            start = time.perf_counter()
            player.step()
            seconds.append(time.perf_counter() - start)
        if distributed.rank() == 0:
            print(json.dumps({"seconds": seconds, "average": spent[0]}), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
