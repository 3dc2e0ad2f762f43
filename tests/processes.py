"""Runs of `gan` in processes of their own, started from a server that has imported everything already."""

import multiprocessing
import os
import signal
import sys
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import torch

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["torch", "torch._dynamo", "torch.utils.tensorboard", "gan_cli.training.run"])


def _main(arguments: list[str], folder: str, output: str) -> None:
    signal.pthread_sigmask(signal.SIG_SETMASK, [])  # a test of WorkerPool may have started the server
    os.chdir(folder)
    descriptor = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    torch.set_num_threads(1)
    from gan_cli.cli.main import main

    sys.argv = ["gan", *arguments]
    code = main(arguments)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code or 0)


def start(arguments: list[str], folder: Path) -> ForkServerProcess:
    """`gan *arguments` in `folder`; its output is appended to folder/output.txt."""
    process = CONTEXT.Process(target=_main, args=(arguments, str(folder), str(folder / "output.txt")))
    process.start()
    return process


def gan(arguments: list[str], folder: Path, timeout: float = 300) -> tuple[int, str]:
    """Run to the end: exit status and all output so far in `folder`."""
    process = start(arguments, folder)
    process.join(timeout)
    if process.exitcode is None:
        process.kill()
        raise TimeoutError(f"gan {' '.join(arguments)} ran longer than {timeout} s")
    output = folder / "output.txt"
    return process.exitcode, output.read_text() if output.exists() else ""


def state(run: Path) -> dict[str, torch.Tensor]:
    """All tensors and numbers of a run's last checkpoint, by path."""
    flat: dict[str, torch.Tensor] = {}

    def walk(value: object, name: str) -> None:
        if isinstance(value, dict):
            for key, inner in value.items():
                walk(inner, f"{name}/{key}")
        elif isinstance(value, (list, tuple)):
            for index, inner in enumerate(value):
                walk(inner, f"{name}/{index}")
        elif isinstance(value, torch.Tensor):
            flat[name] = value
        elif isinstance(value, (int, float)):
            flat[name] = torch.tensor(value, dtype=torch.float64)

    walk(torch.load(run / "checkpoints" / "last.pt", weights_only=True), "")
    return flat
