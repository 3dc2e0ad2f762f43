"""Training in several processes: started by torchrun, one run directory, gradients averaged explicitly.

Networks are not wrapped as in DistributedDataParallel, so double backward and turns that share networks need no special
case.
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

BUCKET = 25 * 2**20  # bytes of gradients per message: large enough to hide latency, as in DistributedDataParallel

T = TypeVar("T")


def rank() -> int:
    return int(os.environ.get("RANK", 0))


def world() -> int:
    return int(os.environ.get("WORLD_SIZE", 1))


def local_rank() -> int:
    """This process's index on its machine, which is the index of its GPU."""
    return int(os.environ.get("LOCAL_RANK", 0))


@contextmanager
def group(device: torch.device) -> Iterator[None]:
    """Inside the block this process is in the group that torchrun describes. Does nothing for a single process."""
    if world() > 1:
        if device.type == "cuda":
            torch.cuda.set_device(device)
        # Gradients travel by NCCL where they lie on GPUs; flags and states of generators lie on the CPU.
        dist.init_process_group("cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo")
    try:
        yield
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()


def print_once(text: str) -> None:
    """Print a line from rank 0 only."""
    if rank() == 0:
        print(text, flush=True)


def broadcast(module: nn.Module) -> None:
    """Give every process rank 0's parameters and buffers."""
    if world() > 1:
        for tensor in (*module.parameters(), *module.buffers()):
            dist.broadcast(tensor.data, src=0)


def from_first(value: T) -> T:
    """Rank 0's value, in every process. It must be picklable."""
    if world() == 1:
        return value
    box = [value]
    dist.broadcast_object_list(box, src=0)
    return box[0]


def gather(value: T) -> list[T]:
    """The value of each process, in order of rank. They must be picklable."""
    if world() == 1:
        return [value]
    values = [value] * world()
    dist.all_gather_object(values, value)
    return values


def largest(value: int) -> int:
    """The largest value of any process, by which all agree to stop after the same iteration."""
    if world() == 1:
        return value
    box = torch.tensor(value)
    dist.all_reduce(box, op=dist.ReduceOp.MAX)
    return int(box)


def average_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Replace each gradient by its mean over the processes, in flat buckets."""
    if world() == 1:
        return
    bucket: list[Tensor] = []
    size = 0
    for parameter in parameters:
        if parameter.grad is None:  # every process must send the same buckets, whatever its loss has used
            parameter.grad = torch.zeros_like(parameter)
        bucket.append(parameter.grad)
        size += parameter.grad.nbytes
        if size > BUCKET:
            _average(bucket)
            bucket, size = [], 0
    if bucket:
        _average(bucket)


def _average(tensors: list[Tensor]) -> None:
    flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
    dist.all_reduce(flat)
    flat /= world()
    parts = flat.split([tensor.numel() for tensor in tensors])
    for tensor, part in zip(tensors, parts, strict=True):
        tensor.copy_(part.view_as(tensor))
