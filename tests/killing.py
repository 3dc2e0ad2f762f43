"""A process of `gan` that is killed, with its children, at a chosen write."""

import mmap
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch


def _kill_at(number: int) -> Any:
    """Count the renames, flushes and new folders of this process and its children; kill all of them at one."""
    counter = mmap.mmap(-1, 8)
    os.setsid()

    def count() -> None:
        done = int.from_bytes(counter[:8], "little") + 1
        counter[:8] = done.to_bytes(8, "little")
        if done == number:
            os.killpg(0, signal.SIGKILL)

    def counted(call: Callable[..., Any]) -> Callable[..., Any]:
        def wrapper(*arguments: Any, **options: Any) -> Any:
            count()
            result = call(*arguments, **options)
            count()
            return result

        return wrapper

    for name in ("replace", "fsync", "mkdir"):
        setattr(os, name, counted(getattr(os, name)))
    return counter


def gan_killed_at(words: list[str], folder: Path, number: int) -> None:
    os.chdir(folder)
    output = os.open("output.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(output, 1)
    os.dup2(output, 2)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    torch.set_num_threads(1)
    from gan_cli.cli.main import main
    from gan_cli.experiments import workers

    workers.CONTEXT = multiprocessing.get_context("fork")  # type: ignore[assignment]
    workers.PRELOAD.clear()
    counter = _kill_at(number)
    sys.argv = ["gan", *words]
    status = main(words)
    Path("writes.txt").write_text(str(int.from_bytes(counter[:8], "little")))
    os._exit(status)
