"""Folders of images: pixels of every kind of file, streams, the cache, downloads, and bad input."""

import multiprocessing
import os
import shutil
import signal
import stat
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from gan_cli.compose import Composer, arguments
from gan_cli.config import check, conf_dir
from gan_cli.data import cache, images
from gan_cli.data.folders import ImageFolder, UnpairedFolder
from gan_cli.data.images import decode
from gan_cli.hydra_app import without_hydra


@pytest.fixture(autouse=True)
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GAN_CACHE", str(tmp_path / "store"))
    return tmp_path / "store"


def paint(path: Path, colour: tuple[int, int, int], size: tuple[int, int] = (20, 20)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path)


def ramp(path: Path, number: int, size: int = 22) -> None:
    """Red says which image, green which column, blue which row: a crop shows where it came from."""
    pixels = np.zeros((size, size, 3), np.uint8)
    pixels[..., 0], pixels[..., 1], pixels[..., 2] = number, np.arange(size), np.arange(size)[:, None]
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


@pytest.fixture
def classes(tmp_path: Path) -> Path:
    """20 images in 2 classes; grey value = 10 * number, 100 and more in the second class."""
    for number in range(20):
        grey = 10 * number
        paint(
            tmp_path / "set" / ("cat" if number < 10 else "dog") / f"{number}.png",
            (grey, grey, grey),
            (12, 30),
        )
    return tmp_path / "set"


@pytest.fixture
def domains(tmp_path: Path) -> Path:
    for folder, count in {"trainA": 7, "trainB": 11, "testA": 2, "testB": 3}.items():
        for number in range(count):
            ramp(tmp_path / "pair" / folder / f"{number}.png", number + (100 if folder.endswith("B") else 0))
    return tmp_path / "pair"


def unpaired(root: Path, **options: object) -> UnpairedFolder:
    """Crops of 16 from 22 pixels, in bytes."""
    return UnpairedFolder(
        **{"root": str(root), "image_size": 16, "load_size": 22, "value_range": (0, 255), **options}
    )


# Pixels


def test_colour_is_kept_and_made_grey(tmp_path: Path) -> None:
    paint(tmp_path / "a.png", (255, 128, 0), (3, 2))
    assert decode(tmp_path / "a.png", 3).shape == (3, 2, 3)
    assert decode(tmp_path / "a.png", 3)[:, 0, 0].tolist() == [255, 128, 0]
    assert decode(tmp_path / "a.png", 1)[0, 0, 0] == round(0.299 * 255 + 0.587 * 128)


def test_grey_becomes_equal_channels(tmp_path: Path) -> None:
    Image.new("L", (2, 2), 77).save(tmp_path / "a.png")
    assert decode(tmp_path / "a.png", 3)[:, 1, 1].tolist() == [77, 77, 77]
    assert decode(tmp_path / "a.png", 1)[:, 1, 1].tolist() == [77]


@pytest.mark.parametrize("mode, colour", [("RGBA", (200, 100, 0, 51)), ("LA", (100, 51))])
def test_transparency_lies_on_white(tmp_path: Path, mode: str, colour: tuple[int, ...]) -> None:
    Image.new(mode, (2, 2), colour).save(tmp_path / "a.png")
    shown = colour[:3] if mode == "RGBA" else colour[:1] * 3
    expected = torch.tensor([255 + (value - 255) * 0.2 for value in shown])
    assert (decode(tmp_path / "a.png", 3)[:, 0, 0] - expected).abs().max() <= 1


def test_palette_with_a_transparent_colour(tmp_path: Path) -> None:
    picture = Image.new("P", (2, 1))
    picture.putpalette([9, 8, 7, 200, 0, 0])
    picture.putdata([0, 1])
    picture.save(tmp_path / "a.png")
    picture.save(tmp_path / "b.png", transparency=1)
    assert decode(tmp_path / "a.png", 3)[:, 0].T.tolist() == [[9, 8, 7], [200, 0, 0]]
    assert decode(tmp_path / "b.png", 3)[:, 0].T.tolist() == [[9, 8, 7], [255, 255, 255]]


