"""A copy of what this process prints, in the folder of the run that it trains."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from pathlib import Path
from typing import Any, TextIO, cast

from gan_cli.utils.progress import CLEAR
from gan_cli.utils.terminal import PrintableStream


@contextmanager
def copied_output(file: Path) -> Iterator[None]:
    """Within this context, each line of standard output is also appended to `file` as soon as its folder exists."""
    stream = sys.stdout
    # Below the PrintableStream, which control sequences of the progress bypass.
    below = cast(TextIO, stream.stream if isinstance(stream, PrintableStream) else stream)
    with redirect_stdout(cast(TextIO, PrintableStream(cast(TextIO, _Copy(below, file))))):
        yield


class _Copy:
    """A text stream that copies whole lines to a file. A line that is rewritten in place is copied as it ends."""

    def __init__(self, stream: TextIO, file: Path) -> None:
        self.stream, self.file = stream, file
        self.lines: list[str] = []
        self.open_line = ""

    def write(self, text: str) -> int:
        count = self.stream.write(text)
        *ended, self.open_line = (self.open_line + text).split("\n")
        self.lines += [line.rpartition(CLEAR)[2] + "\n" for line in ended]
        if self.lines and self.file.parent.is_dir():
            # What cannot be copied, as on a full disk, is no reason to stop the training.
            with suppress(OSError), open(self.file, "a", encoding="utf-8") as file:
                file.writelines(self.lines)
            self.lines.clear()
        return count

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)
