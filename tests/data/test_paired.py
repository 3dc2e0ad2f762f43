"""Pairs from folders: layouts, jitter, splits, archives, and pairs that are made of single images."""

import io
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from helpers import checked, in_bytes, save_plain, save_ramp
from PIL import Image

from gan_cli.config.paths import conf_dir
from gan_cli.data.base import Pairs
from gan_cli.data.derived_pairs import Colorization, Inpainting
from gan_cli.data.download import fetch
from gan_cli.data.lab_color import LabToRGB, lab_to_rgb, rgb_to_lab
from gan_cli.data.paired import PairedFolder


def beside(path: Path, a: int, b: int, size: int = 22) -> None:
    """A|B: two ramps, whose red says which they are, green the column and blue the row."""
    for number in (a, b):
        save_ramp(path.parent / f"{number}.png", number, size)
    halves = [Image.open(path.parent / f"{number}.png") for number in (a, b)]
    whole = Image.new("RGB", (2 * size, size))
    for at, half in enumerate(halves):
        whole.paste(half, (at * size, 0))
        half.close()
        (path.parent / f"{(a, b)[at]}.png").unlink()
    whole.save(path)


def side_by_side(root: Path) -> Path:
    """Pairs i and 100 + i; 5 of train, 2 of val, 3 of test."""
    for split, numbers in {"train": range(5), "val": range(5, 7), "test": range(7, 10)}.items():
        (root / split).mkdir(parents=True)
        for number in numbers:
            beside(root / split / f"{number}.png", number, 100 + number)
    return root


def two_folders(root: Path, name: str) -> Path:
    """The same pairs; `name` says where, such as {split}{side} or {side}/{split}."""
    for split, numbers in {"train": range(5), "val": range(5, 7), "test": range(7, 10)}.items():
        for number in numbers:
            for side, shift in (("A", 0), ("B", 100)):
                save_ramp(root / name.format(split=split, side=side) / f"{number}.png", shift + number)
    return root


def paired(root: Path, **options: object) -> PairedFolder:
    """Crops of 16 from 22 pixels, in [0, 1]."""
    settings = {"root": str(root), "image_size": 16, "load_size": 22, "value_range": (0, 1), **options}
    return PairedFolder(**settings)  # type: ignore[arg-type]


