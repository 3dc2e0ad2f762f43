"""Images in the tables of the library `datasets` (Hugging Face), which are memory-mapped from the disk.

The library's streaming mode is not used: the content of its shuffle buffer is lost when a run stops, so that a resumed
run would see other batches. A memory-mapped table can be read at any position.
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

from gan_cli.data import fetching, image_files
from gan_cli.data.lazy_images import LazyImages

ROWS, TOGETHER = 1 << 16, 16  # rows per run of consecutive rows, and runs that are shuffled together (BlockOrder)


class HuggingFace(LazyImages):
    """The images in the column `image` of the split `split` of `root`, cropped to the central square and resized.

    root: an argument of `datasets.load_dataset`, which is a name on the hub or a folder of Parquet files, or a folder
    that `save_to_disk` wrote. test_split: the held-out images; None: the training images are used. num_classes: number
    of classes, whose numbers are in the column `label`; None: no labels. channels: 3, or 1 for gray. flip: mirror half
    of the training images. window: see image_files.Window.

    Memory does not depend on the number of images: a batch, and 8 bytes for each of the million rows that are shuffled
    together. The library downloads and converts the whole data set at the first use, if the command line names it (see
    utils.downloads). Raises FileNotFoundError and ValueError.
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
        window: Sequence[float] | None = None,
    ) -> None:
        super().__init__(image_size, channels, num_classes, value_range, flip, window)
        self.root, self._columns = root, (image, label)[: 1 if num_classes is None else 2]
        self.holds_out = bool(test_split)
        self._train = self._table(root, split)
        self._test = self._table(root, test_split) if test_split else self._train
        self.set_counts(_runs(len(self._train)), _runs(len(self._test)), TOGETHER)

    def _table(self, root: str, split: str) -> Any:
        """Load the columns of one split, with the images as encoded bytes.

        Raises ValueError for a column that is missing or does not hold images or labels.
        """
        library, table = _load(root, split)
        name = f"{root}, split {split},"
        for column in self._columns:
            if column not in table.features:
                raise ValueError(f"{name} has no column '{column}'; there are: {', '.join(table.features)}")
        if not isinstance(table.features[self._columns[0]], library.Image):
            raise ValueError(f"{name} holds no images in column '{self._columns[0]}'; set dataset.image")
        if not len(table):
            raise ValueError(f"{name} has no rows")
        if self.num_classes is not None:
            _check_labels(table.data.column(self._columns[1]), name, self.num_classes)
        return table.select_columns(list(self._columns)).cast_column(self._columns[0], library.Image(decode=False))

    def readers(self, rows: Tensor, held_out: bool) -> tuple[list[Callable[[], Image]], list[int]]:
        index = (rows[:, 0] * ROWS + rows[:, 1]).tolist()
        values = (self._test if held_out else self._train)[index]
        cells = [(cell["path"], cell["bytes"], row) for cell, row in zip(values[self._columns[0]], index)]
        named = [(path if content is None else f"{self.root}, row {row}", content) for path, content, row in cells]
        labels = [] if self.num_classes is None else values[self._columns[1]]
        return [partial(image_files.read, name, self.channels, content, self.window) for name, content in named], labels

    def fingerprint(self) -> str:
        tables = [self._train, *([self._test] if self._test is not self._train else [])]
        text = repr([(len(table), str(table.features), table.data.nbytes) for table in tables])
        text += repr(self.window) if self.window else ""
        return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def _runs(rows: int) -> Tensor:
    """Number of rows in each run of ROWS rows; the last run may be shorter."""
    return torch.tensor([min(ROWS, rows - begin) for begin in range(0, rows, ROWS)])


def _load(root: str, split: str) -> tuple[Any, Any]:
    """Return the library and the table. Raises ValueError or FileNotFoundError."""
    try:
        library = importlib.import_module("datasets")
    except ImportError as error:
        raise ValueError("dataset=huggingface needs the extra `streams`: pip install 'gan-cli[streams]'") from error
    folder = Path(root).expanduser()
    try:
        if (folder / "state.json").exists():
            return library, library.load_from_disk(str(folder))
        if not (folder / "dataset_dict.json").exists():
            # Without the network the library finds the copy in its cache, whoever named the data set.
            if not folder.exists() and not library.config.HF_HUB_OFFLINE:
                fetching.check(root, None, "root")
            return library, library.load_dataset(str(folder) if folder.exists() else root, split=split)
        splits = library.load_from_disk(str(folder))
    except (library.exceptions.DatasetGenerationError, LookupError, ValueError) as error:  # LookupError: no rows
        raise ValueError(f"{root} cannot be read: {error.__cause__ or error}") from error
    if split not in splits:
        raise ValueError(f"{root} has no split '{split}'; there are: {', '.join(splits)}")
    return library, splits[split]


def _check_labels(column: Any, name: str, num_classes: int) -> None:
    """ValueError unless all labels of the column are whole numbers from 0 to num_classes - 1."""
    compute = importlib.import_module("pyarrow.compute")
    try:
        low, high = compute.min_max(column).as_py().values()
    except (TypeError, NotImplementedError) as error:
        raise ValueError(f"{name} holds no class numbers in that column; set dataset.label") from error
    if column.null_count or type(low) is not int or low < 0:
        raise ValueError(f"{name} holds labels from {low}, {column.null_count} missing: they are whole, from 0")
    if high >= num_classes:
        raise ValueError(f"num_classes {num_classes}, but {name} has a label {high}; set it to {high + 1}")
