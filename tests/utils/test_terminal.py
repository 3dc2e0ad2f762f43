"""Control characters of a stranger's file names and errors never reach the terminal."""

import io
import sys

import pytest

from gan_cli.cli.main import main
from gan_cli.utils.progress import CLEAR, Progress
from gan_cli.utils.terminal import PrintableStream, printable, printable_output

HOSTILE = "a\x1b]0;title\x07\x1b[2Jb\rc\x9b31m\u202egnp.exe"


def test_printable_writes_control_characters_out_and_keeps_all_else() -> None:
    assert printable(HOSTILE) == r"a\x1b]0;title\x07\x1b[2Jb\x0dc\x9b31m\u202egnp.exe"
    assert printable("Zürich 斑马 é 😀\tx\n") == "Zürich 斑马 é 😀\tx\n"


def test_an_error_about_a_hostile_name_is_printed_without_its_escapes(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sample", f"runs/{HOSTILE}"]) == 2
    written = capsys.readouterr().err
    assert r"\x1b" in written and "\x1b" not in written and "\x9b" not in written and "\u202e" not in written


def test_progress_moves_the_cursor_itself_but_its_label_cannot(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.StringIO()
    monkeypatch.setattr(screen, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stdout", screen)
    with printable_output():
        Progress(2, "images").say(f"skipped {HOSTILE}")
    assert screen.getvalue() == f"{CLEAR}skipped {printable(HOSTILE)}\n"


def test_what_the_encoding_lacks_is_written_out() -> None:
    latin = io.TextIOWrapper(io.BytesIO(), "latin-1")
    assert PrintableStream(latin).write("Zürich 斑马 \udcff") and PrintableStream(latin).encoding == "latin-1"
    latin.flush()
    assert latin.buffer.getvalue() == b"Z\xfcrich \\u6591\\u9a6c \\udcff"  # type: ignore[attr-defined]
