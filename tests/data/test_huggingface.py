"""Images in the tables of the library `datasets`: the stream, labels, and what may be wrong. All but the first test
need the library (the extra `streams`).
"""

import io
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers import in_bytes
from PIL import Image

from gan_cli.data import huggingface
from gan_cli.data.folders import ImageFolder
from gan_cli.data.huggingface import HuggingFace


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    found = pytest.importorskip("datasets")
    found.disable_progress_bars()
    monkeypatch.setattr(found.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    return found


def image(number: int) -> Image.Image:
    """Red says which, green which column."""
    pixels = np.zeros((14, 20, 3), np.uint8)
    pixels[..., 0], pixels[..., 1] = number, 10 * np.arange(20)
    return Image.fromarray(pixels)


def png(number: int) -> bytes:
    file = io.BytesIO()
    image(number).save(file, "png")
    return file.getvalue()


def table(library: Any, size: int = 20, first: int = 0, **columns: list[Any]) -> Any:
    numbers = range(first, first + size)
    made = {"image": [{"bytes": png(n), "path": None} for n in numbers], "label": [n % 3 for n in numbers], **columns}
    kinds = {"image": library.Image(), "label": library.ClassLabel(num_classes=3)}
    return library.Dataset.from_dict(made, features=library.Features(kinds) if not columns else None)


def small(root: Path, **options: object) -> HuggingFace:
    return HuggingFace(**{"root": str(root), "image_size": 8, "value_range": (0, 1), **options})  # type: ignore[arg-type]


def numbers(image: torch.Tensor) -> list[int]:
    return in_bytes(image[:, 0, 0, 0]).int().tolist()


def test_without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(ValueError, match=r"needs the extra `streams`: pip install 'gan-cli\[streams\]'"):
        HuggingFace("x")


def test_the_stream_is_pure_and_whole(library: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface, "ROWS", 3)
    monkeypatch.setattr(huggingface, "TOGETHER", 2)
    table(library).save_to_disk(tmp_path / "set")
    whole = small(tmp_path / "set", num_classes=3, flip=True).train_batch(5, 0, 60)
    assert all(sorted(numbers(epoch)) == list(range(20)) for epoch in whole.image.split(20))
    assert whole.label is not None and whole.label.tolist() == [n % 3 for n in numbers(whole.image)]
    again = small(tmp_path / "set", num_classes=3, flip=True)
    shares = [again.train_batch(5, first, 4).image for first in range(56, -1, -4)][::-1]
    assert torch.equal(torch.cat(shares), whole.image)
    assert not torch.equal(again.train_batch(6, 0, 60).image, whole.image)
    mirrored = (whole.image[:, 1, 0].diff() < 0).all(1).float().mean()
    assert 0.2 < mirrored < 0.8


def test_images_equal_those_of_a_folder(library: Any, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    for number in range(6):
        (tmp_path / f"photos/{number}.png").write_bytes(png(number))
    table(library, 6).to_parquet(str(tmp_path / "table/train.parquet"))
    paths = {"image": [str(tmp_path / f"photos/{n}.png") for n in range(6)]}
    library.Dataset.from_dict(paths).cast_column("image", library.Image()).save_to_disk(tmp_path / "paths")
    folder = ImageFolder(str(tmp_path / "photos"), 8, value_range=(0, 1), test_fraction=0).test_batch(0, 6).image
    for root in ("table", "paths"):
        assert torch.equal(small(tmp_path / root).test_batch(0, 6).image, folder)


def test_held_out_split(library: Any, tmp_path: Path) -> None:
    library.DatasetDict(train=table(library), test=table(library, 3, first=100)).save_to_disk(tmp_path / "set")
    data = small(tmp_path / "set", test_split="test")
    assert (data.size, data.test_size) == (20, 3) and numbers(data.test_batch(1, 4).image) == [101, 102, 100, 101]
    assert data.fingerprint() == small(tmp_path / "set", test_split="test").fingerprint()
    assert data.fingerprint() != small(tmp_path / "set").fingerprint()
    with pytest.raises(ValueError, match="has no split 'val'; there are: train, test"):
        small(tmp_path / "set", test_split="val")


def test_invalid_settings_and_files(library: Any, tmp_path: Path) -> None:
    table(library).save_to_disk(tmp_path / "set")
    for options, words in (
        ({"image": "photo"}, "has no column 'photo'; there are: image, label"),
        ({"image": "label"}, "holds no images in column 'label'; set dataset.image"),
        ({"num_classes": 2}, "num_classes 2, but .* has a label 2; set it to 3"),
        ({"num_classes": 2, "label": "image"}, "holds no class numbers in that column; set dataset.label"),
    ):
        with pytest.raises(ValueError, match=words):
            small(tmp_path / "set", **options)
    table(library).select([]).save_to_disk(tmp_path / "none")
    with pytest.raises(ValueError, match="none cannot be read"):
        small(tmp_path / "none")
    bad = {"image": [{"bytes": b"text", "path": None}], "label": [None]}
    kinds = library.Features({"image": library.Image(), "label": library.Value("int64")})
    library.Dataset.from_dict(bad, features=kinds).save_to_disk(tmp_path / "bad")
    with pytest.raises(ValueError, match="row 0: not an image"):
        small(tmp_path / "bad").test_batch(0, 1)
    with pytest.raises(ValueError, match="holds labels from None, 1 missing"):
        small(tmp_path / "bad", num_classes=2)
    (tmp_path / "empty").mkdir()
    with pytest.raises((ValueError, FileNotFoundError), match="empty"):
        small(tmp_path / "empty")
    (tmp_path / "torn").mkdir()
    (tmp_path / "torn/train.parquet").write_bytes(b"no table")
    with pytest.raises(ValueError, match="torn"):
        small(tmp_path / "torn")
