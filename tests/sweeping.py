"""Sweeps and searches in processes of their own whose trials are forked from them: nothing is imported twice."""

import multiprocessing
import time
from pathlib import Path

import processes

TINY = ["network=mlp_points", "dataset=ring", "trainer.batch_size=8", "trainer.sample_count=4", "trainer.device=cpu"]


def _main(arguments: list[str], folder: str, output: str) -> None:
    from gan_cli.experiments import workers

    workers.CONTEXT = multiprocessing.get_context("fork")  # safe here: nothing has been computed yet
    workers.PRELOAD.clear()
    processes._main(arguments, folder, output)


def start(arguments: list[str], folder: Path):
    """`gan *arguments` in `folder`; its output is appended to folder/output.txt."""
    target_arguments = (arguments, str(folder), str(folder / "output.txt"))
    process = processes.CONTEXT.Process(target=_main, args=target_arguments)
    process.start()
    return process


def gan(arguments: list[str], folder: Path) -> tuple[int, str]:
    """Run to the end: exit status and output."""
    output = folder / "output.txt"
    output.unlink(missing_ok=True)
    process = start(arguments, folder)
    process.join(300)
    assert process.exitcode is not None, "it took too long"
    return process.exitcode, output.read_text()


def waited(condition, seconds=120):
    """Returns as soon as `condition()` is true."""
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it took too long"
        time.sleep(0.01)