@pytest.mark.parametrize(
    "dtype, values, suffix",
    [
        (np.uint16, [0, 257, 32896, 65535], "png"),
        (np.uint16, [0, 257, 32896, 65535], "tif"),
        (np.int32, [0, 257, 32896, 65535], "tif"),
        (np.float32, [0, 1 / 255, 128 / 255, 1], "tif"),
        (np.float32, [0, 1, 128, 255], "tif"),
        (np.float32, [0, 257, 32896, 65535], "tif"),
    ],
)
def test_deep_greyscale(tmp_path: Path, dtype: type, values: list[float], suffix: str) -> None:
    Image.fromarray(np.array([values], dtype)).save(tmp_path / f"a.{suffix}")
    assert decode(tmp_path / f"a.{suffix}", 1).flatten().tolist() == [0, 1, 128, 255]
    assert decode(tmp_path / f"a.{suffix}", 3)[2].flatten().tolist() == [0, 1, 128, 255]


@pytest.mark.parametrize("value", [-1.0, 1e9, float("nan")])
def test_depth_that_is_unknown_is_refused(tmp_path: Path, value: float) -> None:
    Image.fromarray(np.array([[value, 0]], np.float32)).save(tmp_path / "deep.tif")
    with pytest.raises(ValueError, match=r"deep\.tif: pixels from .* 8 or 16 bits"):
        decode(tmp_path / "deep.tif", 1)


def test_cmyk(tmp_path: Path) -> None:
    Image.new("CMYK", (8, 8), (0, 255, 255, 0)).save(tmp_path / "a.jpg", quality=100)
    assert (decode(tmp_path / "a.jpg", 3)[:, 4, 4].int() - torch.tensor([255, 0, 0])).abs().max() < 8


def test_exif_turns_the_picture(tmp_path: Path) -> None:
    picture = Image.new("RGB", (2, 1))
    picture.putdata([(255, 0, 0), (0, 0, 255)])
    exif = Image.Exif()
    exif[0x0112] = 6  # to be shown turned by 90 degrees clockwise
    picture.save(tmp_path / "a.png", exif=exif)
    assert decode(tmp_path / "a.png", 3)[:, :, 0].T.tolist() == [[255, 0, 0], [0, 0, 255]]


def test_resize_is_centred_and_antialiased() -> None:
    wide = Image.fromarray(np.tile(np.repeat(np.uint8([0, 90, 0]), [20, 40, 20]), (40, 1)))
    middle = images.to_tensor(images.resize_crop(wide, 8))[0]
    assert (middle[:, 1:-1].int() - 90).abs().max() <= 1 and middle.min() > 80
    assert torch.equal(middle[:, :4], middle[:, 4:].flip(1))
    checks = Image.fromarray((np.indices((64, 64)).sum(0) % 2 * 255).astype(np.uint8))
    for fit in (images.resize_crop, images.stretch):
        assert (images.to_tensor(fit(checks, 8)).float() - 127.5).abs().max() < 8
    assert images.to_tensor(images.stretch(wide, 8))[0, 4].tolist()[0] == 0


# ImageFolder


def test_split_is_the_same_everywhere(classes: Path, tmp_path: Path) -> None:
    first = ImageFolder(str(classes), image_size=8)
    shutil.copytree(classes, tmp_path / "moved")
    second = ImageFolder(str(tmp_path / "moved"), image_size=8)
    assert (first.size, first.test_size) == (18, 2)
    assert torch.equal(first.test_batch(0, 2).image, second.test_batch(0, 2).image)
    assert first.fingerprint() == second.fingerprint()
    train = first.train_batch(0, 0, 18).image[:, 0, 0, 0].tolist()
    test = first.test_batch(0, 2).image[:, 0, 0, 0].tolist()
    assert len(set(train)) == 18 and not set(train) & set(test)
    assert torch.equal(first.test_batch(1, 2).image, first.test_batch(0, 2).image.flip(0))


def test_labels_are_the_subfolders(classes: Path) -> None:
    data = ImageFolder(str(classes), image_size=8, num_classes=2, value_range=(0, 255))
    for batch in (data.train_batch(3, 5, 40), data.test_batch(0, 2)):
        assert batch.label is not None and batch.label.dtype == torch.int64
        assert torch.equal(batch.label, (batch.image[:, 0, 0, 0] >= 100).long())
    assert ImageFolder(str(classes), image_size=8).train_batch(0, 0, 2).label is None


