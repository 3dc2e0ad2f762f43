"""Images of any number of channels and of 16 bits: what is read, and what is refused."""

import io
import os
import signal
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

from gan_cli.data.band_files import scan_images
from gan_cli.data.bands import Bands, tiff_planes
from gan_cli.data.folders import ImageFolder
from gan_cli.data.image_files import read, resize_crop, to_tensor
from gan_cli.utils.image_encoders import png_16_bits, tiff

RAMP = np.arange(3 * 20 * 24, dtype=np.uint16).reshape(20, 24, 3) * 45  # every value of 16 bits is another one


def pixels(file: Path, channels: int, depth: int = 16, window: tuple[float, float] | None = None) -> np.ndarray:
    """(C, H, W) as int64."""
    return to_tensor(read(file, channels, window=window, depth=depth)).numpy().astype(np.int64)


def png(file: Path, values: np.ndarray) -> Path:
    """A PNG file of 16 bits of (H, W, C)."""
    file.write_bytes(png_16_bits(values.transpose(2, 0, 1)))
    return file


@pytest.mark.parametrize(
    "options", [{}, {"byteorder": ">"}, {"compression": "zlib", "predictor": True}, {"planarconfig": "separate"}]
)
def test_color_of_16_bits_keeps_every_value(tmp_path: Path, options: dict) -> None:
    values = RAMP.transpose(2, 0, 1) if "planarconfig" in options else RAMP
    tifffile.imwrite(tmp_path / "a.tif", values, photometric="rgb", **options)
    assert np.array_equal(pixels(tmp_path / "a.tif", 3), RAMP.transpose(2, 0, 1))
    assert np.array_equal(pixels(png(tmp_path / "a.png", RAMP), 3), RAMP.transpose(2, 0, 1))


def test_color_of_16_bits_with_a_window_in_8_bits(tmp_path: Path) -> None:
    """Values of 12 bits fill the 8 bits that are read without depth=16; Pillow itself reads the upper 8 only."""
    values = np.full((4, 4, 3), (0, 2048, 4095), np.uint16)
    assert pixels(png(tmp_path / "a.png", values), 3, 8, (0, 4095))[:, 0, 0].tolist() == [0, 128, 255]
    assert pixels(tmp_path / "a.png", 3, 8)[:, 0, 0].tolist() == [0, 8, 15]


