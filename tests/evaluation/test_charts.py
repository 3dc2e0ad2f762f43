"""compare.png: which panels and points it has, and the colors and places of its parts, by hand."""

from pathlib import Path

import numpy as np
import pytest
from helpers import FID, make_run
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from PIL import Image

from gan_cli.evaluation import charts
from gan_cli.evaluation.score_table import Row, score_columns
from gan_cli.training.run_history import read


@pytest.fixture
def compared(tmp_path: Path) -> tuple[list[Row], list]:
    """Two runs: a with FIDs during training and of the finished run, b with a score of the finished run only."""
    make_run(tmp_path / "a", logged=[9.0, 7.0], records=[("fid", {FID: 6.5}, {})])
    make_run(tmp_path / "b", losses=(3.0, float("nan"), 1.0), records=[("modes", {"modes": 3.0}, {"iteration": 60})])
    runs = [read(tmp_path / name) for name in "ab"]
    columns, scores = score_columns(runs, None)
    return [Row(run, run.path.name, {}, of_run) for run, of_run in zip(runs, scores, strict=True)], columns


def test_panels_are_the_scores_and_then_the_losses(compared: tuple[list[Row], list]) -> None:
    rows, columns = compared
    assert charts._panels(rows, columns) == [f"metric/{FID}", "metric/modes", "d/adversarial"]
    assert charts._points(rows[0], f"metric/{FID}") == [(20, 9.0), (40, 7.0)]  # the curve, if there is one
    assert charts._points(rows[1], "metric/modes") == [(60, 3.0)] and charts._points(rows[0], "metric/modes") == []
    assert charts._points(rows[1], "d/adversarial") == [(20, 3.0), (60, 1.0)]  # without what is not finite


def test_each_run_has_a_style_of_its_own() -> None:
    for count in (1, 10, 40, 41, 90):
        styles = charts._styles(count)
        assert len({(str(style["color"]), style["linestyle"]) for style in styles}) == len(styles) == count


def test_curves_and_bars(compared: tuple[list[Row], list]) -> None:
    rows, _ = compared
    curves, bars = Figure().subplots(1, 2)
    styles = charts._styles(2)
    charts._plot_curves(curves, "d/adversarial", rows, styles)
    assert [line.get_color() for line in curves.lines] == ["C0", "C1"]
    assert curves.lines[1].get_xydata().tolist() == [[20, 3], [60, 1]] and curves.get_xlabel() == "iteration"
    charts._plot_curves(bars, "metric/modes", rows, styles)
    (bar,) = bars.patches
    assert (bar.get_x() + bar.get_width() / 2, bar.get_height()) == (2, 3)  # the second run
    assert bars.get_title() == "modes" and bars.get_xlabel() == "rank"


def test_a_spike_does_not_flatten_the_curve(tmp_path: Path) -> None:
    make_run(tmp_path / "a", losses=(1e6, *([1.0, 2.0] * 150)))
    axis = Figure().subplots()
    charts._plot_curves(axis, "d/adversarial", [Row(read(tmp_path / "a"), "a", {}, {})], charts._styles(1))
    assert axis.get_ylim() == pytest.approx((0.95, 2.05))


def test_tiles_in_inches() -> None:
    figure = Figure(figsize=(10, 8))
    tiles = charts.Tiles(4.0, 3.0, left=0.5, right=0.25, top=0.75, bottom=0.25)
    axes = tiles.axes(figure, 3, columns=2, above=1.0)
    # The third one: column 0 of row 1, whose lower edge is 8 - 1 - 6 = 1 inch above that of the figure.
    assert axes[1].get_position().bounds == pytest.approx((0.45, 4.25 / 8, 0.325, 0.25))
    assert axes[2].get_position().bounds == pytest.approx((0.05, 1.25 / 8, 0.325, 0.25))


def test_samples_have_a_frame_of_the_curves_color(compared: tuple[list[Row], list], tmp_path: Path) -> None:
    rows, columns = compared
    axis, empty = Figure().subplots(1, 2)
    charts._show_samples(axis, 1, rows[0], columns[0], {"color": "C3", "linestyle": "--"})
    assert {to_rgb(spine.get_edgecolor()) for spine in axis.spines.values()} == {to_rgb("C3")}
    assert axis.get_title() == f"1: a\n{columns[0].name} 6.5" and np.asarray(axis.images[0].get_array()).min() == 128
    (tmp_path / "b/samples/000040.png").write_bytes(b"no image")
    charts._show_samples(empty, 2, rows[1], columns[0], {"color": "C1"})
    assert empty.texts[0].get_text() == "000040.png cannot be read" and empty.get_title() == "2: b"


def test_the_file_is_replaced_whole(compared: tuple[list[Row], list], tmp_path: Path) -> None:
    charts.plot(*compared, tmp_path / "compare.png")
    with Image.open(tmp_path / "compare.png") as image:
        # Three panels of 4 x 2.6 inches above two grids of 2.4 x 3, at 100 pixels per inch.
        assert (image.format, image.size) == ("PNG", (1200, 560))
    assert [file.name for file in tmp_path.iterdir() if file.is_file()] == ["compare.png"]
