"""Image files for tests."""

from pathlib import Path

import numpy as np
from PIL import Image
from torch import Tensor

from gan_cli.data.folders import UnpairedFolder


def paint(path: Path, colour: tuple[int, int, int], size: tuple[int, int] = (20, 20)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path)


def ramp(path: Path, number: int, size: int = 22) -> None:
    """Red says which image, green which column, blue which row: a crop shows where it came from."""
    pixels = np.zeros((size, size, 3), np.uint8)
    pixels[..., 0], pixels[..., 1], pixels[..., 2] = number, np.arange(size), np.arange(size)[:, None]
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def two_classes(tmp_path: Path) -> Path:
    """20 images in 2 classes; grey value = 10 * number, 100 and more in the second class."""
    for number in range(20):
        grey = 10 * number
        paint(
            tmp_path / "set" / ("cat" if number < 10 else "dog") / f"{number}.png",
            (grey, grey, grey),
            (12, 30),
        )
    return tmp_path / "set"


def two_domains(tmp_path: Path) -> Path:
    """The red of a picture is its number, 100 and more in the second domain."""
    for folder, count in {"trainA": 7, "trainB": 11, "testA": 2, "testB": 3}.items():
        for number in range(count):
            ramp(tmp_path / "pair" / folder / f"{number}.png", number + (100 if folder.endswith("B") else 0))
    return tmp_path / "pair"


def in_bytes(image: Tensor) -> Tensor:
    """[0, 1] -> 0, 1, ..., 255."""
    return (image * 255).round()


def unpaired(root: Path, **options: object) -> UnpairedFolder:
    """Crops of 16 from 22 pixels."""
    return UnpairedFolder(
        **{"root": str(root), "image_size": 16, "load_size": 22, "value_range": (0, 1), **options}
    )
