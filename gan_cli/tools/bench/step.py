"""`gan bench step`: time of one iteration, for variants of this package's trainer and another code.

Each variant runs in a process of its own, and they take turns, so that changes of the machine's speed affect all.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gan_cli.tools.bench import report
from gan_cli.utils.errors import GanError, suggest

if TYPE_CHECKING:
    from gan_cli.tools.bench.variant import Job

MALLOC = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": "4000000000", "MALLOC_TOP_PAD_": "67108864"}
"""Environment in which glibc keeps freed memory instead of returning it to the system in each iteration."""
NAMES = tuple(
    name + suffix for name in ("default", "no fast paths", "plain", "baseline") for suffix in ("", "+malloc")
)
LARGEST_ERROR = 3.0  # of gradients against float64, relative to that of the variant `plain`
LEAST = 0.25  # seconds per measurement; short iterations are repeated
DIED = "a process of the benchmark died; its last lines are above"

Errors = Mapping[str, Mapping[str, float]]
"""Network -> variant -> error of its gradients."""


class Child:
    """A process that runs one variant. It lives while it takes turns with the others, so that its memory is its own."""

    def __init__(self, job: Job, environment: Mapping[str, str] | None = None) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "gan_cli.tools.bench.variant"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **(environment or {})},
            start_new_session=True,  # Ctrl-C must reach the parent process only, which ends this one
        )
        self.send(json.dumps(job._asdict()))

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                with suppress(BrokenPipeError):
                    pipe.close()

    def send(self, line: str) -> None:
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(line + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            raise GanError(DIED) from None

    def receive(self) -> dict[str, Any]:
        """The next answer. GanError if the process reports an error or has died."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise GanError(DIED)
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise GanError(answer["error"])
        return answer

    def step(self, iterations: int) -> float:
        """Mean seconds of so many iterations."""
        self.send(str(iterations))
        return float(self.receive()["seconds"])

    def peak(self) -> float:
        """End the process and return its largest memory in MB."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        return float(self.receive()["peak"])


def measure(
    words: Sequence[str],
    folder: Path,
    *,
    baseline: str | None,
    repeats: int,
    variants: Sequence[str],
    gradient_checks: int,
    threads: int | None,
) -> None:
    """Check the gradients, time the variants in turns, print the table. GanError if gradients are wrong."""
    from gan_cli.tools.bench.variant import Job

    names = _names(variants, baseline)
    overrides = [word for word in words if word != "stream=true"]
    job = Job(overrides, baseline, stream="stream=true" in words, gradient_checks=gradient_checks, threads=threads)
    errors = _check(job, names)
    correct, problems = _judge(names, errors)
    times, peaks = _alternate(job, correct, repeats)
    reference = next(name for name in ("baseline", "plain", correct[0]) if name in correct)
    rows, records = [], []
    for name in correct:
        spread = report.spread(times[name])
        ratio = report.pairwise(times[reference], times[name])
        variant = _variant(name)
        worst = max((row[variant] / row["plain"] for row in errors.values() if variant in row), default=None)
        rows.append([name, *report.numbers(spread), ratio, peaks[name], worst, report.note(spread)])
        records.append(
            {"words": list(words), "variant": name, "seconds": times[name], **spread, "ratio": ratio,
             "reference": reference, "peak_mb": peaks[name], "gradient_error": errors}
        )  # fmt: skip
    columns = ("variant", "s, median", "min", "max", f"{reference} / it", "peak MB", "gradient error / plain's", "")
    report.write(folder, "step", f"step: {' '.join(words)}", columns, rows, records)
    if problems:
        raise GanError("; ".join(problems))


def _names(chosen: Sequence[str], baseline: str | None) -> list[str]:
    """The variants to measure, in order. On the command line `no_fast_paths` stands for `no fast paths`."""
    wanted = [name.replace("_", " ") for name in chosen] or list(NAMES)
    for name in wanted:
        if name not in NAMES:
            known = [n.replace(" ", "_") for n in NAMES]
            raise GanError(f"no variant '{name.replace(' ', '_')}'{suggest(name, known)}")
    return [name for name in NAMES if name in wanted and (baseline or _variant(name) != "baseline")]


def _variant(name: str) -> str:
    """The variant without the environment in which it runs."""
    return name.partition("+")[0]


def _check(job: Job, names: Sequence[str]) -> Errors:
    with Child(job._replace(check=list(dict.fromkeys(["plain", *map(_variant, names)])))) as child:
        errors: Errors = child.receive()["check"]
    return errors


def _judge(names: Sequence[str], errors: Errors) -> tuple[list[str], list[str]]:
    """The variants whose gradients are right, and a line for each variant whose gradients are not.

    Errors below 1e-6 are accepted: two ways to round are never quite equal. A baseline that differs in its formulas
    has a larger error.
    """
    problems = {}
    for network, row in errors.items():
        for variant, value in row.items():
            if value > max(LARGEST_ERROR * row["plain"], 1e-6):
                problems[variant] = (
                    f"not reported: {variant}: its gradient of {network} differs from float64 by {value:.2g}; at most "
                    f"{LARGEST_ERROR:g} times the error of plain, {row['plain']:.2g}, is accepted"
                )
    correct = [name for name in names if _variant(name) not in problems]
    if not correct:
        raise GanError("; ".join(problems.values()))
    return correct, list(problems.values())


def _alternate(job: Job, names: Sequence[str], repeats: int) -> tuple[dict[str, list[float]], dict[str, float]]:
    """Seconds of an iteration in each repeat, and the largest memory in MB, by variant."""
    times: dict[str, list[float]] = {name: [] for name in names}
    with ExitStack() as stack:
        children = {}
        for name in names:
            environment = MALLOC if name.endswith("+malloc") else {}
            children[name] = stack.enter_context(Child(job._replace(variant=_variant(name)), environment))
            children[name].receive()  # wait until it is ready, so that no other one is timed meanwhile
        iterations = {name: max(1, math.ceil(LEAST / child.step(1))) for name, child in children.items()}
        for repeat in range(repeats):
            # The order is reversed in every other repeat, so that no variant always runs on a warmer machine.
            for name in names if repeat % 2 == 0 else reversed(names):
                times[name].append(children[name].step(iterations[name]))
        return times, {name: child.peak() for name, child in children.items()}
