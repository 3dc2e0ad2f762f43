"""Grids, histograms and scatter plots as images."""

import math

import numpy as np
import pytest
import torch

from gan_cli.utils import images


def darkest(plot: torch.Tensor) -> list[tuple[int, int]]:
    return [tuple(at) for at in (plot == plot.min()).nonzero().tolist()]


def test_batches_of_points_are_plotted_side_by_side_on_the_same_axes() -> None:
    near, far = torch.tensor([[0.0, 1.0], [float("nan"), 0.0]]), torch.tensor([[3.0, 0.0]]).view(1, 2, 1, 1)
    plot = images.plot_points(near, far)
    assert plot.shape == (1, 384, 2 * 384 + 2)
    extent = 1.1 * 3
    left, right = plot[0, :, :384], plot[0, :, 386:]
    row = 383 - round((1 / extent + 1) / 2 * 383)
    assert darkest(left) == [(row, 192)]
    assert darkest(right) == [(191, round((3 / extent + 1) / 2 * 383))]


def test_points_of_one_dimension_are_histograms_of_the_same_scale() -> None:
    """64 bars of width .1 from -3.2 to 3.2: shares of 3/4 and 1/4 in one batch, 3/8 and five of 1/8 in the other."""
    left = torch.tensor([0.05, 0.05, 0.05, -1.05, math.inf])[:, None]
    right = torch.tensor([-3.2 / 1.1, 0.05, 0.05, 0.05, 1.05, 1.15, 1.25, 2.85])[:, None]
    plot = images.plot_points(left, right)
    assert plot.shape == (1, 384, 2 * 384 + 2)

    def heights(half: torch.Tensor) -> dict[int, int]:
        dark = half[:, 3::6] < 255  # the middle of each bar
        return {i: int(n) for i, n in enumerate(dark.sum(0)) if n and dark[-int(n) :, i].all()}

    def height(share: float) -> int:
        return math.ceil(0.95 * 384 * share / (3 / 4))

    assert heights(plot[0, :, :384]) == {32: height(3 / 4), 21: height(1 / 4)}
    assert heights(plot[0, :, 386:]) == {32: height(3 / 8), **{i: height(1 / 8) for i in (2, 42, 43, 44, 60)}}


def test_a_plot_without_finite_points_is_empty() -> None:
    for d in (1, 2):
        assert (images.plot_points(torch.full((3, d), math.nan)) == 255).all()
    assert (images.plot_points(torch.zeros(0, 1)) == 255).all()


def test_large_images_are_converted_in_strips() -> None:
    """One, two, three and four channels: gray, gray with alpha (of models that color), color, color with alpha."""
    for channels, mode in ((1, "L"), (2, "LA"), (3, "RGB"), (4, "RGBA")):
        pixels = torch.randint(0, 256, (channels, 2 * images.STRIP + 3, 5), dtype=torch.uint8)
        image = images.to_pil(pixels)
        assert image.mode == mode
        shown = torch.from_numpy(np.array(image)).view(*pixels.shape[1:], channels)
        assert torch.equal(shown.permute(2, 0, 1), pixels)


@pytest.mark.parametrize("d", [1, 2])
def test_points_beyond_the_axes_lie_on_their_border(d: int) -> None:
    inside, far = torch.zeros(1, d), torch.full((1, d), 50.0)
    alone = images.plot_points(far, size=256, extent=2.0)
    assert torch.equal(alone, images.plot_points(torch.full((1, d), 2.0), size=256, extent=2.0))
    assert (alone[..., -5:] < 255).any() and not torch.equal(alone, images.plot_points(inside, size=256, extent=2.0))
