"""The statistics of features in place of images: which extractor belongs to a file, and writing one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from gan_cli.data.image_files import Window
from gan_cli.evaluation.image_sources import check_settings, source
from gan_cli.evaluation.parts import names_of
from gan_cli.metrics.base import EvaluationData, Extractor, Samples
from gan_cli.metrics.feature_cache import FeatureCache
from gan_cli.metrics.fid import gaussian
from gan_cli.metrics.statistics import SUFFIX, write_statistics
from gan_cli.utils.errors import GanError
from gan_cli.utils.files import writable


def extractor_of(files: Sequence[Samples], stated: str | None) -> str:
    """The extractor for sources that are files of statistics: `stated`, or the one that a file of ours records.

    GanError if a file does not record it and none is stated.
    """
    if stated and stated != "auto":
        return stated
    names = []
    for file in files:
        assert file.statistics is not None
        if file.statistics.extractor is None:
            raise GanError(
                f"{file.split} does not say which extractor made it: extractor=inception, if it is of pytorch-fid or "
                "clean-fid"
            )
        names.append(file.statistics.extractor.partition(":")[0])
    if names[0] not in names_of("extractor"):
        raise GanError(f"{files[0].split} was made with {names[0]}: choose it, such as extractor=torchvision")
    return names[0]


def write_source(
    real: str,
    stats: str,
    extractor: Extractor,
    n: int | None,
    settings: Sequence[str],
    image_size: int | None,
    window: Window,
    device: torch.device,
) -> None:
    """Write the mean and covariance of the features of source `real` into the file `stats`. Raises GanError.

    n, settings, image_size, window: as for `from_sources`.
    """
    path = Path(stats)
    if path.suffix != SUFFIX or path.is_dir():
        raise GanError(f"stats={stats}: name a file that ends in {SUFFIX}, such as stats={path.with_suffix(SUFFIX)}")
    writable(path.parent, f"stats={stats}")
    check_settings([real], settings, window)
    try:
        samples, data = source(real, "real", n, settings, None, image_size, window, device)
        if samples.statistics:
            raise GanError(f"real={real} is a file of statistics already; name a folder or a data set")
        evaluation = EvaluationData(
            samples, samples, samples, extractor=extractor, store=FeatureCache(), device=device, data=data
        )
        evaluation.shows_progress = True
        features = evaluation.features(samples).values
        mean, covariance = gaussian(features, "real", allow_singular=True)
        network = evaluation.extractor
        path.parent.mkdir(parents=True, exist_ok=True)
        write_statistics(path, mean, covariance, f"{network.name}:{network.hash}", len(features))
    except ValueError as error:
        raise GanError(str(error)) from error
    except OSError as error:
        raise GanError(f"stats={stats}: {error.strerror or error}") from error
    print(
        f"{path}: mean and covariance of {len(mean):,} features of {len(features):,} images of '{real}', "
        f"extractor {network.name}:{network.hash[:12]}",
        flush=True,
    )
