"""Boundaries and means of the instances of label maps (Wang et al. 2018, arXiv 1711.11585, sections 3.3 and 3.4)."""

import torch
from torch import Tensor


def number_instances(instances: Tensor) -> tuple[Tensor, int]:
    """Number the M instances of a batch from 0 to M - 1: ids (N, H, W), any integers -> numbers (N, H, W), and M.

    The same id in two images stands for two instances.
    """
    # Shift the ids of each image into a range of its own, so that equal ids of two images differ.
    low = instances.amin()
    span = instances.amax() - low + 1
    image = torch.arange(len(instances), device=instances.device)[:, None, None]
    ids, numbers = torch.unique(instances - low + span * image, return_inverse=True)
    return numbers, len(ids)


def instance_means(values: Tensor, numbers: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Average values (N, C, H, W) over instances as numbered above: means (M, C), and numbers of pixels (M,)."""
    # One pass over the pixels: an index_add per batch instead of a loop over its instances.
    flat = values.permute(0, 2, 3, 1).flatten(0, 2)
    index = numbers.flatten()
    total = torch.zeros(count, flat.shape[1], dtype=flat.dtype, device=flat.device).index_add(0, index, flat)
    pixels = torch.bincount(index, minlength=count)
    return total / pixels[:, None], pixels


def spread_means(means: Tensor, numbers: Tensor) -> Tensor:
    """Give every pixel the values of its instance, (M, C) -> (N, C, H, W)."""
    return means[numbers].permute(0, 3, 1, 2)


def boundaries(instances: Tensor) -> Tensor:
    """Mark the pixels one of whose four neighbors has another id by 1: ids (N, H, W) -> float32 (N, 1, H, W)."""
    edge = torch.zeros_like(instances, dtype=torch.bool)
    across = instances[:, :, 1:] != instances[:, :, :-1]
    down = instances[:, 1:] != instances[:, :-1]
    # Both pixels of a pair that differs are on the boundary.
    edge[:, :, 1:] |= across
    edge[:, :, :-1] |= across
    edge[:, 1:] |= down
    edge[:, :-1] |= down
    return edge[:, None].float()