def test_wrong_number_of_classes(classes: Path, tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match=r"has 2 subfolders with images \(cat, dog\); set dataset.num_classes=2"
    ):
        ImageFolder(str(classes), image_size=8, num_classes=3)
    paint(tmp_path / "test" / "cow" / "1.png", (1, 1, 1))
    with pytest.raises(ValueError, match="cow, which is no class of"):
        ImageFolder(str(classes), image_size=8, num_classes=2, test_root=str(tmp_path / "test"))
    paint(classes / "loose.png", (1, 1, 1))
    with pytest.raises(ValueError, match="lie in no subfolder"):
        ImageFolder(str(classes), image_size=8, num_classes=2)


def test_own_test_folder(classes: Path, tmp_path: Path) -> None:
    paint(tmp_path / "test" / "dog" / "1.png", (255, 255, 255))
    data = ImageFolder(str(classes), image_size=8, num_classes=2, test_root=str(tmp_path / "test"))
    assert (data.size, data.test_size) == (20, 1)
    image, label = data.test_batch(0, 1)
    assert image.unique().tolist() == [1.0] and label is not None and label.tolist() == [1]


def test_flip_mirrors_half(tmp_path: Path) -> None:
    for number in range(4):
        ramp(tmp_path / "set" / f"{number}.png", number, size=8)
    plain, flipped = (ImageFolder(str(tmp_path / "set"), image_size=8, flip=flip) for flip in (False, True))
    rising = [
        (d.train_batch(0, 0, 400).image[:, 1, 0].diff() > 0).all(1).float().mean() for d in (plain, flipped)
    ]
    assert rising[0] == 1 and 0.4 < rising[1] < 0.6


def test_grey_images(classes: Path) -> None:
    assert ImageFolder(str(classes), image_size=8, channels=1).train_batch(0, 0, 3).image.shape == (
        3,
        1,
        8,
        8,
    )


# UnpairedFolder


def test_stream_is_pure(domains: Path, classes: Path) -> None:
    for data in (unpaired(domains), ImageFolder(str(classes), image_size=8, num_classes=2, flip=True)):
        whole = data.train_batch(5, 0, 4)
        data.train_batch(6, 100, 3)
        parts = [data.train_batch(5, 2, 2), data.train_batch(5, 0, 2)]
        for k, tensor in enumerate(whole):
            assert torch.equal(tensor, torch.cat([parts[1][k], parts[0][k]]))
        assert not torch.equal(whole[0], data.train_batch(6, 0, 4)[0])


def test_epochs_are_shuffled_apart(domains: Path) -> None:
    data = unpaired(domains)
    assert (data.size, data.test_size) == (11, 3)
    batch = data.train_batch(0, 0, 77)
    x, y = batch.x[:, 0, 0, 0].long(), batch.y[:, 0, 0, 0].long() - 100
    assert all(sorted(epoch.tolist()) == list(range(7)) for epoch in x.split(7))
    assert all(sorted(epoch.tolist()) == list(range(11)) for epoch in y.split(11))
    assert len(set(zip(x.tolist(), y.tolist()))) > 40  # of 77 pairs; hand in hand would give few
    assert len({tuple(epoch.tolist()) for epoch in x.split(7)}) > 5


def test_same_sizes_are_not_hand_in_hand(domains: Path) -> None:
    shutil.rmtree(domains / "trainB")
    shutil.copytree(domains / "trainA", domains / "trainB")
    batch = unpaired(domains).train_batch(0, 0, 70)
    assert (batch.x[:, 0, 0, 0] == batch.y[:, 0, 0, 0]).float().mean() < 0.5
    assert not torch.equal(batch.x[:, 1:, 0, 0], batch.y[:, 1:, 0, 0])  # nor are the crops


def test_crops_reach_every_place(domains: Path) -> None:
    for image in unpaired(domains).train_batch(0, 0, 800):
        across, down = image[:, 1], image[:, 2]
        left, top = across.amin((1, 2)), down.amin((1, 2))
        assert sorted(left.unique().tolist()) == sorted(top.unique().tolist()) == list(range(7))
        assert torch.equal(across.amax((1, 2)) - left, torch.full((800,), 15.0))
        mirrored = across[:, 0, 0] > across[:, 0, -1]
        assert 0.4 < mirrored.float().mean() < 0.6
        assert (down[:, 0, 0] < down[:, -1, 0]).all()
        draws = torch.stack([left, top, mirrored.float()])
        assert (torch.corrcoef(draws) - torch.eye(3)).abs().max() < 0.15
    assert not (unpaired(domains, flip=False).train_batch(0, 0, 50).x[:, 1, 0].diff() < 0).any()


