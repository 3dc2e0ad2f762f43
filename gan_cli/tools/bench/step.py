"""`gan bench step`: one iteration of a game, ours in several ways and a peer's, in turns, each in its own process."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from gan_cli.tools.bench import report
from gan_cli.utils.errors import GanError, suggest

MALLOC = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": "4000000000", "MALLOC_TOP_PAD_": "67108864"}
NAMES = ("ours", "ours+malloc", "no kernels", "no kernels+malloc", "plain", "plain+malloc", "peer", "peer+malloc")
RULE = 3.0  # our gradients' error against float64, at most so many times plain eager's
LEAST = 0.25  # seconds that one measurement takes at least: short iterations are repeated


class Child:
    """A process that plays one side; it lives while it is alternated with the others, so its memory is its own."""

    def __init__(self, job: Mapping[str, Any], environment: Mapping[str, str] | None = None) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "gan_cli.tools.bench.side"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **(environment or {})},
            start_new_session=True,  # Ctrl-C reaches this process alone, which ends that one
        )
        self.say(json.dumps(job))

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                with suppress(BrokenPipeError):
                    pipe.close()

    def say(self, line: str) -> None:
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(line + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            raise GanError("a side of the benchmark died; its last words are above") from None

    def hear(self) -> dict[str, Any]:
        """The next answer. GanError if the process has a problem or is gone."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise GanError("a side of the benchmark died; its last words are above")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise GanError(answer["error"])
        return answer

    def step(self, repeats: int) -> float:
        """Seconds of an iteration."""
        self.say(str(repeats))
        return float(self.hear()["seconds"])

    def peak(self) -> float:
        """End it; MB at its peak."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        return float(self.hear()["peak"])


def measure(
    words: Sequence[str],
    folder: Path,
    *,
    peer: str | None,
    rounds: int,
    chosen: Sequence[str],
    draws: int,
    threads: int | None,
) -> None:
    """Check the gradients, alternate the sides, print the table. GanError if our gradients break the rule."""
    names = _names(chosen, peer)
    stream = "stream=true" in words
    job = {"words": [w for w in words if w != "stream=true"], "peer": peer, "threads": threads, "stream": stream}
    checked = _check({**job, "draws": draws}, names)
    kept, broken = _judge(names, checked)
    times, peaks = _alternate(job, kept, rounds)
    reference = "peer" if "peer" in kept else "plain" if "plain" in kept else kept[0]
    rows, records = [], []
    for name in kept:
        told = report.spread(times[name])
        ratio = report.pairwise(times[reference], times[name])
        worst = max((row[_side(name)] / row["plain"] for row in checked.values() if _side(name) in row), default=None)
        note = "noisy: not to be quoted" if told["noisy"] else None
        rows.append([name, told["median"], told["min"], told["max"], ratio, peaks[name], worst, note])
        records.append(
            {"words": list(words), "side": name, "seconds": times[name], **told, "ratio": ratio,
             "reference": reference, "peak_mb": peaks[name], "gradient_error": checked}
        )  # fmt: skip
    columns = ("side", "s, median", "min", "max", f"{reference} / it", "peak MB", "gradient error / plain's", "")
    report.write(folder, "step", f"step: {' '.join(words)}", report.table(columns, rows), records)
    if broken:
        raise GanError("; ".join(broken))


def _names(chosen: Sequence[str], peer: str | None) -> list[str]:
    """The sides to measure, in order; `no_kernels` stands for `no kernels`."""
    wanted = [name.replace("_", " ") for name in chosen] or list(NAMES)
    for name in wanted:
        if name not in NAMES:
            raise GanError(f"no side '{name.replace(' ', '_')}'{suggest(name, [n.replace(' ', '_') for n in NAMES])}")
    return [name for name in NAMES if name in wanted and (peer or _side(name) != "peer")]


def _side(name: str) -> str:
    return name.partition("+")[0]


def _check(job: Mapping[str, Any], names: Sequence[str]) -> dict[str, dict[str, float]]:
    sides = list(dict.fromkeys(["plain", *map(_side, names)]))
    with Child({**job, "side": "check", "sides": sides}) as child:
        checked: dict[str, dict[str, float]] = child.hear()["check"]
    return checked


def _judge(names: Sequence[str], checked: Mapping[str, Mapping[str, float]]) -> tuple[list[str], list[str]]:
    """The sides whose gradients keep the rule, and a line for each that does not.

    Rounding alone is never quite equal, so an error below 1e-6 keeps it. Another maths than ours shows in the peer's.
    """
    broken = {}
    for network, row in checked.items():
        for side, mine in row.items():
            if mine > max(RULE * row["plain"], 1e-6):
                broken[side] = (
                    f"not printed: {side}, whose gradient of {network} is {mine:.2g} off float64, plain eager's "
                    f"{row['plain']:.2g} (at most {RULE:g} times that)"
                )
    kept = [name for name in names if _side(name) not in broken]
    if not kept:
        raise GanError("; ".join(broken.values()))
    return kept, list(broken.values())


def _alternate(
    job: Mapping[str, Any], names: Sequence[str], rounds: int
) -> tuple[dict[str, list[float]], dict[str, float]]:
    """Seconds of an iteration in each round, and MB at the peak. The order turns around from round to round."""
    times: dict[str, list[float]] = {name: [] for name in names}
    with ExitStack() as stack:
        children = {}
        for name in names:
            environment = MALLOC if name.endswith("+malloc") else {}
            children[name] = stack.enter_context(Child({**job, "side": _side(name)}, environment))
            children[name].hear()  # ready: built and warmed up, alone
        repeats = {name: max(1, math.ceil(LEAST / child.step(1))) for name, child in children.items()}
        for number in range(rounds):
            for name in names if number % 2 == 0 else reversed(names):
                times[name].append(children[name].step(repeats[name]))
        return times, {name: child.peak() for name, child in children.items()}
