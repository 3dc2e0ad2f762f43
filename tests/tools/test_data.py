"""gan data check and gan data prepare."""

import json
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from gan_cli.cli import main
from gan_cli.data.base import Dataset
from gan_cli.data.folders import ImageFolder, UnpairedFolder
from gan_cli.data.paired import PairedFolder
from gan_cli.data.similar_images import look, nearly_equal
from gan_cli.data.webdataset import WebDataset


def photograph(seed: int, size: tuple[int, int] = (40, 30)) -> Image.Image:
    """Smooth colors, which survive resizing, unlike noise of single pixels."""
    pixels = np.random.default_rng(seed).integers(0, 256, (5, 6, 3), dtype=np.uint8)
    return Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC)


def save(image: Image.Image, path: Path, **options: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, **options)


@pytest.fixture
def domains(tmp_path: Path) -> Path:
    """As people have them: turned by EXIF, transparent, of 16 bits, broken, and one in both splits."""
    root = tmp_path / "photos"
    for number, (side, split) in enumerate((s, t) for t in ("train", "train", "train", "test") for s in "AB"):
        save(photograph(number, (40 + number, 30)), root / f"{split}{side}/{number}.jpg", quality=95)
    turned = photograph(20)
    exif = turned.getexif()
    exif[0x0112] = 6
    save(turned, root / "trainA/turned.jpg", exif=exif, quality=95)
    clear = photograph(21).convert("RGBA")
    clear.putalpha(Image.linear_gradient("L").resize(clear.size))
    save(clear, root / "trainA/clear.png")
    save(Image.fromarray(np.asarray(photograph(22).convert("L")).astype(np.uint16) * 200), root / "trainB/deep.png")
    (root / "trainB/cut.jpg").write_bytes((root / "trainB/1.jpg").read_bytes()[:-300])
    save(photograph(0, (40, 30)).resize((36, 27)), root / "testA/again.jpg", quality=90)
    shutil.copy(root / "trainB/1.jpg", root / "trainB/copy.jpg")
    return root


