"""MNIST, Fashion-MNIST and CIFAR-10, each held in memory as one uint8 tensor and normalized per batch.

The files are read from `root`; torchvision downloads them to it if they do not exist.
"""

import gzip
import hashlib
import math
import zlib
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import interpolate, pad

from gan_cli.data import fetching
from gan_cli.data.base import Dataset, Images, as_range, order, positions, scale, uniform
from gan_cli.data.shapes import LUMA

SPLITS = {True: "train", False: "t10k"}
HELD_OUT = 1 << 40  # first position of the noise of held-out images; training does not get so far


class InMemoryImages(Dataset):
    """Images and labels that fit into memory. train, test: uint8 (N, C, H, W) and int64 (N,), resized if needed.

    padding: black pixels on each side, which are part of image_size: 28 pixels and a padding of 2 make 32.

    dequantize: map a pixel p of 0 .. 255 to (p + U[0, 1)) / 256 of the value range instead of p / 255, with new noise
    at each position of the stream, as gan_cifar_resnet.py of WGAN-GP: 2 (p / 256 - 1/2) + U[0, 1/128) in [-1, 1].

    validation: how many of the last training images are withheld from training.
    """

    def __init__(
        self, train: tuple[Tensor, Tensor], test: tuple[Tensor, Tensor], *, image_size: int, channels: int,
        num_classes: int | None, value_range: Sequence[float], dequantize: bool = False, padding: int = 0,
        validation: int = 0,
    ) -> None:
        if not 0 <= validation < len(train[0]):
            raise ValueError(f"validation={validation}: choose 0 .. {len(train[0]) - 1} of the training images")
        if not 0 <= 2 * padding < max(image_size, 1):
            raise ValueError(f"padding={padding}: twice that must be less than image_size={image_size}")
        classes = int(train[1].max()) + 1
        if num_classes not in (None, classes):
            raise ValueError(f"num_classes={num_classes}: this set has {classes} classes; null hides them")
        self.image_size, self.channels, self.num_classes = image_size, channels, num_classes
        self.value_range, self.dequantize = as_range(value_range), dequantize
        inner, frame = image_size - 2 * padding, [padding] * 4
        images, size = pad(resize(train[0], inner, channels), frame), len(train[0]) - validation
        self.train, self.train_label = images[:size], train[1][:size]
        self.validation, self.validation_label, self.validation_size = images[size:], train[1][size:], validation
        self.test, self.test_label = pad(resize(test[0], inner, channels), frame), test[1]
        self.size, self.test_size = size, len(self.test)

    def train_batch(self, seed: int, start: int, count: int) -> Images:
        index = order(seed, start, count, self.size).to(self.train.device)
        return self._images(self.train[index], self.train_label[index], seed, positions(start, count, index.device))

    def test_batch(self, start: int, count: int) -> Images:
        index = positions(start, count, self.test.device) % self.test_size
        return self._images(self.test[index], self.test_label[index], 0, HELD_OUT + index)

    def validation_batch(self, start: int, count: int) -> Images:
        index = positions(start, count, self.validation.device)
        return self._images(self.validation[index], self.validation_label[index], 0, HELD_OUT + self.test_size + index)

    def _images(self, pixels: Tensor, label: Tensor, seed: int, position: Tensor) -> Images:
        assert self.value_range is not None
        low, high = self.value_range
        image = scale(pixels, self.value_range)
        if self.dequantize:
            image = low + (high - low) / 256 * (pixels + uniform_like(pixels, seed, position))
        return Images(image, label if self.num_classes else None)

    def fingerprint(self) -> str:
        digest = hashlib.sha256()
        for part in (self.train, self.train_label, self.test, self.test_label):
            digest.update(str(tuple(part.shape)).encode() + part.cpu().numpy().tobytes())
        if self.dequantize:
            digest.update(b"dequantized")
        return digest.hexdigest()[:16]

    def to(self, device: torch.device) -> "InMemoryImages":
        for name in ("train", "train_label", "validation", "validation_label", "test", "test_label"):
            setattr(self, name, getattr(self, name).to(device))
        return self


def uniform_like(pixels: Tensor, seed: int, position: Tensor) -> Tensor:
    """Return U[0, 1) for every value of `pixels` (N, C, H, W), whose samples are at `position` (N,) of the stream."""
    size = pixels[0].numel()
    index = position[:, None] * size + torch.arange(size, device=position.device)
    return uniform(seed, index, 0).view(pixels.shape)


def resize(pixels: Tensor, image_size: int, channels: int) -> Tensor:
    """Resize uint8 (N, C, H, W) to (N, channels, image_size, image_size): antialiased, bilinear, gray or RGB."""
    if image_size < 1:
        raise ValueError(f"image_size={image_size}: an image needs at least one pixel")
    if channels not in (1, 3):
        raise ValueError(f"channels={channels}: choose 1 (gray) or 3 (RGB)")
    if pixels.shape[-1] != image_size:
        size = (image_size, image_size)
        # In parts, because all images at once as float32 would need four times their memory.
        parts = (interpolate(p.float(), size, mode="bilinear", antialias=True) for p in pixels.split(4096))
        pixels = torch.cat([part.round().clamp(0, 255).byte() for part in parts])
    if pixels.shape[1] == 1 and channels == 3:
        return pixels.expand(-1, 3, -1, -1).contiguous()
    if pixels.shape[1] == 3 and channels == 1:
        return (pixels.float() * LUMA[:, None, None]).sum(1, keepdim=True).round().byte()
    return pixels