LAYOUTS: dict[str, Callable[[Path], Path]] = {
    "side by side": side_by_side,
    "trainA, trainB": lambda root: two_folders(root, "{split}{side}"),
    "A/train, B/train": lambda root: two_folders(root, "{side}/{split}"),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts_and_partners(layout: str, tmp_path: Path) -> None:
    data = paired(LAYOUTS[layout](tmp_path / "pairs"), image_size=22)
    assert (data.size, data.test_size) == (5, 3)
    test = data.test_batch(0, 4)
    assert in_bytes(test.source[:, 0, 3, 3]).tolist() == [7, 8, 9, 7]
    assert in_bytes(test.target[:, 0, 3, 3]).tolist() == [107, 108, 109, 107]
    assert torch.equal(in_bytes(test.source[0, 1, 5]), torch.arange(22.0))  # no pixel of the other half
    assert torch.equal(in_bytes(test.target[0, 1, 5]), torch.arange(22.0))
    train = data.train_batch(0, 0, 10)
    for epoch in in_bytes(train.source[:, 0, 3, 3]).split(5):
        assert sorted(epoch.tolist()) == [0, 1, 2, 3, 4]
    assert torch.equal(in_bytes(train.source[:, 0, 3, 3]) + 100, in_bytes(train.target[:, 0, 3, 3]))


def test_one_crop_and_one_mirror_for_both(tmp_path: Path) -> None:
    data = paired(side_by_side(tmp_path / "pairs"))
    x, y = (in_bytes(part)[:, 1:] for part in data.train_batch(0, 0, 400))
    assert torch.equal(x, y)  # column and row of every pixel
    left, top = x[:, 0].amin((1, 2)), x[:, 1].amin((1, 2))
    assert sorted(left.unique().tolist()) == sorted(top.unique().tolist()) == list(range(7))
    mirrored = x[:, 0, 0, 0] > x[:, 0, 0, -1]
    assert 0.4 < mirrored.float().mean() < 0.6 and (x[:, 1, 0] < x[:, 1, -1]).all()
    draws = torch.stack([left, top, mirrored.float()])
    assert (torch.corrcoef(draws) - torch.eye(3)).abs().max() < 0.2
    still = paired(tmp_path / "pairs", image_size=22, flip=False).train_batch(0, 0, 20).source
    assert torch.equal(in_bytes(still[:, 1, 0]), torch.arange(22.0).expand(20, 22))


def test_stream_is_pure(tmp_path: Path) -> None:
    data = paired(side_by_side(tmp_path / "pairs"))
    whole = data.train_batch(5, 0, 7)
    data.train_batch(6, 100, 3)
    parts = [data.train_batch(5, 4, 3), data.train_batch(5, 0, 4)]
    for k in range(2):
        assert torch.equal(whole[k], torch.cat([parts[1][k], parts[0][k]]))
    assert not torch.equal(whole.source, data.train_batch(6, 0, 7).source)


def test_direction_and_range(tmp_path: Path) -> None:
    root = side_by_side(tmp_path / "pairs")
    forth, back = paired(root, value_range=(-1, 1)), paired(root, value_range=(-1, 1), direction="BtoA")
    batches = [(one.test_batch(0, 3), one.train_batch(2, 0, 4)) for one in (forth, back)]
    for a, b in zip(*batches):
        assert torch.equal(a.source, b.target) and torch.equal(a.target, b.source)
    assert forth.fingerprint() != back.fingerprint() and forth.test_batch(0, 1).source.min() == -1
    gray = paired(root, channels=1).test_batch(0, 1)
    assert gray.source.shape == (1, 1, 16, 16) and PairedFolder(str(root))._geometry.load_size == (286, 286)


@pytest.mark.parametrize(("without", "held_out"), [((), 7), (("test",), 5), (("test", "val"), 0)])
def test_held_out_split(without: tuple[str, ...], held_out: int, tmp_path: Path) -> None:
    root = side_by_side(tmp_path / "pairs")
    for split in without:
        shutil.rmtree(root / split)
    assert in_bytes(paired(root, image_size=22).test_batch(0, 1).source[0, 0, 0, 0]) == held_out


def test_partners_may_differ_in_suffix_and_sorting(tmp_path: Path) -> None:
    for name, side, number in (("1", "A", 1), ("1-b", "A", 2), ("1", "B", 101), ("1-b", "B", 102)):
        suffix = "png" if side == "A" else "bmp"
        save_ramp(tmp_path / f"train{side}" / f"{name}.png", number)
        (tmp_path / f"train{side}" / f"{name}.png").rename(tmp_path / f"train{side}" / f"{name}.{suffix}")
    (tmp_path / "trainA" / "1.png").rename(tmp_path / "trainA" / "1.webp")  # sorts behind 1-b.png; a PNG all the same
    batch = paired(tmp_path, image_size=22).test_batch(0, 2)
    assert in_bytes(batch.source[:, 0, 0, 0]).tolist() == [1, 2]
    assert in_bytes(batch.target[:, 0, 0, 0]).tolist() == [101, 102]


def odd_width(root: Path) -> None:
    save_plain(root / "train" / "odd.png", (1, 2, 3), (45, 22))


def no_partner(root: Path) -> None:
    shutil.rmtree(root)
    two_folders(root, "{split}{side}")
    (root / "trainB" / "3.png").unlink()


def broken(root: Path) -> None:
    (root / "test" / "bad.png").write_bytes(b"not a image")


def twice(root: Path) -> None:
    shutil.rmtree(root)
    two_folders(root, "{split}{side}")
    shutil.copy(root / "trainA" / "3.png", root / "trainA" / "3.bmp")


def empty(root: Path) -> None:
    shutil.rmtree(root)
    (root / "photos").mkdir(parents=True)


def several(root: Path) -> None:
    for name in ("one", "two"):
        shutil.copytree(root / "train", root / "sets" / name / "train")
    shutil.move(root / "sets", root.parent / "sets")
    shutil.rmtree(root)
    shutil.move(root.parent / "sets", root)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (odd_width, r"broken images, 1 in all.*odd.png: 45 pixels wide: two images side by side have an even width"),
        (no_partner, r"1 images of .*trainA have no partner in .*trainB: 3.png"),
        (broken, r"broken images, 1 in all.*bad.png: not an image"),
        (twice, r"trainA holds images of one name with different suffixes"),
        (empty, r"no training pairs in .*: dataset.root holds train/ with images A\|B side by side, or trainA/"),
        (several, r"several sets: set dataset.root to .*one or .*two"),
    ],
)
def test_invalid_folders(damage: Callable[[Path], None], message: str, tmp_path: Path) -> None:
    root = side_by_side(tmp_path / "pairs")
    damage(root)
    with pytest.raises((ValueError, FileNotFoundError), match=message) as caught:
        paired(root)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"direction": "AB"}, "direction AB: choose AtoB or BtoA"),
        ({"load_size": 15}, "load_size 15: it must be at least image_size, which is 16"),
        ({"source_channels": -1}, "channels -1"),
        ({"image_size": 0}, "image_size 0"),
        ({"value_range": (0, 255)}, "value_range"),
    ],
)
def test_wrong_settings(options: dict[str, object], message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        paired(side_by_side(tmp_path / "pairs"), **options)


# archives


def tarred(folder: Path, inside: str, mode: str = "w:gz") -> str:
    path = folder.parent / "pairs.tar.gz"
    with tarfile.open(path, mode) as out:  # type: ignore[call-overload]
        for file in sorted(folder.rglob("*.png")):
            out.add(file, inside + file.relative_to(folder).as_posix())
    return path.as_uri()


@pytest.mark.parametrize(("inside", "mode"), [("facades/", "w:gz"), ("./facades/", "w:xz"), ("", "w")])
def test_tar_archive_of_the_authors(inside: str, mode: str, tmp_path: Path) -> None:
    folder = side_by_side(tmp_path / "pairs")
    url, root = tarred(folder, inside, mode), tmp_path / "data" / "fetched"
    data = paired(root, url=url)
    assert torch.equal(data.train_batch(0, 0, 5).source, paired(folder).train_batch(0, 0, 5).source)
    assert [path.name for path in root.parent.iterdir()] == ["fetched"]
    assert sorted(path.name for path in root.iterdir()) == ["test", "train", "val"]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("../evil.png", tarfile.REGTYPE),
        ("/evil.png", tarfile.REGTYPE),
        ("a/..\\..\\evil.png", tarfile.REGTYPE),
        ("evil.png", tarfile.SYMTYPE),
        ("evil.png", tarfile.LNKTYPE),
        ("evil.png", tarfile.CHRTYPE),
        ("evil.png", tarfile.FIFOTYPE),
    ],
)
def test_unsafe_tars_are_refused(name: str, kind: bytes, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "evil.tar.gz", "w:gz") as out:
        member = tarfile.TarInfo(name)
        member.type, member.linkname = kind, "/etc/passwd"
        member.size = 4 if kind == tarfile.REGTYPE else 0
        out.addfile(member, io.BytesIO(b"evil"))
    with pytest.raises(ValueError, match="unsafe member"):
        fetch((tmp_path / "evil.tar.gz").as_uri(), tmp_path / "data" / "fetched")
    assert not list((tmp_path / "data").iterdir()) and not (tmp_path / "evil.png").exists()


