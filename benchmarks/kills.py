"""Kill `gan` at any moment and go on: python benchmarks/kills.py [training|several] [kills [seed]].

training: SIGKILL while each model is trained at a small size, while images are decoded into the cache, in
`gan evaluate`, and in the first second of the program, half of them at random times, half before, in or after a chosen
call that changes the disk (rename, fsync, mkdir, opening a file for writing). Then `gan resume`, or the same command in
the same folder if no run has begun there, must end with the checkpoint of the uninterrupted run, to the bit. several:
the same for `gan reproduce` and a sweep, of which all processes are killed and the same command is given again.

Prints a line per kill and the number that went on; the exit status is 1 if one did not. A given seed gives the same
kills, but for their random times. The calls are counted and killed by this file, in forks of its process that run the
command line; the package knows nothing of it. OMP_NUM_THREADS=1 keeps two processes from disturbing each other.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(ROOT / "tests/training"), str(ROOT / "tests/experiments")]

import numpy as np  # noqa: E402
import torch  # noqa: E402
import torch._dynamo  # noqa: E402
import torch.utils.tensorboard  # noqa: E402
from helpers import SMALL_BATCHES, TINY_RING, checkpoint_values, config_names  # noqa: E402
from PIL import Image  # noqa: E402
from test_models import SMALL  # noqa: E402
from test_reproduce import TINY  # noqa: E402

from gan_cli.cli.main import main  # noqa: E402
from gan_cli.experiments import workers  # noqa: E402

CALLS = ("replace", "fsync", "mkdir", "open")
PHASES = ("before", "in", "after")
OFTEN = ["trainer.checkpoint_every=1", "trainer.keep_checkpoints=2", "trainer.sample_every=2", "trainer.iterations=4"]
POINTS = ["model.generator.widths=[8]", "model.discriminator.widths=[8]"]


@dataclass(frozen=True)
class Case:
    """A command and what may follow its death.

    again: the command that goes on in a folder; None if what is there is finished. result: what has to be equal.
    prepare: makes the folder's other files. fresh: start a new Python instead of a fork, and kill it early.
    """

    name: str
    words: list[str]
    again: Callable[[Path], list[str]]
    result: Callable[[Path], object]
    prepare: Callable[[Path], object] = field(default=lambda folder: None)
    fresh: bool = False


@dataclass(frozen=True)
class Kill:
    """Where a process kills its whole group: at the `number`-th call of `call`, counted from 1."""

    call: str
    number: int
    phase: str

    def __str__(self) -> str:
        return f"{self.phase} {self.call} {self.number}"


# -- in the process that is killed


def watch(kill: Kill | None, log: int) -> None:
    """Count the calls that change the disk, as bytes in the open file `log`, and kill this process group at one."""
    seen: Counter[str] = Counter()

    def watched(name: str, plain: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            flags = arguments[1] if name == "open" and len(arguments) > 1 else os.O_CREAT
            if name == "open" and not flags & os.O_CREAT:
                return plain(*arguments, **options)
            seen[name] += 1
            os.write(log, bytes([CALLS.index(name)]))
            if kill is None or (kill.call, kill.number) != (name, seen[name]):
                return plain(*arguments, **options)
            if kill.phase == "before":
                os.killpg(0, signal.SIGKILL)
            if kill.phase == "in":
                threading.Thread(target=os.killpg, args=(0, signal.SIGKILL)).start()
            found = plain(*arguments, **options)
            os.killpg(0, signal.SIGKILL)
            return found

        return call

    for name in CALLS:
        setattr(os, name, watched(name, getattr(os, name)))


def start(case: Case, words: list[str], folder: Path, kill: Kill | None = None) -> int:
    """Start a command in a process group of its own; its output goes to output.txt, its calls to the file calls."""
    environment = {"GAN_CACHE": str(folder / "cache"), "GAN_DATA": str(folder / "downloads")}
    if case.fresh:
        with open(folder / "output.txt", "a") as output:
            environment = {**os.environ, **environment, "PYTHONPATH": str(ROOT)}
            command = [sys.executable, "-m", "gan_cli", *words]
            started = subprocess.Popen(
                command, cwd=folder, env=environment, stdout=output, stderr=output, start_new_session=True
            )
        return started.pid
    child = os.fork()
    if child:
        return child
    os.setsid()
    os.chdir(folder)
    os.environ.update(environment)
    output = os.open("output.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(output, stream)
    workers.CONTEXT = multiprocessing.get_context("fork")  # the trials of a sweep count their calls too
    workers.PRELOAD.clear()
    torch.set_num_threads(1)
    watch(kill, os.open("calls", os.O_WRONLY | os.O_CREAT | os.O_APPEND))
    sys.argv = ["gan", *words]
    status = main(words)
    sys.stdout.flush()
    os._exit(status)


# -- around it


def finish(case: Case, words: list[str], folder: Path) -> tuple[int, str]:
    """Run a command to its end: exit status and output."""
    (folder / "output.txt").unlink(missing_ok=True)
    status = os.waitstatus_to_exitcode(os.waitpid(start(case, words, folder), 0)[1])
    return status, (folder / "output.txt").read_text(errors="replace")


@dataclass
class Reference:
    """The uninterrupted command: its result, its calls by name, and its seconds."""

    result: object
    calls: Counter[str]
    seconds: float


def reference(case: Case, place: Path) -> Reference:
    folder = place / "reference"
    folder.mkdir(parents=True)
    case.prepare(folder)
    begin = time.monotonic()
    status, output = finish(case, case.words, folder)
    if status:
        raise SystemExit(f"{case.name}: the uninterrupted command ends with status {status}:\n{output}")
    calls = (folder / "calls").read_bytes() if not case.fresh else b""
    counts = Counter(CALLS[number] for number in calls)
    return Reference(case.result(folder), counts, time.monotonic() - begin)


def kill_once(case: Case, known: Reference, folder: Path, chosen: bool, draw: random.Random) -> str:
    """Start the command, kill it, and return where that was."""
    while True:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        case.prepare(folder)
        kill = None
        if chosen:
            call = draw.choice([name for name in CALLS if known.calls[name]])
            kill = Kill(call, draw.randint(1, known.calls[call]), draw.choice(PHASES))
        delay = draw.uniform(0, min(1.0, known.seconds) if case.fresh else known.seconds)
        child = start(case, case.words, folder, kill)
        if not kill:
            time.sleep(delay)
            os.killpg(os.getpgid(child), signal.SIGKILL)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if status == -signal.SIGKILL:
            time.sleep(0.1)  # the processes of the group end one by one
            return str(kill) if kill else f"after {delay:.2f} s"


def attempt(case: Case, known: Reference, folder: Path, chosen: bool, draw: random.Random) -> tuple[str, str]:
    """Kill and go on: where it was killed, and "" or what went wrong."""
    where = kill_once(case, known, folder, chosen, draw)
    words = case.again(folder)
    status, output = finish(case, words, folder)
    if status == 2 and "has finished its" in output:
        status = 0
    last = output.strip().splitlines()[-1:] or [""]
    if status:
        return where, f"{' '.join(words)[:60]}: status {status}: {last[0]}"
    return where, "" if case.result(folder) == known.result else f"{' '.join(words)[:60]}: other results"


# -- what is killed


def digest(run: Path) -> str:
    """The last checkpoint of a run as a hash of its numbers."""
    content = hashlib.sha256()
    for name, value in sorted(checkpoint_values(run).items()):
        content.update(name.encode() + value.contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return content.hexdigest()


def scores(folder: Path) -> dict[str, Any]:
    """Metric -> the values of its last record."""
    found = {}
    for line in (folder / "run/evaluation.jsonl").read_text().splitlines():
        try:
            record = json.loads(line)
        except ValueError:
            continue  # what the killed process has left
        found[record["metric"]] = record["values"]
    return found


def resumed(words: list[str]) -> Callable[[Path], list[str]]:
    return lambda folder: ["resume", "run"] if (folder / "run/provenance.json").exists() else words


def training(name: str, *words: str, **options: Any) -> Case:
    line = ["train", *words, *SMALL_BATCHES, *OFTEN, "hydra.run.dir=run"]
    return Case(name, line, resumed(line), lambda folder: digest(folder / "run"), **options)


def images(folder: Path) -> None:
    """200 images, which are decoded into the cache."""
    draw = np.random.default_rng(0)
    (folder / "images").mkdir()
    for number in range(200):
        pixels = draw.integers(0, 256, (16, 16, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"images/{number}.png")


def run_of(case: Case) -> Callable[[Path], None]:
    """Put the run of another case, trained once, into a folder."""
    place = Path(tempfile.mkdtemp(prefix="kills-run-"))
    status, output = finish(case, case.words, place)
    assert not status, output
    return lambda folder: shutil.copytree(place / "run", folder / "run") and None


def training_cases() -> Iterator[Case]:
    points = training("points", *TINY_RING, *POINTS)
    for model in config_names("model"):
        yield training(model, f"model={model}", *SMALL.get(model, []))
    folder = ["dataset=image_folder", "dataset.root=images", "dataset.image_size=8", "network=mlp_points", *POINTS]
    evaluate = ["evaluate", "run", "metric=modes,prdc", "n=400", "extractor=pixels", "device=cpu"]
    for number in range(4):
        yield training(f"cache {number}", *folder, prepare=images)
        yield Case(f"evaluate {number}", evaluate, lambda folder: evaluate, scores, run_of(points))
        yield training(f"first second {number}", *TINY_RING, *POINTS, fresh=True)


def experiment(folder: Path) -> None:
    (folder / "mine/experiment").mkdir(parents=True)
    (folder / "mine/experiment/tiny.yaml").write_text(TINY)


def reproduced(folder: Path) -> object:
    runs = sorted((folder / "outputs/reproduce").glob("*/seed-*"))
    result = json.loads(next((folder / "outputs/reproduce").glob("*/tiny.json")).read_text())
    return [digest(run) for run in runs], [[e["values"] for e in run["evaluations"]] for run in result["runs"]]


def several_cases() -> Iterator[Case]:
    words = ["reproduce", "tiny", "--config-dir=mine", "seeds=0,1", "trainer.device=cpu", *OFTEN]
    sweep = ["train", "-m", *TINY_RING, *POINTS, *OFTEN, "seed=0,1", "hydra.sweep.dir=s", "sweep.workers=2"]
    yield Case("reproduce", words, lambda folder: words, reproduced, experiment)
    yield Case("sweep", sweep, lambda folder: sweep, lambda folder: list(map(digest, sorted(folder.glob("s/*-*")))))


def run(kind: str, kills: int, seed: int) -> int:
    """Do the kills and print a table. Returns the exit status."""
    draw, place, failed = random.Random(seed), Path(tempfile.mkdtemp(prefix="kills-")), 0
    cases = list({"training": training_cases, "several": several_cases}[kind]())
    draw.shuffle(cases)
    known: dict[str, Reference] = {}
    for number in range(kills):
        case = cases[number % len(cases)]
        if case.name not in known:
            known[case.name] = reference(case, place / case.name)
        chosen = not case.fresh and (number // len(cases) + number) % 2 == 0
        where, problem = attempt(case, known[case.name], place / case.name / "killed", chosen, draw)
        failed += bool(problem)
        print(f"{number + 1:4}  {case.name:20} {where:20} {problem or 'went on, equal to the bit'}", flush=True)
    print(f"{kills - failed} of {kills} went on ({kind}, seed {seed})")
    shutil.rmtree(place, ignore_errors=True)
    return int(failed > 0)


if __name__ == "__main__":
    kind, count, seed, *_ = (*sys.argv[1:], *("training", "100", "0")[len(sys.argv) - 1 :])
    sys.exit(run(kind, int(count), int(seed)))
