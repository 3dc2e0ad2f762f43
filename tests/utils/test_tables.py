"""Numbers and tables as text, by hand."""

import math

import pytest

from gan_cli.utils.tables import aligned, markdown, number, shortened


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.123456, "0.1235"), (3.0, "3"), (9999, "9999"), (12345.0, "12,345"), (2e6, "2e+06"), (math.nan, "nan"),
     (None, ""), (True, "True"), ("as it is", "as it is"), (-0.5, "-0.5")],
)  # fmt: skip
def test_number(value: object, text: str) -> None:
    assert number(value) == text


def test_shortened() -> None:
    assert shortened("a" * 10 + "z" * 10, 9) == "aaaa…zzzz" and shortened("short", 9) == "short"


def test_aligned() -> None:
    rows = [["name", "FID", ""], ["a", 12.5, "met"], ["longer", None, "missed"]]
    assert aligned(rows) == ["name     FID", "a       12.5     met", "longer        missed"]
    assert aligned(rows, right=False) == ["name    FID", "a       12.5  met", "longer        missed"]
    with pytest.raises(ValueError, match="argument 2 is shorter"):
        aligned([["a", "b"], ["c"]])


def test_markdown() -> None:
    assert markdown(["a", "b"], [["x|y", 0.25], ["", None]]) == "| a | b |\n| --- | --- |\n| x/y | 0.25 |\n|  |  |\n"