def test_held_out_images_are_whole(domains: Path) -> None:
    batch = unpaired(domains, image_size=22).test_batch(0, 3)
    assert batch.x[:, 0, 0, 0].tolist() == [0, 1, 0] and batch.y[:, 0, 0, 0].tolist() == [100, 101, 102]
    assert torch.equal(batch.x[0, 1, 0], torch.arange(22.0))
    assert unpaired(domains).test_batch(0, 1).x.shape == (1, 3, 16, 16)


def test_without_test_folders_the_training_images(domains: Path) -> None:
    shutil.rmtree(domains / "testA")
    data = unpaired(domains, image_size=22)
    assert data.test_size == 7
    assert data.test_batch(0, 7).x[:, 0, 0, 0].tolist() == list(range(7))


def test_load_size_and_range(domains: Path) -> None:
    data = UnpairedFolder(str(domains), image_size=256)
    assert data._stores[0].shape[-1] == 286
    assert data.train_batch(0, 0, 1).x.min() >= -1
    with pytest.raises(ValueError, match=r"load_size 8: .* image_size, which is 16"):
        unpaired(domains, load_size=8)


def test_root_may_lie_one_folder_up(domains: Path, tmp_path: Path) -> None:
    assert unpaired(tmp_path).fingerprint() == unpaired(domains).fingerprint()
    shutil.copytree(domains, tmp_path / "other")
    with pytest.raises(ValueError, match=r"several sets: set dataset\.root to"):
        unpaired(tmp_path)
    shutil.rmtree(domains / "trainB")
    with pytest.raises(FileNotFoundError, match="no folder trainB in"):
        unpaired(domains)


# The cache


def test_second_time_nothing_is_decoded(classes: Path, monkeypatch: pytest.MonkeyPatch, store: Path) -> None:
    first = ImageFolder(str(classes), image_size=8)
    calls: list[Path] = []
    read = images.read
    monkeypatch.setattr(images, "read", lambda file, channels: calls.append(file) or read(file, channels))
    again = ImageFolder(str(classes), image_size=8)
    assert not calls and torch.equal(first.test_batch(0, 2).image, again.test_batch(0, 2).image)
    for change in ({"image_size": 9}, {"image_size": 8, "channels": 1}):
        calls.clear()
        ImageFolder(str(classes), **change)
        assert len(calls) == 20
    paint(classes / "cat" / "0.png", (99, 99, 99), (12, 30))
    calls.clear()
    ImageFolder(str(classes), image_size=8)
    assert len(calls) == 20
    assert len(list(store.iterdir())) == 4


def test_a_truncated_cache_file_is_made_anew(classes: Path, store: Path) -> None:
    first = ImageFolder(str(classes), image_size=8)
    (file,) = store.iterdir()
    file.write_bytes(file.read_bytes()[:-1])
    assert torch.equal(
        ImageFolder(str(classes), image_size=8).test_batch(0, 2).image, first.test_batch(0, 2).image
    )


def test_large_sets_are_mapped(classes: Path, monkeypatch: pytest.MonkeyPatch, store: Path) -> None:
    small = ImageFolder(str(classes), image_size=8)
    monkeypatch.setattr(cache, "IN_MEMORY", 100)
    large = ImageFolder(str(classes), image_size=8)
    assert torch.equal(large.train_batch(0, 0, 18).image, small.train_batch(0, 0, 18).image)
    with open(next(store.iterdir()), "r+b") as file:
        file.write(b"\x07" * large._stores[0].numel())
    assert large._stores[0].unique().tolist() == [7] and len(small._stores[0].unique()) > 7


def slow(file: Path, channels: int) -> Image.Image:
    time.sleep(0.02)
    return READ(file, channels)


READ = images.read