def test_color_of_16_bits_is_turned_upright_blended_and_made_gray(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn
    tifffile.imwrite(tmp_path / "a.tif", RAMP, photometric="rgb", extratags=[(0x0112, 3, 1, 6, True)])
    assert np.array_equal(pixels(tmp_path / "a.tif", 3), np.rot90(RAMP, -1).transpose(2, 0, 1))
    clear = np.dstack([RAMP, np.zeros(RAMP.shape[:2], np.uint16)])
    assert (pixels(png(tmp_path / "clear.png", clear), 3) == 65535).all()
    assert np.array_equal(pixels(tmp_path / "clear.png", 4)[:3], RAMP.transpose(2, 0, 1))
    gray = RAMP @ (0.299, 0.587, 0.114)
    assert np.abs(pixels(png(tmp_path / "a.png", RAMP), 1)[0] - gray).max() <= 1


def test_gray_of_16_bits_and_floats_by_a_window(tmp_path: Path) -> None:
    values = np.array([[100, 101, 4000]], np.uint16)
    Image.fromarray(values).save(tmp_path / "a.png")
    assert pixels(tmp_path / "a.png", 1).tolist() == [values.tolist()]
    assert pixels(tmp_path / "a.png", 3, window=(100, 4000)).tolist() == [[[0, round(65535 / 3900), 65535]]] * 3
    tifffile.imwrite(tmp_path / "f.tif", np.array([[-1000, 0, 3000]], np.float32))
    assert pixels(tmp_path / "f.tif", 1, window=(-1000, 3000)).tolist() == [[[0, 16384, 65535]]]
    with pytest.raises(ValueError, match="black is 0 and white 1"):
        pixels(tmp_path / "f.tif", 1)


def test_eight_bits_become_16_without_the_window(tmp_path: Path) -> None:
    """White is white whatever the depth of the file."""
    Image.fromarray(np.array([[0, 1, 255]], np.uint8)).save(tmp_path / "a.png")
    assert pixels(tmp_path / "a.png", 1, window=(0, 4095)).tolist() == [[[0, 257, 65535]]]


def test_transparency_is_a_channel_of_its_own_if_there_are_four(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    rgba = np.full((4, 4, 4), (10, 20, 30, 40), np.uint8)
    Image.fromarray(rgba).save(tmp_path / "a.png")
    assert pixels(tmp_path / "a.png", 4, 8)[:, 0, 0].tolist() == [10, 20, 30, 40]
    assert pixels(tmp_path / "a.png", 4)[:, 0, 0].tolist() == [257 * v for v in (10, 20, 30, 40)]
    Image.fromarray(rgba[..., :3]).save(tmp_path / "opaque.png")
    assert pixels(tmp_path / "opaque.png", 4, 8)[:, 0, 0].tolist() == [10, 20, 30, 255]
    assert "opaque channel 4" in capsys.readouterr().out


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("layout", ["samples", "planes", "pages"])
def test_tiff_files_of_five_channels(tmp_path: Path, kind: type, layout: str) -> None:
    values = (np.arange(5 * 6 * 7).reshape(5, 6, 7) / (209 if kind is np.float32 else 1)).astype(kind)
    options = {"photometric": "minisblack", "planarconfig": "separate" if layout == "planes" else "contig"}
    if layout == "pages":
        tifffile.imwrite(tmp_path / "a.tif", values, photometric="minisblack")
    else:
        tifffile.imwrite(tmp_path / "a.tif", values if layout == "planes" else values.transpose(1, 2, 0), **options)
    factor = {np.uint8: 257, np.uint16: 1, np.float32: 65535}[kind]
    assert np.array_equal(pixels(tmp_path / "a.tif", 5), (values.astype(np.float64) * factor).round())
    with pytest.raises(ValueError, match=r"a.tif: 5 channels, where 4 are expected \(dataset.channels"):
        pixels(tmp_path / "a.tif", 4)


def test_a_file_per_channel(tmp_path: Path) -> None:
    for number in (1, 2, 3, 4, 5):
        Image.new("L", (6, 4 + (number == 5)), 10 * number).save(tmp_path / f"cell_b{number}.png")
    assert pixels(tmp_path / "cell_b*.png", 4, 8)[:, 0, 0].tolist() == [10, 20, 30, 40]
    assert pixels(tmp_path / "cell_b*.png", 2)[:, 0, 0].tolist() == [2570, 5140]
    with pytest.raises(ValueError, match="its channels differ in size: 6 x 4"):
        read(tmp_path / "cell_b*.png", 5)


def test_bands_are_cropped_and_resized_like_images() -> None:
    values = np.random.default_rng(0).integers(0, 256, (12, 20, 3), dtype=np.uint8)
    image = Image.fromarray(values)
    bands = Bands(image.split())
    assert torch.equal(to_tensor(resize_crop(bands, 8)), to_tensor(resize_crop(image, 8)))  # type: ignore[type-var, arg-type]
    assert torch.equal(to_tensor(bands.crop((1, 2, 7, 9))), to_tensor(image.crop((1, 2, 7, 9))))
    edge = Bands([Image.fromarray(np.repeat(np.float32([[0] * 8 + [65535] * 8]), 16, 0))])
    assert to_tensor(edge.resize((5, 5), Image.Resampling.BICUBIC)).dtype is torch.uint16  # overshoots are clamped


def test_what_cannot_be_read_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.tif").write_bytes(tiff(np.zeros((5, 4, 4), np.uint8)))
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
    with pytest.raises(ValueError, match="3 channels, where 5 are expected"):
        read(tmp_path / "a.png", 5)
    tifffile.imwrite(tmp_path / "time.tif", np.zeros((2, 3, 4, 4), np.uint16), photometric="minisblack")
    with pytest.raises(ValueError, match="an image has Y, X and channels"):
        read(tmp_path / "time.tif", 5)
    (tmp_path / "cut.tif").write_bytes((tmp_path / "a.tif").read_bytes()[:60])
    with pytest.raises(ValueError, match=r"cut\.tif: "):
        read(tmp_path / "cut.tif", 5)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    with pytest.raises(ValueError, match="80 values, too many"):
        read(tmp_path / "a.tif", 5)
    monkeypatch.setitem(sys.modules, "tifffile", None)
    with pytest.raises(ValueError, match=r"a.tif: a TIFF file that needs tifffile: pip install 'gan-cli\[bands\]'"):
        read(tmp_path / "a.tif", 5)


def test_files_per_channel_in_a_folder_and_in_an_archive(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    (tmp_path / "set").mkdir()
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        for name, number in (("a", 1), ("a", 2), ("b", 1), ("b", 2)):
            file = tmp_path / "set" / f"{name}_b{number}.png"
            Image.new("L", (8, 8), 10 * number).save(file)
            archive.write(file, file.name)
    for root in ("set", "set.zip"):
        data = ImageFolder(str(tmp_path / root), 8, channels=2, value_range=(0, 1), test_fraction=0)
        assert data.size == 2 and data.files[0].names == ("a_b*.png", "b_b*.png")
        assert (255 * data.test_batch(0, 1).image[0, :, 0, 0]).round().tolist() == [10, 20]
    assert "2 files, such as a_b1.png, are the channels of one image" in capsys.readouterr().out


def test_color_images_that_are_named_like_channels_stay_images(tmp_path: Path) -> None:
    names = tuple(f"a_b{number}.png" for number in (1, 2, 3))
    for mode, listed in (("RGB", names), ("L", ("a_b*.png",))):
        for name in names:
            Image.new(mode, (8, 8)).save(tmp_path / name)
        assert scan_images(tmp_path, 3).names == listed
        assert scan_images(tmp_path, 1).names == names


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_written_png_files_are_read_again(channels: int) -> None:
    values = np.random.default_rng(0).integers(0, 65536, (channels, 9, 7), dtype=np.uint16)
    content = png_16_bits(values)
    assert Image.open(io.BytesIO(content)).size == (7, 9)
    assert np.array_equal(to_tensor(read("a.png", channels, content, depth=16)).numpy(), values)


@pytest.mark.parametrize("channels", [1, 2, 5])
@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.float32])
def test_written_tiff_files_are_read_again(channels: int, kind: type) -> None:
    values = (np.random.default_rng(0).random((channels, 9, 7)) * 255).astype(kind)
    again = tifffile.imread(io.BytesIO(tiff(values)))
    assert again.dtype == values.dtype and np.array_equal(again.reshape(values.shape), values)


def ome_tiff(file: Path, other: str) -> Path:
    """One black page, whose description says that five channels are the pages of another file."""
    pages = "".join(
        f'<TiffData IFD="{c}" FirstC="{c}" FirstZ="0" FirstT="0" PlaneCount="1">'
        f'<UUID FileName="{other}">urn:uuid:2</UUID></TiffData>'
        for c in range(5)
    )
    text = (
        '<?xml version="1.0" encoding="UTF-8"?>'
        '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="urn:uuid:1"><Image ID="Image:0">'
        '<Pixels ID="Pixels:0" DimensionOrder="XYCZT" Type="uint8" SizeX="8" SizeY="8" SizeC="5" SizeZ="1" SizeT="1">'
        f'<Channel ID="Channel:0:0" SamplesPerPixel="1"/>{pages}</Pixels></Image></OME>'
    )
    page = np.zeros((8, 8), np.uint8)
    tifffile.imwrite(file, page, photometric="minisblack", description=text, metadata=None)
    return file


@pytest.mark.parametrize("name", ["other.tif", "pipe"])
def test_a_tiff_file_cannot_name_another_one(tmp_path: Path, name: str) -> None:
    tifffile.imwrite(tmp_path / "other.tif", np.full((5, 8, 8), 200, np.uint8), photometric="minisblack", metadata=None)
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "in").mkdir()
    signal.signal(signal.SIGALRM, lambda *_: pytest.fail("waits for the pipe"))
    try:
        for number, other in enumerate((f"../{name}", str(tmp_path / name))):
            signal.alarm(3)
            file = ome_tiff(tmp_path / "in" / f"{number}.tif", other)
            with pytest.raises(ValueError, match="1 channel, where 5 are expected"):
                read(file, 5)
    finally:
        signal.alarm(0)


