"""Tar archives in the layout of WebDataset, of which any sample can be read directly by an index (see shard_index)."""

import glob
import os
import re
import threading
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import islice
from pathlib import Path

import torch
from PIL import Image

from gan_cli.data import image_files, shard_index
from gan_cli.data.folders import find_folder
from gan_cli.data.image_files import Window
from gan_cli.data.notes import say_once
from gan_cli.data.shard_index import BLOCK, HEAD, Index, descriptor
from gan_cli.data.url_cache import WEB, URLCache
from gan_cli.utils.distributed import print_once

MOST, NESTED = 100_000, 20  # archives and braces of a pattern


def expand(pattern: str, key: str) -> list[str]:
    """Return the archives that `pattern` names.

    pattern: a folder of *.tar, a path with * or ?, or paths and http(s) URLs with braces, such as `{000000..000146}` or
    `{a,b}`. key: the setting that held the pattern, for the error message. Raises ValueError or FileNotFoundError if
    there are no such archives.
    """
    words = list(islice(_braces(pattern), MOST + 1)) if pattern.count("{") <= NESTED else []
    if not 0 < len(words) <= MOST:
        some = f"no archives, or more than {MOST:,}"
        raise ValueError(f"{pattern[:80]}: its braces stand for {some}; set dataset.{key}")
    sources = [source for word in words for source in _sources(word, key)]
    if not sources:
        raise ValueError(f"no shards in {pattern}: files that count end in .tar; set dataset.{key}")
    return sources


def _braces(text: str) -> Iterator[str]:
    """Expand the braces of a pattern, the leftmost ones varying slowest."""
    match = re.search(r"\{(?:(\d{1,18})\.\.(\d{1,18})|([^{}]*,[^{}]*))\}", text)
    if not match:
        yield text
        return
    first, last, words = match.groups()
    middle = words.split(",") if words else (f"{n:0{len(first)}d}" for n in range(int(first), int(last) + 1))
    for part in middle:
        yield from _braces(text[: match.start()] + part + text[match.end() :])


def _sources(word: str, key: str) -> list[str]:
    if word.startswith(WEB):
        return [word]
    if re.match(r"pipe:|\w+://", word):
        raise ValueError(f"{word}: dataset.{key} names files or http(s) addresses; mount what lies elsewhere")
    path = Path(word).expanduser()
    if path.is_file():
        return [str(path)]
    if path.suffix == ".tar" and not glob.has_magic(word):
        raise FileNotFoundError(f"there is no shard {path}; set dataset.{key}")
    found = glob.glob(str(path)) if glob.has_magic(word) else map(str, find_folder(word, key).glob("*.tar"))
    names = sorted(found)
    files = [name for name in names if os.path.isfile(name)]
    if len(files) < len(names):
        say_once(f"note: {word}: skipped {len(names) - len(files)} archives that are no regular files")
    return files


class Shards:
    """The archives `sources`, of which at most `opened` are open at a time.

    Memory: the indices of the open archives, and about a kilobyte for each archive.

    label: the file of a sample that holds its label, by its suffix (`cls`), or a field of a JSON file (`json:label`);
    None: no labels. counts, sizes: samples and bytes of each archive, int64. highest: the highest label. Raises
    ValueError, which names the broken archives.
    """

    def __init__(self, sources: Sequence[str], label: str | None, opened: int, cache: URLCache) -> None:
        self.sources, self._cache = sources, cache
        self._indices, heads = shard_index.load_all(sources, label, cache)
        head = torch.from_numpy(heads)
        self.sizes, self.counts, self.highest = head[:, 0], head[:, 1], int(head[:, 2].max())
        self.remote = [source.startswith(WEB) for source in sources]
        # Archives that fall out of this cache are closed by Shard.__del__, which bounds open files and memory.
        self.open = lru_cache(opened)(self._open)
        self._ahead: tuple[int, ...] = ()

    def _open(self, number: int) -> "Shard":
        source, index = self.sources[number], shard_index.load(self._indices[number])
        if index is None:
            raise ValueError(f"{self._indices[number]} was damaged or deleted since the start: start again")
        shard = Shard(source, descriptor(source, self._cache), index)
        if self.remote[number] and not shard.is_as_indexed():
            print_once(f"note: the copy of {source} in {self._cache.folder} is damaged; it is downloaded again")
            self._cache.forget(source)
            shard = Shard(source, descriptor(source, self._cache), index)
        if not shard.is_as_indexed():
            path = self._indices[number]
            raise ValueError(f"{source} has changed since it was indexed: delete {path} and start again")
        return shard

    def fetch_ahead(self, numbers: tuple[int, ...]) -> None:
        """Start to download those of the archives that are behind URLs, unless the last call named the same ones."""
        if numbers == self._ahead:
            return
        self._ahead = numbers
        urls = [self.sources[number] for number in numbers if self.remote[number]]
        if urls:
            threading.Thread(target=_fetch, args=(self._cache, urls), daemon=True).start()


def _fetch(cache: URLCache, urls: Sequence[str]) -> None:
    for url in urls:
        try:
            os.close(cache.open(url))
        except (OSError, ValueError):  # raised again, in the main thread, if it still fails when the archive is needed
            return


class Shard:
    """An open archive, closed with its last reference. rows: offset, bytes and label of each sample, int64 (N, 3)."""

    def __init__(self, source: str, handle: int, index: Index) -> None:
        self.source, self.handle, self._head, self.rows = source, handle, index[:HEAD], index[HEAD:]

    def __del__(self) -> None:
        os.close(self.handle)

    def is_as_indexed(self) -> bool:
        """Whether size and, of a downloaded archive, content are those of the archive that was indexed."""
        size, checksum = int(self._head[0, 0]), int(self._head[1, 0])
        if os.fstat(self.handle).st_size != size:
            return False
        return not self.source.startswith(WEB) or shard_index.content_checksum(self.handle) == checksum

    def read(self, sample: int, channels: int, window: Window = None) -> Image.Image:
        """Return the image as image_files.read does. ValueError, which names it, if it is broken."""
        offset, size, _ = self.rows[sample].tolist()
        # One read that includes the header, whose first 100 bytes are the name for messages. pread has no file
        # position, so that threads can share the descriptor.
        try:
            content = os.pread(self.handle, BLOCK + size, offset - BLOCK)
        except OSError as error:
            raise ValueError(f"{self.source}, sample {sample}: {error.strerror}") from error
        name = content[:100].partition(b"\0")[0].decode(errors="replace")
        return image_files.read(f"{self.source}/{name}", channels, content[BLOCK:], window)
