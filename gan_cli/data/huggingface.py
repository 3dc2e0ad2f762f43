"""Pictures in the tables of the library `datasets` (Hugging Face), which maps them from the disk.

Its streaming mode is not used: what lies in the buffer that shuffles a stream is lost when a run stops, so that a
resumed one would see other batches. A mapped table can be read anywhere.
"""

import hashlib
import importlib
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from PIL.Image import Image
from torch import Tensor

from gan_cli.data import image_files
from gan_cli.data.lazy_images import DrawnImages

ROWS, TOGETHER = 1 << 16, 16  # of each run of rows, and runs whose rows are mixed (BlockOrder)


class HuggingFace(DrawnImages):
    """The pictures in the column `image` of the split `split` of `root`: centre cropped to squares and resized.

    root: what `datasets.load_dataset` takes, a name on the hub or a folder of Parquet files, or a folder that
    `save_to_disk` wrote. test_split: held-out pictures; null: the training pictures are shown. num_classes: how many
    classes there are, with numbers in the column `label`; null: no labels. channels: 3, or 1 for grey. flip: mirror
    half of the training pictures.

    Memory, whatever the size of the data: a batch, and 8 bytes for each of the million rows that are mixed. The library
    fetches and converts the whole set to the disk at the first use. Raises FileNotFoundError and ValueError.
    """

    def __init__(
        self,
        root: str,
        image_size: int = 64,
        channels: int = 3,
        num_classes: int | None = None,
        value_range: Sequence[float] = (-1.0, 1.0),
        flip: bool = False,
        split: str = "train",
        test_split: str | None = None,
        image: str = "image",
        label: str = "label",
    ) -> None:
        super().__init__(image_size, channels, num_classes, value_range, flip)
        self._columns = (image, label)[: 1 if num_classes is None else 2]
        self._train = self._table(root, split)
        self._test = self._table(root, test_split) if test_split else self._train
        self.count(_runs(len(self._train)), _runs(len(self._test)), TOGETHER)

    def _table(self, root: str, split: str) -> Any:
        """The columns of one split, its pictures as bytes. ValueError for what is no picture or no label."""
        library, table = _load(root, split)
        where = f"{root}, split {split},"
        for column in self._columns:
            if column not in table.features:
                raise ValueError(f"{where} has no column '{column}'; there are: {', '.join(table.features)}")
        if not isinstance(table.features[self._columns[0]], library.Image):
            raise ValueError(f"{where} holds no pictures in column '{self._columns[0]}'; set dataset.image")
        if not len(table):
            raise ValueError(f"{where} has no rows")
        if self.num_classes is not None:
            _check_labels(table.data.column(self._columns[1]), where, self.num_classes)
        return table.select_columns(list(self._columns)).cast_column(self._columns[0], library.Image(decode=False))

    def pictures(self, where: Tensor, held_out: bool) -> tuple[list[Callable[[], Image]], list[int]]:
        index = (where[:, 0] * ROWS + where[:, 1]).tolist()
        rows = (self._test if held_out else self._train)[index]
        cells = zip(rows[self._columns[0]], index)
        named = [(cell["path"] if cell["bytes"] is None else f"row {row}", cell["bytes"]) for cell, row in cells]
        labels = [] if self.num_classes is None else rows[self._columns[1]]
        return [partial(image_files.read, name, self.channels, content) for name, content in named], labels

    def fingerprint(self) -> str:
        tables = [self._train, *([self._test] if self._test is not self._train else [])]
        text = repr([(len(table), str(table.features), table.data.nbytes) for table in tables])
        return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def _runs(rows: int) -> Tensor:
    """How many rows each run of ROWS has: of the last one, the rest."""
    return torch.tensor([min(ROWS, rows - begin) for begin in range(0, rows, ROWS)])


def _load(root: str, split: str) -> tuple[Any, Any]:
    """The library, and the table. ValueError or FileNotFoundError in one line."""
    try:
        library = importlib.import_module("datasets")
    except ImportError as error:
        raise ValueError("dataset=huggingface needs the extra `streams`: pip install 'gan-cli[streams]'") from error
    folder = Path(root).expanduser()
    try:
        if (folder / "state.json").exists():
            return library, library.load_from_disk(str(folder))
        if not (folder / "dataset_dict.json").exists():
            return library, library.load_dataset(str(folder) if folder.exists() else root, split=split)
        splits = library.load_from_disk(str(folder))
    except (library.exceptions.DatasetGenerationError, LookupError, ValueError) as error:  # no rows: LookupError
        raise ValueError(f"{root} is not to be read: {error.__cause__ or error}") from error
    if split not in splits:
        raise ValueError(f"{root} has no split '{split}'; there are: {', '.join(splits)}")
    return library, splits[split]


def _check_labels(column: Any, where: str, num_classes: int) -> None:
    compute = importlib.import_module("pyarrow.compute")
    try:
        low, high = compute.min_max(column).as_py().values()
    except (TypeError, NotImplementedError) as error:
        raise ValueError(f"{where} holds no numbers of classes in that column; set dataset.label") from error
    if column.null_count or type(low) is not int or low < 0:
        raise ValueError(f"{where} holds labels from {low}, {column.null_count} missing: they are whole, from 0")
    if high >= num_classes:
        raise ValueError(f"num_classes {num_classes}, but {where} has a label {high}; set it to {high + 1}")