@pytest.mark.parametrize("left", [0.2, 0.9])
def test_broken_tar(left: float, tmp_path: Path) -> None:
    (tmp_path / "pairs").mkdir()
    (tmp_path / "pairs" / "noise.png").write_bytes(torch.randint(256, (40_000,), dtype=torch.uint8).numpy().tobytes())
    url = tarred(tmp_path / "pairs", "pairs/")
    archive = tmp_path / "pairs.tar.gz"
    archive.write_bytes(archive.read_bytes()[: int(left * 40_000)])
    with pytest.raises(ValueError, match="not a complete zip or tar archive"):
        fetch(url, tmp_path / "data" / "fetched")
    assert not list((tmp_path / "data").iterdir())


# pairs of single images


@pytest.mark.parametrize(
    ("rgb", "lab"),
    [
        ((255, 255, 255), (100.0, 0.0, 0.0)),
        ((0, 0, 0), (0.0, 0.0, 0.0)),
        ((255, 0, 0), (53.2408, 80.0925, 67.2032)),   # published values for sRGB's primaries, D65
        ((0, 255, 0), (87.7347, -86.1827, 83.1793)),
        ((0, 0, 255), (32.2970, 79.1875, -107.8602)),
        ((119, 119, 119), (50.0344, 0.0, 0.0)),
    ],
)  # fmt: skip
def test_lab_of_known_colors(rgb: tuple[int, ...], lab: tuple[float, ...]) -> None:
    pixel = torch.tensor(rgb, dtype=torch.float64).view(1, 3, 1, 1) / 255
    torch.testing.assert_close(
        rgb_to_lab(pixel).flatten(), torch.tensor(lab, dtype=torch.float64), atol=0.02, rtol=0
    )


def test_lab_and_back() -> None:
    torch.manual_seed(0)
    rgb = torch.rand(2, 3, 9, 9)
    torch.testing.assert_close(lab_to_rgb(rgb_to_lab(rgb)), rgb, atol=1e-4, rtol=0)
    lab = rgb_to_lab(rgb)
    image = LabToRGB()(lab[:, :1] / 50 - 1, lab[:, 1:] / 110)
    torch.testing.assert_close(image, 2 * rgb - 1, atol=2e-4, rtol=0)


def photographs(root: Path) -> Path:
    for number in range(10):
        save_ramp(root / f"{number}.png", 10 * number, size=24)
    return root


