"""What the metrics on features share: which samples they look at, and the checks before they count."""

from typing import Any

from torch import Tensor

from gan_cli.metrics.base import EvaluationData, Samples

REFERENCES = ("train", "test")


def positive(metric: Any, *fields: str) -> None:
    """ValueError if one of the metric's whole-number `fields` is below 1."""
    for field in fields:
        if getattr(metric, field) < 1:
            raise ValueError(f"{field} must be at least 1, not {getattr(metric, field)}")


def known_reference(reference: str) -> None:
    if reference not in REFERENCES:
        raise ValueError(f"reference must be one of {', '.join(REFERENCES)}, not {reference!r}")


def real(evidence: EvaluationData, reference: str) -> Samples:
    """The real samples `train` or `test` (held out)."""
    return evidence.train if reference == "train" else evidence.test


def values(evidence: EvaluationData, samples: Samples) -> Tensor:
    """Features of all `samples`, (N, d). ValueError when there are none."""
    _not_empty(samples)
    return evidence.features(samples).values


def logits(evidence: EvaluationData, samples: Samples) -> Tensor:
    """Class scores of all `samples`, (N, K). ValueError when the extractor is no classifier."""
    _not_empty(samples)
    found = evidence.features(samples).logits
    if found is None:
        raise ValueError(
            f"this score needs class probabilities, and the extractor '{evidence.extractor.name}' gives none: "
            "choose extractor=classifier or extractor=inception"
        )
    return found


def checked(x: Tensor, what: str, least: int = 1) -> Tensor:
    """`x` itself, a table (N, d) with at least `least` rows of finite numbers; ValueError otherwise."""
    if x.ndim != 2:
        raise ValueError(f"the {what} must be a table (N, d), not {tuple(x.shape)}")
    if len(x) < least:
        raise ValueError(f"{len(x)} {what} are too few for this score, which needs {least} or more; see n=")
    if not x.isfinite().all():
        raise ValueError(f"the {what} hold NaN or infinite values: there is nothing to score")
    return x


def both(real: Tensor, fake: Tensor, least: int = 1) -> tuple[Tensor, Tensor]:
    """Real (N, d) and generated (M, d) features, checked."""
    checked(real, "real features", least)
    checked(fake, "generated features", least)
    if real.shape[1] != fake.shape[1]:
        raise ValueError(
            f"real samples have {real.shape[1]} features and generated ones {fake.shape[1]}: "
            "are the images of one size? If not, choose an extractor that resizes"
        )
    return real, fake


def _not_empty(samples: Samples) -> None:
    if not len(samples):
        raise ValueError(f"there are no {samples.split} samples to score; see n=")
