"""What this process may download, and into which folder: only what this program's own files name, or the user typed.

A configuration may come from an untrusted run directory, and an address in it could carry secrets away, or an archive
land in any folder. So an address must be one that conf/dataset names, and a folder one below the folder of data sets
(GAN_DATA, or ~/.cache/gan), unless the command line of this process holds them.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

from gan_cli.utils.errors import GanError

TYPED = "GAN_TYPED_WORDS"  # an environment variable, because the trials of a sweep have processes of their own


def data_folder() -> Path:
    """The folder of downloaded data sets."""
    return Path(os.environ.get("GAN_DATA") or "~/.cache/gan").expanduser().absolute()


def allow(words: Sequence[str]) -> None:
    """Allow the addresses and folders in the words of a command line, here and in processes that this one starts."""
    os.environ[TYPED] = json.dumps([*words])


def check(source: str | None, root: Path | None, key: str = "dataset.url") -> None:
    """Raise GanError unless this process may download `source` into the folder `root`.

    source: an address, or a name on a hub; None for one that is written in the code. root: None for this program's
    cache. key: the option whose value allows the source. To be called right before the network is used.
    """
    if source is not None and not (_typed(source) or source in _sources()):
        raise GanError(
            f"{source} is not downloaded, because only the run's config names it: {key}={source} in the command allows "
            "it, and dataset.root=FOLDER names images that you have"
        )
    if root is not None and not (_typed(str(root)) or _inside(root, data_folder())):
        raise GanError(
            f"nothing is downloaded into {root}, because only the run's config names this folder: "
            f"dataset.root={root} in the command allows it"
        )


def _typed(text: str) -> bool:
    """Whether the command line holds a text, as a value or within one."""
    words = json.loads(os.environ.get(TYPED, "[]"))
    values = (str(Path(word.partition("=")[2]).expanduser()) for word in words)
    return any(text in word for word in words) or text in values


def _inside(path: Path, folder: Path) -> bool:
    """Whether `path` lies in `folder`, whatever links or `..` are in it."""
    return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder))


def _sources() -> set[str]:
    """The addresses in the files of conf/dataset."""
    package = Path(__file__).resolve().parents[1]
    folder = next(path for path in (package / "conf", package.parent / "conf") if path.is_dir()) / "dataset"
    lines = (line.split() for file in folder.glob("*.yaml") for line in file.read_text().splitlines())
    return {words[1] for words in lines if len(words) > 1 and words[0] in ("url:", "other_url:")}
