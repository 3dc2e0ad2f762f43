"""One variant of a training in a process of its own: a job as a line of JSON in, answers as lines of JSON out."""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from gan_cli.tools.bench.baselines import Baseline, find
from gan_cli.tools.bench.workload import OwnTrainer, Training, Workload, error, gradients
from gan_cli.utils.errors import GanError

VARIANTS: dict[str, dict[str, bool]] = {  # name -> arguments of OwnTrainer
    "default": {},
    "no fast paths": {"fast_paths": False},
    "plain": {"fast_paths": False, "together": False},
    "exact": {"fast_paths": False, "together": False, "exact": True},
}


class Job(NamedTuple):
    """What a process is asked to do.

    words: overrides of the workload. baseline: the checkout of another code, or None. variant: one of VARIANTS, or
    "baseline". stream: on batches from the data set. check: instead of timing, compare the gradients of these variants
    with float64, for `gradient_checks` random initial weights. threads: per process; None: torch's default.
    """

    words: list[str]
    baseline: str | None = None
    variant: str = "default"
    stream: bool = False
    check: list[str] = []  # noqa: RUF012
    gradient_checks: int = 1
    threads: int | None = None


def build(job: Job, seed: int | None = None) -> tuple[Training, Workload]:
    """The training that `job` describes, with the seed of its words or another one."""
    words = [*job.words, *([] if seed is None else [f"seed={seed}"])]
    workload = Workload(words)
    # Before any variant is built, because a baseline may replace the networks of the workload by its own.
    baseline = find(job.baseline, workload) if job.baseline else None
    if job.variant != "baseline":
        return OwnTrainer(workload, **VARIANTS[job.variant], stream=job.stream), workload
    if baseline is None or job.baseline is None:
        raise GanError("the variant 'baseline' needs baseline=PATH")
    training = baseline()
    if job.stream:
        training.batches = training.loader(Path(job.baseline), workload)
    return training, workload


def check(job: Job) -> dict[str, dict[str, float]]:
    """Errors of gradients against float64, by network and variant: root mean square over steps and initial weights.

    All variants get the same batch, and networks whose ReLUs are `SmoothReLU`.
    """
    job = job._replace(stream=False)
    squares: dict[str, dict[str, float]] = {}
    for seed in range(job.gradient_checks):
        exact = _gradients(job._replace(variant="exact"), seed)
        for variant in job.check:
            measured = _gradients(job._replace(variant=variant), seed)
            for step in exact.keys() & measured.keys():
                row = squares.setdefault(step.partition("/")[0], {})
                row[variant] = row.get(variant, 0.0) + error(measured[step], exact[step]) ** 2
    return {
        network: {variant: (square / job.gradient_checks) ** 0.5 for variant, square in row.items()}
        for network, row in squares.items()
    }


class SmoothReLU(nn.Softplus):
    """A leaky ReLU without its kink: slope x + (1 - slope) log(1 + e^x).

    Where rounding changes the sign of a ReLU's input, the gradient changes by a thousand times the rounding error that
    is to be compared. This happens in every variant.
    """

    def __init__(self, slope: float) -> None:
        super().__init__()
        self.slope = slope

    def forward(self, x: Tensor) -> Tensor:
        return self.slope * x + (1 - self.slope) * super().forward(x)


def smooth(network: nn.Module) -> None:
    """Replace each ReLU and leaky ReLU of the network by a SmoothReLU, in place."""
    for parent in list(network.modules()):
        for name, layer in parent.named_children():
            if isinstance(layer, (nn.ReLU, nn.LeakyReLU)):
                setattr(parent, name, SmoothReLU(layer.negative_slope if isinstance(layer, nn.LeakyReLU) else 0.0))


def _gradients(job: Job, seed: int) -> dict[str, list[Tensor]]:
    training, _ = build(job, seed)
    for network in training.networks.values():
        smooth(network)
        for layer in network.modules():
            if "Dropout" in type(layer).__name__:
                vars(layer)["p"] = 0.0  # a baseline draws its masks in another order
    result = gradients(training)
    if isinstance(training, Baseline):  # its other networks get other noise
        result = {step: value for step, value in result.items() if step.partition("/")[0] in training.compared}
    return result


def peak() -> float:
    """The largest memory of this process in MB: on the GPU if there is one, else the resident size."""
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        return torch.cuda.max_memory_allocated() / 1e6
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def serve(job: Job, answer: Callable[[dict[str, Any]], None]) -> None:
    """Warm up for two iterations; then answer each line, a number N, with the mean seconds of N iterations."""
    training, workload = build(job)
    on_gpu = workload.device.type == "cuda"
    for _ in range(2):
        training.step()
    answer({"ready": True})
    for line in sys.stdin:
        iterations = int(line)
        if on_gpu:
            torch.cuda.synchronize()
        start = time.perf_counter()
        for _ in range(iterations):
            training.step()
        if on_gpu:
            torch.cuda.synchronize()
        answer({"seconds": (time.perf_counter() - start) / iterations})
    answer({"peak": peak()})


def main() -> int:
    channel = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what the code of a baseline prints must not mix with the answers

    def answer(value: dict[str, Any]) -> None:
        print(json.dumps(value), file=channel, flush=True)

    job = Job(**json.loads(sys.stdin.readline()))
    if job.threads:
        torch.set_num_threads(job.threads)
    try:
        if job.check:
            answer({"check": check(job)})
        else:
            serve(job, answer)
    except GanError as problem:
        answer({"error": str(problem)})
        return 2
    except BrokenPipeError:  # the benchmark was killed
        return 141
    return 0


if __name__ == "__main__":
    sys.exit(main())