def test_check_finds_everything(
    domains: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(domains.parent)
    assert main.main(["data", "check", "photos", "image_size=32"]) == 0
    out = capsys.readouterr().out
    lines = out.splitlines()
    assert lines[0] == "photos: two domains, trainA and trainB"
    assert any(line.startswith("  trainA: 5 images;") and "1 alpha" in line and "1 turned" in line for line in lines)
    assert any("trainB: 6 images, 1 of them broken" in line and "1 16-bit" in line for line in lines)
    assert "30 x 40" in lines[1]  # upright
    assert "broken: 1" in lines and "trainB/cut.jpg" in out
    assert (
        "trainA/0.jpg = testA/again.jpg" in lines[lines.index("nearly equal, one for training and one held out: 1") + 1]
    )
    assert "trainB/1.jpg = trainB/copy.jpg" in lines[lines.index("equal files, others: 1") + 1]
    assert "of its proportions, which change up to" in out and "enlarged and blurred: " in out
    assert "gan train model=cyclegan dataset=unpaired_folder dataset.root=photos dataset.image_size=32" in out
    assert "gan data prepare photos out=DIR image_size=32" in out
    sheet = Image.open(domains.parent / "photos_check.png")
    assert sheet.width > 4 * 32 and sheet.height > 2 * 32


def test_folders_without_images_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty").mkdir()
    assert main.main(["data", "check", str(tmp_path / "empty")]) == 2
    assert "no images in" in capsys.readouterr().err
    (tmp_path / "empty/a.png").write_text("text")
    assert main.main(["data", "check", str(tmp_path / "empty")]) == 2
    assert "none of 1 images can be read" in capsys.readouterr().err


def test_nearly_equal_images_are_not_merely_alike() -> None:
    first = photograph(1, (160, 120))
    brighter = first.point(lambda value: min(255, value + 2))
    looks = [look(image) for image in (first, photograph(2), brighter, first.resize((80, 60)), first.rotate(180))]
    assert nearly_equal(looks) == [(0, 2), (0, 3), (2, 3)]
    black = [look(Image.new("RGB", (9, 9), (value,) * 3)) for value in (0, 0, 200)]
    assert nearly_equal(black) == []


def same(one: Dataset, other: Dataset, shift: float = 0.0) -> None:
    assert (one.size, one.test_size) == (other.size, other.test_size)
    for batches in (
        (one.train_batch(5, 3, 9), other.train_batch(5, 3, 9)),
        (one.test_batch(0, 3), other.test_batch(0, 3)),
    ):
        for a, b in zip(*batches):
            assert torch.equal(a, b) if not shift else (a - b).float().abs().mean() < shift


def prepare(root: Path, *words: str) -> Path:
    assert main.main(["data", "prepare", str(root), f"out={root.parent / 'new'}", *words]) == 0
    return root.parent / "new"


def unpaired(root: Path) -> Dataset:
    return UnpairedFolder(str(root), 16)


def paired(root: Path) -> Dataset:
    return PairedFolder(str(root), 16)


def single(root: Path) -> Dataset:
    return ImageFolder(str(root), 16, num_classes=2)


def make_halves(root: Path) -> None:
    for number in range(5):
        save(photograph(number, (80, 30)), root / ("train" if number < 4 else "test") / f"{number}.png")


def make_pairs(root: Path) -> None:
    for number in range(5):
        for side in "AB":
            save(photograph(number, (40, 30)), root / side / ("train" if number < 4 else "test") / f"{number}.jpg")


def make_classes(root: Path) -> None:
    for number in range(12):
        save(photograph(number, (40, 30)), root / "ab"[number % 2] / f"{number}.{('jpg', 'png')[number % 3 % 2]}")


@pytest.mark.parametrize(
    "make, read", [(make_halves, paired), (make_pairs, paired), (make_classes, single), (None, unpaired)]
)
def test_training_on_prepared_images_is_the_same(
    domains: Path, make: Callable[[Path], None] | None, read: Callable[[Path], Dataset]
) -> None:
    if make:
        shutil.rmtree(domains)
        make(domains)
    new = prepare(domains, "image_size=16")
    (domains / "trainB/cut.jpg").unlink(missing_ok=True)
    same(read(domains), read(new))
    assert {file.suffix for file in new.rglob("*") if file.is_file()} == {".png"}


def test_jpg_is_nearly_the_same(tmp_path: Path) -> None:
    make_classes(tmp_path / "photos")
    same(single(tmp_path / "photos"), single(prepare(tmp_path / "photos", "image_size=16", "format=jpg")), shift=0.05)


def test_broken_images_are_skipped_with_their_partners(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = tmp_path / "photos"
    make_pairs(root)
    (root / "B/train/1.jpg").write_bytes(b"text")
    new = prepare(root, "image_size=16")
    assert paired(new).size == 3
    out = capsys.readouterr().out
    assert "B/train/1.jpg: not an image" in out and "A/train/1.jpg: its partner is broken" in out
    assert "2 skipped" in out


def test_labels_and_names(tmp_path: Path) -> None:
    """Names that would collide or change places keep their suffixes; dataset.json has the new names."""
    root = tmp_path / "photos"
    names = ["a.jpg", "a.k.png", "a.png", "b.png"]
    for number, name in enumerate(names):
        save(photograph(number), root / name)
    labels = {"labels": [[name, number % 2] for number, name in enumerate(names)]}
    (root / "dataset.json").write_text(json.dumps(labels))
    new = prepare(root, "image_size=16")
    same(single(root), single(new))


def test_tar_is_read_by_webdataset(tmp_path: Path) -> None:
    make_classes(tmp_path / "photos")
    new = prepare(tmp_path / "photos", "image_size=16", "format=tar")
    with tarfile.open(new / "000000.tar") as archive:
        assert len(archive.getnames()) == 24
    data = WebDataset(str(new), 16, num_classes=2)
    old = ImageFolder(str(tmp_path / "photos"), 16, num_classes=2, test_fraction=0)
    for a, b in zip(data.test_batch(0, 12), old.test_batch(0, 12)):
        assert torch.equal(a, b)


@pytest.mark.parametrize(
    "words, message",
    [
        (["out=photos/new"], "one in the other"),
        (["out=."], "one in the other"),
        (["out=full"], "is not empty"),
        (["out=full/a"], "is a file"),
        ([], "needs out=DIR"),
        (["out=new", "format=gif"], "choose one of png, jpg, tar"),
        (["out=new", "format=tar"], "holds single images"),
        (["out=new", "image_size=[1,2,3]"], "HEIGHT,WIDTH"),
    ],
)
def test_what_prepare_refuses(
    domains: Path, words: list[str], message: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(domains.parent)
    (domains.parent / "full").mkdir()
    (domains.parent / "full/a").touch()
    before = sorted(domains.parent.rglob("*"))
    assert main.main(["data", "prepare", "photos", *words]) == 2
    assert message in capsys.readouterr().err and sorted(domains.parent.rglob("*")) == before
