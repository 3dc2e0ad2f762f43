"""Files of the cache that end with a checksum, so that damaged ones are made again instead of being believed."""

import zlib
from pathlib import Path

import numpy as np

LENGTH = 8  # bytes of the checksum at the end of a file
WHOLE = 10**9  # bytes up to which all content counts; of larger files, a sample
BLOCK, BLOCKS = 1 << 14, 1 << 12  # the sample: so many blocks of so many bytes, evenly spaced, first and last included


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