def test_colorization(tmp_path: Path) -> None:
    data = Colorization(str(photographs(tmp_path / "set")), image_size=24, load_size=24, flip=False)
    assert (data.size, data.test_size, data.channels, data.source_channels) == (9, 1, 2, 1)
    x, y = data.train_batch(0, 0, 9)
    assert x.shape == (9, 1, 24, 24) and y.shape == (9, 2, 24, 24)
    assert min(x.min(), y.min()) >= -1 and max(x.max(), y.max()) <= 1
    seen = ((LabToRGB()(x, y) + 1) * 127.5).round()
    assert torch.equal(seen[:, 1, 5], torch.arange(24.0).expand(9, 24))
    held_out = (LabToRGB()(*data.test_batch(0, 1))[0, 0, 0, 0] + 1) * 127.5
    assert round(held_out.item()) not in seen[:, 0, 0, 0].tolist()
    with pytest.raises(ValueError, match="channels 2"):
        Colorization(str(tmp_path / "set"), channels=3)


def test_inpainting_cuts_the_middle_out(tmp_path: Path) -> None:
    data = Inpainting(str(photographs(tmp_path / "set")), image_size=16, load_size=24)
    for x, y in (data.train_batch(3, 0, 50), data.test_batch(0, 1)):
        differs = (x != y).any(1)
        assert not differs[:, :4].any() and not differs[:, 12:].any() and not differs[:, :, :4].any()
        assert not differs[:, :, 12:].any() and (x[:, :, 4:12, 4:12] == 1).all() and differs[:, 4:12, 4:12].all()
    pixels = ((data.train_batch(3, 0, 200).target + 1) * 127.5).round()[:, 1:]
    left, top = pixels[:, 0].amin((1, 2)), pixels[:, 1].amin((1, 2))
    assert sorted(left.unique().tolist()) == sorted(top.unique().tolist()) == list(range(9))
    assert 0.35 < (pixels[:, 0, 0, 0] > pixels[:, 0, 0, -1]).float().mean() < 0.65
    whole, parts = data.train_batch(4, 0, 5), [data.train_batch(4, 2, 3), data.train_batch(4, 0, 2)]
    assert torch.equal(whole.source, torch.cat([parts[1].source, parts[0].source]))
    with pytest.raises(ValueError, match="load_size 8"):
        Inpainting(str(tmp_path / "set"), image_size=16, load_size=8)


def test_derived_pairs_stretch_whole_images(tmp_path: Path) -> None:
    """image.scale(im, loadSize, loadSize) of donkey_folder.lua. The left third of the images is black."""
    for number in range(3):
        image = Image.new("RGB", (48, 16), (255, 255, 255))
        image.paste((0, 0, 0), (0, 0, 16, 16))
        (tmp_path / "wide").mkdir(exist_ok=True)
        image.save(tmp_path / "wide" / f"{number}.png")
    for stretch, black in ((True, 1 / 3), (False, 0.0)):
        data = Inpainting(str(tmp_path / "wide"), image_size=24, load_size=24, flip=False, stretch=stretch)
        for pairs in (data.train_batch(0, 0, 2), data.test_batch(0, 1)):
            assert (pairs.target < 0).float().mean().item() == pytest.approx(black, abs=0.01)
    assert checked("dataset=colorization", "dataset.root=x", "model=pix2pix").dataset.stretch
    assert checked("dataset=inpainting", "dataset.root=x", "model=pix2pix").dataset.stretch


def test_derived_fingerprints_differ(tmp_path: Path) -> None:
    root = str(photographs(tmp_path / "set"))
    made = [kind(root, image_size=24, load_size=24) for kind in (Colorization, Inpainting)]
    assert made[0].fingerprint() != made[1].fingerprint() and all(one.batch_type is Pairs for one in made)


# configs


@pytest.mark.parametrize(
    ("name", "archive", "direction"),
    [
        ("facades_paired", "facades", "BtoA"),
        ("maps_paired", "maps", "AtoB"),
        ("edges2shoes", "edges2shoes", "AtoB"),
        ("edges2handbags", "edges2handbags", "AtoB"),
        ("night2day", "night2day", "BtoA"),
        ("cityscapes_paired", None, "BtoA"),
    ],
)
def test_configs(name: str, archive: str | None, direction: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GAN_DATA", "/sets")
    cfg = checked(f"dataset={name}", "model=pix2pix", *([] if archive else ["dataset.root=/sets/mine"]))
    assert cfg.dataset.direction == direction and (conf_dir() / "dataset" / f"{name}.yaml").exists()
    if archive:
        assert cfg.dataset.root == f"/sets/{name}"
        assert cfg.dataset.url == f"http://efrosgans.eecs.berkeley.edu/pix2pix/datasets/{archive}.tar.gz"
    if name.startswith("edges"):
        assert cfg.dataset.load_size == cfg.dataset.image_size and not cfg.dataset.flip
