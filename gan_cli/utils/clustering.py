"""Squared distances and k-means on row vectors."""

import torch
from torch import Tensor


def squared_distances(a: Tensor, b: Tensor) -> Tensor:
    """(N, d), (M, d) -> |a_i - b_j|^2 (N, M), by one matrix product in the precision of `a` and `b`."""
    return torch.addmm((a * a).sum(1)[:, None] + (b * b).sum(1), a, b.T, alpha=-2).clamp_(min=0)


def kmeans(data: Tensor, k: int, seed: int, iterations: int = 100) -> Tensor:
    """(N, d) -> centres (k, d) by Lloyd's iterations from k-means++ (Arthur & Vassilvitskii 2007).

    An empty cluster moves to the point that is farthest from its centre.
    """
    generator = torch.Generator().manual_seed(seed)
    centres = data[torch.randint(len(data), (1,), generator=generator)]
    square = squared_distances(data, centres)[:, 0]
    for _ in range(k - 1):
        chosen = torch.multinomial(square + 1e-12, 1, generator=generator)
        centres = torch.cat([centres, data[chosen]])
        square = torch.minimum(square, squared_distances(data, data[chosen])[:, 0])
    before = None
    for _ in range(iterations):
        square, label = squared_distances(data, centres).min(1)
        if before is not None and torch.equal(label, before):
            break
        before = label
        count = torch.bincount(label, minlength=k)
        centres = torch.zeros_like(centres).index_add_(0, label, data) / count.clamp(min=1)[:, None]
        empty = (count == 0).nonzero()[:, 0]
        centres[empty] = data[square.topk(len(empty)).indices]
    return centres
