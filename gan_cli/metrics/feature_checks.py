"""Shared parts of the metrics on features: which samples they compare, and checks of settings and features."""

from torch import Tensor

from gan_cli.metrics.base import EvaluationData, Samples

REFERENCES = ("train", "test")


def positive(**settings: int) -> None:
    """ValueError if one of the whole numbers is below 1."""
    for name, value in settings.items():
        if value < 1:
            raise ValueError(f"{name} must be at least 1, not {value}")


def known_reference(reference: str) -> None:
    """ValueError unless `reference` names real samples."""
    if reference not in REFERENCES:
        raise ValueError(f"reference must be one of {', '.join(REFERENCES)}, not {reference!r}")


def reference_samples(evaluation: EvaluationData, reference: str) -> Samples:
    """The real samples `train` or `test` (held out)."""
    return evaluation.train if reference == "train" else evaluation.test


def real_and_generated(evaluation: EvaluationData, reference: str) -> tuple[Tensor, Tensor]:
    """Features of all `reference` samples, (N, d), and of all generated ones, (M, d). ValueError if there are none."""
    both = (reference_samples(evaluation, reference), evaluation.generated)
    real, generated = (evaluation.features(_not_empty(samples)).values for samples in both)
    return real, generated


def class_logits(evaluation: EvaluationData, samples: Samples) -> Tensor:
    """Class scores of all `samples`, (N, K). ValueError if the extractor is not a classifier."""
    logits = evaluation.features(_not_empty(samples)).logits
    if logits is None:
        raise ValueError(
            f"this score needs class probabilities, and the extractor '{evaluation.extractor.name}' gives none: "
            "choose extractor=classifier or extractor=inception"
        )
    return logits


def check_table(x: Tensor, what: str, least: int = 1) -> Tensor:
    """`x` itself, if it is a table (N, d) with at least `least` rows of finite numbers; ValueError otherwise."""
    if x.ndim != 2:
        raise ValueError(f"the {what} must be a table (N, d), not {tuple(x.shape)}")
    if len(x) < least:
        raise ValueError(f"{len(x)} {what} are too few for this score, which needs {least} or more; see n=")
    if not x.isfinite().all():
        raise ValueError(f"the {what} hold NaN or infinite values: there is nothing to score")
    return x


def check_tables(real: Tensor, fake: Tensor, least: int = 1) -> tuple[Tensor, Tensor]:
    """Real (N, d) and generated (M, d) features themselves; ValueError if `check_table` refuses one, or d differs."""
    check_table(real, "real features", least)
    check_table(fake, "generated features", least)
    if real.shape[1] != fake.shape[1]:
        raise ValueError(
            f"real samples have {real.shape[1]} features and generated ones {fake.shape[1]}: "
            "are the images of one size? If not, choose an extractor that resizes"
        )
    return real, fake


def _not_empty(samples: Samples) -> Samples:
    if not len(samples):
        raise ValueError(f"there are no {samples.split} samples to score; see n=")
    return samples
