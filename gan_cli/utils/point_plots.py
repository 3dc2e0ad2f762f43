"""Plots of generated points over the data's, with numbered axes: scatter plots in the plane, histograms on the line.

Drawn with Pillow, because a run draws one every few hundred iterations: a figure of matplotlib takes several times as
long as the training in between.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from gan_cli.utils.images import from_pil, scatter, to_pil
from gan_cli.utils.labels import GAP, SIZE

if TYPE_CHECKING:
    from PIL.ImageDraw import ImageDraw
    from PIL.ImageFont import FreeTypeFont
    from PIL.ImageFont import ImageFont as BitmapFont

    Font = FreeTypeFont | BitmapFont

PLOT, LEFT, RIGHT, STEP = 384, 44, 12, SIZE + GAP  # pixels: of a plot's side, beside it, and of a line of text
BARS = 64
DATA, SAMPLES, MODE, MISSED = (240, 150, 40), (30, 90, 180), (0, 0, 0), (220, 0, 0)
CIRCLE = 4  # pixels: a smaller circle could not be told from a point, and a cross takes its place


@dataclass(frozen=True)
class Panel:
    """One plot: samples (N, d) over data (M, d).

    name: what the samples are. note: a line below. modes (K, d): centers that are marked by circles of `radius`, or by
    crosses if those would be tiny; missed (K,): those that are marked in red. density: of the data, for d = 1.
    """

    name: str
    samples: Tensor
    data: Tensor
    note: str = ""
    modes: Tensor | None = None
    radius: float = 0.0
    missed: Tensor | None = None
    density: Callable[[Tensor], Tensor] | None = None


def point_plots(panels: Sequence[Panel], title: str) -> Tensor:
    """The plots side by side under a title, uint8 (3, H, W). The axes are those of the data, so that all plots of a run
    have the same; samples beyond lie on their border, and samples that are not finite are omitted.
    """
    from PIL import Image, ImageDraw, ImageFont

    font = ImageFont.load_default(SIZE)
    width, top = LEFT + PLOT + RIGHT, 3 * STEP
    page = Image.new("RGB", (width * len(panels), top + PLOT + 2 * STEP), "white")
    pen = ImageDraw.Draw(page)
    pen.text((GAP, 0), title, fill="black", font=font)
    for column, panel in enumerate(panels):
        left = column * width + LEFT
        _legend(pen, font, left, STEP, panel)
        plot, x_axis, y_axis = (_histogram if panel.data.shape[1] == 1 else _scatter)(panel)
        page.paste(to_pil(plot), (left, top))
        pen.rectangle((left - 1, top - 1, left + PLOT, top + PLOT), outline="black")
        for value, at in _ticks(*x_axis):
            pen.line((left + at, top + PLOT, left + at, top + PLOT + GAP), fill="black")
            pen.text((left + at, top + PLOT + GAP + 1), f"{value:g}", fill="black", font=font, anchor="ma")
        for value, at in _ticks(*y_axis):
            pen.line((left - 1 - GAP, top + PLOT - at, left - 1, top + PLOT - at), fill="black")
            pen.text((left - GAP - 2, top + PLOT - at), f"{value:g}", fill="black", font=font, anchor="rm")
    return from_pil(page)


def _legend(pen: ImageDraw, font: Font, x: float, y: int, panel: Panel) -> None:
    """Two lines: what the colors mean, and the panel's note."""
    entries = [("data", DATA), (panel.name, SAMPLES)]
    if panel.missed is not None:
        entries += [("captured mode", MODE)] * (not panel.missed.all()) + [("missed mode", MISSED)] * panel.missed.any()
    elif panel.density is not None:
        entries = [("true density", MODE), (panel.name, SAMPLES)]
    pen.text((x, y + STEP), panel.note, fill="black", font=font)
    for text, color in entries:
        pen.rectangle((x, y + 3, x + 8, y + 11), fill=color)
        pen.text((x + 12, y), text, fill="black", font=font)
        x += 12 + font.getlength(text) + 3 * GAP


