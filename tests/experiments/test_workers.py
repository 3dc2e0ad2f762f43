"""The worker pool: shares of GPUs and threads, and processes that are killed."""

import json
import os
import signal
from typing import ClassVar

import torch
from helpers import TINY_RING, wait_until

from gan_cli.experiments import workers
from gan_cli.experiments.trial_run import TrialJob
from gan_cli.experiments.workers import Finished, WorkerPool


class FakeProcess:
    """Ends at once."""

    made: ClassVar[list] = []

    def __init__(self, target, args):
        FakeProcess.made.append(args)
        self.sentinel, write = os.pipe()
        os.close(write)  # so that it is ready
        self.exitcode = 0

    def start(self):
        pass

    join = terminate = start


def test_workers_share_gpus_and_threads(monkeypatch, tmp_path):
    FakeProcess.made.clear()
    monkeypatch.setattr(workers.CONTEXT, "Process", FakeProcess, raising=False)
    monkeypatch.setattr(workers, "_cores", lambda: 12)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setenv("OMP_NUM_THREADS", "")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,GPU-7")
    assert (WorkerPool().count, WorkerPool().threads, WorkerPool(5).threads, WorkerPool(40).threads) == (2, 6, 2, 1)
    with WorkerPool(3) as three:
        for name in "abc":
            three.start(TrialJob(tmp_path / name, ()))
        assert three.idle == []
    assert [environment["CUDA_VISIBLE_DEVICES"] for _, environment, _ in FakeProcess.made] == ["5", "GPU-7", "5"]
    assert {environment["OMP_NUM_THREADS"] for _, environment, _ in FakeProcess.made} == {"4"}
    assert three.running == {} and three.idle == [0, 1, 2]
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert WorkerPool(40).threads == 3
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    assert WorkerPool().count == 1


def test_a_killed_process_is_recorded(tmp_path):
    job = TrialJob(tmp_path / "run", (*TINY_RING, "trainer.iterations=1000000"))
    with WorkerPool(1) as one:
        one.start(job)
        wait_until(lambda: (job.folder / "provenance.json").exists())
        next(iter(one.running.values())).process.kill()
        (ended,) = one.finished(60)
    assert (ended.status, ended.stopped) == (-signal.SIGKILL, False)
    note = json.loads((job.folder / "failure.json").read_text())
    assert (note["status"], note["error"]) == (-9, "killed by SIGKILL") and tuple(note["overrides"]) == job.overrides


def test_which_end_of_a_process_is_a_signal_of_somebody_else(tmp_path):
    job = TrialJob(tmp_path, ())
    signals = {status: Finished(job, status, 1.0, False).signal for status in (0, 1, 3, 130, 143, -2, -15, -9, 137)}
    assert signals == {0: 0, 1: 0, 3: 0, 130: 2, 143: 15, -2: 2, -15: 15, -9: 0, 137: 0}
    assert Finished(job, 143, 1.0, stopped=True).signal == 0  # the pool's own


def test_the_reason_of_a_process_that_recorded_none(tmp_path):
    assert workers._reason(tmp_path, 1) == "ended with status 1"
    (tmp_path / "output.txt").write_text("iteration 3\nMemoryError: too much \n\n")
    assert workers._reason(tmp_path, 1) == "MemoryError: too much"
    assert workers._reason(tmp_path, -11) == "killed by SIGSEGV"
