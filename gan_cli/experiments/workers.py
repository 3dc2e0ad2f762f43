"""Runs side by side, each in a process of its own, with its share of the threads and a GPU where there are some."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import forkserver, resource_tracker
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

from gan_cli.config.composer import quoted
from gan_cli.experiments.experiment import is_monitoring_key, key_of
from gan_cli.experiments.grid import progress
from gan_cli.training.find_runs import is_resumable
from gan_cli.training.run_dir import RunDir
from gan_cli.training.run_history import FAILURE, failure
from gan_cli.utils.errors import GanError, Interrupted, one_line
from gan_cli.utils.files import write_text

CONTEXT = multiprocessing.get_context("forkserver")
# Imported once, by the server that the processes are forked from.
PRELOAD = ["gan_cli.training.run", "gan_cli.training.launch", "torch._dynamo", "torch.utils.tensorboard"]
GRACE = 60.0  # seconds in which the process of a killed sweep may still write its checkpoint
OUTPUT = "output.txt"
STOPS = (signal.SIGINT, signal.SIGTERM)
STOPPED = {status for number in STOPS for status in (128 + number, -number)}  # exit statuses


@dataclass(frozen=True)
class TrialJob:
    """A run to be started (`gan train *options *overrides`), or to be resumed where `folder` holds one already."""

    folder: Path
    overrides: tuple[str, ...]
    options: tuple[str, ...] = ()


@dataclass
class Running:
    job: TrialJob
    process: Any
    slot: int
    begin: float
    stopped: bool = False


@dataclass(frozen=True)
class Finished:
    """status: exit status, or minus the signal that killed it. seconds: how long it ran. stopped: we ended it.
    signal: by which somebody else asked it to stop, or 0; it goes on another time."""

    job: TrialJob
    status: int
    seconds: float
    stopped: bool

    @property
    def signal(self) -> int:
        return abs(self.status) % 128 if self.status in STOPPED and not self.stopped else 0


class WorkerPool:
    """`count` places for processes; "auto": one per GPU, else one. To be used in a `with`, which ends them all.

    A GPU's processes see that GPU only; GPUs are shared where there are more slots. The cores are divided among the
    slots, unless OMP_NUM_THREADS says how many threads a process has. Ctrl-C in a terminal, which signals all
    processes, reaches this one alone.
    """

    def __init__(self, count: int | str = "auto") -> None:
        self.gpus = _gpus()
        self.count = int(count) if count != "auto" else max(1, len(self.gpus))
        threads = os.environ.get("OMP_NUM_THREADS", "")
        self.threads = int(threads) if threads.isdigit() else max(1, _cores() // self.count)
        self.free = list(range(self.count))
        self.running: dict[Any, Running] = {}

    def __enter__(self) -> WorkerPool:
        os.environ["OMP_NUM_THREADS"] = str(self.threads)  # of the processes
        CONTEXT.set_forkserver_preload(PRELOAD)
        if CONTEXT.get_start_method() == "forkserver":
            _serve()
        return self

    def __exit__(self, *error: object) -> None:
        """Stop what runs still, and wait until it has saved its state."""
        self.stop()
        while self.running:
            self.ended(GRACE)

    def start(self, job: TrialJob) -> None:
        """In the first free slot."""
        slot = self.free.pop(0)
        environment = dict(os.environ)
        if self.gpus:
            environment["CUDA_VISIBLE_DEVICES"] = self.gpus[slot % len(self.gpus)]
        process = CONTEXT.Process(target=_process, args=(job, environment, self.threads))
        process.start()
        self.running[process.sentinel] = Running(job, process, slot, time.monotonic())

    def ended(self, seconds: float) -> list[Finished]:
        """Those that have ended, after at most `seconds` of waiting for the first. One that ended by itself, not
        well and by no signal to stop, has a failure.json."""
        found = []
        for sentinel in wait(list(self.running), timeout=seconds):
            one = self.running.pop(sentinel)
            one.process.join()
            self.free = sorted([*self.free, one.slot])
            status = one.process.exitcode
            ended = Finished(one.job, status, time.monotonic() - one.begin, one.stopped)
            if status and not one.stopped and not ended.signal and not failure(one.job.folder):
                note_failure(one.job.folder, status, _last_words(one.job.folder, status), one.job.overrides)
            found.append(ended)
        return found

    def stop(self, job: TrialJob | None = None) -> None:
        """Ask a job, or all, to save its state and end."""
        for one in self.running.values():
            if job in (None, one.job) and not one.stopped:
                one.stopped = True
                one.process.terminate()


def _serve() -> None:
    """Start the server that the processes are forked from, with the signals to stop held back: they are not lost, but
    come when a process lets them in."""
    resource_tracker.ensure_running()  # it would let them in again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)
    try:
        forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _process(job: TrialJob, environment: dict[str, str], threads: int) -> None:
    """What the process of a job does; its output is appended to output.txt in its folder. Ctrl-C is not for it: the
    process that started it says by SIGTERM when to stop."""
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
    os.environ.clear()
    os.environ.update(environment)
    job.folder.mkdir(parents=True, exist_ok=True)
    output = os.open(job.folder / OUTPUT, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    for stream in (1, 2):
        os.dup2(output, stream)
    import torch

    torch.set_num_threads(threads)
    threading.Thread(target=_follow_parent, daemon=True).start()
    sys.argv = ["gan", "train", *job.options, *job.overrides]
    sys.exit(play(job))


def play(job: TrialJob) -> int:
    """Start or resume the run; returns the exit status. What goes wrong is written to failure.json."""
    from gan_cli.training import launch

    try:
        with record_failure(job.folder, job.overrides):
            if is_resumable(job.folder):
                resume_or_skip(job.folder, job.overrides)
            else:
                place = f"hydra.run.dir={quoted(str(job.folder))}"
                launch.train_words([*job.options, *job.overrides, place])
    except (Interrupted, KeyboardInterrupt) as error:
        return error.status if isinstance(error, Interrupted) else 130
    return int(failure(job.folder).get("status", 0))


def resume_or_skip(folder: Path, overrides: Sequence[str]) -> None:
    """Resume a run, if it has iterations left, with those of its overrides that change only where and how it is
    watched."""
    from gan_cli.config.schema import command_line_modules
    from gan_cli.training import run

    _wait_for_lock(folder)
    done, total = progress(folder)
    if done >= total:
        return
    keys = [(key_of(override), override) for override in overrides]
    watched = [override for key, override in keys if is_monitoring_key(key) and key not in ("seed", "modules")]
    run.resume(folder, watched, command_line_modules(overrides))


@contextmanager
def record_failure(folder: Path, overrides: Sequence[str]) -> Iterator[None]:
    """What is raised inside is written to failure.json; an earlier one is removed. Interrupted is raised on."""
    (folder / FAILURE).unlink(missing_ok=True)
    try:
        yield
    except Interrupted:
        raise
    except Exception as error:
        known = isinstance(error, GanError)
        text = one_line(error) if known else f"{type(error).__name__}: {one_line(error)}"
        status = error.status if isinstance(error, GanError) else 1
        note_failure(folder, status, text, overrides, None if known else traceback.format_exc())
        print(f"{folder.name} failed: {one_line(error)}", flush=True)


def note_failure(folder: Path, status: int, text: str, overrides: Sequence[str], trace: str | None = None) -> None:
    """Write failure.json."""
    note = {"status": status, "error": text, "overrides": list(overrides), "traceback": trace}
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / FAILURE, json.dumps(note, indent=1) + "\n")


def _last_words(folder: Path, status: int) -> str:
    if status < 0:
        return f"killed by {signal.Signals(-status).name}"
    try:
        lines = (folder / OUTPUT).read_text(errors="replace").split("\n")
    except OSError:
        lines = []
    return next((line.strip() for line in reversed(lines) if line.strip()), f"ended with status {status}")


def _follow_parent() -> None:
    """When the process that started this one has gone, however it went, the run saves its state and ends."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)


def _wait_for_lock(folder: Path) -> None:
    """Until the process of a killed sweep has saved its state, or GRACE is over."""
    until = time.monotonic() + GRACE
    while time.monotonic() < until:
        try:
            RunDir(folder).lock()  # and let go of at once
            return
        except GanError:
            time.sleep(0.2)


def _gpus() -> list[str]:
    """The names by which CUDA_VISIBLE_DEVICES calls the GPUs that this process may use."""
    import torch

    count = torch.cuda.device_count()
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    return [name.strip() for name in visible.split(",")][:count] if visible else list(map(str, range(count)))


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