def _scatter(panel: Panel) -> tuple[Tensor, tuple[float, float], tuple[float, float]]:
    """A plot, uint8 (3, PLOT, PLOT), and the limits of its axes."""
    from PIL import ImageDraw

    marked = panel.data if panel.modes is None else torch.cat([panel.data, panel.modes])
    extent = 1.25 * max(float(marked[:, :2].abs().max()), 1e-6)
    samples = panel.samples[panel.samples.isfinite().all(1), :2].clamp(-extent, extent)
    page = torch.full((3, PLOT, PLOT), 255.0)
    for points, color in ((panel.data[:, :2], DATA), (samples, SAMPLES)):
        paper = scatter([points.clamp(-extent, extent)], extent, PLOT)[0] / 255  # 1 where there are no points
        page = page * paper + torch.tensor(color).view(3, 1, 1) * (1 - paper)
    image = to_pil(page.round().to(torch.uint8))
    if panel.modes is not None and panel.missed is not None:
        pen = ImageDraw.Draw(image)
        radius = panel.radius / extent * PLOT / 2
        centers = ((panel.modes[:, :2] / extent + 1) / 2 * (PLOT - 1)).tolist()
        for (x, y), absent in zip(centers, panel.missed.tolist()):
            y, color = PLOT - 1 - y, MISSED if absent else MODE
            if radius >= CIRCLE:
                pen.ellipse((x - radius, y - radius, x + radius, y + radius), outline=color)
            else:
                pen.line((x - CIRCLE, y, x + CIRCLE, y), fill=color)
                pen.line((x, y - CIRCLE, x, y + CIRCLE), fill=color)
    limits = -extent, extent
    return from_pil(image), limits, limits


def _histogram(panel: Panel) -> tuple[Tensor, tuple[float, float], tuple[float, float]]:
    """A plot, uint8 (3, PLOT, PLOT), and the limits of its axes: bars of the samples' density, and a line of the true
    density, or of the data's histogram.
    """
    from PIL import Image, ImageDraw

    low, high = float(panel.data.min()), float(panel.data.max())
    low, high = low - 0.1 * (high - low) - 1e-6, high + 0.1 * (high - low) + 1e-6
    samples, truth = (_density(points, low, high) for points in (panel.samples, panel.data))
    x = torch.linspace(low, high, PLOT)
    line = truth.repeat_interleave(PLOT // BARS) if panel.density is None else panel.density(x)
    top = 1.1 * float(torch.cat([samples, line]).max())
    image = Image.new("RGB", (PLOT, PLOT), "white")
    pen, bar = ImageDraw.Draw(image), PLOT // BARS
    for number, height in enumerate((samples / top * PLOT).tolist()):
        if height:
            pen.rectangle((number * bar + 1, PLOT - max(height, 1), number * bar + bar - 1, PLOT), fill=SAMPLES)
    heights = (PLOT - line / top * PLOT).tolist()
    pen.line(list(enumerate(heights)), fill=DATA if panel.density is None else MODE, width=2)
    return from_pil(image), (low, high), (0.0, top)


def _density(points: Tensor, low: float, high: float) -> Tensor:
    """The histogram (BARS,) of points (N, 1), whose bars have area 1 in sum; points beyond lie on the border."""
    finite = points[points.isfinite()].float().clamp(low, high)
    return torch.histc(finite, BARS, low, high) / max(len(finite), 1) * BARS / (high - low)


def _ticks(low: float, high: float) -> list[tuple[float, int]]:
    """4 to 9 round numbers from `low` to `high`, each with its distance from the axis' origin in pixels."""
    rough = (high - low) / 9
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough)
    numbers = range(math.ceil(low / step), math.floor(high / step) + 1)
    return [(round(k * step, 12) + 0.0, round((k * step - low) / (high - low) * (PLOT - 1))) for k in numbers]
