"""Image files that Pillow cannot write: PNG of 16 bits per channel in color, and TIFF of any number of channels."""

import struct
import zlib

import numpy as np

PNG_COLOR_TYPE = {1: 0, 3: 2, 4: 6}  # channels -> gray, RGB, RGBA
UNSIGNED, FLOAT = 1, 3  # values of the TIFF tag SampleFormat
SHORT, LONG = 3, 4  # types of TIFF fields


def png_16_bits(pixels: np.ndarray) -> bytes:
    """A PNG file of uint16 (C, H, W) with C = 1 (gray), 3 (RGB) or 4 (RGBA)."""
    channels, height, width = pixels.shape
    rows = np.ascontiguousarray(pixels.transpose(1, 2, 0), dtype=">u2").view(np.uint8).reshape(height, -1)
    # Filter 2, "up", stores differences to the row above: smooth images compress several times better.
    filtered = np.empty((height, rows.shape[1] + 1), dtype=np.uint8)
    filtered[:, 0], filtered[:, 1:] = 2, rows
    filtered[1:, 1:] -= rows[:-1]
    header = struct.pack(">IIBBBBB", width, height, 16, PNG_COLOR_TYPE[channels], 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(filtered.tobytes(), 6)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks
    )


def tiff(pixels: np.ndarray) -> bytes:
    """An uncompressed TIFF file of uint8, uint16 or float32 (C, H, W): one plane per channel, no transparency."""
    channels, height, width = pixels.shape
    planes = np.ascontiguousarray(pixels, dtype=pixels.dtype.newbyteorder("<"))
    each = planes[0].nbytes
    fields: list[tuple[int, int, list[int]]] = [  # tag, type, values; sorted by tag
        (256, LONG, [width]),
        (257, LONG, [height]),
        (258, SHORT, [8 * pixels.itemsize] * channels),
        (259, SHORT, [1]),  # no compression
        (262, SHORT, [1]),  # 0 is black
        (273, LONG, [0] * channels),  # offsets of the planes, filled in below
        (277, SHORT, [channels]),
        (278, LONG, [height]),
        (279, LONG, [each] * channels),
        (284, SHORT, [2]),  # a plane per channel
        *([(338, SHORT, [0] * (channels - 1))] if channels > 1 else []),  # further channels, none of them alpha
        (339, SHORT, [FLOAT if pixels.dtype.kind == "f" else UNSIGNED] * channels),
    ]
    # Values of more than 4 bytes lie behind the directory, which begins after the header of 8 bytes.
    behind = 8 + 2 + 12 * len(fields) + 4
    start = behind + sum(size for _, kind, values in fields if (size := len(_packed(kind, values))) > 4)
    directory, extra = struct.pack("<H", len(fields)), b""
    for tag, kind, values in fields:
        content = _packed(kind, [start + i * each for i in range(channels)] if tag == 273 else values)
        place = content.ljust(4, b"\0") if len(content) <= 4 else struct.pack("<I", behind + len(extra))
        extra += content if len(content) > 4 else b""
        directory += struct.pack("<HHI", tag, kind, len(values)) + place
    return struct.pack("<2sHI", b"II", 42, 8) + directory + bytes(4) + extra + planes.tobytes()


def _packed(kind: int, values: list[int]) -> bytes:
    """The values of a TIFF field as bytes."""
    return struct.pack(f"<{len(values)}{'H' if kind == SHORT else 'I'}", *values)
