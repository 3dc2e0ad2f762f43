"""Whether the data of a configuration are there, and what they take in memory; nothing is downloaded or decoded."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from omegaconf import DictConfig, OmegaConf

from gan_cli.config.targets import target
from gan_cli.data.decoded_cache import IN_MEMORY
from gan_cli.data.mnist_cifar import CIFAR10, MNIST, InMemoryImages
from gan_cli.utils.errors import GanError
from gan_cli.utils.image_size import area

IMAGES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".heic", ".heif", ".ppm", ".gif")
MOST = 200_000  # files that are counted
OF_SET: dict[type, int] = {CIFAR10: 60_000, MNIST: 70_000}
"""Images of the sets that are held in memory as a whole, held-out ones included."""


class Data(NamedTuple):
    """text: what is there, or what a run will download. decoded: bytes of the decoded images in memory."""

    text: str
    decoded: int


def check(cfg: DictConfig, allowed: tuple[str, ...] = ()) -> Data:
    """The state of the config's data set. GanError if there are no data and nothing says from where to get them."""
    settings: Any = OmegaConf.to_container(cfg.dataset, resolve=True)
    if "root" not in settings:
        return Data("computed, no files needed", 0)
    root, kind = str(settings["root"]), target(settings["_target_"], allowed)
    if re.match(r"\w+://", root) or "{" in root:
        return Data(f"streamed from {root}", 0)
    folder, each = Path(root).expanduser(), (settings.get("channels") or 3) * area(settings.get("image_size") or 64)
    if isinstance(kind, type) and issubclass(kind, InMemoryImages):
        return _known_set(kind, folder, each)
    if not folder.exists():
        if not settings.get("url"):
            raise GanError(f"dataset.root={root}: no such folder; name the folder of your images")
        return Data(f"NOT THERE: gan train downloads {settings['url']} to {folder}", 0)
    count = sum(1 for _ in _files(folder))
    if not count:
        return Data(f"{folder}: no image files", 0)
    # A margin for random crops: 286 / 256 of each side.
    size = count * int(each * 1.25)
    where = "in memory" if size <= IN_MEMORY else "read from the cache on disk, page by page"
    more = " or more" if count == MOST else ""
    return Data(f"{folder}: {count:,}{more} image files, {size / 2**20:,.0f} MiB decoded, {where}",
                size if size <= IN_MEMORY else 0)  # fmt: skip


def _known_set(kind: type, folder: Path, each: int) -> Data:
    name = "cifar-10-batches-py" if issubclass(kind, CIFAR10) else kind.folder  # type: ignore[attr-defined]
    size = next(count for known, count in OF_SET.items() if issubclass(kind, known)) * each
    if (folder / name).is_dir() or list(folder.glob("**/*-images-idx3-ubyte*"))[:1]:
        return Data(f"{folder / name}: {size / 2**20:,.0f} MiB in memory", size)
    return Data(f"NOT THERE: gan train downloads {kind.__name__} to {folder}", size)


def _files(folder: Path) -> Iterator[str]:
    """The image files below a folder, links to folders not followed, `MOST` at most."""
    count = 0
    for _, _, names in os.walk(folder):
        for name in names:
            if name.lower().endswith(IMAGES):
                yield name
                count += 1
                if count == MOST:
                    return
