"""Numbers and tables as text."""

import math
from collections.abc import Iterable, Sequence
from typing import Any


def number(value: Any) -> str:
    """A float with four digits, anything else as it is."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return "" if value is None else str(value)
    if math.isfinite(value) and abs(value) < 1e6 and value == int(value):
        return f"{int(value):,}" if abs(value) >= 10_000 else str(int(value))
    return f"{value:.4g}"


def shortened(text: str, most: int) -> str:
    """With the middle left out where it is longer than `most`."""
    half = (most - 1) // 2
    return text if len(text) <= most else f"{text[: most - 1 - half]}…{text[-half:]}"


def markdown(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table, and an empty line."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |\n" for cells in lines)
