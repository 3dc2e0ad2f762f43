"""`gan bench flops`: operations per iteration, what this machine sustains, and the share of it that a step reaches."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch.nn.functional import conv2d
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from gan_cli.tools.bench import report
from gan_cli.tools.bench.workload import OwnTrainer, Workload

SIZE = 2048  # of the square matrices whose product is timed


class FlopCounter(TorchDispatchMode):
    """Counts floating-point operations by kind of operator; a multiplication and an addition are two.

    torch's FlopCounterMode fails under `torch.autograd.grad`, and so for a gradient penalty.
    """

    def __init__(self) -> None:
        super().__init__()
        self.flops: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        formula = flop_registry.get(func._overloadpacket)
        if formula is not None:
            kind = "convolution" if "conv" in func._overloadpacket.__name__ else "matrix product"
            self.flops[kind] += formula(*args, **(kwargs or {}), out_val=out)
        return out


def count(workload: Workload) -> Counter[str]:
    """Operations of one iteration, by kind of operator; convolutions are counted as direct ones."""
    trainer = OwnTrainer(workload, fast_paths=False)
    trainer.step()
    with FlopCounter() as counter:
        trainer.step()
    return counter.flops


def measure(words: Sequence[str], folder: Path, *, repeats: int) -> None:
    """Compare the time of a step with its lower bound: counted operations divided by the rates of this machine."""
    workload = Workload(words)
    flops = count(workload)
    a, b = torch.randn(SIZE, SIZE, device=workload.device), torch.randn(SIZE, SIZE, device=workload.device)
    x, w = torch.randn(4, 256, 66, 66, device=workload.device), torch.randn(256, 256, 3, 3, device=workload.device)
    rates = {
        "matrix product": 2 * SIZE**3 / _fastest(lambda: a @ b, repeats, workload),
        "convolution": 2 * 4 * 64**2 * 256**2 * 9 / _fastest(lambda: conv2d(x, w), repeats, workload),
    }
    trainer = OwnTrainer(workload)
    trainer.step()
    step = _fastest(trainer.step, repeats, workload)
    floor = sum(amount / rates[kind] for kind, amount in flops.items())
    rows: list[list[object]] = [[f"{kind}, GFLOP", amount / 1e9] for kind, amount in sorted(flops.items())]
    rows += [[f"{kind}, sustained GFLOP/s", rate / 1e9] for kind, rate in rates.items()]
    rows += [["lower bound, s", floor], ["step, s (fastest)", step], ["lower bound / step", floor / step]]
    record = {"words": list(words), "flops": dict(flops), "rates": rates, "floor": floor, "step": step}
    report.write(folder, "flops", f"flops: {' '.join(words)}", ("quantity", "value"), rows, [record])


def _fastest(work: Callable[[], object], repeats: int, workload: Workload) -> float:
    """Seconds of the fastest of several repeats: what the machine can do."""
    work()
    seconds = []
    for _ in range(repeats):
        _wait(workload)
        start = time.perf_counter()
        work()
        _wait(workload)
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def _wait(workload: Workload) -> None:
    """Wait until the GPU has finished what was queued."""
    if workload.device.type == "cuda":
        torch.cuda.synchronize()
