"""Plots of points: where axes, points, modes and densities are drawn."""

import math

import pytest
import torch
from torch import Tensor

from gan_cli.utils import point_plots
from gan_cli.utils.point_plots import DATA, LEFT, MISSED, MODE, PLOT, SAMPLES, STEP, Panel
from gan_cli.utils.point_plots import point_plots as draw


def plot_of(page: Tensor, column: int = 0) -> Tensor:
    """The inside of a plot, (3, PLOT, PLOT)."""
    left = LEFT + column * (LEFT + PLOT + point_plots.RIGHT)
    return page[:, 3 * STEP : 3 * STEP + PLOT, left : left + PLOT]


def where(part: Tensor, color: tuple[int, int, int]) -> list[list[int]]:
    return (part == torch.tensor(color, dtype=torch.uint8)[:, None, None]).all(0).nonzero().tolist()


def test_points_lie_where_the_axes_say() -> None:
    """Data at 2 give axes from -2.5 to 2.5; samples beyond lie on the border, those that are not finite nowhere."""
    data = torch.tensor([[2.0, 0.0]] * 20)
    samples = torch.tensor([[0.0, 1.0]] * 20 + [[99.0, 0.5]] * 20 + [[math.nan, 0.0]] * 20)
    page = draw([Panel("generated", samples, data), Panel("again", data, data)], "model, iteration 1")
    assert page.shape == (3, 5 * STEP + PLOT, 2 * (LEFT + PLOT + point_plots.RIGHT)) and page.dtype == torch.uint8
    plot = plot_of(page)

    def at(value: float) -> int:
        return round((value / 2.5 + 1) / 2 * (PLOT - 1))

    rows = PLOT - 1 - at(0.0), PLOT - 1 - at(1.0), PLOT - 1 - at(0.5)
    assert {tuple(p) for p in where(plot, DATA)} == {(rows[0] + i, at(2.0) + j) for i in (-1, 0, 1) for j in (-1, 0, 1)}
    blue = {tuple(p) for p in where(plot, SAMPLES)}
    assert {(rows[1], at(0.0)), (rows[2], PLOT - 2)} <= blue and len(blue) == 18
    assert not where(plot_of(page, 1), DATA)  # samples are drawn over data


@pytest.mark.parametrize(
    ("low", "high", "numbers"),
    [
        (-2.5, 2.5, [-2, -1, 0, 1, 2]),
        (-1.25, 1.25, [-1, -0.5, 0, 0.5, 1]),
        (0.0, 0.31, [0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3]),
    ],
)
def test_numbers_on_an_axis_are_round(low: float, high: float, numbers: list[float]) -> None:
    ticks = point_plots._ticks(low, high)
    assert [value for value, _ in ticks] == pytest.approx(numbers)
    assert [at for _, at in ticks] == [round((value - low) / (high - low) * (PLOT - 1)) for value in numbers]


def test_modes_are_circles_of_the_radius_of_high_quality_or_crosses() -> None:
    modes, empty = torch.tensor([[1.0, 0.0], [-1.0, 0.0]]), torch.full((1, 2), math.nan)
    missed = torch.tensor([False, True])
    plot = plot_of(draw([Panel("x", empty, modes, modes=modes, radius=0.5, missed=missed)], ""))
    pixels = PLOT / 2 / 1.25
    for color, x in ((MODE, 1.0), (MISSED, -1.0)):
        center = (x + 1.25) * pixels
        found = [math.hypot(column - center, row - PLOT / 2) for row, column in where(plot, color)]
        assert len(found) > 200 and all(abs(distance - 0.5 * pixels) < 3 for distance in found)
    crosses = where(plot_of(draw([Panel("x", empty, modes, modes=modes, radius=0.01, missed=missed)], "")), MODE)
    assert len(crosses) == 4 * point_plots.CIRCLE + 1


def test_a_histogram_and_the_true_density_have_the_same_scale() -> None:
    """Uniform samples on [0, 1) have density 1; the line is at twice that height, the top of the axis 10 % above it."""
    samples = (torch.arange(64_000) / 64_000)[:, None]
    plot = plot_of(draw([Panel("generated", samples, samples, density=lambda x: torch.full_like(x, 2.0))], ""))
    bars = where(plot, SAMPLES)
    columns = {column for _, column in bars}
    heights = {PLOT - min(row for row, at in bars if at == column) for column in (PLOT // 2 + 2, PLOT // 2 + 3)}
    assert heights <= {round(PLOT / 2.2) + i for i in (-3, -2, -1, 0, 1, 2, 3)}
    assert min(columns) == pytest.approx(PLOT / 12, abs=7) and max(columns) == pytest.approx(PLOT * 11 / 12, abs=7)
    lines = {row for row, _ in where(plot, MODE)}
    assert lines and all(row == pytest.approx(PLOT * (1 - 2 / 2.2), abs=2) for row in lines)


def test_the_legend_names_what_there_is() -> None:
    """Four texts with modes captured and missed, two without modes: the color of each is in the line above the plot."""
    points = torch.tensor([[1.0, 0.0]])
    both = Panel("x", points, points, modes=points.repeat(2, 1), missed=torch.tensor([True, False]))
    alone = Panel("x", points, points, note="a note")
    for panel, colors in ((both, (DATA, SAMPLES, MODE, MISSED)), (alone, (DATA, SAMPLES))):
        line = draw([panel], "title")[:, STEP : 2 * STEP]
        assert [bool(len(where(line, color)) >= 80) for color in (DATA, SAMPLES, MISSED)] == [
            color in colors for color in (DATA, SAMPLES, MISSED)
        ]
    assert (draw([alone], "")[:, 2 * STEP : 3 * STEP - 2] < 100).any()
    assert not (draw([both], "")[:, 2 * STEP : 3 * STEP - 2] < 100).any()