def test_two_processes_build_once(classes: Path, monkeypatch: pytest.MonkeyPatch, store: Path, capfd) -> None:
    monkeypatch.setattr(images, "read", slow)
    fork = multiprocessing.get_context("fork")
    others = [fork.Process(target=ImageFolder, args=(str(classes), 8)) for _ in range(2)]
    for process in others:
        process.start()
    mine = ImageFolder(str(classes), image_size=8)
    for process in others:
        process.join()
    assert [process.exitcode for process in others] == [0, 0]
    assert len(list(store.iterdir())) == 1
    assert capfd.readouterr().out.count("are kept in") == 1
    assert len(set(mine.train_batch(0, 0, 18).image[:, 0, 0, 0].tolist())) == 18


def die(file: Path, channels: int) -> Image.Image:
    if file.name == "5.png":
        os.kill(os.getpid(), signal.SIGKILL)
    return READ(file, channels)


def test_a_killed_builder_leaves_no_harm(classes: Path, monkeypatch: pytest.MonkeyPatch, store: Path) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(images, "read", die)
        process = multiprocessing.get_context("fork").Process(target=ImageFolder, args=(str(classes), 8))
        process.start()
        process.join()
    assert process.exitcode == -signal.SIGKILL
    assert [file.suffix for file in store.iterdir()] == [".part"]
    ImageFolder(str(classes), image_size=8)
    assert [file.suffix for file in store.iterdir()] == [".u8"]


