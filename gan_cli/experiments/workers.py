"""Trials in parallel, each in a process of its own, with its share of the CPU threads and one GPU if there are any."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import time
from dataclasses import dataclass
from multiprocessing import forkserver, resource_tracker
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path

import torch

from gan_cli.experiments.trial_run import GRACE, TrialJob, train_or_resume
from gan_cli.training.run_history import failure, write_failure
from gan_cli.utils.errors import GanError
from gan_cli.utils.files import read_text
from gan_cli.utils.signals import STOPS
from gan_cli.utils.time_limit import STARTED, started

# A fork of this process would inherit its threads' locks, and CUDA does not survive it; a spawned process would import
# torch anew, which takes seconds per trial. The fork server imports once and holds no threads.
CONTEXT = multiprocessing.get_context("forkserver")
PRELOAD = ["gan_cli.training.run", "gan_cli.training.launch", "torch._dynamo", "torch.utils.tensorboard"]
OUTPUT = "output.txt"
STOPPED = {status for number in STOPS for status in (128 + number, -number)}  # exit statuses


@dataclass
class Running:
    """A trial that a worker runs. worker: its number. stopped: whether the pool has asked it to stop."""

    job: TrialJob
    process: BaseProcess
    worker: int
    begin: float
    stopped: bool = False


@dataclass(frozen=True)
class Finished:
    """A trial whose process has ended.

    status: exit status, or minus the signal that killed it. seconds: how long it ran. stopped: whether the pool has
    asked it to stop.
    """

    job: TrialJob
    status: int
    seconds: float
    stopped: bool

    @property
    def signal(self) -> int:
        """The signal by which somebody else has stopped it, which can be resumed later, or 0."""
        return abs(self.status) % 128 if self.status in STOPPED and not self.stopped else 0


class WorkerPool:
    """`count` workers, each of which runs one trial at a time; "auto": one per GPU, or one without GPUs.

    Each process sees one GPU, which workers share if there are more of them than GPUs. The CPU cores are divided among
    the workers, unless OMP_NUM_THREADS says how many threads a process has. Used in a `with` statement, which stops
    all trials at its end.
    """

    def __init__(self, count: int | str = "auto") -> None:
        self.gpus = _gpus()
        self.count = int(count) if count != "auto" else max(1, len(self.gpus))
        threads = os.environ.get("OMP_NUM_THREADS", "")
        self.threads = int(threads) if threads.isdigit() else max(1, _cores() // self.count)
        self.idle = list(range(self.count))
        self.running: dict[int, Running] = {}  # by the sentinel of the process

    def __enter__(self) -> WorkerPool:
        # The fork server inherits the environment, and OpenMP reads this variable when torch is imported there.
        os.environ["OMP_NUM_THREADS"] = str(self.threads)
        CONTEXT.set_forkserver_preload(PRELOAD)
        if CONTEXT.get_start_method() == "forkserver":
            _start_fork_server()
        return self

    def __exit__(self, *error: object) -> None:
        """Stop the running trials, and wait until they have saved their state."""
        self.stop()
        while self.running:
            self.finished(GRACE)

    def start(self, job: TrialJob) -> None:
        """Start a trial in the first idle worker."""
        worker = self.idle.pop(0)
        output = job.folder / OUTPUT
        if output.exists() and not output.is_file():  # a FIFO would be waited for
            raise GanError(f"{output} is no regular file: remove it")
        environment = dict(os.environ, **{STARTED: str(started())})
        if self.gpus:
            environment["CUDA_VISIBLE_DEVICES"] = self.gpus[worker % len(self.gpus)]
        process = CONTEXT.Process(target=_work, args=(job, environment, self.threads))
        process.start()
        self.running[process.sentinel] = Running(job, process, worker, time.monotonic())

    def finished(self, timeout: float) -> list[Finished]:
        """The trials that have ended, after at most `timeout` seconds of waiting for the first.

        A process that was killed, or that ended with an error before it could record it, gets its failure.json here.
        """
        results = []
        for sentinel in wait(list(self.running), timeout=timeout):
            assert isinstance(sentinel, int)
            trial = self.running.pop(sentinel)
            trial.process.join()
            self.idle = sorted([*self.idle, trial.worker])
            job, status = trial.job, trial.process.exitcode or 0
            result = Finished(job, status, time.monotonic() - trial.begin, trial.stopped)
            if status and not trial.stopped and not result.signal and not failure(job.folder):
                write_failure(job.folder, status, _reason(job.folder, status), job.overrides)
            results.append(result)
        return results

    def stop(self, job: TrialJob | None = None) -> None:
        """Ask a trial, or all of them, to save its state and end."""
        for trial in self.running.values():
            if job in (None, trial.job) and not trial.stopped:
                trial.stopped = True
                trial.process.terminate()


def _start_fork_server() -> None:
    """Start the fork server with the signals of STOPS blocked.

    Ctrl-C in a terminal signals all processes of the group: the server would die while it imports, and a trial before
    it can save its state. Blocked signals are not lost; each process receives them when it unblocks them (`_work`).
    """
    resource_tracker.ensure_running()  # which would unblock them if it were started later
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)
    try:
        forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _work(job: TrialJob, environment: dict[str, str], threads: int) -> None:
    """The process of a trial. Its output is appended to output.txt in its folder."""
    # The others stay blocked: only the pool, which receives Ctrl-C or a batch system's signal as well, decides by
    # SIGTERM when a trial stops. A limit of CPU time is each process's own.
    signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM, signal.SIGXCPU])
    os.environ.clear()  # it is that of the fork server, which may be older
    os.environ.update(environment)
    job.folder.mkdir(parents=True, exist_ok=True)
    # The descriptors, not sys.stdout, so that the output of libraries written in C lands in the file as well.
    output = os.open(job.folder / OUTPUT, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    for stream in (1, 2):
        os.dup2(output, stream)
    torch.set_num_threads(threads)
    threading.Thread(target=_stop_with_parent, daemon=True).start()
    sys.argv = ["gan", "train", *job.options, *job.overrides]  # as provenance.json records it
    sys.exit(train_or_resume(job))


def _stop_with_parent() -> None:
    """Wait for the end of the pool's process, even by SIGKILL; then let this trial save its state and end."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)


def _reason(folder: Path, status: int) -> str:
    """Why a process without failure.json has ended: the signal that killed it, or the last line of its output."""
    if status < 0:
        return f"killed by {signal.Signals(-status).name}"
    try:
        lines = read_text(folder / OUTPUT, errors="replace").split("\n")
    except (OSError, ValueError):
        lines = []
    return next((line.strip() for line in reversed(lines) if line.strip()), f"ended with status {status}")


def _gpus() -> list[str]:
    """The names by which CUDA_VISIBLE_DEVICES calls the GPUs that this process may use."""
    count = torch.cuda.device_count()
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    return [name.strip() for name in visible.split(",")][:count] if visible else list(map(str, range(count)))


def _cores() -> int:
    """The cores that this process may use, which are fewer than the machine's in a container or under Slurm."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
