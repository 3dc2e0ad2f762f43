"""Checksums: of files of the cache, so that damaged ones are made again instead of being believed, and of data."""

import hashlib
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from gan_cli.data.bands import band_files

if TYPE_CHECKING:
    from gan_cli.data.listing import Files

LENGTH = 8  # bytes of the checksum at the end of a file
WHOLE = 10**9  # bytes up to which all content counts; of larger files, a sample
BLOCK, BLOCKS = 1 << 14, 1 << 12  # the sample: so many blocks of so many bytes, evenly spaced, first and last included
FILES, PARTS = 128, 8  # of a folder of data: so many files, and of each so many blocks


def checksum(content: np.ndarray, name: str) -> bytes:
    """The checksum of uint8 content (n,) under `name`: of all bytes up to WHOLE, and otherwise of 64 MB of them.

    It finds a disk's errors, files that were cut or overwritten, and files of another name. Of a file above WHOLE, a
    changed block between the sampled ones goes unnoticed.
    """
    crc = zlib.crc32(f"{name} {len(content)}".encode())
    starts = np.linspace(0, len(content) - BLOCK, BLOCKS).astype(int).tolist() if len(content) > WHOLE else ()
    for part in [content[start : start + BLOCK] for start in starts] or [content]:
        crc = zlib.crc32(part.data, crc)
    return crc.to_bytes(LENGTH, "big")


def seal(file: Path, name: str) -> None:
    """Append to a file that is not empty the checksum of its content under `name`."""
    digest = checksum(np.memmap(file, np.uint8, mode="r"), name)
    with open(file, "ab") as out:
        out.write(digest)


def read_sealed(file: Path) -> np.ndarray | None:
    """The content of a file that was sealed under its own name, uint8 (n,), mapped copy-on-write.

    None if it is damaged. Raises FileNotFoundError.
    """
    if file.stat().st_size <= LENGTH or not file.is_file():
        return None
    # Mode "c" is copy-on-write; torch warns of a read-only array.
    whole = np.memmap(file, np.uint8, mode="c")
    content = whole[:-LENGTH]
    return content if checksum(content, file.name) == whole[-LENGTH:].tobytes() else None


def content(folders: Sequence["Files"]) -> str | None:
    """16 hexadecimal digits that depend on the bytes of FILES evenly spaced files of each folder, and in a file above
    128 KB on PARTS blocks; None without files, or if one cannot be read.

    Other content in between goes unnoticed: a large set would take minutes to read.
    """
    digest, found = hashlib.blake2b(digest_size=8), False
    try:
        for files in folders:
            for row in np.linspace(0, len(files.names) - 1, min(FILES, len(files.names)), dtype=int):
                path = files.root / files.names[row]
                with next(iter(band_files(path, 1)), path).open("rb") as file:
                    found = True
                    for start in np.linspace(0, max(file.seek(0, 2) - BLOCK, 0), PARTS, dtype=int).tolist():
                        file.seek(start)
                        digest.update(file.read(BLOCK))
    except OSError:
        return None
    return digest.hexdigest() if found else None
