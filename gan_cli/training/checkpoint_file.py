"""What a checkpoint file declares, read without its tensors and without torch: plain values and sizes.

A checkpoint may be untrusted. `torch.load(weights_only=True)` runs no code of it, but trusts its sizes: a
record may be compressed a thousand times, a tensor may be declared larger than its record and be read beyond its end.
"""

from __future__ import annotations

import math
import os
import pickle
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, ClassVar

from gan_cli.utils.files import open_regular

RECORDS = 100_000  # files in the archive, most of them the storages of tensors
DIRECTORY = 2**24  # bytes of the archive's list of files
PICKLE = 2**26  # bytes of the description of the content
DEPTH = 20  # nested mappings and lists
NODES = 2_000_000  # values, of which the elements of shared lists count once per place
SIZES = {
    "DoubleStorage": 8, "LongStorage": 8, "ComplexFloatStorage": 8, "FloatStorage": 4, "IntStorage": 4,
    "HalfStorage": 2, "BFloat16Storage": 2, "ShortStorage": 2, "CharStorage": 1, "ByteStorage": 1, "BoolStorage": 1,
}  # fmt: skip
"""Bytes per element of torch's storages."""

Unpickler: Any = vars(pickle)["_Unpickler"]
"""In Python, because the implementation in C allocates what a position in the memo or a length claims."""


@dataclass(frozen=True)
class Declared:
    """A tensor as the file describes it. kind: the name of its storage's class, such as FloatStorage."""

    kind: str
    shape: tuple[int, ...]


def read(path: Path) -> Any:
    """The content of a checkpoint, with a Declared for each tensor.

    Raises OSError if the file cannot be read, and ValueError for any file but an archive of torch whose tensors lie
    within their records.
    """
    with open(path, "rb", opener=open_regular) as file:
        _check_directory(file)
        try:
            with zipfile.ZipFile(file) as archive:
                content = _read_archive(archive, os.fstat(file.fileno()).st_size)
        except (zipfile.BadZipFile, pickle.UnpicklingError, EOFError, LookupError, TypeError, AttributeError) as error:
            raise ValueError(f"it is not whole: {error}") from error
    _count(content, DEPTH, [NODES])
    return content


def _check_directory(file: IO[bytes]) -> None:
    """Refuse a list of files that is too long, before `zipfile` reads it."""
    end = zipfile._EndRecData(file)  # type: ignore[attr-defined]
    if not end:
        raise ValueError("it is no archive")
    count, size = end[4], end[5]
    if count > RECORDS or size > DIRECTORY:
        raise ValueError(f"it has {count:,} records, more than {RECORDS:,}")


def _read_archive(archive: zipfile.ZipFile, size: int) -> Any:
    records = {record.filename.partition("/")[2]: record for record in archive.infolist()}
    for record in records.values():
        if record.compress_type != zipfile.ZIP_STORED or record.compress_size != record.file_size:
            raise ValueError("it has compressed records, which torch never writes")
    if len(records) < len(archive.infolist()) or sum(record.file_size for record in records.values()) > size:
        raise ValueError("it has records that overlap")
    if "data.pkl" not in records:
        raise ValueError("it has no data.pkl")
    if records["data.pkl"].file_size > PICKLE:
        raise ValueError(f"its data.pkl is larger than {PICKLE:,} bytes")
    with archive.open(records["data.pkl"]) as description:
        return _Reader(description, {name: record.file_size for name, record in records.items()}).load()


class _Reader(Unpickler):
    """Reads data.pkl as plain values. It calls nothing but the functions of this class.

    """

    dispatch: ClassVar[dict[int, Any]] = {
        code: call
        for code, call in Unpickler.dispatch.items()
        # Without frozen sets, dictionaries from a mark, large byte arrays, buffers, instances and extensions.
        if bytes([code]) not in (
            pickle.FROZENSET, pickle.ADDITEMS, pickle.DICT, pickle.BYTEARRAY8, pickle.NEXT_BUFFER, pickle.INST,
            pickle.OBJ, pickle.NEWOBJ, pickle.NEWOBJ_EX, pickle.EXT1, pickle.EXT2, pickle.EXT4, pickle.PERSID,
        )
    }  # fmt: skip

    def __init__(self, file: IO[bytes], sizes: dict[str, int]) -> None:
        super().__init__(file)
        self.sizes = sizes

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return _Mapping
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _tensor
        if module == "torch" and name in SIZES:
            return name
        raise ValueError(f"it names {module}.{name}, which no checkpoint of gan holds")

    def persistent_load(self, pid: Any) -> Any:
        """A storage: its kind, and the number of elements, which its record must hold."""
        _, kind, key, _, count = pid
        if kind not in SIZES or type(count) is not int or not 0 <= count * SIZES[kind] <= self.sizes[f"data/{key}"]:
            raise ValueError(f"storage {key} is declared larger than its record")
        return _Storage(kind, count)

    def load_setitem(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        _set(self.stack[-1], [key, value])

    def load_setitems(self) -> None:
        items = self.pop_mark()
        _set(self.stack[-1], items)

    def load_build(self) -> None:
        """The attributes of an OrderedDict, which torch writes for the versions of modules, are not needed."""
        self.stack.pop()

    dispatch[pickle.SETITEM[0]] = load_setitem
    dispatch[pickle.SETITEMS[0]] = load_setitems
    dispatch[pickle.BUILD[0]] = load_build


@dataclass(frozen=True)
class _Storage:
    kind: str
    count: int


def _Mapping() -> dict[Any, Any]:
    """An OrderedDict, which torch writes without arguments."""
    return {}


def _set(target: Any, items: list[Any]) -> None:
    if type(target) is not dict or any(type(key) not in (str, int) for key in items[::2]):
        raise ValueError("it has a mapping whose keys are neither text nor numbers")
    target.update(zip(items[::2], items[1::2], strict=True))


def _tensor(storage: Any, offset: Any, shape: Any, stride: Any, *options: Any) -> Declared:
    """A tensor that lies within its storage and has no more elements than it."""
    numbers = (offset, *shape, *stride)
    if any(type(number) is not int or number < 0 for number in numbers) or len(shape) != len(stride):
        raise ValueError("it has a tensor whose shape is not one of numbers")
    last = offset + sum((size - 1) * step for size, step in zip(shape, stride, strict=True))
    if math.prod(shape) > storage.count or (0 not in shape and last >= storage.count):
        raise ValueError(f"it has a tensor of shape {tuple(shape)[:8]}, larger than its storage")
    return Declared(storage.kind, tuple(shape))


def _count(value: Any, depth: int, left: list[int]) -> None:
    """Refuse content that is nested too deep, or that shared parts multiply."""
    left[0] -= 1
    if depth < 0 or left[0] < 0:
        raise ValueError("it is nested too deep")
    if isinstance(value, (dict, list, tuple)):
        for inner in value.values() if isinstance(value, dict) else value:
            _count(inner, depth - 1, left)
