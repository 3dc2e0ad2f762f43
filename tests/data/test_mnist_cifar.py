"""MNIST and its kin from small files in their format: read, resized, refused when broken, fetched whole."""

import gzip
import math
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from helpers import RAW, TEST, TRAIN, mnist_files, write_mnist
from torch import Tensor

from gan_cli.data.mnist_cifar import CIFAR10, MNIST, FashionMNIST, resize


def numbers(image: Tensor) -> list[int]:
    return ((image[:, 0, 0, 0] + 1) * 127.5).round().int().tolist()


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    def refuse(*_: object, **__: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr("torchvision.datasets.utils.download_url", refuse)


@pytest.mark.parametrize("packed", [False, True])
def test_batches_hold_what_the_files_hold(packed, tmp_path):
    data = MNIST(str(write_mnist(tmp_path, packed)))
    assert (data.size, data.test_size) == (TRAIN, TEST)
    image, label = data.train_batch(0, 0, TRAIN)
    assert image.shape == (TRAIN, 1, 28, 28) and image.dtype == torch.float32
    assert sorted(numbers(image)) == list(range(TRAIN)) and numbers(image) != list(range(TRAIN))
    assert label.dtype == torch.int64 and label.tolist() == [number % 10 for number in numbers(image)]
    held_out = data.test_batch(TEST - 1, 3)
    assert numbers(held_out.image) == [105, 100, 101] and held_out.label.tolist() == [5, 0, 1]


def test_the_last_training_images_may_be_withheld_for_validation(tmp_path):
    data = MNIST(str(write_mnist(tmp_path)), validation=10)
    assert (data.size, data.validation_size, data.test_size) == (TRAIN - 10, 10, TEST)
    assert sorted(numbers(data.train_batch(0, 0, TRAIN - 10).image)) == list(range(TRAIN - 10))
    image, label = data.validation_batch(2, 8)
    assert numbers(image) == list(range(TRAIN - 8, TRAIN)) and label.tolist() == [n % 10 for n in numbers(image)]
    assert data.fingerprint() != MNIST(str(tmp_path)).fingerprint() and "10 for validation" in data.describe()
    with pytest.raises(ValueError, match="validation"):
        MNIST(str(tmp_path), validation=TRAIN)
    assert MNIST(str(tmp_path)).validation_size == 0


def test_the_stream_is_pure_and_splits(tmp_path):
    data = MNIST(str(write_mnist(tmp_path)))
    whole = data.train_batch(4, 5, 50)
    parts = [data.train_batch(4, start, count) for start, count in ((5, 1), (6, 30), (36, 19))]
    assert torch.equal(torch.cat([part.image for part in parts]), whole.image)
    assert torch.equal(torch.cat([part.label for part in parts]), whole.label)
    whole.image.zero_()
    assert torch.equal(data.train_batch(4, 5, 50).image[:1], parts[0].image)


def test_packed_and_unpacked_are_the_same_data_and_nothing_is_written(tmp_path):
    roots = [write_mnist(tmp_path / "packed", True), write_mnist(tmp_path / "plain")]
    roots.append(write_mnist(tmp_path / "flat", folder=Path()))
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    sets = [MNIST(str(root)) for root in roots]
    assert len({data.fingerprint() for data in sets}) == 1
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before
    changed = roots[1] / RAW / "t10k-labels-idx1-ubyte"
    changed.write_bytes(changed.read_bytes()[:-1] + b"\x09")
    assert MNIST(str(roots[1]), num_classes=None).fingerprint() != sets[0].fingerprint()


def test_size_channels_range_and_labels_as_asked(tmp_path):
    data = MNIST(str(write_mnist(tmp_path)), image_size=32, channels=3, num_classes=None, value_range=[0, 1])
    batch = data.test_batch(0, TEST)
    assert batch.image.shape == (TEST, 3, 32, 32) and batch.label is None
    assert torch.allclose(batch.image, (torch.arange(100.0, 106) / 255)[:, None, None, None].expand(-1, 3, 32, 32))
    assert data.train.dtype == torch.uint8


def test_resizing_is_antialiased_and_gray_is_luma():
    lines = torch.zeros(1, 1, 28, 28, dtype=torch.uint8)
    lines[..., ::4] = 255
    assert (resize(lines, 7, 1)[..., 1:-1].float() - 64).abs().max() < 20  # without a filter: 0
    step = torch.zeros(2, 1, 8, 8, dtype=torch.uint8)
    step[..., 4:] = 255
    big = resize(step, 16, 1)
    assert big.dtype == torch.uint8 and big[0, 0, 0, 0] == 0 and big[0, 0, 0, -1] == 255
    assert (big.diff(dim=-1).int() >= 0).all()
    pure = torch.tensor([[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255]], dtype=torch.uint8)[:, :, None, None]
    assert resize(pure, 1, 1).flatten().tolist() == [76, 150, 29, 255]
    assert torch.equal(resize(pure, 1, 3), pure)


@pytest.mark.parametrize("wrong", [{"image_size": 0}, {"channels": 2}, {"num_classes": 7}, {"value_range": [1, -1]}])
def test_invalid_values_give_a_one_line_error(wrong, tmp_path):
    with pytest.raises(ValueError) as error:
        MNIST(str(write_mnist(tmp_path)), **wrong)
    assert next(iter(wrong)) in str(error.value) and "\n" not in str(error.value)


# broken, absent, fetched


BROKEN = {
    "cut": lambda data: data[: len(data) // 2],
    "empty": lambda data: b"",
    "long": lambda data: data + b"x",
    "text": lambda data: b"<html>not found</html>",
    "other type": lambda data: data[:2] + b"\x0d" + data[3:],
}


@pytest.mark.parametrize("how", BROKEN)
@pytest.mark.parametrize("packed", [False, True])
def test_a_broken_file_is_named_with_the_remedy(how, packed, tmp_path):
    good = mnist_files()["train-images-idx3-ubyte"]
    file = write_mnist(tmp_path, packed) / RAW / ("train-images-idx3-ubyte" + ".gz" * packed)
    file.write_bytes(gzip.compress(BROKEN[how](good)) if packed else BROKEN[how](good))
    with pytest.raises(ValueError, match="delete it") as error:
        MNIST(str(tmp_path))
    assert str(file) in str(error.value) and "\n" not in str(error.value)


WRONG = [("labels-idx1", (9,)), ("images-idx3", (9, 28, 28)), ("images-idx3", (TRAIN,))]


@pytest.mark.parametrize("part, shape", WRONG)
def test_images_and_labels_of_different_numbers_are_refused(part, shape, tmp_path):
    file = write_mnist(tmp_path) / RAW / f"train-{part}-ubyte"
    dims = b"".join(size.to_bytes(4, "big") for size in shape)
    file.write_bytes(b"\0\0\x08" + bytes([len(shape)]) + dims + bytes(math.prod(shape)))
    with pytest.raises(ValueError, match=f"hold .*{shape[0]}.* values: there is one label per image"):
        MNIST(str(tmp_path))


@pytest.mark.parametrize("how", ["cut", "empty", "text", "flipped"])
def test_a_broken_archive_is_named_with_the_remedy(how, tmp_path):
    file = write_mnist(tmp_path, packed=True) / RAW / "train-images-idx3-ubyte.gz"
    data = bytearray(file.read_bytes())
    damage = {**BROKEN, "flipped": lambda data: data[:20] + bytes(255 - byte for byte in data[20:40]) + data[40:]}
    file.write_bytes(damage[how](data))
    with pytest.raises(ValueError, match="delete it") as error:
        MNIST(str(tmp_path))
    assert str(file) in str(error.value)


def test_missing_data_give_an_error_with_folder_and_setting(tmp_path):
    with pytest.raises(FileNotFoundError) as error:
        FashionMNIST(str(tmp_path / "nowhere"))
    text = str(error.value)
    assert str(tmp_path / "nowhere" / "FashionMNIST" / "raw") in text and "dataset.root" in text and "\n" not in text


def test_one_missing_file_is_an_error(tmp_path):
    (write_mnist(tmp_path) / RAW / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(FileNotFoundError, match="MNIST"):
        MNIST(str(tmp_path))


def test_fetching_checks_sums_tries_mirrors_and_leaves_whole_files(tmp_path, monkeypatch):
    import torchvision

    asked: list[str] = []

    def download(url: str, root: str, filename: str, md5: str) -> None:
        asked.append(url)
        assert len(md5) == 32
        Path(root).mkdir(parents=True, exist_ok=True)
        whole = gzip.compress(mnist_files()[url.rpartition("/")[2].removesuffix(".gz")])
        good = url.startswith(torchvision.datasets.MNIST.mirrors[-1])
        (Path(root) / filename).write_bytes(whole if good else whole[:100])
        if not good:
            raise RuntimeError("File not found or corrupted.")

    monkeypatch.setattr("torchvision.datasets.utils.download_url", download)
    assert MNIST(str(tmp_path)).size == TRAIN
    assert {path.name for path in (tmp_path / RAW).iterdir()} == {f"{name}.gz" for name in mnist_files()}
    count = len(asked)
    assert MNIST(str(tmp_path)).size == TRAIN and len(asked) == count  # now there, not fetched again


def test_a_failed_fetch_leaves_nothing_that_later_passes(tmp_path, monkeypatch):
    def download(url: str, root: str, filename: str, md5: str) -> None:
        Path(root).mkdir(parents=True, exist_ok=True)
        (Path(root) / filename).write_bytes(b"half")
        raise RuntimeError("File not found or corrupted.")

    monkeypatch.setattr("torchvision.datasets.utils.download_url", download)
    with pytest.raises(FileNotFoundError):
        MNIST(str(tmp_path))
    assert list(tmp_path.iterdir()) == []
    (tmp_path / RAW).mkdir(parents=True)
    with pytest.raises(FileNotFoundError):
        MNIST(str(tmp_path))
    assert list((tmp_path / RAW).iterdir()) == []  # a folder that was there stays


def test_cifar10_is_turned_to_channels_first(tmp_path, monkeypatch):
    def source(root: str, train: bool, download: bool) -> SimpleNamespace:
        count = 30 if train else 10
        pixels = torch.arange(count * 32 * 32 * 3).reshape(count, 32, 32, 3) % 251
        return SimpleNamespace(data=pixels.byte().numpy(), targets=[n % 10 for n in range(count)])

    source.base_folder = "cifar-10-batches-py"
    monkeypatch.setattr("torchvision.datasets.CIFAR10", source)
    data = CIFAR10(str(tmp_path), value_range=[0, 1])
    image, label = data.test_batch(0, 10)
    assert (data.size, data.test_size) == (30, 10) and image.shape == (10, 3, 32, 32)
    assert (image[0, :, 0, :2] * 255).round().tolist() == [[0, 3], [1, 4], [2, 5]]
    assert label.tolist() == list(range(10))
