"""How well a categorical code of InfoGAN agrees with the classes (Chen et al. 2016, arXiv 1606.03657, section 7.2)."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from gan_cli.metrics.base import Better, Dataset, EvaluationData, Metric, System
from gan_cli.metrics.pixels import held_out, in_batches
from gan_cli.systems.infogan import InfoGAN

BATCH = 500


def count_pairs(codes: Tensor, labels: Tensor, n_codes: int, n_labels: int) -> Tensor:
    """(N,), (N,) -> (n_codes, n_labels): how often a code and a label occur together."""
    counts = torch.zeros(n_codes, n_labels)
    return counts.index_put_((codes, labels), torch.ones(len(codes)), accumulate=True)


def best_assignment(counts: Tensor) -> Tensor:
    """(K, C) -> (K,): a label for each code, no two alike, so that the sum of their counts is the largest.

    With more codes than labels the label of some codes is -1, none. The Hungarian algorithm: row by row along the
    shortest augmenting path, O(n^3).
    """
    size = max(counts.shape)
    cost = torch.zeros(size + 1, size + 1, dtype=torch.float64)  # row and column 0 are where a path begins
    cost[1 : len(counts) + 1, 1 : counts.shape[1] + 1] = -counts.double()
    u, v = torch.zeros(size + 1).double(), torch.zeros(size + 1).double()  # u + v <= cost, equal where matched
    row_of = torch.zeros(size + 1, dtype=torch.int64)
    for row in range(1, size + 1):
        row_of[0], column = row, 0
        before = torch.zeros(size + 1, dtype=torch.int64)
        slack, visited = torch.full((size + 1,), math.inf).double(), torch.zeros(size + 1, dtype=torch.bool)
        while row_of[column]:
            visited[column] = True
            reduced = cost[row_of[column]] - u[row_of[column]] - v
            nearer = ~visited & (reduced < slack)
            slack[nearer], before[nearer] = reduced[nearer], column
            nearest = int(slack.masked_fill(visited, math.inf)[1:].argmin()) + 1
            delta = slack[nearest].clone()
            u[row_of[visited]] += delta
            v[visited] -= delta
            slack[~visited] -= delta
            column = nearest
        while column:
            row_of[column] = row_of[before[column]]
            column = int(before[column])
    names = row_of[1:].argsort()[: len(counts)]
    return names.masked_fill(names >= counts.shape[1], -1)


@dataclass
class CodeError(Metric):
    """Classification error, 0 .. 1, of InfoGAN's first categorical code, which was trained without labels.

    error: each code stands for its majority label among `fit` training samples, and is scored on held-out ones; chance
    on ten classes is about 0.9. digits_named: number of labels that a code stands for. error_assigned: the same for one
    code per label, by the assignment that is right most often among the training samples. L_I: the bound on the mutual
    information of that code and the image, in nats, over as many generated images; at most H = log K.
    """

    fit: int = 10_000

    better: ClassVar[Better] = {
        "error": "lower", "error_assigned": "lower", "digits_named": "higher", "L_I": "higher", "H": None,
    }  # fmt: skip

    def check(self, system: System | None, data: Dataset | None) -> None:
        if not isinstance(system, InfoGAN):
            raise ValueError("infogan_codes needs a model with latent codes: model=infogan")
        if data is None or data.num_classes is None:
            raise ValueError("infogan_codes needs a labeled data set, such as dataset=mnist")

    def __call__(self, evaluation: EvaluationData) -> dict[str, float]:
        system, data = evaluation.system, evaluation.data
        assert isinstance(system, InfoGAN) and data is not None and data.num_classes is not None
        n_codes = system.categorical[0]
        fit = in_batches(lambda start, count: data.train_batch(0, start, count), self.fit, BATCH)
        counts = count_pairs(*_predict(system, fit), n_codes, data.num_classes)
        names, assigned = counts.argmax(1), best_assignment(counts)
        codes, labels = _predict(system, held_out(evaluation, BATCH))
        return {
            "error": float((names[codes] != labels).float().mean()),
            "error_assigned": float((assigned[codes] != labels).float().mean()),
            "digits_named": float(len(names.unique())),
            "L_I": information(system, evaluation.generated.size),
            "H": math.log(n_codes),
        }


def information(system: InfoGAN, n: int) -> float:
    """L_I = E log Q(c1|G(z, c)) + H(c1), eq. 5, over n generated images, in nats; shown in the paper's figure 1."""
    total = 0.0
    for start in range(0, n, BATCH):
        latent = system.prior(min(BATCH, n - start))
        logits, _, _ = system.Q(system.trunk(system.G(latent)))
        total += float(logits[0].log_softmax(1).gather(1, latent.c[:, :1]).sum())
    return total / n + math.log(system.categorical[0])


def _predict(system: InfoGAN, batches: Iterable[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """The first code and the label of each image, (N,) int64 on the CPU."""
    parts = [(system.classify(image.to(system.device)).cpu(), label.cpu()) for image, label in batches]
    codes, labels = (torch.cat(column) for column in zip(*parts))
    return codes, labels
