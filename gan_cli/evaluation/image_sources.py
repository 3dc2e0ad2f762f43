"""What `gan evaluate real=... fake=...` may name: a folder of images, the split of a data set, noise, or a file of the
statistics of features.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from omegaconf import DictConfig, OmegaConf
from torch import Tensor

from gan_cli.config import schema
from gan_cli.config.paths import conf_dir
from gan_cli.config.resume_overrides import change
from gan_cli.data import checksums, image_files, listing
from gan_cli.data.base import Dataset, Images
from gan_cli.metrics.base import EvaluationData, Extractor, FeatureStore, Samples
from gan_cli.metrics.samples import BATCH, noise, real
from gan_cli.metrics.statistics import is_statistics, statistics_samples
from gan_cli.training import build
from gan_cli.training.find_runs import FOLDERS, contains_run
from gan_cli.utils.commands import command
from gan_cli.utils.errors import GanError, suggest

SHEET = re.compile(r"(grid|traverse_\w+|sheet(_\d+)?)\.png")  # `gan sample` of 0.2 wrote them among the samples
SPLITS = ("train", "test")
MOST = 10_000  # samples of a data set, unless n says how many


def from_sources(
    real_source: str,
    fake_source: str,
    *,
    n: int | None = None,
    settings: Sequence[str] = (),
    seed: int = 0,
    image_size: int | None = None,
    window: image_files.Window = None,
    device: torch.device | None = None,
    extractor: Extractor | None = None,
    store: FeatureStore | None = None,
    folder: Path | None = None,
) -> EvaluationData:
    """Two sources, of which `fake_source` is scored: folders of images, `DATASET:train` or `DATASET:test`.

    The fake source may also be `noise`, uniform and of the real images' shape; either may be a file of statistics.
    n: number of images per source, at most; all files of a folder and 10,000 images of a data set if omitted.
    image_size: crop and resize files to this size; without it they must have one size. window: see
    image_files.Window, for files of more than 8 bits. settings: `KEY=VALUE` for the data sets, such as root=DIR.
    Raises GanError.
    """
    check_settings([real_source, fake_source], settings, window)
    reference, data = source(real_source, "real", n, settings, None, image_size, window, device)
    if fake_source != "noise":
        scored, other = source(fake_source, "fake", n, settings, data, image_size, window, device)
        data = data or (other if reference.statistics else None)
    elif reference.statistics:
        raise GanError(f"fake=noise has the shape of the real images, and real={real_source} holds none")
    else:
        scored = noise(data, reference.size, seed) if data else _noise_like(reference, seed)
    shapes = [_shape(samples) for samples in (reference, scored) if not samples.statistics]
    if len(shapes) == 2 and shapes[0] != shapes[1]:
        raise GanError(
            f"the images of real={real_source} have shape {shapes[0]}, those of fake={fake_source} {shapes[1]}; "
            "image_size=N brings folders to one size"
        )
    return EvaluationData(
        scored, reference, reference,
        extractor=extractor, store=store, device=device, data=data, seed=seed, folder=folder,
    )  # fmt: skip


def check_settings(names: Sequence[str], settings: Sequence[str], window: image_files.Window) -> None:
    """GanError for settings of folders, or of data sets, if none of the sources is one."""
    folders = [name for name in names if Path(name).is_dir()]
    if window and not folders:
        raise GanError("window= is for folders; that of a data set is dataset.window=")
    if settings and all(name in (*folders, "noise") or is_statistics(name) for name in names):
        raise GanError(f"dataset.{settings[0]} is for a data set as a source, and there is none; omit it")


def source(
    name: str,
    key: str,
    n: int | None,
    settings: Sequence[str],
    like: Dataset | None,
    image_size: int | None,
    window: image_files.Window,
    device: torch.device | None,
) -> tuple[Samples, Dataset | None]:
    """The samples that `key=name` names, and their data set if it is one. like: files get as many channels."""
    if name == "noise":
        raise GanError("real=noise: noise can be fake= only; real= is a folder of images or DATASET:train")
    if is_statistics(name):
        return read_source(name, key), None
    if Path(name).is_dir():
        _refuse_sheets(Path(name), f"{key}={name}")
        return folder_samples(Path(name), n, like.channels if like else 3, image_size, window), None
    dataset, _, split = name.partition(":")
    split = split or "train"
    _check_name(f"{key}={name}", name, dataset, split)
    data = _dataset(dataset, settings)
    if device is not None:
        data.to(device)
    if not issubclass(data.batch_type, Images):
        raise GanError(f"{key}={name}: its samples are pairs; name a data set of single images, or a folder")
    samples = real(data, split, min(n or MOST, data.test_size if split == "test" else data.size))
    samples.split = f"{dataset}:{split}"  # so that the protocol tells two data sets of one split apart
    return samples, data


def read_source(name: str, key: str) -> Samples:
    """The file of statistics that `key=name` names, as a source without images. GanError if it is none."""
    try:
        return statistics_samples(name)
    except OSError as error:
        raise GanError(f"{key}={name}: {error.strerror}") from error
    except ValueError as error:
        raise GanError(f"{key}={error}") from error


def _check_name(what: str, name: str, dataset: str, split: str) -> None:
    """Raise GanError, with the nearest folder or data set, for a name that is neither."""
    datasets = [path.stem for path in (conf_dir() / "dataset").glob("*.yaml")]
    if dataset not in datasets:
        folders = [path.name for path in Path(name).parent.glob("[!.]*") if path.is_dir()]
        guess = suggest(Path(name).name, folders)
        if not guess.startswith("; did"):
            guess = suggest(dataset, datasets)
        raise GanError(f"{what}: no such folder, and no data set of that name{guess}")
    if split not in SPLITS:
        raise GanError(f"{what}: the split is train or test, as in {dataset}:test")


def _refuse_sheets(folder: Path, what: str) -> None:
    """Raise GanError for a folder whose images are sheets of many samples: of a training run, or of `gan sample`."""
    place = folder.resolve()
    run = next((path for path in (place, place.parent) if contains_run(path)), None)
    if run and (run == place or place.name in FOLDERS):
        raise GanError(
            f"{what} holds sheets of many samples, which are no samples: {command('sample', run, 'out=OUT')} writes "
            "single images to score with fake=OUT"
        )
    names = [path.name for path in place.iterdir()]
    if names and place.name.endswith("_sheets") and all(map(SHEET.fullmatch, names)):
        raise GanError(f"{what} holds sheets of many samples: the samples are in {str(folder).removesuffix('_sheets')}")


def _dataset(name: str, settings: Sequence[str]) -> Dataset:
    cfg = OmegaConf.create({"dataset": OmegaConf.load(conf_dir() / "dataset" / f"{name}.yaml")})
    assert isinstance(cfg, DictConfig)
    OmegaConf.set_struct(cfg, True)
    for setting in settings:
        change(cfg, f"dataset.{setting}")
    schema.check_node("dataset", cfg.dataset)
    return build.dataset(cfg)


def folder_samples(
    folder: Path,
    n: int | None = None,
    channels: int = 3,
    image_size: int | None = None,
    window: image_files.Window = None,
) -> Samples:
    """The images below `folder` in the order of their names, at most n. GanError if there are none."""
    try:
        files = listing.scan(folder)
    except ValueError as error:
        raise GanError(str(error)) from error
    sheets = [name for name in files.names if SHEET.fullmatch(name.rpartition("/")[2])]
    if sheets:
        image_files.say_once(f"warning: {folder}: {sheets[0]} seems to be a sheet of many samples; it is scored as one")
    names = files.names[:n]

    def batches() -> Iterator[Images]:
        shape: tuple[int, ...] | None = None
        for start in range(0, len(names), BATCH):
            batch = []
            for name in names[start : start + BATCH]:
                pixels = _pixels(folder / name, channels, image_size, window)
                shape = shape or tuple(pixels.shape)
                if tuple(pixels.shape) != shape:
                    raise ValueError(
                        f"{folder / name} is {pixels.shape[2]} x {pixels.shape[1]} pixels, the images before it "
                        f"{shape[2]} x {shape[1]}; image_size=N brings them to one size"
                    )
                batch.append(pixels)
            yield Images(torch.stack(batch).float() / 127.5 - 1)

    # The content as well: images of formats without compression have the same sizes when they are made again.
    name = f"{listing.fingerprint(files, window=window)}-{checksums.content([files])}"
    key = f"{name}-{channels}-{image_size or 'as-is'}"
    return Samples(str(folder), len(names), batches, key=key)


def _pixels(file: Path, channels: int, image_size: int | None, window: image_files.Window) -> Tensor:
    with image_files.window_option():
        image = image_files.read(file, channels, window=window)
    return image_files.to_tensor(image_files.resize_crop(image, image_size) if image_size else image)


def _shape(samples: Samples) -> tuple[int, ...]:
    """(C, H, W) of the first sample, which does not count as used."""
    shape = tuple(next(iter(samples)).image.shape[1:])
    samples.used = 0
    return shape


def _noise_like(reference: Samples, seed: int) -> Samples:
    """As many uniform samples as `reference` has, of their shape."""
    shape = _shape(reference)

    def batches() -> Iterator[Images]:
        generator = torch.Generator().manual_seed(seed)
        for start in range(0, reference.size, BATCH):
            count = min(BATCH, reference.size - start)
            yield Images(2 * torch.rand((count, *shape), generator=generator) - 1)

    return Samples("noise", reference.size, batches)
