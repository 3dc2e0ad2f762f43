"""`gan bench start`: time from the start of the process to the end of the first iteration, and what imports cost."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from gan_cli.tools.bench import report
from gan_cli.utils.errors import GanError

PACKAGES = (
    "torch", "torch._dynamo", "torch.utils.tensorboard", "torchvision", "hydra", "omegaconf", "numpy", "PIL",
    "matplotlib",
)  # fmt: skip
PROGRAM = """
import resource, sys, time
from gan_cli.cli import main, commands
command_line = time.time()
from gan_cli.training import trainer
loaded = time.time()
iterate = trainer.Trainer.iterate
def first(self):
    iterate(self)
    import json
    started = float(sys.argv[1])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    print("\\nBENCH " + json.dumps({"first_iteration": time.time() - started, "trainer": loaded - started,
                                   "cli": command_line - started, "peak_mb": peak}), flush=True)
    import os
    os._exit(0)
trainer.Trainer.iterate = first
sys.exit(main.main(["train", *sys.argv[2:]]))
"""


def measure(
    words: Sequence[str], folder: Path, *, repeats: int, versus: str | None, ready_text: str | None
) -> None:
    """Start `gan train WORDS` several times, and once more with the time of every import.

    versus: another command, which takes turns with it; its first iteration is over when it prints `ready_text`.
    """
    if (versus is None) != (ready_text is None):
        raise GanError(
            "versus='COMMAND' and ready_text='TEXT' go together: the text shows that the first iteration is done"
        )
    runs, others = [], []
    for _ in range(repeats):
        runs.append(_start(words))
        if versus and ready_text:
            others.append(_start_other(versus, ready_text))
    imports = _imports(words)
    names = {"cli": "command line is loaded", "trainer": "torch and the trainer are imported"}
    rows = [_row(name, (run[key] for run in runs)) for key, name in names.items()]
    rows.append(_row("first iteration is done", (run["first_iteration"] for run in runs)))
    rows += [[f"import {name} (part of the above)", seconds, None, None] for name, seconds in imports.items()]
    rows.append(_row("peak memory, MB", (run["peak_mb"] for run in runs)))
    if others:
        rows.append(_row("versus: first iteration is done", (other["first_iteration"] for other in others)))
        rows.append(_row("versus: peak memory, MB", (other["peak_mb"] for other in others)))
    columns = ("from the start of the process", "s, median", "min", "max")
    title = f"start: gan train {' '.join(words)}" + (f", versus {versus}" if versus else "")
    record = {"words": list(words), "runs": runs, "imports": imports, "versus": versus, "others": others}
    report.write(folder, "start", title, columns, rows, [record])


def _row(name: str, values: Iterable[float]) -> list[object]:
    return [name, *report.numbers(report.spread(list(values)))]


def _start(words: Sequence[str]) -> dict[str, float]:
    """Seconds from the start of the process, by event, and the peak memory in MB."""
    match = re.search(r"^BENCH (.*)$", _run(words).stdout, re.MULTILINE)
    assert match is not None
    times: dict[str, float] = json.loads(match[1])
    return times


def _run(words: Sequence[str], *options: str) -> subprocess.CompletedProcess[str]:
    """A process that ends after its first iteration. GanError if it does not reach it."""
    with tempfile.TemporaryDirectory() as scratch:
        run = [*words, f"hydra.run.dir={scratch}/run"]
        command = [sys.executable, *options, "-c", PROGRAM, str(time.time()), *run]
        done = subprocess.run(command, text=True, capture_output=True)
    if "BENCH " not in done.stdout:
        lines = [line for line in done.stderr.splitlines() if line.startswith("gan: ")]
        reason = " ".join(lines).removeprefix("gan: ")
        raise GanError(f"gan train {' '.join(words)} did not finish its first iteration; {reason}")
    return done


def _start_other(command: str, ready_text: str) -> dict[str, float]:
    """Seconds until the command prints a line with `ready_text`, and its peak memory in MB by then. It is killed."""
    start, last = time.perf_counter(), "none"
    try:
        process = subprocess.Popen(
            shlex.split(command), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )  # fmt: skip
    except (OSError, ValueError) as error:
        raise GanError(f"versus={command}: {error}") from None
    assert process.stdout is not None
    try:
        for line in process.stdout:
            if ready_text in line:
                return {"first_iteration": time.perf_counter() - start, "peak_mb": _peak(process.pid)}
            last = line.rstrip()
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
    raise GanError(f"versus={command}: it ended without {ready_text!r}; its last line: {last}")


def _peak(pid: int) -> float:
    """The largest resident size of a process in MB; nan where the system does not tell."""
    try:
        match = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    except OSError:
        match = None
    return int(match[1]) * 1.024e-3 if match else float("nan")


def _imports(words: Sequence[str]) -> dict[str, float]:
    """Seconds that each of `PACKAGES` takes to import, with all that it imports; the slowest first."""
    seconds = {}
    for line in _run(words, "-X", "importtime").stderr.splitlines():
        match = re.fullmatch(r"import time:\s+\d+ \|\s+(\d+) \|\s+(\S+)", line)
        if match and match[2] in PACKAGES:
            seconds[match[2]] = int(match[1]) / 1e6
    return dict(sorted(seconds.items(), key=lambda item: -item[1]))
