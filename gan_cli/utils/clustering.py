"""Squared distances and k-means on row vectors."""

import torch
from torch import Tensor

from gan_cli.utils.progress import Progress

ITERATIONS = 100


def squared_distances(a: Tensor, b: Tensor) -> Tensor:
    """(N, d), (M, d) -> |a_i - b_j|^2 (N, M), by one matrix product in the precision of `a` and `b`."""
    return torch.addmm((a * a).sum(1)[:, None] + (b * b).sum(1), a, b.T, alpha=-2).clamp_(min=0)


def kmeans(data: Tensor, k: int, seed: int, iterations: int = ITERATIONS, progress: Progress | None = None) -> Tensor:
    """Cluster centers (k, d) of points (N, d), by Lloyd's iterations from k-means++ (Arthur & Vassilvitskii 2007).

    The center of an empty cluster is moved to the point that is farthest from its center.
    progress: advanced by `iterations` in all, at once at the end if fewer were needed.
    """
    generator = torch.Generator().manual_seed(seed)
    centers = data[torch.randint(len(data), (1,), generator=generator)]
    square = squared_distances(data, centers)[:, 0]
    for _ in range(k - 1):
        chosen = torch.multinomial(square + 1e-12, 1, generator=generator)
        centers = torch.cat([centers, data[chosen]])
        square = torch.minimum(square, squared_distances(data, data[chosen])[:, 0])
    previous: Tensor | None = None
    for number in range(iterations):
        square, cluster = squared_distances(data, centers).min(1)
        if previous is not None and torch.equal(cluster, previous):
            if progress:
                progress.advance(iterations - number)
            break
        previous = cluster
        count = torch.bincount(cluster, minlength=k)
        centers = torch.zeros_like(centers).index_add_(0, cluster, data) / count.clamp(min=1)[:, None]
        empty = (count == 0).nonzero()[:, 0]
        centers[empty] = data[square.topk(len(empty)).indices]
        if progress:
            progress.advance()
    return centers
