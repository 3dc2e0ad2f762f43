"""Curves over iterations as inline SVG, with axes, readable in both color schemes and on a phone."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from gan_cli.tools.html_report.markup import NONE, Markup, folded, joined, tag
from gan_cli.tools.html_report.series import Points, finite, smoothed
from gan_cli.utils.tables import number

WIDTH, HEIGHT = 400, 220
LEFT, RIGHT, TOP, BOTTOM = 54, 22, 8, 26
MOST = 300  # columns into which a curve is thinned, with its extremes in each
PANELS, SHOWN = 60, 12  # panels of one kind, at most; the others of them are folded
SMOOTH = 12  # points from which a curve is smoothed
MARGIN = 0.06  # of the range, above and below
DECADES = 100.0  # ratio of the values from which an axis is logarithmic


class Line(NamedTuple):
    """A curve of a panel. style: classes of page.html."""

    points: Points
    style: str


class Axis(NamedTuple):
    """A scale from values to pixels. log: of the decimal logarithm."""

    low: float
    high: float
    first: float
    last: float
    log: bool = False

    def __call__(self, value: float) -> float:
        """The position of a value; of one beyond the axis that of its end."""
        value = math.log10(max(value, 1e-300)) if self.log else value
        share = min(max((value - self.low) / (self.high - self.low), 0.0), 1.0)
        return round(self.first + share * (self.last - self.first), 1)


def panels(curves: Iterable[tuple[str, Points]], what: str) -> Markup:
    """A panel for each curve, smoothed above the raw one; of many, those after the first are folded."""
    drawn = [panel(name, *_single(points)) for name, points in curves]
    beyond = len(drawn) - PANELS
    note = tag("p", f"{beyond} more {what} are not shown.", class_="note") if beyond > 0 else NONE
    more = folded(f"{min(len(drawn), PANELS) - SHOWN} more {what}", _grid(drawn[SHOWN:PANELS]))
    return joined([_grid(drawn[:SHOWN]), more if len(drawn) > SHOWN else NONE, note])


def _grid(figures: Sequence[Markup]) -> Markup:
    return tag("div", *figures, class_="panels") if figures else NONE


def _single(points: Points) -> tuple[list[Line], str]:
    """The lines of a single curve and what is said of it: its last value, its range, and what is not shown."""
    known = finite(points)
    if not known:
        return [], f"none of its {len(points)} values is finite"
    values = [value for _, value in known]
    said = f"last {number(known[-1][1])}, from {number(min(values))} to {number(max(values))}"
    if len(known) < len(points):
        said += f"; {len(points) - len(known)} of {len(points)} values are not finite"
    if len(known) < SMOOTH:
        return [Line(known, "smooth")], said
    return [Line(known, "raw"), Line(smoothed(known, max(5, len(known) / 25)), "smooth")], said


def panel(name: str, lines: Sequence[Line], said: str, class_: str = "curve") -> Markup:
    """A figure of curves with its caption. said: what the caption adds to the name."""
    caption = tag("figcaption", tag("b", name), " ", tag("span", said), " ", tag("output"))
    if not any(line.points for line in lines):
        return tag("figure", caption, class_=class_)
    x = _axis([at for line in lines for at, _ in line.points], LEFT, WIDTH - RIGHT, spread=0.0, logarithmic=False)
    y = _axis([value for line in lines for _, value in line.points], HEIGHT - BOTTOM, TOP)
    drawing = tag(
        "svg", *_grid_lines(x, y), *(_polyline(line, x, y) for line in lines), tag("line", class_="at", y1=TOP,
                                                                                  y2=HEIGHT - BOTTOM, x1=-9, x2=-9),
        viewBox=f"0 0 {WIDTH} {HEIGHT}", role="img", aria_label=f"Curve of {name} over the iterations: {said}",
        data_x=f"{x.low} {x.high} {x.first} {x.last}",
        data_y=f"{y.low} {y.high} {y.first} {y.last} {int(y.log)}",
    )  # fmt: skip
    return tag("figure", drawing, caption, class_=class_)


def _axis(values: Sequence[float], first: float, last: float, spread: float = MARGIN, logarithmic: bool = True) -> Axis:
    """The axis of values: of many, the outermost half percent may be beyond it, as a spike would flatten the rest."""
    ordered = sorted(values)
    cut = len(ordered) // 200 if spread and len(ordered) > 40 else 0
    low, high = ordered[cut], ordered[-1 - cut]
    log = logarithmic and low > 0 and high / low > DECADES
    if log:
        low, high = math.log10(low), math.log10(high)
    margin = spread * (high - low) or (0.0 if high > low else abs(low) * 0.1 or 0.5)
    return Axis(low - margin, high + margin, first, last, log)


def _polyline(line: Line, x: Axis, y: Axis) -> Markup:
    corners = _thinned([(x(at), y(value)) for at, value in line.points])
    if len(corners) == 1:
        return tag("circle", cx=corners[0][0], cy=corners[0][1], r=3, class_=line.style)
    return tag("polyline", class_=line.style, points=Markup(" ".join(f"{a:g},{b:g}" for a, b in corners)))


def _thinned(corners: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Of a long line, for each of MOST columns its first, lowest, highest and last corner."""
    if len(corners) <= 2 * MOST:
        return corners
    columns: dict[int, list[tuple[float, float]]] = {}
    scale = MOST / (WIDTH - LEFT - RIGHT)
    for corner in corners:
        columns.setdefault(int((corner[0] - LEFT) * scale), []).append(corner)
    kept: list[tuple[float, float]] = []
    for column in columns.values():
        extremes = {0, len(column) - 1, *(pick(range(len(column)), key=lambda i: column[i][1]) for pick in (min, max))}
        kept += [column[i] for i in sorted(extremes)]
    return kept


def _grid_lines(x: Axis, y: Axis) -> list[Markup]:
    """Grid lines with the numbers of the axes."""
    parts = []
    for value, label in _ticks(y):
        at = y(value)
        parts.append(tag("line", x1=LEFT, x2=WIDTH - RIGHT, y1=at, y2=at, class_="grid"))
        parts.append(tag("text", label, x=LEFT - 5, y=at + 4, class_="y"))
    for value, label in _ticks(x, smallest=1.0):
        at = x(value)
        parts.append(tag("line", x1=at, x2=at, y1=TOP, y2=HEIGHT - BOTTOM, class_="grid"))
        parts.append(tag("text", label, x=at, y=HEIGHT - 8, class_="x"))
    return parts


def _ticks(axis: Axis, most: int = 5, smallest: float = 0.0) -> list[tuple[float, str]]:
    """Round values on an axis, `smallest` apart at least, with their texts."""
    if axis.log:
        low, high = math.ceil(axis.low), math.floor(axis.high)
        stride = max(1, math.ceil((high - low + 1) / most))
        return [(10.0**power, f"{10.0**power:g}") for power in range(low, high + 1, stride)]
    span = axis.high - axis.low
    power = 10.0 ** math.floor(math.log10(span / most))
    step = next(power * factor for factor in (1, 2, 5, 10) if span / (power * factor) <= most)
    step = max(step, smallest)
    first = math.ceil(axis.low / step)
    values = [index * step for index in range(first, math.floor(axis.high / step) + 1)]
    digits = max(0, -math.floor(math.log10(step))) if step < 1 else 0
    plain = step >= 1e-4 and max(map(abs, values), default=0.0) < 1e7
    return [(value, f"{value:,.{digits}f}" if plain else f"{value:.3g}") for value in values]
