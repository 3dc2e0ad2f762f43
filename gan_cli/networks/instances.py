"""Maps of instances: boundaries, and means over instances without a loop over them (Wang et al. 2018, arXiv
1711.11585, sections 3.3 and 3.4).
"""

import torch
from torch import Tensor


def number(instances: Tensor) -> tuple[Tensor, int]:
    """Instance ids (N, H, W), any integers -> (numbers (N, H, W), M): the M instances of the batch as 0 .. M - 1. The
    same id in two pictures is two instances."""
    low = instances.amin()
    span = instances.amax() - low + 1
    picture = torch.arange(len(instances), device=instances.device)[:, None, None]
    ids, numbers = torch.unique(instances - low + span * picture, return_inverse=True)
    return numbers, len(ids)


def instance_means(values: Tensor, numbers: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """values (N, C, H, W), instances as `number` gives them -> each instance's mean (M, C), and its pixels (M,)."""
    flat = values.permute(0, 2, 3, 1).flatten(0, 2)
    at = numbers.flatten()
    total = torch.zeros(count, flat.shape[1], dtype=flat.dtype, device=flat.device).index_add(0, at, flat)
    pixels = torch.bincount(at, minlength=count)
    return total / pixels[:, None], pixels


def spread(means: Tensor, numbers: Tensor) -> Tensor:
    """(M, C) -> (N, C, H, W): every pixel has the row of its instance."""
    return means[numbers].permute(0, 3, 1, 2)


def boundaries(instances: Tensor) -> Tensor:
    """Ids (N, H, W) -> float32 (N, 1, H, W): 1 where one of the four neighbours has another id."""
    edge = torch.zeros_like(instances, dtype=torch.bool)
    across = instances[:, :, 1:] != instances[:, :, :-1]
    down = instances[:, 1:] != instances[:, :-1]
    edge[:, :, 1:] |= across
    edge[:, :, :-1] |= across
    edge[:, 1:] |= down
    edge[:, :-1] |= down
    return edge[:, None].float()
