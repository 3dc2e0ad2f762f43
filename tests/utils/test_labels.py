"""Sheets of images with headings."""

import pytest
import torch
from PIL import ImageFont
from torch import Tensor

from gan_cli.utils import labels
from gan_cli.utils.labels import GAP, LEAST, RED, SIZE, labeled_grid

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
