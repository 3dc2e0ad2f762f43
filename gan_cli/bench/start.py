"""`gan bench start`: from the start of the process to the end of the first iteration, and what is imported by then."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from gan_cli.bench import report
from gan_cli.errors import GanError

PACKAGES = (
    "torch", "torch._dynamo", "torch.utils.tensorboard", "torchvision", "hydra", "omegaconf", "numpy", "PIL",
    "matplotlib",
)  # fmt: skip
CHILD = """
import resource, sys, time
from gan_cli import cli
import gan_cli.verbs
verb = time.time()
from gan_cli import trainer
loaded = time.time()
iterate = trainer.Trainer.iterate
def first(self):
    iterate(self)
    import json
    began = float(sys.argv[1])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    print("\\nBENCH " + json.dumps({"first_iteration": time.time() - began, "trainer": loaded - began,
                                   "cli": verb - began, "peak_mb": peak}), flush=True)
    import os
    os._exit(0)
trainer.Trainer.iterate = first
sys.exit(cli.main(["train", *sys.argv[2:]]))
"""


def measure(words: Sequence[str], folder: Path, *, rounds: int) -> None:
    """`gan train WORDS` several times, and once more with the clock on every import."""
    runs = [_start(words) for _ in range(rounds)]
    split = _imports(words)
    names = (("cli", "command line is there"), ("trainer", "torch and the trainer are imported"))
    rows: list[list[object]] = []
    for key, name in (*names, ("first_iteration", "first iteration is finished")):
        told = report.spread([run[key] for run in runs])
        rows.append([name, told["median"], told["min"], told["max"]])
    rows += [[f"import {name} (of the above)", seconds, None, None] for name, seconds in split.items()]
    peak = report.spread([run["peak_mb"] for run in runs])
    rows.append(["peak memory, MB", peak["median"], peak["min"], peak["max"]])
    table = report.table(("from the start of the process", "s, median", "min", "max"), rows)
    report.write(folder, "start", f"start: gan train {' '.join(words)}", table, [{"runs": runs, "imports": split}])


def _start(words: Sequence[str], *options: str) -> dict[str, float]:
    found = re.search(r"^BENCH (.*)$", _run(words, *options).stdout, re.MULTILINE)
    assert found is not None
    times: dict[str, float] = json.loads(found[1])
    return times


def _run(words: Sequence[str], *options: str) -> subprocess.CompletedProcess[str]:
    with tempfile.TemporaryDirectory() as scratch:
        run = [*words, f"hydra.run.dir={scratch}/run"]
        command = [sys.executable, *options, "-c", CHILD, str(time.time()), *run]
        done = subprocess.run(command, text=True, capture_output=True)
    if "BENCH " not in done.stdout:
        reason = [line for line in done.stderr.splitlines() if line.startswith("gan: ")]
        why = " ".join(reason).removeprefix("gan: ")
        raise GanError(f"gan train {' '.join(words)} came to no first iteration; {why}")
    return done


def _imports(words: Sequence[str]) -> dict[str, float]:
    """Seconds that each of `PACKAGES` took with all that it imports; those that are imported at all."""
    seconds = {}
    for line in _run(words, "-X", "importtime").stderr.splitlines():
        found = re.fullmatch(r"import time:\s+\d+ \|\s+(\d+) \|\s+(\S+)", line)
        if found and found[2] in PACKAGES:
            seconds[found[2]] = int(found[1]) / 1e6
    return dict(sorted(seconds.items(), key=lambda item: -item[1]))
