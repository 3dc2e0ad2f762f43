"""What a categorical code of InfoGAN has learned (Chen et al. 2016, section 7.2), without labels in training."""

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from gan_cli.metrics.base import EvaluationData, Metric


def majority(codes: Tensor, labels: Tensor, n_codes: int) -> Tensor:
    """(N,), (N,) -> (n_codes,): the most frequent label of each code; label 0 for a code that never occurs."""
    counts = torch.zeros(n_codes, int(labels.max()) + 1)
    counts.index_put_((codes, labels), torch.ones(len(codes)), accumulate=True)
    return counts.argmax(1)


@dataclass
class CodeError(Metric):
    """Classification error of the first categorical code: each code is named by its majority label on `fit` training
    samples, then scored on held-out ones. Chance on ten classes is about 0.9. Also the bound L_I on the mutual
    information of that code and the image, in nats, over as many generated images (at most log K)."""

    fit: int = 10_000

    better: ClassVar = {"error": "lower", "digits_named": "higher", "L_I": "higher", "H": None}

    def check(self, system: Any, data: Any) -> None:
        if not hasattr(system, "categorical"):
            raise ValueError("infogan_codes needs a game with latent codes: model=infogan")
        if data.num_classes is None:
            raise ValueError("infogan_codes needs a labelled data set, such as dataset=mnist")

    def __call__(self, evidence: EvaluationData) -> dict[str, float]:
        system, data = evidence.system, evidence.data
        n = evidence.test.used = evidence.test.size
        train = [data.train_batch(0, start, min(500, self.fit - start)) for start in range(0, self.fit, 500)]
        test = [data.test_batch(start, min(500, n - start)) for start in range(0, n, 500)]
        n_codes = system.categorical[0]
        codes, labels = _predict(system, train)
        names = majority(codes, labels, n_codes)
        codes, labels = _predict(system, test)
        return {
            "error": float((names[codes] != labels).float().mean()),
            "digits_named": float(len(names.unique())),
            "L_I": information(system, evidence.generated.size),
            "H": math.log(n_codes),
        }


def information(system: Any, n: int) -> float:
    """L_I = E log Q(c1|G(z,c)) + H(c1) over n generated images, in nats: the paper's figure 1."""
    total = 0.0
    for start in range(0, n, 500):
        latent = system.prior(min(500, n - start))
        logits, _, _ = system.Q(system.trunk(system.G(latent)))
        total += float(logits[0].log_softmax(1).gather(1, latent.c[:, :1]).sum())
    return total / n + math.log(system.categorical[0])


def _predict(system: Any, batches: list[Any]) -> tuple[Tensor, Tensor]:
    codes = torch.cat([system.classify(batch.image.to(system.device)).cpu() for batch in batches])
    return codes, torch.cat([batch.label.cpu() for batch in batches])
