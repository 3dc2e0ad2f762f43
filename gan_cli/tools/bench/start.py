"""`gan bench start`: from the start of the process to the end of the first iteration, and what is imported by then."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from gan_cli.tools.bench import report
from gan_cli.utils.errors import GanError

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


def measure(words: Sequence[str], folder: Path, *, rounds: int, against: str | None, until: str | None) -> None:
    """`gan train WORDS` several times, and once more with the clock on every import; in turns with the command
    `against`, whose first iteration is over when it prints `until`.
    """
    if (against is None) != (until is None):
        raise GanError("against='COMMAND' and until='TEXT' go together: the text says when its first iteration is over")
    runs, others = [], []
    for _ in range(rounds):
        runs.append(_start(words))
        if against and until:
            others.append(_other(against, until))
    split = _imports(words)
    names = (("cli", "command line is there"), ("trainer", "torch and the trainer are imported"))
    rows: list[list[object]] = []
    for key, name in (*names, ("first_iteration", "first iteration is finished")):
        told = report.spread([run[key] for run in runs])
        rows.append([name, told["median"], told["min"], told["max"]])
    rows += [[f"import {name} (of the above)", seconds, None, None] for name, seconds in split.items()]
    peak = report.spread([run["peak_mb"] for run in runs])
    rows.append(["peak memory, MB", peak["median"], peak["min"], peak["max"]])
    for key, name in (("first_iteration", "against: first iteration is finished"), ("peak_mb", "against: peak, MB")):
        if others:
            told = report.spread([other[key] for other in others])
            rows.append([name, told["median"], told["min"], told["max"]])
    table = report.table(("from the start of the process", "s, median", "min", "max"), rows)
    title = f"start: gan train {' '.join(words)}" + (f", against {against}" if against else "")
    record = {"words": list(words), "runs": runs, "imports": split, "against": against, "others": others}
    report.write(folder, "start", title, table, [record])


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


def _other(command: str, until: str) -> dict[str, float]:
    """Seconds until it prints a line with `until`, and MB at its peak by then, where the system tells. It is killed."""
    began, seen = time.perf_counter(), []
    try:
        process = subprocess.Popen(
            shlex.split(command), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )  # fmt: skip
    except (OSError, ValueError) as error:
        raise GanError(f"against={command}: {error}") from None
    assert process.stdout is not None
    try:
        for line in process.stdout:
            if until in line:
                return {"first_iteration": time.perf_counter() - began, "peak_mb": _peak(process.pid)}
            seen.append(line.rstrip())
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
    raise GanError(f"against={command}: it ended without {until!r}; its last line: {next(reversed(seen), 'none')}")


def _peak(pid: int) -> float:
    try:
        found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    except OSError:
        found = None
    return int(found[1]) * 1.024e-3 if found else float("nan")


def _imports(words: Sequence[str]) -> dict[str, float]:
    """Seconds that each of `PACKAGES` took with all that it imports; those that are imported at all."""
    seconds = {}
    for line in _run(words, "-X", "importtime").stderr.splitlines():
        found = re.fullmatch(r"import time:\s+\d+ \|\s+(\d+) \|\s+(\S+)", line)
        if found and found[2] in PACKAGES:
            seconds[found[2]] = int(found[1]) / 1e6
    return dict(sorted(seconds.items(), key=lambda item: -item[1]))
