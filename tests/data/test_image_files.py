"""What pixels every kind of image file gives."""

import io
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import save_plain
from PIL import Image

from gan_cli.data import image_files, listing
from gan_cli.data.image_files import Window, decode


def test_color_is_kept_or_converted_to_gray(tmp_path: Path) -> None:
    save_plain(tmp_path / "a.png", (255, 128, 0), (3, 2))
    assert decode(tmp_path / "a.png", 3).shape == (3, 2, 3)
    assert decode(tmp_path / "a.png", 3)[:, 0, 0].tolist() == [255, 128, 0]
    assert decode(tmp_path / "a.png", 1)[0, 0, 0] == round(0.299 * 255 + 0.587 * 128)


def test_gray_becomes_equal_channels(tmp_path: Path) -> None:
    Image.new("L", (2, 2), 77).save(tmp_path / "a.png")
    assert decode(tmp_path / "a.png", 3)[:, 1, 1].tolist() == [77, 77, 77]
    assert decode(tmp_path / "a.png", 1)[:, 1, 1].tolist() == [77]


@pytest.mark.parametrize("mode, color", [("RGBA", (200, 100, 0, 51)), ("LA", (100, 51))])
def test_transparency_is_composited_on_white(tmp_path: Path, mode: str, color: tuple[int, ...]) -> None:
    Image.new(mode, (2, 2), color).save(tmp_path / "a.png")
    shown = color[:3] if mode == "RGBA" else color[:1] * 3
    expected = torch.tensor([255 + (value - 255) * 0.2 for value in shown])
    assert (decode(tmp_path / "a.png", 3)[:, 0, 0] - expected).abs().max() <= 1


def test_palette_with_a_transparent_color(tmp_path: Path) -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([9, 8, 7, 200, 0, 0])
    image.putdata([0, 1])
    image.save(tmp_path / "a.png")
    image.save(tmp_path / "b.png", transparency=1)
    assert decode(tmp_path / "a.png", 3)[:, 0].T.tolist() == [[9, 8, 7], [200, 0, 0]]
    assert decode(tmp_path / "b.png", 3)[:, 0].T.tolist() == [[9, 8, 7], [255, 255, 255]]


@pytest.mark.parametrize(
    "dtype, values, suffix, window",
    [
        (np.uint16, [0, 257, 32896, 65535], "png", None),
        (np.uint16, [0, 257, 32896, 65535], "tif", None),
        (np.int32, [0, 257, 32896, 65535], "tif", None),
        (np.float32, [0, 1 / 255, 128 / 255, 1], "tif", None),
        (np.float32, [0, 1, 128, 255], "tif", (0, 255)),
        (np.float32, [0, 257, 32896, 65535], "tif", (0, 65535)),
        (np.float32, [-1000, -984, 1008, 3000], "tif", (-1000, 3000)),
        (np.uint16, [0, 16, 2056, 4095], "png", (0, 4095)),
        (np.int32, [-1, 0, 127, 254], "tif", (-1, 254)),
    ],
)
def test_deep_grayscale(tmp_path: Path, dtype: type, values: list[float], suffix: str, window: Window) -> None:
    Image.fromarray(np.array([values], dtype)).save(tmp_path / f"a.{suffix}")
    assert decode(tmp_path / f"a.{suffix}", 1, window).flatten().tolist() == [0, 1, 128, 255]
    assert decode(tmp_path / f"a.{suffix}", 3, window)[2].flatten().tolist() == [0, 1, 128, 255]


@pytest.mark.parametrize("value, window", [(-1.0, None), (1.01, None), (1e9, None), (255, (0, 200))])
def test_values_outside_the_window_are_refused(tmp_path: Path, value: float, window: Window) -> None:
    Image.fromarray(np.array([[value, 0]], np.float32)).save(tmp_path / "deep.tif")
    with pytest.raises(ValueError, match=r"deep\.tif: pixels from .* dataset\.window=\[LOW,HIGH\]") as caught:
        decode(tmp_path / "deep.tif", 1, window)
    assert f"{value:g}" in str(caught.value) and "\n" not in str(caught.value)


def test_a_window_does_not_change_images_of_8_bits(tmp_path: Path) -> None:
    save_plain(tmp_path / "a.png", (255, 128, 0), (3, 2))
    assert decode(tmp_path / "a.png", 3, (0, 4095))[:, 0, 0].tolist() == [255, 128, 0]


