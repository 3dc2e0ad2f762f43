"""The checksum of the content of data sets that are files, whose fingerprint depends on names and sizes only."""

import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from gan_cli.data import checksums
from gan_cli.data.base import Dataset
from gan_cli.data.derived_pairs import Colorization
from gan_cli.data.discogan_domains import HalvesFolder
from gan_cli.data.folders import ImageFolder, UnpairedFolder
from gan_cli.data.label_maps import LabelMapFolder, LargePairs
from gan_cli.data.listing import Files, list_images
from gan_cli.data.paired import PairedFolder
from gan_cli.data.webdataset import WebDataset

SETS: dict[str, Callable[[str], Dataset]] = {
    "a b": lambda root: ImageFolder(f"{root}/a", 8, test_root=f"{root}/b"),
    "one": lambda root: ImageFolder(f"{root}/one", 8),
    "c": lambda root: Colorization(f"{root}/c", 8),
    "trainA trainB testA testB": lambda root: UnpairedFolder(root, 8),
    "trainA trainB": lambda root: PairedFolder(root, 8),
    "train val": lambda root: HalvesFolder(root, image_size=8),
    "train_A train_B test_A test_B": lambda root: LargePairs(root, 32),
    "train_img train_label": lambda root: LabelMapFolder(root, 32, label_nc=2),
    "shards": lambda root: WebDataset(f"{root}/shards", 8),
}


def fill(folder: Path, seed: int) -> None:
    """Images of one size in pixels and in bytes; in `shards`, within an archive."""
    folder.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 2, (4, 32, 32, 3), dtype=np.uint8)
    for number, image in enumerate(pixels * (1 if "label" in folder.name else 255)):
        picture = Image.fromarray(image).convert("L") if "label" in folder.name else Image.fromarray(image)
        picture.save(folder / f"{number}.bmp")
        os.utime(folder / f"{number}.bmp", ns=(seed, seed))
    if folder.name == "shards":
        with tarfile.open(folder / "0.tar", "w") as archive:
            for file in sorted(folder.glob("*.bmp")):
                archive.add(file, file.name)


@pytest.mark.parametrize("names", SETS)
def test_other_content_under_the_same_names_and_sizes_is_told(
    names: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GAN_CACHE", str(tmp_path / "cache"))

    def facts(place: str) -> tuple[str, str | None]:
        data = SETS[names](str(tmp_path / place))
        return data.fingerprint(), checksums.content(data.files)

    for name in names.split():
        for place in ("first", "copy", "other"):
            fill(tmp_path / place / name, 1)
    first = facts("first")
    assert first == facts("copy") and first[1] is not None
    for name in names.split():  # every folder counts
        fill(tmp_path / "other" / name, 2)
        other = facts("other")
        assert other[0] == first[0] and other[1] != first[1], name
        fill(tmp_path / "other" / name, 1)


def test_a_bounded_part_of_the_files_is_read(tmp_path: Path) -> None:
    for number in range(300):
        (tmp_path / f"{number:03}.png").write_bytes(bytes([number % 251]))
    files = list_images(tmp_path).files
    before = checksums.content([files])
    changed = []
    for file in sorted(tmp_path.iterdir()):
        old = file.read_bytes()
        file.write_bytes(b"\xff")
        changed += [file.name] * (checksums.content([files]) != before)
        file.write_bytes(old)
    assert len(changed) == checksums.FILES and {"000.png", "299.png"} <= {*changed}

    large = tmp_path / "large"
    large.write_bytes(bytes(10**6))
    one = Files(tmp_path, ("large",), (), ())
    whole = checksums.content([one])
    for place in (0, 10**6 - 1):
        content = bytearray(10**6)
        content[place] = 1
        large.write_bytes(content)
        assert checksums.content([one]) != whole
    size = checksums.PARTS * checksums.BLOCK  # up to which all bytes count
    for place in torch.randint(size, (20,), generator=torch.Generator().manual_seed(0)).tolist():
        large.write_bytes(bytes(size))
        whole = checksums.content([one])
        content = bytearray(size)
        content[place] = 1
        large.write_bytes(content)
        assert checksums.content([one]) != whole, place


def test_nothing_is_said_of_data_that_are_no_files_or_cannot_be_read(tmp_path: Path) -> None:
    assert checksums.content(()) is None
    assert checksums.content([Files(tmp_path, (), (), ())]) is None
    assert checksums.content([Files(tmp_path, ("absent",), (0,), (0,))]) is None
