"""A .npz file that is written batch by batch."""

from collections.abc import Iterator
from pathlib import Path
from zipfile import ZipFile

import numpy as np

from gan_cli.utils.errors import GanError
from gan_cli.utils.files import replacing

Batch = tuple[np.ndarray, np.ndarray | None]
"""Images (k, ...) and, of a model that is conditional on labels, their labels (k,)."""


def write_npz(path: Path, n: int, batches: Iterator[Batch]) -> None:
    """Write n images as arr_0 and their labels as arr_1, the names that np.savez gives; only the labels are held in
    memory. numpy.load reads it. The file replaces `path` when it is whole. GanError if it cannot be written.
    """
    labels = []
    try:
        with replacing(path) as temporary, ZipFile(temporary, "w") as archive:
            with archive.open("arr_0.npy", "w", force_zip64=True) as file:
                for number, (images, label) in enumerate(batches):
                    if number == 0:
                        kind = {"descr": np.lib.format.dtype_to_descr(images.dtype), "fortran_order": False}
                        np.lib.format.write_array_header_1_0(file, {**kind, "shape": (n, *images.shape[1:])})
                    file.write(images.tobytes())
                    labels += [] if label is None else [label]
            if labels:
                with archive.open("arr_1.npy", "w") as file:
                    np.lib.format.write_array(file, np.concatenate(labels))
    except OSError as error:
        raise GanError(f"cannot write {path}: {error.strerror or error}") from error
