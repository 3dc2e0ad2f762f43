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


def majority(codes: Tensor, labels: Tensor, n_codes: int) -> Tensor:
    """(N,), (N,) -> (n_codes,): the most frequent label of each code; label 0 for a code that never occurs."""
    counts = torch.zeros(n_codes, int(labels.max()) + 1)
    counts.index_put_((codes, labels), torch.ones(len(codes)), accumulate=True)
    return counts.argmax(1)


@dataclass
class CodeError(Metric):
    """Classification error, 0 .. 1, of InfoGAN's first categorical code, which was trained without labels.

    Each code stands for its majority label among `fit` training samples, and is scored on held-out ones; chance on ten
    classes is about 0.9. digits_named: number of labels that a code stands for. L_I: the bound on the mutual
    information of that code and the image, in nats, over as many generated images; at most H = log K.
    """

    fit: int = 10_000

    better: ClassVar[Better] = {"error": "lower", "digits_named": "higher", "L_I": "higher", "H": None}

    def check(self, system: System | None, data: Dataset | None) -> None:
        if not isinstance(system, InfoGAN):
            raise ValueError("infogan_codes needs a model with latent codes: model=infogan")
        if data is None or data.num_classes is None:
            raise ValueError("infogan_codes needs a labeled data set, such as dataset=mnist")

    def __call__(self, evaluation: EvaluationData) -> dict[str, float]:
        system, data = evaluation.system, evaluation.data
        assert isinstance(system, InfoGAN) and data is not None
        n_codes = system.categorical[0]
        fit = in_batches(lambda start, count: data.train_batch(0, start, count), self.fit, BATCH)
        names = majority(*_predict(system, fit), n_codes)
        codes, labels = _predict(system, held_out(evaluation, BATCH))
        return {
            "error": float((names[codes] != labels).float().mean()),
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
