"""Numbers and tables as text."""

import math
from collections.abc import Callable, Iterable, Sequence


def number(value: object) -> str:
    """A float with four significant digits, None as nothing, anything else as it is."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return "" if value is None else str(value)
    if math.isfinite(value) and abs(value) < 1e6 and value == int(value):
        return f"{int(value):,}" if abs(value) >= 10_000 else str(int(value))
    return f"{value:.4g}"


def shortened(text: str, most: int) -> str:
    """A text of at most `most` characters: of a longer one, beginning and end around an ellipsis."""
    half = (most - 1) // 2
    return text if len(text) <= most else f"{text[: most - 1 - half]}…{text[-half:]}"


def markdown(head: Sequence[object], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table of `number(cell)`, one line per row; ends with a line break."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(number(cell).replace('|', '/') for cell in cells)} |\n" for cells in lines)


def aligned(rows: Iterable[Sequence[object]], *, right: bool = True) -> list[str]:
    """The lines of a text table of `number(cell)`, the first row its head.

    right: align all columns but the first to the right, as numbers are; else all of them to the left.
    """
    # A line break in the name of an untrusted run must not begin a line of its own.
    table = [[number(cell).replace("\n", "\\n") for cell in row] for row in rows]
    widths = [max(map(len, cells)) for cells in zip(*table, strict=True)]
    pad: Callable[[str, int], str] = str.rjust if right else str.ljust
    return ["  ".join([row[0].ljust(widths[0]), *map(pad, row[1:], widths[1:])]).rstrip() for row in table]
