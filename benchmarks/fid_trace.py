"""Tr (S_r S_g)^(1/2) of FID, three ways: python benchmarks/fid_trace.py [dimensions [repeats [threads]]].

Two covariances of 2 d correlated samples whose spectrum decays, float64. One line for each way: its value, its relative
distance from the first, the median wall time and CPU time, and all wall times. The ways take turns, so that a busy
machine is unfair to none. Needs scipy.
"""

import statistics
import sys
import time
from collections.abc import Callable

import scipy.linalg
import torch
from torch import Tensor

from gan_cli.metrics.fid import moments, trace_sqrt


def eigenvalues(S: Tensor, T: Tensor) -> float:
    return float(torch.linalg.eigvals(S @ T).sqrt().real.sum())


def square_root(S: Tensor, T: Tensor) -> float:
    return float(scipy.linalg.sqrtm((S @ T).numpy()).trace().real)


WAYS: dict[str, Callable[[Tensor, Tensor], float]] = {
    "eigvalsh (gan)": trace_sqrt,
    "torch.linalg.eigvals": eigenvalues,
    "scipy.linalg.sqrtm": square_root,
}


def covariance(d: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    mix = torch.randn(d, d, generator=generator) / torch.arange(1, d + 1).sqrt()
    return moments(torch.randn(2 * d, d, generator=generator) @ mix.T).covariance


def main(d: int = 2048, repeats: int = 3, threads: int = 1) -> None:
    torch.set_num_threads(threads)
    S, T = covariance(d, 0), covariance(d, 1)
    values: dict[str, float] = {}
    wall: dict[str, list[float]] = {name: [] for name in WAYS}
    cpu: dict[str, list[float]] = {name: [] for name in WAYS}
    for _ in range(repeats):
        for name, way in WAYS.items():
            start, start_cpu = time.perf_counter(), time.process_time()
            values[name] = way(S, T)
            wall[name].append(time.perf_counter() - start)
            cpu[name].append(time.process_time() - start_cpu)
    first = next(iter(values.values()))
    for name, value in values.items():
        every = " ".join(f"{t:.2f}" for t in wall[name])
        times = f"{statistics.median(wall[name]):.2f} s wall  {statistics.median(cpu[name]):.2f} s CPU"
        print(f"{name:21} {value:.10g}  off {abs(value / first - 1):.1e}  {times}  ({every}; d {d}, {threads} threads)")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