@pytest.mark.parametrize("why", ["full", "fills up", "unwritable"])
def test_no_room_in_the_cache(
    why: str, classes: Path, monkeypatch: pytest.MonkeyPatch, store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    expected = ImageFolder(str(classes), image_size=8).train_batch(0, 0, 5).image
    shutil.rmtree(store)
    if why == "full":
        monkeypatch.setattr(shutil, "disk_usage", lambda folder: shutil._ntuple_diskusage(10, 10, 0))
    elif why == "fills up":
        monkeypatch.setattr(
            os, "fsync", lambda handle: (_ for _ in ()).throw(OSError(28, "No space left on device"))
        )
    else:
        store.write_text("a file where the folder should be")
    capsys.readouterr()
    assert torch.equal(ImageFolder(str(classes), image_size=8).train_batch(0, 0, 5).image, expected)
    out = capsys.readouterr().out.splitlines()
    assert (
        len(out) == 1
        and out[0].startswith("note: ")
        and out[0].endswith("decoded images stay in memory only")
    )
    assert not store.is_dir() or not list(store.iterdir())


# Bad input


def test_missing_folder_and_its_neighbour(classes: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"there is no folder .*sett; did you mean .*/set\?"):
        ImageFolder(f"{classes}t")
    with pytest.raises(
        FileNotFoundError, match=r"there is no folder .*/quite/else; set dataset.test_root=FOLDER"
    ):
        ImageFolder(str(classes), test_root=str(classes / "quite" / "else"))
    with pytest.raises(ValueError, match="is a file"):
        ImageFolder(str(classes / "cat" / "1.png"))


def test_empty_folder(tmp_path: Path) -> None:
    (tmp_path / "set" / ".hidden").mkdir(parents=True)
    (tmp_path / "set" / "notes.txt").write_text("no image")
    paint(tmp_path / "set" / ".hidden" / "1.png", (0, 0, 0))
    (tmp_path / "set" / "._1.png").write_bytes(b"what one system leaves beside each file")
    with pytest.raises(ValueError, match=r"no images in .*set: files that count end in \.png, \.jpg"):
        ImageFolder(str(tmp_path / "set"))


def test_broken_files_are_named_together(domains: Path, store: Path) -> None:
    (domains / "trainA" / "text.jpg").write_text("not an image")
    (domains / "trainB" / "empty.png").touch()
    Image.effect_noise((64, 64), 50).save(domains / "testA" / "whole.jpg")
    whole = (domains / "testA" / "whole.jpg").read_bytes()
    (domains / "testA" / "whole.jpg").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError) as caught:
        unpaired(domains)
    message = str(caught.value)
    assert message.startswith("broken images, 3 in all") and "\n" not in message
    assert "text.jpg: not an image" in message and "empty.png: empty file" in message
    assert "whole.jpg: image file is truncated" in message
    assert not list(store.iterdir())
    for number in range(3):
        (domains / "testB" / f"bad{number}.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"rubbish" * number)
    with pytest.raises(ValueError, match=r"broken images, 6 in all.*; \.\.\.$"):
        unpaired(domains)


def test_decode_names_the_file(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text("text")
    with pytest.raises(ValueError, match=r"a\.png: not an image"):
        decode(tmp_path / "a.png", 3)
    with pytest.raises(ValueError, match=r"b\.png: No such file"):
        decode(tmp_path / "b.png", 3)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"image_size": 0}, "image_size 0"),
        ({"channels": 2}, "channels 2"),
        ({"test_fraction": 1.0}, "test_fraction 1.0"),
        ({"value_range": (1, -1)}, "low < high"),
    ],
)
def test_wrong_settings(classes: Path, options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ImageFolder(**{"root": str(classes), **options})


def test_links_are_followed_once(classes: Path, tmp_path: Path) -> None:
    (tmp_path / "view").mkdir()
    (tmp_path / "view" / "linked").symlink_to(classes / "cat")
    (tmp_path / "view" / "loop").symlink_to(tmp_path / "view")
    assert len(images.scan(tmp_path / "view").names) == 10


# Downloads


def archive(folder: Path, inside: str = "pair/") -> str:
    path = folder.parent / "pair.zip"
    with zipfile.ZipFile(path, "w") as out:
        for file in folder.rglob("*.png"):
            out.write(file, inside + file.relative_to(folder).as_posix())
    return path.as_uri()


@pytest.mark.parametrize("inside", ["pair/", ""])
def test_download(domains: Path, tmp_path: Path, inside: str) -> None:
    url, root = archive(domains, inside), tmp_path / "data" / "sets" / "fetched"
    data = unpaired(root, url=url)
    assert torch.equal(data.train_batch(0, 0, 3).x, unpaired(domains).train_batch(0, 0, 3).x)
    assert sorted(path.name for path in root.iterdir()) == ["testA", "testB", "trainA", "trainB"]
    assert [path.name for path in root.parent.iterdir()] == ["fetched"]
    (tmp_path / "pair.zip").unlink()
    unpaired(root, url=url)


def test_no_network(tmp_path: Path) -> None:
    root = tmp_path / "data" / "horses"
    with pytest.raises(FileNotFoundError) as caught:
        unpaired(root, url="http://127.0.0.1:9/horses.zip")
    message = str(caught.value)
    assert "\n" not in message and str(root) in message and "dataset.root=FOLDER" in message
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("bad", ["../evil.png", "/evil.png", "a/..\\..\\evil.png", "link"])
def test_unsafe_archives_are_refused(domains: Path, tmp_path: Path, bad: str) -> None:
    url = archive(domains)
    with zipfile.ZipFile(tmp_path / "pair.zip", "a") as out:
        member = zipfile.ZipInfo(bad)
        if bad == "link":
            member.external_attr = (stat.S_IFLNK | 0o777) << 16
        out.writestr(member, "/etc/passwd")
    with pytest.raises(ValueError, match="unsafe member"):
        unpaired(tmp_path / "data" / "fetched", url=url)
    assert not list((tmp_path / "data").iterdir()) and not (tmp_path / "evil.png").exists()


def test_broken_archive(domains: Path, tmp_path: Path) -> None:
    url = archive(domains)
    for damage in (lambda content: content[:100], lambda content: content.replace(b"IDAT", b"XXXX")):
        whole = (tmp_path / "pair.zip").read_bytes()
        (tmp_path / "pair.zip").write_bytes(damage(whole))
        with pytest.raises(ValueError, match="no sound zip archive"):
            unpaired(tmp_path / "data" / "fetched", url=url)
        assert not list((tmp_path / "data").iterdir())
        (tmp_path / "pair.zip").write_bytes(whole)


def test_configs_fit_their_constructors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GAN_DATA", "/sets")
    for file in (conf_dir() / "dataset").glob("*.yaml"):
        if "unpaired_folder" in file.read_text():
            cfg = Composer(arguments([])).compose([f"dataset={file.stem}", "model=cyclegan"])
            check(without_hydra(cfg))
            assert cfg.dataset.root == f"/sets/{file.stem}" and cfg.dataset.url.endswith(f"/{file.stem}.zip")
