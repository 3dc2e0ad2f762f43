"""Text for a terminal: names in it may come from untrusted files and hold escape sequences."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO

# C0 and C1 controls other than tab and line feed, the marks that reorder or hide the text around them, and the
# surrogates of file names that are no UTF-8.
HIDDEN = (
    *range(9), *range(11, 32), *range(127, 160), 0x200E, 0x200F, *range(0x2028, 0x202F), *range(0x2066, 0x206A),
    *range(0xD800, 0xE000),
)  # fmt: skip
ESCAPES = {code: f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}" for code in HIDDEN}


def printable(text: str) -> str:
    """The text with its control characters written out: ESC becomes the four characters `\\x1b`."""
    return text.translate(ESCAPES)


class PrintableStream:
    """A text stream that writes only printable text to another one, whose other methods and attributes are its own."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def write(self, text: str) -> int:
        text = printable(text)
        try:
            return self.stream.write(text)
        except UnicodeEncodeError:  # a terminal whose encoding lacks some characters
            encoding = self.stream.encoding
            return self.stream.write(text.encode(encoding, "backslashreplace").decode(encoding))

    def writelines(self, lines: list[str]) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


@contextmanager
def printable_output() -> Iterator[None]:
    """Within this context, standard output and standard error are PrintableStreams."""
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (PrintableStream(stream) for stream in before)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


def write_control(sequence: str, text: str) -> None:
    """Write a control sequence of this program before `text`, which is made printable."""
    stream = sys.stdout.stream if isinstance(sys.stdout, PrintableStream) else sys.stdout
    stream.write(sequence + printable(text))
    stream.flush()
