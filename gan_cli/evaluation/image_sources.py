"""What `gan evaluate real=... fake=...` may name: a folder of images, a data set's split, noise."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch
from omegaconf import DictConfig, OmegaConf
from torch import Tensor

from gan_cli.config import schema
from gan_cli.config.paths import conf_dir
from gan_cli.config.resume_overrides import change
from gan_cli.data import image_files
from gan_cli.data.base import Dataset, Images
from gan_cli.metrics.base import EvaluationData, Extractor, FeatureStore, Samples
from gan_cli.metrics.samples import BATCH, noise, real
from gan_cli.training import build
from gan_cli.utils.errors import GanError, suggest

SPLITS = ("train", "test")
MANY = 10_000


def of_sources(
    real_spec: str,
    fake_spec: str,
    *,
    n: int | None = None,
    changes: list[str] | None = None,
    seed: int = 0,
    image_size: int | None = None,
    device: torch.device | None = None,
    extractor: Extractor | None = None,
    store: FeatureStore | None = None,
    folder: Path | None = None,
) -> EvaluationData:
    """Two sources as evidence: `fake_spec` is what is scored. Each is a folder of images, `DATASET:train`,
    `DATASET:test`, or (fake only) `noise`, uniform and of the real images' shape.

    n: of each, at most; all files of a folder and 10,000 of a data set if left out. image_size: files are cropped and
    resized to it; without it they must have one size. changes: `KEY=VALUE` for the data sets, such as root=DIR.
    """
    reference, data = _source(real_spec, "real", n, changes or [], None, image_size, device)
    if fake_spec == "noise":
        scored = noise(data, reference.size, seed) if data else _noise_like(reference, seed)
    else:
        scored, _ = _source(fake_spec, "fake", n, changes or [], data, image_size, device)
    shapes = [_shape(samples) for samples in (reference, scored)]
    if shapes[0] != shapes[1]:
        raise GanError(
            f"real={real_spec} holds images of shape {shapes[0]}, fake={fake_spec} of {shapes[1]}; "
            "image_size=N brings folders to one size"
        )
    return EvaluationData(
        scored, reference, reference,
        extractor=extractor, store=store, device=device, data=data, seed=seed, folder=folder,
    )


def _source(
    spec: str, key: str, n: int | None, changes: list[str], like: Dataset | None, image_size: int | None,
    device: torch.device | None,
) -> tuple[Samples, Dataset | None]:
    if spec == "noise":
        raise GanError("real=noise: noise can be fake= only; real= is a folder of images or DATASET:train")
    if Path(spec).is_dir():
        channels = like.channels if like else 3
        return files(Path(spec), n, channels, image_size), None
    name, _, split = spec.partition(":")
    names = [path.stem for path in (conf_dir() / "dataset").glob("*.yaml")]
    if name not in names:
        beside = [path.name for path in Path(spec).parent.glob("[!.]*") if path.is_dir()]
        guess = suggest(Path(spec).name, beside) if suggest(Path(spec).name, beside).startswith("; did") else None
        raise GanError(f"{key}={spec}: no such folder, and no data set of that name{guess or suggest(name, names)}")
    if (split or "train") not in SPLITS:
        raise GanError(f"{key}={spec}: the split is train or test, as in {name}:test")
    data = _dataset(name, changes)
    if device is not None:
        data.to(device)
    if not issubclass(data.batch_type, Images):
        raise GanError(f"{key}={spec}: its samples are pairs; name a data set of single images, or a folder")
    size = data.test_size if split == "test" else data.size
    samples = real(data, split or "train", min(n or MANY, size))
    samples.split = f"{name}:{split or 'train'}"
    return samples, data


def _dataset(name: str, changes: list[str]) -> Dataset:
    cfg = OmegaConf.create({"dataset": OmegaConf.load(conf_dir() / "dataset" / f"{name}.yaml")})
    assert isinstance(cfg, DictConfig)
    OmegaConf.set_struct(cfg, True)
    for override in changes:
        change(cfg, f"dataset.{override}")
    schema.check_node("dataset", cfg.dataset)
    return build.dataset(cfg)


def files(folder: Path, n: int | None = None, channels: int = 3, image_size: int | None = None) -> Samples:
    """The images below `folder` in the order of their names, at most n. GanError when there are none."""
    try:
        found = image_files.scan(folder)
    except ValueError as error:
        raise GanError(str(error)) from error
    names = found.names[:n]

    def batches() -> Iterator[Images]:
        shape: tuple[int, ...] | None = None
        for start in range(0, len(names), BATCH):
            batch = []
            for name in names[start : start + BATCH]:
                pixels = _pixels(folder / name, channels, image_size)
                shape = shape or tuple(pixels.shape)
                if tuple(pixels.shape) != shape:
                    raise ValueError(
                        f"{folder / name} is {pixels.shape[2]} x {pixels.shape[1]} pixels, the images before it "
                        f"{shape[2]} x {shape[1]}; image_size=N brings them to one size"
                    )
                batch.append(pixels)
            yield Images(torch.stack(batch).float() / 127.5 - 1)

    key = f"{image_files.fingerprint(found)}-{channels}-{image_size or 'as-is'}"
    return Samples(str(folder), len(names), batches, key=key)


def _pixels(file: Path, channels: int, image_size: int | None) -> Tensor:
    picture = image_files.read(file, channels)
    return image_files.to_tensor(image_files.resize_crop(picture, image_size) if image_size else picture)


def _shape(samples: Samples) -> tuple[int, ...]:
    """(C, H, W) of the first one, which does not count as looked at."""
    found = tuple(next(iter(samples)).image.shape[1:])
    samples.used = 0
    return found


def _noise_like(reference: Samples, seed: int) -> Samples:
    shape = _shape(reference)

    def batches() -> Iterator[Images]:
        generator = torch.Generator().manual_seed(seed)
        for start in range(0, reference.size, BATCH):
            count = min(BATCH, reference.size - start)
            yield Images(2 * torch.rand((count, *shape), generator=generator) - 1)

    return Samples("noise", reference.size, batches)