def test_a_tiff_file_does_not_open_its_neighbors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Index files and further parts, which formats find by their names, are not even looked for."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "NDTiff.index").write_bytes(b"\0" * 100)
    values = np.zeros((5, 8, 8), np.uint8)
    tifffile.imwrite("a_MMStack_1.tif", values, photometric="minisblack", metadata=None)
    monkeypatch.setattr(tifffile.TiffFile, "micromanager_metadata", {"MajorVersion": 3})
    asked = []
    with monkeypatch.context() as patch:
        for function in ("builtins.open", "glob.glob", "os.path.exists"):  # not those by which pathlib reads the file
            patch.setattr(function, lambda path, *_, **__: asked.append(path))
        planes = tiff_planes(Path("a_MMStack_1.tif"))
    assert planes.shape == (5, 8, 8) and not asked


def test_only_regular_files_of_bounded_size_are_read_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "a.tif")
    with pytest.raises(ValueError, match="not a regular file"):
        tiff_planes(tmp_path / "a.tif")
    monkeypatch.setattr("gan_cli.data.bands.LARGEST", 100)
    (tmp_path / "b.tif").write_bytes(bytes(101))
    with pytest.raises(ValueError, match="101 bytes, too many"):
        tiff_planes(tmp_path / "b.tif")
