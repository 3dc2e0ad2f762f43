"""Try commands that nobody has thought of: python benchmarks/fuzz.py [--cases 2000] [--seed 0] [--jobs 2].

Each case is a command of `gan`: a leaf of the configuration of some model, or an option of some verb, with a value that
works or does not. The case says first which exit status is right. Then a fork of this process, which has imported
everything, runs the command in an empty folder, with 6 GB of memory and 60 seconds. A case fails if the status is
another one, or 1; if there is a traceback, a hang, or more than one line of error, or one of more than 600 characters;
or if a refused command leaves files behind.

Prints what failed and a table; the exit status is 1 if a case failed. --accepted FILE lists the commands that were
accepted, --failed FILE those that failed with their output, --only NUMBER runs a single case. A seed gives the same
cases. Set OMP_NUM_THREADS=1 so that two processes do not disturb each other.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import resource
import shlex
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TESTS = ("tests", "tests/training", "tests/inference", "tests/experiments", "benchmarks", "")
sys.path[:0] = [str(ROOT / folder) for folder in TESTS]

import torch  # noqa: E402
import torch._dynamo  # noqa: E402
import torch.utils.tensorboard  # noqa: E402
from fuzz_settings import EITHER, RUN, Case, training_case  # noqa: E402
from fuzz_verbs import prepare, verb_case  # noqa: E402

from gan_cli.cli.main import main  # noqa: E402
from gan_cli.evaluation import compare, evaluate  # noqa: E402, F401
from gan_cli.experiments import workers  # noqa: E402
from gan_cli.inference import sampling, translation  # noqa: E402, F401
from gan_cli.training import run as training_run  # noqa: E402, F401

SECONDS, MEMORY, LONGEST_LINE = 60, 6 * 2**30, 600
SHARE_OF_TRAINING = 0.7


def cases(count: int, seed: int) -> list[Case]:
    """The cases of a seed."""
    draw = random.Random(seed)
    return [(training_case if draw.random() < SHARE_OF_TRAINING else verb_case)(draw) for _ in range(count)]


def start(words: list[str], folder: Path, output: Path) -> int:
    """Run `gan *words` in a fork of this process. Returns its number."""
    child = os.fork()
    if child:
        return child
    os.setsid()
    os.chdir(folder)
    streams = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(streams, 1)
    os.dup2(os.open(f"{output}.err", os.O_WRONLY | os.O_CREAT | os.O_APPEND), 2)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY,) * 2)
    workers.CONTEXT = multiprocessing.get_context("fork")  # trials are forked too, so that nothing is imported twice
    workers.PRELOAD.clear()
    torch.set_num_threads(1)
    sys.stdout = os.fdopen(1, "w", encoding="utf-8")
    sys.stderr = os.fdopen(2, "w", encoding="utf-8", buffering=1)
    sys.argv = ["gan", *words]
    status = 99
    try:
        status = main(words)
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else 98
    except BaseException as error:
        print(f"Traceback: {type(error).__name__} escaped: {error}", file=sys.stderr)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status or 0)


def ended(child: int) -> int | None:
    """The exit status of a process, or None while it runs."""
    done, status = os.waitpid(child, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if done else None


def listing(folder: Path) -> dict[str, tuple[int, int]]:
    """Every file below a folder, and every other folder than outputs/ -> its size and time of change."""
    found = {}
    for path in folder.rglob("*"):
        if not path.is_dir():
            facts = path.lstat()
            found[str(path.relative_to(folder))] = (facts.st_size, facts.st_mtime_ns)
        elif path.name != "outputs" and not any(path.iterdir()):
            found[str(path.relative_to(folder)) + "/"] = (0, 0)
    return found


def wrong(case: Case, status: int | None, output: str, errors: str, changed: list[str]) -> str:
    """What is wrong about the outcome of a case, or ""."""
    lines = [line for line in errors.splitlines() if line.startswith("gan:")]
    if status is None:
        return f"it hangs: still running after {SECONDS} s"
    if "Traceback" in output + errors:
        return "a traceback"
    if status == 1 or "unexpected" in "".join(lines):
        return f"status 1: {''.join(lines)[:300]}"
    if status not in case.expected:
        expected = " or ".join(map(str, sorted(case.expected)))
        return f"status {status}, not {expected}: {''.join(lines)[:300]}"
    if status and len(lines) != 1:
        return f"{len(lines)} lines of error: {errors[:300]}"
    if status and (len(lines[0]) > LONGEST_LINE or len(errors.splitlines()) > 1):
        return f"an error of {len(errors.splitlines())} lines, {len(lines[0])} characters: {errors[:200]}"
    if status == 2 and changed:
        return f"refused, but it left {', '.join(changed)[:200]}"
    return ""


class Attempt:
    """A case that runs in a folder of its own. `status`, `text` and `problem` are known when it is done."""

    def __init__(self, case: Case, number: int, place: Path) -> None:
        self.case, self.number = case, number
        self.folder, self.output = place / f"case-{number}", place / f"output-{number}"
        if case.runs:
            shutil.copytree(place / "prepared", self.folder)
        else:
            self.folder.mkdir()
        self.before, self.begin = listing(self.folder), time.monotonic()
        self.child = start(case.words, self.folder, self.output)
        self.status: int | None = None
        self.seconds, self.text, self.problem = 0.0, "", ""

    def is_done(self) -> bool:
        """Whether the process has ended, or has run too long; then it is killed, with all that it has started."""
        self.status, self.seconds = ended(self.child), time.monotonic() - self.begin
        if self.status is None and self.seconds < SECONDS:
            return False
        if self.status is None:
            os.killpg(self.child, signal.SIGKILL)
            os.waitpid(self.child, 0)
        after = listing(self.folder)
        changed = sorted(p for p in self.before.keys() | after.keys() if self.before.get(p) != after.get(p))
        texts = []
        for file in (self.output, Path(f"{self.output}.err")):
            texts.append(file.read_text(errors="replace") if file.exists() else "")
            file.unlink(missing_ok=True)
        shutil.rmtree(self.folder, ignore_errors=True)
        self.text, self.problem = "".join(texts), wrong(self.case, self.status, *texts, changed)
        return True


def attempts(chosen: list[tuple[int, Case]], place: Path, jobs: int) -> Iterator[Attempt]:
    """The cases as they end; `jobs` run at a time."""
    waiting, running = chosen[::-1], list[Attempt]()
    while waiting or running:
        while waiting and len(running) < jobs:
            number, case = waiting.pop()
            running.append(Attempt(case, number, place))
        done = [attempt for attempt in running if attempt.is_done()]
        running = [attempt for attempt in running if attempt not in done]
        yield from done
        time.sleep(0 if done else 0.01)


def set_up(place: Path, runs: bool) -> None:
    """Choose the folders of data, and train what the cases of verbs use."""
    os.environ |= {"GAN_CACHE": str(place / "cache"), "GAN_DATA": str(place / "downloads"), "NO_COLOR": "1"}
    os.environ |= dict.fromkeys(("http_proxy", "https_proxy"), "http://127.0.0.1:9")  # nothing is downloaded

    def gan(words: list[str], folder: Path) -> int:
        return os.waitstatus_to_exitcode(os.waitpid(start(words, folder, place / "prepare.txt"), 0)[1])

    if runs:
        (place / "prepared").mkdir()
        prepare(place / "prepared", gan)


def line(case: Case) -> str:
    """The command of a case, without the words that only make it small, on one line."""
    text = " ".join(["gan", *map(shlex.quote, case.words)])
    return text.encode("unicode_escape").decode() if not text.isprintable() else text


def table(tried: list[Attempt]) -> str:
    """Counts by expected verdict and status."""
    counts: Counter[tuple[str, str]] = Counter()
    for attempt in tried:
        expected = attempt.case.expected
        name = "0" if expected == RUN else "either" if expected >= EITHER else "2"
        counts[name, "failed" if attempt.problem else str(attempt.status)] += 1
    rows = [f"{'expected':>9} {'outcome':>8} {'cases':>6}"]
    return "\n".join(rows + [f"{key[0]:>9} {key[1]:>8} {counts[key]:6}" for key in sorted(counts)])


def run(options: argparse.Namespace) -> int:
    """Try the cases. Returns the exit status."""
    place, begin, tried = Path(tempfile.mkdtemp(prefix="fuzz-")), time.monotonic(), list[Attempt]()
    chosen = list(enumerate(cases(options.cases, options.seed)))
    if options.only is not None:
        chosen = [chosen[options.only]]
    set_up(place, any(case.runs for _, case in chosen))
    with open(options.accepted, "w") as accepted, open(options.failed, "w") as failed:
        for attempt in attempts(chosen, place, options.jobs):
            tried.append(attempt)
            command, what = line(attempt.case), f"{attempt.number} {attempt.case.what}"
            if attempt.status == 0:
                print(f"{what}\t{command[:1000]}", file=accepted, flush=True)
            if attempt.problem:
                print(f"{what}: {attempt.problem}\n      {command[:1000]}", flush=True)
                print(f"== {what}: {attempt.problem}\n{command}\n{attempt.text[-4000:]}\n", file=failed, flush=True)
            if options.only is not None:
                print(attempt.status, attempt.text)
    shutil.rmtree(place, ignore_errors=True)
    problems = sum(bool(attempt.problem) for attempt in tried)
    slowest = sorted(tried, key=lambda attempt: -attempt.seconds)[:5]
    print(table(tried))
    print("slowest:", ", ".join(f"{attempt.number}: {attempt.seconds:.1f} s" for attempt in slowest))
    seconds = time.monotonic() - begin
    print(f"{len(tried) - problems} of {len(tried)} as expected (seed {options.seed}, {seconds:.0f} s)")
    return int(problems > 0)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, default in (("cases", 2000), ("seed", 0), ("jobs", 2), ("only", None)):
        parser.add_argument(f"--{name}", type=int, default=default)
    for name in ("accepted", "failed"):
        parser.add_argument(f"--{name}", default=os.devnull)
    sys.exit(run(parser.parse_args()))
