"""Every data set of image files has one scale of values, that of dataset.window."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from helpers import in_bytes, pack
from PIL import Image

from gan_cli.config.paths import conf_dir
from gan_cli.data import discogan_domains
from gan_cli.data.base import Dataset
from gan_cli.data.derived_pairs import Colorization, Inpainting
from gan_cli.data.discogan_domains import AttributeFolder, HalvesFolder
from gan_cli.data.folders import ImageFolder, UnpairedFolder
from gan_cli.data.label_maps import LabelMapFolder, LargePairs
from gan_cli.data.paired import PairedFolder
from gan_cli.data.webdataset import WebDataset

TWELVE = np.full((64, 64), 4095, np.uint16)


def deep(root: Path, *names: str) -> Path:
    """White images of 12 bits in files of 16."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(TWELVE).save(root / name)
    return root


def label_maps(root: Path, **window: object) -> Dataset:
    deep(root, "train_img/1.png", "train_label/1.png")
    Image.new("L", (64, 64)).save(root / "train_label/1.png")
    return LabelMapFolder(str(root), 64, label_nc=2, **window)  # type: ignore[arg-type]


def archive(root: Path, **window: object) -> Dataset:
    file = io.BytesIO()
    Image.fromarray(TWELVE).save(file, "png")
    return WebDataset(str(pack(root / "a.tar", {"1.png": file.getvalue()})), 64, **window)  # type: ignore[arg-type]


def faces(root: Path, **window: object) -> Dataset:
    deep(root, *(f"img_align_celeba/{n}.png" for n in range(4)))
    (root / "list_attr_celeba.txt").write_text("4\nMale\n" + "".join(f"{n}.png {1 - 2 * (n % 2)}\n" for n in range(4)))
    return AttributeFolder(str(root), image_size=64, value_range=(-1, 1), **window)  # type: ignore[arg-type]


def of(kind: type[Dataset], *names: str, **options: object) -> Callable[..., Dataset]:
    return lambda root, **window: kind(str(deep(root, *names)), image_size=64, **options, **window)  # type: ignore[call-arg]


MAKE = {
    "image_folder": of(ImageFolder, "1.png", "2.png"),
    "unpaired_folder": of(UnpairedFolder, "trainA/1.png", "trainB/1.png"),
    "paired_folder": of(PairedFolder, "trainA/1.png", "trainB/1.png"),
    "large_pairs": of(LargePairs, "train_A/1.png", "train_B/1.png"),
    "label_maps": label_maps,
    "inpainting": of(Inpainting, "1.png", "2.png"),
    "colorization": of(Colorization, "1.png", "2.png"),
    "edges2shoes_halves": of(HalvesFolder, "train/1.png", "train/2.png", "val/3.png", value_range=(-1, 1)),
    "webdataset": archive,
    "celeba_attributes": faces,
}


@pytest.mark.parametrize("name", MAKE)
def test_every_data_set_of_files_has_a_window(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """12 bits are white with their window and all but black without; a smaller window refuses them by name."""
    monkeypatch.setattr(discogan_domains, "HELD_OUT", 1)
    assert "\nwindow: null " in (conf_dir() / f"dataset/{name}.yaml").read_text()

    def darkest(**window: object) -> int:
        data = MAKE[name](tmp_path / "set", **window)
        part = next(p for p in data.train_batch(0, 0, 1) if p is not None and p.is_floating_point())
        return int(in_bytes((part + 1) / 2).min())

    assert darkest(window=[0, 4095]) == 255
    assert darkest() in (16, 12)  # 12 is the lightness of 16
    with pytest.raises(ValueError, match=r"\.png: pixels from 4095 to 4095, .*dataset\.window"):
        darkest(window=[0, 4094])