class MNIST(InMemoryImages):
    """MNIST: 60,000 + 10,000 digits of 28 x 28 (LeCun et al. 1998), from root/MNIST/raw, compressed (.gz) or not."""

    folder = "MNIST"

    def __init__(
        self, root: str, image_size: int = 28, channels: int = 1, num_classes: int | None = 10,
        value_range: Sequence[float] = (-1.0, 1.0), dequantize: bool = False, padding: int = 0, validation: int = 0,
    ) -> None:
        train, test = (self._read(Path(root).expanduser(), split) for split in (True, False))
        super().__init__(train, test, image_size=image_size, channels=channels, num_classes=num_classes,
                         value_range=value_range, dequantize=dequantize, padding=padding, validation=validation)

    def _read(self, root: Path, train: bool) -> tuple[Tensor, Tensor]:
        names = [f"{SPLITS[train]}-images-idx3-ubyte", f"{SPLITS[train]}-labels-idx1-ubyte"]
        files = [_find(root, self.folder, name) for name in names]
        if None in files:
            self._download(root)
            files = [_find(root, self.folder, name) for name in names]
        images, labels = (read_idx(file) for file in files if file)
        if images.ndim != 3 or labels.shape != images.shape[:1]:
            shapes = " and ".join(" x ".join(map(str, part.shape)) for part in (images, labels))
            raise ValueError(f"{files[0]} and {files[1]} hold {shapes} values: there is one label per image")
        return images[:, None], labels.long()

    def _download(self, root: Path) -> None:
        """Download the compressed files. FileNotFoundError if a file cannot be had; new folders are deleted then."""
        import torchvision
        from torchvision.datasets.utils import download_url

        fetching.check(None, root, "root")
        source = getattr(torchvision.datasets, self.folder)
        folder = root / self.folder / "raw"
        new = [path for path in (folder, folder.parent, root) if not path.exists()]
        for name, md5 in source.resources:
            if _find(root, self.folder, name.removesuffix(".gz")):
                continue
            for mirror in source.mirrors:
                try:
                    # Checked by its md5 under a temporary name, so that a broken download is never taken for the file.
                    download_url(f"{mirror}{name}", str(folder), filename=f".{name}.part", md5=md5)
                    (folder / f".{name}.part").rename(folder / name)
                    break
                except (OSError, RuntimeError):  # no network, disk full, no such file: try the next mirror
                    (folder / f".{name}.part").unlink(missing_ok=True)
            else:
                for path in new:
                    with suppress(OSError):  # it does not exist, or is no longer empty
                        path.rmdir()
                raise _absent(folder, self.folder)


class FashionMNIST(MNIST):
    """Fashion-MNIST: 60,000 + 10,000 articles of clothing of 28 x 28 (Xiao et al. 2017), in MNIST's format."""

    folder = "FashionMNIST"
    class_names = ("T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "boot")


class CIFAR10(InMemoryImages):
    """CIFAR-10: 50,000 + 10,000 photographs of 32 x 32 (Krizhevsky 2009), from root/cifar-10-batches-py."""

    class_names = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")

    def __init__(
        self, root: str, image_size: int = 32, channels: int = 3, num_classes: int | None = 10,
        value_range: Sequence[float] = (-1.0, 1.0), dequantize: bool = False,
    ) -> None:
        train, test = (self._read(Path(root).expanduser(), split) for split in (True, False))
        super().__init__(train, test, image_size=image_size, channels=channels, num_classes=num_classes,
                         value_range=value_range, dequantize=dequantize)

    @staticmethod
    def _read(root: Path, train: bool) -> tuple[Tensor, Tensor]:
        from torchvision.datasets import CIFAR10 as Source

        missing = not (root / Source.base_folder).is_dir()
        if missing:
            fetching.check(None, root, "root")
        try:
            source = Source(str(root), train=train, download=missing)
        except (OSError, RuntimeError) as error:  # RuntimeError: missing files or a wrong md5
            raise _absent(root / Source.base_folder, "CIFAR-10") from error
        return torch.from_numpy(source.data).permute(0, 3, 1, 2).contiguous(), torch.tensor(source.targets)


def _find(root: Path, folder: str, name: str) -> Path | None:
    """Find the file `name`, compressed or not; `root` may also be the data set's own folder, or its folder raw."""
    folders = (root / folder / "raw", root / "raw", root)
    candidates = (path / f"{name}{suffix}" for path in folders for suffix in (".gz", ""))
    return next((path for path in candidates if path.is_file()), None)


def _absent(folder: Path, name: str) -> FileNotFoundError:
    return FileNotFoundError(
        f"{name} is not complete in {folder} and could not be downloaded; set dataset.root=DIR to another folder"
    )


def read_idx(file: Path) -> Tensor:
    """Read an idx file of unsigned bytes, compressed or not. ValueError if it is truncated or of another format."""
    try:
        data = file.read_bytes()
        data = gzip.decompress(data) if file.suffix == ".gz" else data
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"{file} cannot be read ({error}); delete it, and it is downloaded again") from error
    dims = data[3] if len(data) > 3 else 0
    shape = [int.from_bytes(data[4 + 4 * i : 8 + 4 * i], "big") for i in range(dims)]
    body = torch.frombuffer(bytearray(data[4 + 4 * dims :] or b"\0"), dtype=torch.uint8)  # it refuses an empty buffer
    if data[:3] != b"\0\0\x08" or not shape or body.numel() != math.prod(shape):
        raise ValueError(f"{file} is not a complete idx file of bytes; delete it, and it is downloaded again")
    return body.view(shape)
