"""One side of a comparison, in a process of its own: a line of JSON in, lines out."""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from gan_cli.tools.bench.peers import Peer, find
from gan_cli.tools.bench.workload import Ours, Player, Workload, error, gradients
from gan_cli.utils.errors import GanError

SIDES: dict[str, dict[str, bool]] = {  # name: what Ours gets
    "ours": {},
    "no kernels": {"kernels": False},
    "plain": {"kernels": False, "join": False},
}


def player(job: dict[str, Any], seed: int | None = None) -> tuple[Player, Workload]:
    """The side that `job` names. words: overrides; peer: a checkout or None; side: of SIDES, `peer` or `exact`."""
    words = [*job["words"], *([] if seed is None else [f"seed={seed}"])]
    workload = Workload(words)
    peer = find(job["peer"], workload) if job["peer"] else None
    if job["side"] == "peer":
        if peer is None:
            raise GanError("the side 'peer' needs peer=PATH")
        one = peer()
        if job.get("stream"):
            one.batches = one.feed(Path(job["peer"]), workload)
        return one, workload
    if job["side"] == "exact":
        return Ours(workload, kernels=False, join=False, exact=True), workload
    return Ours(workload, **SIDES[job["side"]], stream=job.get("stream", False)), workload


def check(job: dict[str, Any]) -> dict[str, dict[str, float]]:
    """NETWORK -> side -> error of its gradients against float64, root mean square over the draws and steps; of networks
    whose ReLUs are `Smooth`, all on one batch.
    """
    job = {**job, "stream": False}
    sides = [side for side in job["sides"] if side in (*SIDES, "peer")]
    squares: dict[str, dict[str, float]] = {}
    for draw in range(job["draws"]):
        exact = _gradients({**job, "side": "exact"}, draw)
        for side in sides:
            found = _gradients({**job, "side": side}, draw)
            for step in exact.keys() & found.keys():
                row = squares.setdefault(step.partition("/")[0], {})
                row[side] = row.get(side, 0.0) + error(found[step], exact[step]) ** 2
    return {name: {side: (s / job["draws"]) ** 0.5 for side, s in row.items()} for name, row in squares.items()}


class Smooth(nn.Softplus):
    """A leaky ReLU without its kink: slope x + (1 - slope) log(1 + e^x).

    Where rounding turns the sign of a ReLU's input, which happens to every side, the gradient moves by a jump that is a
    thousand times the rounding that is to be compared.
    """

    def __init__(self, slope: float) -> None:
        super().__init__()
        self.slope = slope

    def forward(self, x: Tensor) -> Tensor:
        return self.slope * x + (1 - self.slope) * super().forward(x)


def smooth(network: nn.Module) -> None:
    """Give the network `Smooth` for each ReLU and leaky ReLU, in place."""
    for parent in list(network.modules()):
        for name, layer in parent.named_children():
            if isinstance(layer, (nn.ReLU, nn.LeakyReLU)):
                setattr(parent, name, Smooth(getattr(layer, "negative_slope", 0.0)))


def _gradients(job: dict[str, Any], seed: int) -> dict[str, Any]:
    one, _ = player(job, seed)
    for network in one.networks.values():
        smooth(network)
        for layer in network.modules():
            if "Dropout" in type(layer).__name__:
                vars(layer)["p"] = 0.0  # masks are drawn in another order by the peer
    found = gradients(one)
    if isinstance(one, Peer):  # the others get other noise
        found = {step: value for step, value in found.items() if step.partition("/")[0] in one.compared}
    return found


def peak() -> float:
    """The process's largest resident size in MB; of a GPU's memory where there is one."""
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        return torch.cuda.max_memory_allocated() / 1e6
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def serve(job: dict[str, Any], answer: Any) -> None:
    """Two iterations to warm up; then each line with a number N is answered by the seconds of N iterations."""
    one, workload = player(job)
    on_gpu = workload.device.type == "cuda"
    for _ in range(2):
        one.step()
    answer({"ready": True})
    for line in sys.stdin:
        repeats = int(line)
        if on_gpu:
            torch.cuda.synchronize()
        start = time.perf_counter()
        for _ in range(repeats):
            one.step()
        if on_gpu:
            torch.cuda.synchronize()
        answer({"seconds": (time.perf_counter() - start) / repeats})
    answer({"peak": peak()})


def main() -> int:
    channel = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a peer prints is no answer

    def answer(value: dict[str, Any]) -> None:
        print(json.dumps(value), file=channel, flush=True)

    job = json.loads(sys.stdin.readline())
    if job["threads"]:
        torch.set_num_threads(job["threads"])
    try:
        if job["side"] == "check":
            answer({"check": check(job)})
        else:
            serve(job, answer)
    except GanError as problem:
        answer({"error": str(problem)})
        return 2
    except BrokenPipeError:  # whoever asked has gone
        return 141
    return 0


if __name__ == "__main__":
    sys.exit(main())