def test_values_that_are_no_numbers_are_refused(tmp_path: Path) -> None:
    Image.fromarray(np.array([[float("nan"), 0]], np.float32)).save(tmp_path / "deep.tif")
    with pytest.raises(ValueError, match=r"deep\.tif: .* no finite numbers"):
        decode(tmp_path / "deep.tif", 1)


@pytest.mark.parametrize("window", [[1, 0], [0, 0], [0], [0, float("inf")], [float("nan"), 1]])
def test_windows_that_are_none(window: list[float]) -> None:
    with pytest.raises(ValueError, match=r"window is \[LOW, HIGH\]"):
        image_files.as_window(window)


def test_cmyk(tmp_path: Path) -> None:
    Image.new("CMYK", (8, 8), (0, 255, 255, 0)).save(tmp_path / "a.jpg", quality=100)
    assert (decode(tmp_path / "a.jpg", 3)[:, 4, 4].int() - torch.tensor([255, 0, 0])).abs().max() < 8


def test_exif_orientation_is_applied(tmp_path: Path) -> None:
    image = Image.new("RGB", (2, 1))
    image.putdata([(255, 0, 0), (0, 0, 255)])
    exif = Image.Exif()
    exif[0x0112] = 6  # to be shown turned by 90 degrees clockwise
    image.save(tmp_path / "a.png", exif=exif)
    assert decode(tmp_path / "a.png", 3)[:, :, 0].T.tolist() == [[255, 0, 0], [0, 0, 255]]


def test_resize_is_centered_and_antialiased() -> None:
    wide = Image.fromarray(np.tile(np.repeat(np.uint8([0, 90, 0]), [20, 40, 20]), (40, 1)))
    middle = image_files.to_tensor(image_files.resize_crop(wide, 8))[0]
    assert (middle[:, 1:-1].int() - 90).abs().max() <= 1 and middle.min() > 80
    assert torch.equal(middle[:, :4], middle[:, 4:].flip(1))
    checks = Image.fromarray((np.indices((64, 64)).sum(0) % 2 * 255).astype(np.uint8))
    for fit in (image_files.resize_crop, image_files.stretch):
        assert (image_files.to_tensor(fit(checks, 8)).float() - 127.5).abs().max() < 8
    assert image_files.to_tensor(image_files.stretch(wide, 8))[0, 4].tolist()[0] == 0


def test_decode_names_the_file(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text("text")
    with pytest.raises(ValueError, match=r"a\.png: not an image"):
        decode(tmp_path / "a.png", 3)
    with pytest.raises(ValueError, match=r"b\.png: No such file"):
        decode(tmp_path / "b.png", 3)


KINDS = ["PNG", "JPEG", "GIF", "WEBP", "TIFF", "BMP", "PPM", *(["AVIF"] if listing.AVIF else [])]


@pytest.mark.filterwarnings("ignore::Warning:PIL")
@pytest.mark.parametrize("kind", KINDS)
def test_damaged_images_are_refused_in_one_line(kind: str) -> None:
    """300 images with a few changed bytes each: read, or refused by name."""
    file, chance = io.BytesIO(), random.Random(0)
    Image.fromarray(np.arange(24 * 20 * 3, dtype=np.uint8).reshape(24, 20, 3)).save(file, kind)
    refused = 0
    for _ in range(300):
        content = bytearray(file.getvalue())
        for _ in range(chance.choice([1, 4, 16])):
            content[chance.randrange(min(len(content), 200))] = chance.randrange(256)
        try:
            image_files.read("a.png", 3, bytes(content))
        except ValueError as error:
            refused += 1
            assert str(error).startswith("a.png: ") and "\n" not in str(error)
    assert refused > 20


def test_pillow_prints_no_warnings_of_its_own(tmp_path: Path) -> None:
    """They do not name the file. In a process of its own, because pytest has its own filters of warnings."""
    Image.new("1", (10_000, 9_000)).save(tmp_path / "a.png")
    words = f"from gan_cli.data import image_files; image_files.upright_size({str(tmp_path / 'a.png')!r})"
    ended = subprocess.run([sys.executable, "-c", words], capture_output=True, text=True, check=True)
    assert not ended.stderr and not ended.stdout


def test_a_file_of_another_format_is_no_image_whatever_its_name(tmp_path: Path) -> None:
    """Pillow starts Ghostscript, a program with a language of its own, for EPS."""
    content = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\n(executed) (w) file\n%%EOF\n"
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(ValueError, match=r"a\.png: not an image"):
        image_files.read(tmp_path / "a.png", 3)
