"""Sheets of images with headings."""

from collections.abc import Sequence

import pytest
import torch
from PIL import ImageFont
from torch import Tensor

from gan_cli.utils import labels
from gan_cli.utils.labels import GAP, LEAST, RED, SIZE, labeled_grid, sample_grid

STEP = SIZE + GAP


def plain(value: int, height: int = 32, width: int = 32, channels: int = 3) -> Tensor:
    return torch.full((channels, height, width), value, dtype=torch.uint8)


def dark(part: Tensor) -> bool:
    return bool((part < 100).any())


def test_where_cells_and_headings_are() -> None:
    """Small images are enlarged by a whole factor; headings are above the columns and beside the rows."""
    cells = [[plain(200), plain(210, channels=1)], [plain(220), None]]
    sheet = labeled_grid(cells, ["one", "two\nlines"], ["row 1", ""])
    top, side = 2 * STEP, LEAST + GAP
    left = sheet.shape[2] - 2 * side + GAP
    assert sheet.shape[1] == top + 2 * side - GAP and left > GAP
    for row, column, value in ((0, 0, 200), (0, 1, 210), (1, 0, 220), (1, 1, 255)):
        y, x = top + row * side, left + column * side
        assert (sheet[:, y : y + LEAST, x : x + LEAST] == value).all()
    assert dark(sheet[:, :STEP, left : left + LEAST]) and dark(sheet[:, STEP:top, left + side :])
    assert not dark(sheet[:, STEP:top, left : left + LEAST])
    middle = top + LEAST // 2
    assert dark(sheet[:, middle - STEP : middle + STEP, :left]) and not dark(sheet[:, top + side :, :left])


def test_large_images_keep_their_pixels() -> None:
    image = torch.arange(100 * 120 * 3).remainder(256).to(torch.uint8).view(3, 100, 120)
    assert torch.equal(labeled_grid([[image]]), image)


def test_lines_are_between_columns() -> None:
    sheet = labeled_grid([[plain(255)] * 3], ["a", "b", "c"], lines=[2])
    x = 2 * (LEAST + GAP) - GAP // 2
    red = (sheet == torch.tensor(RED, dtype=torch.uint8).view(3, 1, 1)).all(0)
    assert red[:, x].all() and red.any(0).sum() == 2 and red[:, 2 * (LEAST + GAP) - GAP : 2 * (LEAST + GAP)].any()


@pytest.mark.parametrize("text", ["a very long name of a setting=0.0001", "é 猫 Ω", "a\x1b[31mb\udcff\t", ""])
def test_any_text_fits(text: str) -> None:
    """A heading never reaches into the next column, and no text is an error."""
    sheet = labeled_grid([[plain(255), plain(255)]], [text, ""], [text], title=text)
    assert not dark(sheet[:, :, -LEAST:][:, -LEAST - STEP :])
    font = ImageFont.load_default(SIZE)
    assert all(font.getlength(line) <= LEAST for line in labels._fitted(text, LEAST, font).split("\n"))


def test_a_setting_is_broken_before_its_value() -> None:
    font = ImageFont.load_default(SIZE)
    assert labels._fitted("lambda_identity=0.5", LEAST, font) == "lambda_identity\n= 0.5"
    assert labels._fitted("lambda_ms=1", LEAST, font) == "lambda_ms=1"


def test_a_title_is_broken_into_lines_of_the_sheet() -> None:
    title = "every word of this title is on the sheet " * 4
    font = ImageFont.load_default(SIZE)
    lines = labels._wrapped(title, 300, font)
    assert " ".join(lines) == title.strip() and len(lines) > 2 and max(map(font.getlength, lines)) <= 300
    sheet = labeled_grid([[plain(255)]], title=title)
    assert sheet.shape[2] <= labels.TITLE and sheet.shape[1] >= 2 * STEP + LEAST


# -- grids of samples


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[dict]:
    """The arguments of each `labeled_grid` that would be drawn."""
    calls: list[dict] = []

    def keep(cells: list, columns: Sequence[str] = (), **options: object) -> Tensor:
        calls.append({"cells": cells, "columns": list(columns), **options})
        return plain(0)

    monkeypatch.setattr(labels, "labeled_grid", keep)
    return calls


def batch(n: int, channels: int = 3, size: int = 8) -> Tensor:
    """n images with values i / 255."""
    return (torch.arange(n).float() / 255).view(-1, 1, 1, 1).expand(n, channels, size, size)


def test_batches_are_columns_in_blocks(drawn: list[dict]) -> None:
    """18 samples of two batches: 3 blocks of 2 columns with the headings repeated, 6 rows."""
    sample_grid({"A": batch(18), "A_to_B": batch(18, channels=1)}, (0, 1), "title", {"A_to_B": "G(x)"})
    (call,) = drawn
    assert call["columns"] == ["A", "G(x)"] * 3 and call["block"] == 2 and call["title"] == "title"
    assert [[int(image[0, 0, 0]) for image in row] for row in call["cells"]] == [
        [i, i, i + 1, i + 1, i + 2, i + 2] for i in range(0, 18, 3)
    ]
    assert [len(image) for image in call["cells"][0][:2]] == [3, 1]


def test_classes_in_turn_are_columns_and_others_captions(drawn: list[dict]) -> None:
    names = ["cat", "a very long dog", "ox"]
    sample_grid({"generated": batch(7)}, (0, 1), "", classes=[*names, *names, "cat"])
    sample_grid({"generated": batch(5)}, (0, 1), "", classes=["ox", "ox", "cat", "ox", "cat"])
    sample_grid({"generated": batch(100)}, (0, 1), "", classes=[str(i) for i in range(100)])
    sample_grid({"generated": batch(5)}, (0, 1), "")
    table, random, many, plain_grid = drawn
    assert table["columns"] == names and list(map(len, table["cells"])) == [3, 3, 1] and table["captions"] == []
    assert random["columns"] == [] and random["captions"] == [["ox", "ox", "cat"], ["ox", "cat"]]
    assert len(many["cells"]) == 10 and many["captions"][9][9] == "99"
    assert plain_grid["captions"] == [] and list(map(len, plain_grid["cells"])) == [3, 2]
    assert table["least"] > plain_grid["least"] == labels.SMALLEST and random["block"] == 0


def test_pixels_of_a_grid_are_exact_and_captions_have_lines_of_their_own() -> None:
    """28 pixels are enlarged to 56; row 1 lies below the captions of its own."""
    images = torch.randint(0, 256, (4, 1, 28, 28)).float() / 255
    sheet = sample_grid({"generated": images}, (0, 1), "", classes=["1", "1", "7", "4"])
    side, row = 56 + GAP, 56 + GAP + STEP
    assert sheet.shape == (3, 2 * row - GAP, 2 * side - GAP)
    for i in range(4):
        y, x = STEP + i // 2 * row, i % 2 * side
        cell = sheet[:, y : y + 56, x : x + 56]
        enlarged = (images[i] * 255).round().byte().repeat_interleave(2, 1).repeat_interleave(2, 2)
        assert torch.equal(cell, enlarged.expand(3, -1, -1))
        assert dark(sheet[:, y - STEP : y, x : x + 56])


def test_blocks_have_a_wider_gap() -> None:
    sheet = labeled_grid([[plain(0)] * 4], block=2, least=0)
    starts = [0, 36, 72 + labels.BLOCK, 108 + labels.BLOCK]
    assert sheet.shape[2] == starts[-1] + 32
    black = (sheet[0, 0] == 0).nonzero().flatten().tolist()
    assert black == [x + i for x in starts for i in range(32)]
