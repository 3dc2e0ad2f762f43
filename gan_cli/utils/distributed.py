"""Several processes playing one game: started by torchrun, one run directory, gradients averaged by hand.

No wrapper stands around a network, so double backward and turns that share networks need no special case.
"""

import os
from collections.abc import Iterable
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

BUCKET = 25 * 2**20  # bytes of gradient that travel in one message


def rank() -> int:
    return int(os.environ.get("RANK", 0))


def world() -> int:
    return int(os.environ.get("WORLD_SIZE", 1))


def local_rank() -> int:
    """This process's place on its machine: the index of its GPU."""
    return int(os.environ.get("LOCAL_RANK", 0))


def start(device: torch.device) -> None:
    """Join the group that torchrun's environment describes: NCCL on GPUs, gloo on CPUs. Alone: nothing."""
    if world() > 1 and not dist.is_initialized():
        if device.type == "cuda":
            torch.cuda.set_device(device)
        dist.init_process_group("cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo")


def stop() -> None:
    if dist.is_initialized():
        dist.destroy_process_group()


def broadcast(module: nn.Module) -> None:
    """Give every process rank 0's parameters and buffers."""
    if world() > 1:
        for tensor in (*module.parameters(), *module.buffers()):
            dist.broadcast(tensor.data, src=0)


def from_first(value: Any) -> Any:
    """Rank 0's value, in every process (anything that pickles)."""
    if world() == 1:
        return value
    box = [value]
    dist.broadcast_object_list(box, src=0)
    return box[0]


def gather(value: Any) -> list[Any]:
    """One value of each process, in order of rank (anything that pickles)."""
    if world() == 1:
        return [value]
    values: list[Any] = [None] * world()
    dist.all_gather_object(values, value)
    return values


def largest(value: int) -> int:
    """The largest value that any process holds: how all agree to stop after the same iteration."""
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
        if parameter.grad is None:  # every process must send the same buckets
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
